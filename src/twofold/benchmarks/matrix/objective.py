"""When an answer is right: the relative error of the low-rank part against the truth, where that is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Answer, Facts
from twofold.metrics import relative_error

TARGET = 1e-3
"""Relative error up to which a matrix counts as recovered: the field's usual bound for phase transitions."""


@dataclass(frozen=True)
class Matrix:
    """A matrix to be split.

    Attributes
    ----------
    Y : ndarray of shape (m, n)
        NaN where missing.
    rank : int
        What those who have to be told the rank are told.
    X : ndarray of shape (m, n), optional
        The true low-rank part. None: not known.
    struck : bool ndarray of shape (m, n), optional
        Where the outliers are; for the oracle alone.
    target : float
        Relative error up to which an answer is right.
    noise : float
        Standard deviation of the dense noise; for stable PCP alone.
    """

    Y: NDArray[Any]
    rank: int
    X: NDArray[Any] | None = None
    struck: NDArray[np.bool_] | None = None
    target: float = TARGET
    noise: float = 0.0


@dataclass(frozen=True)
class NewRows:
    """Rows to be projected with what was learned from others.

    Attributes
    ----------
    training : ndarray of shape (k, n)
        With outliers.
    Y, X : ndarray of shape (m, n)
        New rows with outliers, and the truth.
    rank : int
    """

    training: NDArray[Any]
    Y: NDArray[Any]
    X: NDArray[Any]
    rank: int


def judge_matrix(data: Matrix, answer: Answer) -> tuple[Facts, str]:
    """‖X̂ − X‖ / ‖X‖ against the target; without a truth the median of |Y − X̂|, which no outlier moves."""
    if data.X is None:
        return {"median residual": float(np.nanmedian(np.abs(data.Y - answer.value)))}, ""
    return judged(relative_error(data.X, answer.value), data.target)


def judge_rows(data: NewRows, answer: Answer) -> tuple[Facts, str]:
    """‖Z·V + c − X‖ / ‖X‖ for scores Z, components V and centre c.

    With V right this is the relative error of the scores, since V is orthonormal; and it does not pass over a V that
    is wrong.
    """
    scores, components, centre = answer.value
    return judged(relative_error(data.X, scores @ components + centre), TARGET)


def judged(error: float, target: float) -> tuple[Facts, str]:
    """The error, and what is wrong with an answer of that error."""
    return {"error": error}, "" if error <= target else f"wrong answer: error {error:.1e}, above {target:.0e}"
