"""A polished fit with what the plan asks about it: who is an outlier, which lines were lost, is the rest noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from twofold.matrix.identify import range_finder
from twofold.matrix.polish import Polished
from twofold.matrix.sweep import line_counts
from twofold.models.factored import degrees_of_freedom
from twofold.problem import Problem

WHITE = 1.2
"""A residual whose spectral norm is within this factor of that of white noise holds no low-rank part."""

LINE_FLOOR = 5.0
"""Entries of a line with many outliers beyond so many times its median residual are outliers,"""

LINE_CAP = 8.0
"""and all beyond so many times the fit's threshold: a line that is corrupted as a whole stays out."""


@dataclass(frozen=True, eq=False)
class Fit(Polished):
    """A :class:`Polished` fit of a problem. Answers are small and kept; residuals are large and computed anew."""

    problem: Problem
    generator: torch.Generator

    @property
    def rank(self) -> int:
        """Number of columns of the factors."""
        return self.U.shape[1]

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the low-rank part."""
        return degrees_of_freedom((len(self.U), len(self.V)), self.rank)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of dense noise: the fit has absorbed as many entries of it as it has freedom."""
        n_kept = self.kept * self.problem.n_observed
        return self.rms / max(1 - self.freedom / n_kept, 0.05) ** 0.5

    @property
    def expected_error(self) -> float:
        """‖X̂ − X‖/‖X‖ that such noise means: σ·sqrt(r(m + n − r)/f)/‖X‖ for a share f of all entries kept.

        That is the error of least squares that is told the rank and the outliers, to first order in the noise.
        """
        share = self.kept * self.problem.observed_fraction
        norm = float(((self.U.T @ self.U) * (self.V.T @ self.V)).sum().clamp(min=0)) ** 0.5
        return self.noise * (self.freedom / share) ** 0.5 / norm if norm > 0 else 0.0

    def residual(self) -> Tensor:
        """Y − U·Vᵀ on the observed entries."""
        R = torch.addmm(self.problem.values, self.U, self.V.T, alpha=-1)
        return R if self.problem.observed is None else R.mul_(self.problem.observed)

    def left_over(self) -> Problem:
        """The inliers' residual as an observation of its own, outliers taken for missing.

        In a line that lost many entries the components that the fit lacks are strong: its entries count as outliers
        only by the line's own median residual.
        """
        R, outlying = self.residual(), self.outlying.clone()
        for lines, along, beyond in zip(self.lost_lines, (R, R.T), (outlying, outlying.T), strict=True):
            if bool(lines.any()):
                size = along[lines].abs()
                bound = (LINE_FLOOR * size.median(1).values).clamp(max=LINE_CAP * self.threshold)
                beyond[lines] &= size > bound[:, None]
        kept = ~outlying if self.problem.observed is None else ~outlying & self.problem.observed
        return Problem(R * kept, kept)

    @cached_property
    def lost_shares(self) -> tuple[Tensor, Tensor]:
        """Share of the observed entries of each row, and of each column, that are outliers."""
        rows, columns = (
            lost / length.clamp(min=1)
            for lost, length in zip(line_counts(self.outlying), self.problem.line_lengths, strict=True)
        )
        return rows, columns

    @cached_property
    def lost_lines(self) -> tuple[Tensor, Tensor]:
        """Rows and columns that lost more entries than chance takes: in haste, or because they are corrupted."""
        share = 1 - self.kept
        rows, columns = (
            lost > share + 6 * (share * (1 - share) / length) ** 0.5 + 2 / length
            for lost, length in zip(self.lost_shares, self.problem.line_lengths, strict=True)
        )
        return rows, columns

    @property
    def loses_lines(self) -> bool:
        """Whether there are such rows or columns."""
        return any(bool(lost.any()) for lost in self.lost_lines)

    @cached_property
    def is_white(self) -> bool:
        """Whether the inliers' residual has the spectral norm of independent noise of its size."""
        rest = self.left_over()
        m, n = rest.values.shape
        expected = self.rms * rest.observed_fraction**0.5 * (math.sqrt(m) + math.sqrt(n))
        sigma = range_finder(rest.values.float(), min(8, m, n), self.generator)[1]
        return float(sigma[0]) <= WHITE * expected
