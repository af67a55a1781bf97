"""What a benchmark is made of: an objective (how an answer is judged), data sets (cases) and solvers.

The parts know nothing of each other: a solver gets data and returns an answer; the objective judges any answer to
the data of its case. :mod:`twofold.benchmarks.runner` brings them together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Facts = dict[str, Any]
Record = dict[str, Any]
"""What the result file keeps of one case or cell."""


@dataclass(frozen=True)
class Answer:
    """What a solver returns.

    Attributes
    ----------
    value : object
        What the objective judges.
    facts : mapping
        What the solver says about it. A value that can be called is called after the clock has stopped.
    failure : str or callable
        Why this is no answer, in the solver's own opinion (a limit that was reached); "" for none. Called likewise.
    """

    value: Any
    facts: Mapping[str, Any] = field(default_factory=dict)
    failure: str | Callable[[], str] = ""


@dataclass(frozen=True)
class Solver:
    """Somebody who solves cases.

    Attributes
    ----------
    name : str
        As it stands in the tables. What has to be told (rank, support) stands in it.
    prepare : callable
        Gets the data, imports and converts what is needed, and returns the run: a callable without arguments that
        returns an :class:`Answer`. Only the run is timed. A function of a module, so that it can be sent to another
        process.
    refuses : callable, optional
        Why it does not take a case, "" if it does.
    needs : str
        Module without which it cannot run.
    """

    name: str
    prepare: Callable[[Any], Callable[[], Answer]]
    refuses: Callable[[Case], str] = lambda case: ""
    needs: str = ""


@dataclass(frozen=True)
class Case:
    """One problem, to be solved by everybody in turn while nothing else runs.

    Attributes
    ----------
    group, name : str
        Together unique in a benchmark.
    settings : mapping
        Everything that decides the data, in JSON's types: a case with other settings is another case.
    make : callable
        Makes the data.
    solvers : sequence of Solver
        Times are given as multiples of the first one's.
    judge : callable
        (data, answer) → (facts, failure): scores against the truth, and why this is no answer ("" if it is one).
    memory : callable, optional
        Data → bytes. Where given, the growth of peak memory is measured, as a multiple of those bytes.
    absent : str
        Why the data cannot be had here, "" if they can.
    """

    group: str
    name: str
    settings: Mapping[str, Any]
    make: Callable[[], Any]
    solvers: Sequence[Solver]
    judge: Callable[[Any, Answer], tuple[Facts, str]]
    memory: Callable[[Any], int] | None = None
    absent: str = ""


@dataclass(frozen=True)
class Cell:
    """Trials that are counted, not timed: cells run side by side on all cores, with one thread each.

    Attributes
    ----------
    group, name, settings
        As in :class:`Case`.
    count : callable
        Settings → facts, in JSON's types. A function of a module, so that it can be sent to another process.
    """

    group: str
    name: str
    settings: Mapping[str, Any]
    count: Callable[[Mapping[str, Any]], Facts]


@dataclass(frozen=True)
class Choice:
    """What is to be run: which groups, whether in small, where data files are, and where to compute (None: on the
    processor)."""

    groups: tuple[str, ...]
    quick: bool = False
    data: Path | None = None
    device: str | None = None


@dataclass(frozen=True)
class Column:
    """A column of the result tables: its heading, and how it shows a row ("" for nothing to show)."""

    heading: str
    show: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes
    ----------
    name : str
    groups : mapping
        Name of each group → one line that says what it is about.
    packages : sequence of str
        Distributions whose versions the result file notes; those that are missing too.
    extra : str
        Extra of twofold that brings the peers.
    columns : sequence of Column
        Of the tables of cases, after the runner's own (case, solver, seconds, ratio) and before its last one.
    plan : callable
        Choice → (cases, cells), in the order in which they run.
    summary : callable
        Records of cells → lines about them all, e.g. an area.
    figures : mapping
        Name → (records of cases, records of cells) → figure, or None where there is nothing to draw.
    runs : int
        Rounds where the user names none.
    devices : bool
        Whether its cases can be computed elsewhere than on the processor.
    """

    name: str
    groups: Mapping[str, str]
    packages: Sequence[str]
    extra: str
    columns: Sequence[Column]
    plan: Callable[[Choice], tuple[list[Case], list[Cell]]]
    summary: Callable[[Sequence[Record]], list[str]]
    figures: Mapping[str, Callable[[Sequence[Record], Sequence[Record]], Figure | None]]
    runs: int = 3
    devices: bool = False
