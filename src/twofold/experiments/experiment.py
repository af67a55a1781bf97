"""What an experiment is made of: a claim, parts that are computed one by one, and checks computed from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from twofold.benchmarks.cases import Cell, Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Choice:
    """What is to be computed.

    Attributes
    ----------
    quick : bool
        Small sizes: minutes in place of hours.
    data : Path, optional
        Folder with images/NAME.png for F16, Peppers, Baboon, kodim03. Without it pictures of scikit-image are taken.
    folder : Path
        Where parts put pictures.
    """

    quick: bool
    data: Path | None
    folder: Path


@dataclass(frozen=True)
class Check:
    """One claim beside what was found.

    Attributes
    ----------
    expected, found : str
    holds : bool or None
        None: cannot be told from what was computed, and ``found`` says why.
    """

    expected: str
    found: str
    holds: bool | None


Draw = Callable[[Sequence[Record], Path], "Figure | None"]
"""(records, folder of pictures) → figure, or None where there is nothing to draw."""


@dataclass(frozen=True)
class Drawn:
    """A figure of an experiment: how it is drawn, and what it shows."""

    draw: Draw
    caption: str


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes
    ----------
    name, title : str
    claim : str
        What the paper, or the talk, says.
    setup : str
        How it is tried here, and where that departs from the paper.
    cells : callable
        Choice → parts, each with JSON settings and a function of a module that turns them into JSON facts. Parts are
        computed side by side with one thread each.
    checks : callable
        Records of the parts → checks.
    figures : mapping
        Name → :class:`Drawn`.
    remarks : callable
        Records → what else was seen, in sentences with numbers.
    """

    name: str
    title: str
    claim: str
    setup: str
    cells: Callable[[Choice], list[Cell]]
    checks: Callable[[Sequence[Record]], list[Check]]
    figures: Mapping[str, Drawn]
    remarks: Callable[[Sequence[Record]], list[str]] = field(default=lambda records: [])
