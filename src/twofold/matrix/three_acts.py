"""Acts 1 and 2 for matrices, and what to do when an act does not succeed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from twofold.history import History
from twofold.matrix.balance import balance_of
from twofold.matrix.convex import pursue
from twofold.matrix.fit import WHITE, Fit
from twofold.matrix.identify import (
    BETA,
    CLIP,
    MIN_GAP,
    START,
    TAU,
    WEAK_GAP,
    Identified,
    factor_svd,
    identify,
)
from twofold.matrix.polish import Polished, polish
from twofold.matrix.recovered import Recovered, nothing_found
from twofold.matrix.rows import split_rows
from twofold.problem import Problem
from twofold.status import Status

PACES = ((0.5, 5.0), (0.8, 4.0), (0.92, 3.0))
"""(decay, floor) of the polish's threshold: begin fast, and slow down where haste left good entries out."""

ROUGH_TOL = 1e-4
"""A float64 fit is polished in float32 down to this relative residual: half the memory traffic, same answer."""

CONCENTRATED = 0.2
"""A component with more than this share of its energy in one row or column may be spurious."""

MAX_READMISSIONS = 6
"""How often lost lines are fitted again."""

MAX_ROUNDS = 8
"""How often act 1 may look at what a fit left over."""

TINY = 8
"""Shorter side below which a gap among so few singular values means nothing."""

NEARLY_EXACT = 1e-6
"""Inliers' residual, in units of the median entry, below which lines were lost in haste."""

WHOLE = 0.9
"""A row or column that lost more than this share of its entries is called an outlier as a whole."""

NEAR_SOLUTION = 1e-3
"""First threshold of the polish of a solution of the convex program, in units of the median entry."""

OVERDETERMINED = 1.5
"""A fit of the convex solution's rank to so many times as many entries as it has freedom is no accident."""

CONVEX_LIMIT = 2000
"""Longest shorter side for which the convex program is solved where no rank could be polished."""


def default_alpha(shape: tuple[int, int], observed_fraction: float) -> float:
    """alpha = sqrt(f·max(m, n)) for a share f of observed entries.

    The weight λ = 1/alpha of Candès, Li, Ma, Wright: Robust principal component analysis?, JACM 2011, Theorems 1.1
    and 1.2: no property of the data needs to be known.
    """
    return math.sqrt(max(observed_fraction, 1e-12) * max(shape))


