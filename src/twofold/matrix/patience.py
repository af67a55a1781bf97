"""Act 2 with patience: fast first, slower where haste shows; lost lines readmitted, spurious components dropped."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from twofold.history import History
from twofold.matrix.fit import Fit
from twofold.matrix.identify import factor_svd
from twofold.matrix.polish import Polished, polish
from twofold.matrix.rows import split_rows
from twofold.problem import Problem

PACES = ((0.5, 5.0), (0.8, 4.0), (0.92, 3.0))
"""(decay, floor) of the polish's threshold: begin fast, and slow down where haste left good entries out."""

ROUGH_TOL = 1e-4
"""A float64 fit is polished in float32 down to this relative residual: half the memory traffic, same answer."""

NEARLY_EXACT = 1e-6
"""Inliers' residual, in units of the median entry, below which lines were lost in haste."""

MAX_READMISSIONS = 6
"""How often lost lines are fitted again."""

CONCENTRATED = 0.1
"""A component with more than this share of its energy in one row or column may be spurious; in a short column, with
more than twice the 2·ln(n)/n that Gaussian ones have."""


@dataclass
class PatientPolish:
    """Polishes of one problem.

    Parameters
    ----------
    problem : Problem
    tol : float
    max_iter : int
        The most steps in the history when a polish ends.
    generator : torch.Generator
    history : History
    """

    problem: Problem
    tol: float
    max_iter: int
    generator: torch.Generator
    history: History

    @property
    def budget(self) -> int:
        """Steps left."""
        return max(self.max_iter - len(self.history), 0)

    def run(self, U: Tensor, V: Tensor, threshold: float | None) -> Fit:
        """Polish at the fast pace, and at slower ones while the outcome may be due to haste."""
        fits: list[Fit] = []
        for decay, floor in PACES:
            fit = self._polish(U, V, threshold, decay, floor)
            if fit.stop == "exact":
                fit = self._readmit_lines(fit, decay, floor)
                agreed = any(other.stop == "exact" and fit.kept <= other.kept * (1 + 1e-4) for other in fits)
                if agreed or not fit.loses_lines:
                    fits.append(fit)
                    break
            fits.append(fit)
            # A residual this small with lines left out is an exact fit missed in haste, not a component too few.
            in_haste = fit.rms <= NEARLY_EXACT * self.problem.typical and fit.loses_lines
            if fit.stop == "plateau" and not in_haste and not fit.is_white:
                break
        exact = [fit for fit in fits if fit.stop == "exact"]
        if exact:
            return max(exact, key=lambda fit: fit.kept)
        # Dense noise stops every pace at its level; a much lower last plateau was more than that.
        if len(fits) > 1 and fits[-1].stop == fits[-2].stop == "plateau" and fits[-1].rms > 0.7 * fits[-2].rms:
            return fits[-2]
        return fits[-1]

    def without_spurious(self, fit: Fit) -> Fit:
        """Drop components that serve the outliers of a line or two.

        Where outliers have a mean, act 1 sees it as a component; once they are out, nothing is left for that to fit
        but some outliers in the lines of least resistance. Such a component sits in few lines, and dropping it takes
        fewer numbers (two for each new outlier: place and value) than it has degrees of freedom.
        """
        while fit.stop == "exact" and fit.rank > 1:
            P, sigma, Q = factor_svd(fit.U, fit.V)
            concentration = torch.maximum(_concentration(P), _concentration(Q))
            if float(concentration.max()) < 1.0:
                break
            dropped = int(concentration.argmax())
            others = torch.arange(fit.rank, device=P.device) != dropped
            size = float(sigma[dropped] * P[:, dropped].abs().max() * Q[:, dropped].abs().max())
            root = sigma[others].sqrt()
            U, V = ((factor[:, others] * root).to(fit.U.dtype) for factor in (P, Q))
            fewer = self.run(U, V, max(fit.threshold, size))
            new_outliers = (fit.kept - fewer.kept) * self.problem.n_observed
            if fewer.stop != "exact" or 2 * new_outliers >= fit.freedom - fewer.freedom:
                break
            fit = fewer
        return fit

    def _readmit_lines(self, fit: Fit, decay: float, floor: float) -> Fit:
        """Fit lost rows and columns again on the factors of the others; those that fit were lost in haste."""
        best = fit
        for _ in range(MAX_READMISSIONS):
            if not fit.loses_lines:
                break
            rows, columns = fit.lost_lines
            Y, observed = self.problem.values, self.problem.observed
            U, V = fit.U.clone(), fit.V.clone()
            U[rows] = _refit(Y[rows], observed if observed is None else observed[rows], V, ~columns)
            V[columns] = _refit(Y.T[columns], observed if observed is None else observed.T[columns], U, ~rows)
            again = self._polish(U, V, fit.threshold, decay, floor)
            if again.stop not in ("exact", "unsettled") or again.kept <= fit.kept:
                break
            fit = again
            best = fit if fit.stop == "exact" else best
        return best

    def _polish(self, U: Tensor, V: Tensor, threshold: float | None, decay: float, floor: float) -> Fit:
        """One polish at one pace; of float64 data in float32 first, down to ROUGH_TOL."""
        run = partial(polish, decay=decay, floor=floor, generator=self.generator, history=self.history)
        if self.problem.values.dtype == torch.float64:
            rough = run(
                self._rough_problem, U.float(), V.float(), threshold=threshold, tol=ROUGH_TOL, confirm=False,
                max_iter=self.budget,
            )  # fmt: skip
            U, V, threshold = rough.U.double(), rough.V.double(), rough.threshold
            if rough.stop != "exact":
                return self._fit(replace(rough, U=U, V=V))
        return self._fit(run(self.problem, U, V, threshold=threshold, tol=self.tol, max_iter=self.budget))

    def _fit(self, polished: Polished) -> Fit:
        return Fit(**vars(polished), problem=self.problem, generator=self.generator)

    @cached_property
    def _rough_problem(self) -> Problem:
        return Problem(self.problem.values.float(), self.problem.observed)


def _concentration(P: Tensor) -> Tensor:
    """Largest share of each column's energy in one row, in units of what is suspicious."""
    n = len(P)
    return P.square().max(0).values / max(CONCENTRATED, 4 * math.log(n) / n if n > 1 else 1.0)


def _refit(Y: Tensor, observed: Tensor | None, factor: Tensor, trusted: Tensor) -> Tensor:
    """Rows of the other factor for the rows of Y, from the trusted rows of this one, robustly.

    Y is k × n, ``factor`` is n × r; returns k × r.
    """
    basis, triangle = torch.linalg.qr(factor[trusted])
    scores = split_rows(Y[:, trusted], observed if observed is None else observed[:, trusted], basis.T)
    rows = torch.linalg.lstsq(triangle, scores.T).solution.T
    return rows.nan_to_num(0.0, 0.0, 0.0)
