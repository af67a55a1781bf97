"""From results to pages: checks in words, and one section of the report for each experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twofold.benchmarks.cases import Record
from twofold.experiments.experiment import Check, Experiment
from twofold.report import Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VERDICTS = {True: "✓ holds", False: "✗ does not hold", None: "not decided"}


def lines(checks: Sequence[Check]) -> list[list[str]]:
    """Checks as rows of words: verdict, expected, found."""
    return [[VERDICTS[check.holds], check.expected, check.found] for check in checks]


def drawn(experiment: Experiment, records: Sequence[Record], folder: Path) -> dict[str, tuple[Figure, str]]:
    """Name → figure with its caption, for those figures that there is something to draw for."""
    figures = {}
    for name, figure in experiment.figures.items():
        if (made := figure.draw(records, folder)) is not None:
            figures[name] = (made, figure.caption)
    return figures


def section(
    experiment: Experiment, checks: Sequence[Check], remarks: Sequence[str], figures: Sequence[tuple[Figure, str]]
) -> Section:
    """One section of the report."""
    # A tick and its word stay on one line.
    rows = [[verdict.replace(" ", "\N{NO-BREAK SPACE}"), *words] for verdict, *words in lines(checks)]
    return Section(
        experiment.title,
        [f"The claim: {experiment.claim}", f"Tried here: {experiment.setup}", *remarks],
        figures,
        rows,
        ["verdict", "expected", "found"],
        [f"twofold reproduce {experiment.name}"],
    )


def overview(summaries: Sequence[tuple[str, str]]) -> Section:
    """The first section of the report: how many checks hold, by experiment."""
    return Section("In short", table=summaries, head=["experiment", "found"])


def summary(checks: Sequence[Check]) -> str:
    """How many checks hold, in a few words."""
    held = sum(check.holds is True for check in checks)
    failed = sum(check.holds is False for check in checks)
    open_ = len(checks) - held - failed
    words = f"{held} of {len(checks)} checks hold"
    if failed:
        words += f", {failed} {'does' if failed == 1 else 'do'} not"
    if open_:
        words += f", {open_} not decided"
    return words