@dataclass
class ThreeActs:
    """Acts 1 and 2 with everything they share; ``run`` is the plan in words.

    Parameters
    ----------
    problem : Problem
        Scaled to a largest entry of about 1.
    alpha : float
    n_components : int or None
    tol : float
    max_iter : int
        The most steps of all acts together.
    generator : torch.Generator
    history : History
    """

    problem: Problem
    alpha: float
    n_components: int | None
    tol: float
    max_iter: int
    generator: torch.Generator
    history: History

    def run(self) -> Recovered:
        """Identify a rank, polish it, and look again at what is left, until that is nothing or noise."""
        constants: dict[str, float | str | bool] = {
            "start": START, "beta": BETA, "tau": TAU, "clip": CLIP, "min_gap": MIN_GAP, "weak_gap": WEAK_GAP,
            "paces": str(PACES), "rough_tol": ROUGH_TOL, "white": WHITE,
        }  # fmt: skip
        balance = balance_of(self.problem, self.generator)
        if balance is not None:
            found = replace(self, problem=balance.apply(self.problem))._run()
            # Dense noise is of one size in the scale of Y, if anywhere: only exact answers are taken from another.
            if found.status.code == "recovered":
                return replace(balance.undo(found), constants=constants)
        return replace(self._run(), constants=constants)

    def _run(self) -> Recovered:
        target = self.n_components
        if target == 0:
            return self._only_outliers("n_components=0: every entry is an outlier.")
        if min(self.problem.values.shape) < TINY and target is None:
            return self._convex("too small a matrix for a gap in its singular values to name the rank")
        found = self._identify(self.problem, target)
        if found is None and self._is_sparse():
            return self._only_outliers("Most entries are zero: every other one is an outlier, and the rank is 0.")
        if found is None:
            return self._convex("no gap in the singular values: no rank stands out")
        fit = self._polish_patiently(found.U, found.V, self._first_threshold(found))
        for _ in range(MAX_ROUNDS):
            missing = None if target is None else target - fit.rank
            if missing == 0 or fit.stop != "plateau" or (target is None and fit.is_white):
                break
            more = self._identify(fit.left_over(), missing, rest=True)
            if more is None:
                break
            U, V = torch.cat([fit.U, more.U], 1), torch.cat([fit.V, more.V], 1)
            fit = self._polish_patiently(U, V, fit.threshold)
        return self._conclude(self._without_spurious(fit) if target is None else fit)

    def _identify(self, problem: Problem, at_most: int | None, rest: bool = False) -> Identified | None:
        return identify(
            problem, alpha=self.alpha, at_most=at_most, rest=rest, generator=self.generator, history=self.history
        )

    def _first_threshold(self, found: Identified) -> float:
        """The largest residual, but no more than the fit can be wrong by: an outlier of 1e6 is none of its error."""
        X = found.U @ found.V.T
        R = self.problem.residual(X, torch.zeros((), dtype=X.dtype, device=X.device))
        return min(float(R.abs().max()), max(2 * float(X.abs().max()), 3 * self._typical))

    @cached_property
    def _typical(self) -> float:
        """Median magnitude of the observed entries that are not zero."""
        sizes = self.problem.values.abs()
        return float(sizes[sizes > 0].median())

    @property
    def _budget(self) -> int:
        return max(self.max_iter - len(self.history), 0)

    def _polish_patiently(self, U: Tensor, V: Tensor, threshold: float | None) -> Fit:
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
            in_haste = fit.rms <= NEARLY_EXACT * self._typical and fit.loses_lines
            if fit.stop == "plateau" and not in_haste and not fit.is_white:
                break
        exact = [fit for fit in fits if fit.stop == "exact"]
        if exact:
            return max(exact, key=lambda fit: fit.kept)
        # Dense noise stops every pace at its level; a much lower last plateau was more than that.
        if len(fits) > 1 and fits[-1].stop == fits[-2].stop == "plateau" and fits[-1].rms > 0.7 * fits[-2].rms:
            return fits[-2]
        return fits[-1]

    def _without_spurious(self, fit: Fit) -> Fit:
        """Drop components that serve the outliers of a line or two.

        Where outliers have a mean, act 1 sees it as a component; once they are out, nothing is left for that to fit
        but some outliers in the lines of least resistance. Such a component sits in few lines, and dropping it takes
        fewer numbers (two for each new outlier: place and value) than it has degrees of freedom.
        """
        while fit.stop == "exact" and fit.rank > 1:
            P, sigma, Q = factor_svd(fit.U, fit.V)
            concentration = torch.maximum(P.square().max(0).values, Q.square().max(0).values)
            if float(concentration.max()) < CONCENTRATED:
                break
            dropped = int(concentration.argmax())
            others = torch.arange(fit.rank, device=P.device) != dropped
            size = float(sigma[dropped] * P[:, dropped].abs().max() * Q[:, dropped].abs().max())
            root = sigma[others].sqrt()
            U, V = ((factor[:, others] * root).to(fit.U.dtype) for factor in (P, Q))
            fewer = self._polish_patiently(U, V, max(fit.threshold, size))
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
                max_iter=self._budget,
            )  # fmt: skip
            U, V, threshold = rough.U.double(), rough.V.double(), rough.threshold
            if rough.stop != "exact":
                return self._fit(replace(rough, U=U, V=V))
        return self._fit(run(self.problem, U, V, threshold=threshold, tol=self.tol, max_iter=self._budget))

    def _fit(self, polished: Polished) -> Fit:
        return Fit(**vars(polished), problem=self.problem, generator=self.generator)

    @cached_property
    def _rough_problem(self) -> Problem:
        return Problem(self.problem.values.float(), self.problem.observed)

    def _conclude(self, fit: Fit) -> Recovered:
        if fit.stop == "exact" and self._is_sparse(fit):
            return self._only_outliers("Fewer entries are non-zero than a low rank takes: each is an outlier.")
        if fit.stop == "exact":
            cause = "Low rank plus outliers explain every entry."
            rows, columns = (
                int((lost & (share > WHOLE)).sum())
                for lost, share in zip(fit.lost_lines, fit.lost_shares, strict=True)
            )
            if rows or columns:
                cause += f" {rows} rows and {columns} columns are outliers as a whole, or nearly so."
            return self._from_fit(fit, Status("recovered", True, cause))
        if fit.stop == "plateau" and fit.is_white:
            cause = "Low rank plus outliers leave what looks like dense noise of standard deviation {noise}."
            return self._from_fit(fit, Status("noisy", True, cause), noise=fit.noise, error=fit.expected_error)
        if fit.stop == "plateau":
            cause = (
                "The rank shows as a gap in the singular values, but what is left over is neither zero nor white "
                "noise (root mean square {noise}): the data are only approximately low rank plus outliers."
            )
            remedy = "Give n_components if you want another rank."
            return self._from_fit(fit, Status("approximate", True, cause, remedy), noise=fit.rms)
        if fit.stop == "max_iter":
            cause = f"{self.max_iter} steps were not enough; the inliers' residual is {{noise}}."
            return self._from_fit(fit, Status("max_iter", False, cause, "Raise max_iter."), noise=fit.rms)
        return self._convex("the rank found does not fit the data: too many outliers for it, or too high a rank", fit)

    def _is_sparse(self, fit: Fit | None = None) -> bool:
        """Whether X = 0, S = Y takes fewer numbers (two for an outlier: place and value) than the fit does."""
        n_nonzero = int(self.problem.values.count_nonzero())
        if fit is None:
            return 2 * n_nonzero <= self.problem.n_observed
        return 2 * n_nonzero <= fit.freedom + 2 * (1 - fit.kept) * self.problem.n_observed

    def _only_outliers(self, cause: str) -> Recovered:
        return replace(self._nothing(Status("recovered", True, cause)), outliers=self.problem.values)

    def _nothing(self, status: Status) -> Recovered:
        Y = self.problem.values
        return nothing_found((Y.shape[0], Y.shape[1]), Y, status)

    def _from_fit(self, fit: Fit, status: Status, noise: float = 0.0, error: float | None = None) -> Recovered:
        P, sigma, Q = factor_svd(fit.U, fit.V)
        rank = int((sigma > 10 * self.tol * sigma[0]).sum()) if len(sigma) else 0
        dtype = fit.U.dtype
        R, outlying = fit.split()
        return Recovered(
            P[:, :rank].to(dtype), sigma[:rank].to(dtype), Q[:, :rank].to(dtype), R * outlying, status, noise=noise,
            error_estimate=error,
        )  # fmt: skip

    def _convex(self, reason: str, fit: Fit | None = None) -> Recovered:
        """The convex program that the descent leads to, solved directly."""
        if min(self.problem.values.shape) > CONVEX_LIMIT:
            status = Status(
                "not_identified", False, f"Act 1: {reason}.", "Give n_components, or an alpha that fits the data."
            )
            return self._nothing(status) if fit is None else self._from_fit(fit, status)
        exact = Problem(self.problem.values.double(), self.problem.observed)
        solution = pursue(
            exact, alpha=self.alpha, tol=max(self.tol, 1e-8), max_iter=max(self._budget, 1), history=self.history
        )
        if solution.converged:
            root = solution.sigma.sqrt()
            U, V = ((factor * root).to(self.problem.values.dtype) for factor in (solution.U, solution.V))
            again = self._polish_patiently(U, V, NEAR_SOLUTION * self._typical)
            if again.stop == "exact" and again.kept * self.problem.n_observed >= OVERDETERMINED * again.freedom:
                cause = f"Act 1: {reason}, so the convex program was solved, and its solution polished."
                return self._from_fit(again, Status("recovered", True, cause))
            cause = f"Act 1: {reason}. This is the solution of the convex program (relative gap {solution.gap:.1e})."
            status = Status("convex", True, cause, "It need not be the truth: look at its rank and outliers.")
        else:
            cause = f"Act 1: {reason}. The convex program was not solved in {self.max_iter} steps."
            status = Status("max_iter", False, cause, "Raise max_iter.")
        dtype = self.problem.values.dtype
        return Recovered(
            solution.U.to(dtype),
            solution.sigma.to(dtype),
            solution.V.to(dtype),
            solution.S.to(dtype),
            status,
            dual_variable=solution.dual_variable,
        )


def _refit(Y: Tensor, observed: Tensor | None, factor: Tensor, trusted: Tensor) -> Tensor:
    """Rows of the other factor for the rows of Y, from the trusted rows of this one, robustly.

    Y is k × n, ``factor`` is n × r; returns k × r.
    """
    basis, triangle = torch.linalg.qr(factor[trusted])
    scores = split_rows(Y[:, trusted], observed if observed is None else observed[:, trusted], basis.T)
    rows = torch.linalg.lstsq(triangle, scores.T).solution.T
    return rows.nan_to_num(0.0, 0.0, 0.0)
