"""Compute the parts of an experiment that are not there yet, side by side, and keep each once it is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.benchmarks.results import Results
from twofold.benchmarks.runner import Observer, Step
from twofold.benchmarks.workers import count
from twofold.experiments.experiment import Check, Experiment

BROKEN = "broken"
"""Fact of a part that an exception ended; such parts are not kept."""


@dataclass(frozen=True)
class Outcome:
    """How many parts were computed, how many were there already, and the reasons of those that broke off."""

    computed: int
    kept: int
    broken: list[str]


def run(
    cells: Sequence[Cell], results: Results, *, jobs: int | None = None, observer: Observer = lambda step: None
) -> Outcome:
    """Compute what is not in the results yet.

    Parameters
    ----------
    cells : sequence of Cell
        Of one experiment.
    results : Results
        Goes on from there; each part is written once it is finished.
    jobs : int, optional
        Parts at a time. None: one a core.
    observer : callable
        Shown each :class:`twofold.benchmarks.runner.Step`.

    Returns
    -------
    Outcome

    Raises
    ------
    FileError
        If the result file cannot be written.
    """
    new = [cell for cell in cells if not results.holds(cell, cell.settings)]
    kept = done = len(cells) - len(new)
    broken = []
    if new:
        observer(Step(f"{new[0].group}: {new[0].name}", done, len(cells)))
    for cell, facts in count([replace(cell, count=Guarded(cell.count)) for cell in new], jobs):
        if BROKEN in facts:
            broken.append(f"{cell.group}, {cell.name}: {facts[BROKEN]}")
            continue
        results.keep(cell, cell.settings, {"facts": facts})
        done += 1
        observer(Step(f"{cell.group}: {cell.name}", done, len(cells)))
    return Outcome(done - kept, kept, broken)


@dataclass(frozen=True)
class Guarded:
    """A part whose exception is a fact: the others go on."""

    compute: Callable[[Mapping[str, Any]], Facts]

    def __call__(self, settings: Mapping[str, Any]) -> Facts:
        """Facts, or why there are none."""
        try:
            return self.compute(settings)
        except Exception as error:
            return {BROKEN: " ".join(f"{type(error).__name__}: {error}".split())}


def records_of(cells: Sequence[Cell], results: Results) -> list[Record]:
    """Records of the parts that are there, in the experiment's own order."""
    stored = {(record["group"], record["name"]): record for record in results.cells}
    return [stored[cell.group, cell.name] for cell in cells if results.holds(cell, cell.settings)]


def checks_of(experiment: Experiment, cells: Sequence[Cell], results: Results) -> list[Check]:
    """The experiment's checks; one that tells what is missing where parts are."""
    records = records_of(cells, results)
    if len(records) < len(cells):
        return [Check("every part is computed", f"{len(records)} of {len(cells)} are", None)]
    return experiment.checks(records)
