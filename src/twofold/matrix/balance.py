"""Rows and columns brought to one scale, where a few are much larger than the others.

For positive diagonal D₁, D₂ the matrix D₁·Y·D₂ has outliers where Y has them and a low-rank part of the same rank,
D₁·X·D₂. A matrix whose large entries crowd in a few lines (coherent factors, features in different units) has no
outlier threshold that serves all its lines; balanced by the medians of its lines it has one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from twofold.matrix.identify import factor_svd
from twofold.matrix.recovered import Recovered
from twofold.problem import Problem

UNEVEN = 8.0
"""Lines are balanced where the largest scale is more than so many times the median one."""

SAMPLE = 101
"""Entries of a line from which its median is taken."""

ROUNDS = 2
"""How often rows and columns are balanced in turn."""


@dataclass(frozen=True)
class Balance:
    """D₁ and D₂, powers of two: scaling by them is exact.

    Attributes
    ----------
    rows : Tensor of shape (m, 1)
    columns : Tensor of shape (1, n)
    """

    rows: Tensor
    columns: Tensor

    def apply(self, problem: Problem) -> Problem:
        """The problem of D₁·Y·D₂."""
        return Problem(problem.values * self.rows * self.columns, problem.observed)

    def undo(self, found: Recovered) -> Recovered:
        """What was found, in the scale of Y."""
        P, sigma, Q = factor_svd(found.P * found.sigma / self.rows, found.Q / self.columns.T)
        rank = len(found.sigma)
        dtype = found.P.dtype
        return replace(
            found,
            P=P[:, :rank].to(dtype),
            sigma=sigma[:rank].to(dtype),
            Q=Q[:, :rank].to(dtype),
            outliers=found.outliers / self.rows / self.columns,
        )


def balance_of(problem: Problem, generator: torch.Generator) -> Balance | None:
    """The balance that a matrix needs, if it needs one."""
    Y = problem.values
    rows, columns = Y.new_ones(len(Y), 1), Y.new_ones(1, Y.shape[1])
    some_rows, some_columns = (_some(length, generator) for length in Y.shape)
    tall, wide = _sizes(problem, slice(None), some_columns), _sizes(problem, some_rows, slice(None))
    for _ in range(ROUNDS):
        rows = _inverse_scale((tall * columns[:, some_columns]).nanmedian(1, keepdim=True).values)
        columns = _inverse_scale((wide * rows[some_rows]).nanmedian(0, keepdim=True).values)
    uneven = max(float(scale.median() / scale.min()) for scale in (rows, columns))
    return Balance(rows, columns) if uneven > UNEVEN else None


def _some(length: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(length, generator=generator, device=generator.device)[:SAMPLE]


def _sizes(problem: Problem, rows: Tensor | slice, columns: Tensor | slice) -> Tensor:
    """|Y| on some lines, NaN where not observed or zero: zeros say nothing about a scale."""
    size = problem.values[rows][:, columns].abs()
    return torch.where(size == 0, torch.nan, size)


def _inverse_scale(medians: Tensor) -> Tensor:
    """Powers of two next to 1/median; 1 for lines of which nothing is seen."""
    return torch.exp2(-torch.log2(medians).round()).nan_to_num(1.0)
