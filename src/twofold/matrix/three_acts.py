"""Acts 1 and 2 for matrices, and what to do when an act does not succeed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from twofold.history import History
from twofold.matrix.balance import balance_of
from twofold.matrix.convex import pursue
from twofold.matrix.fit import WHITE, Fit
from twofold.matrix.identify import CLIP, CONSTANTS, Identified, factor_svd, identify
from twofold.matrix.patience import PACES, ROUGH_TOL, PatientPolish
from twofold.matrix.recovered import Recovered, nothing_found
from twofold.matrix.sweep import largest, row_blocks
from twofold.problem import Problem
from twofold.status import Status

MAX_ROUNDS = 12
"""How often act 1 may look at what a fit left over."""

TINY = 8
"""Shorter side below which a gap among so few singular values means nothing."""

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
        constants = {**CONSTANTS, "clip": CLIP, "paces": str(PACES), "rough_tol": ROUGH_TOL, "white": WHITE}
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
        found = self._identify(self.problem, target, strongest=target is None)
        if found is not None and target is None and not found.stands_out:
            if self._is_sparse():
                return self._only_outliers("Most entries are zero: every other one is an outlier, and the rank is 0.")
            fit = self._stages(found, strongest=True)
            if fit.stop == "exact":
                return self._conclude(fit)
            found = self._identify(self.problem, target, start_width=2 * found.width)
        if found is None:
            return self._convex("no gap in the singular values: no rank stands out")
        return self._conclude(self._stages(found))

    def _stages(self, found: Identified, strongest: bool = False) -> Fit:
        """Polish what was found; look again at what that leaves over, until it is nothing, noise, or says no more."""
        target = self.n_components
        fit = self.polisher.run(found.U, found.V, self._first_threshold(found))
        for _ in range(MAX_ROUNDS):
            missing = None if target is None else target - fit.rank
            if missing == 0 or fit.stop != "plateau" or (target is None and fit.is_white):
                break
            more = self._identify(fit.left_over(), missing, rest=True, strongest=strongest)
            if more is None:
                break
            U, V = torch.cat([fit.U, more.U], 1), torch.cat([fit.V, more.V], 1)
            fit = self.polisher.run(U, V, fit.threshold)
        return self.polisher.without_spurious(fit) if target is None else fit

    @cached_property
    def polisher(self) -> PatientPolish:
        """Act 2 for the problem."""
        return PatientPolish(self.problem, self.tol, self.max_iter, self.generator, self.history)

    def _identify(
        self, problem: Problem, at_most: int | None, rest: bool = False, strongest: bool = False,
        start_width: int | None = None,
    ) -> Identified | None:  # fmt: skip
        return identify(
            problem, alpha=self.alpha, at_most=at_most, rest=rest, strongest=strongest,
            start_width=start_width, generator=self.generator, history=self.history,
        )  # fmt: skip

    def _first_threshold(self, found: Identified) -> float:
        """The largest residual, but no more than the fit can be wrong by: an outlier of 1e6 is none of its error."""
        U, V, observed = found.U.float(), found.V.float(), self.problem.observed
        fitted = residual = 0.0
        for rows in row_blocks(self.problem.values.shape):
            X = U[rows] @ V.T
            fitted = max(fitted, largest(X))
            R = X.neg_().add_(self.problem.values[rows])
            residual = max(residual, largest(R if observed is None else R.mul_(observed[rows])))
        return min(residual, max(2 * fitted, 3 * self.problem.typical))

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
        outliers = fit.residual().mul_(fit.outlying)
        P, sigma, Q = P[:, :rank].to(dtype), sigma[:rank].to(dtype), Q[:, :rank].to(dtype)
        return Recovered(P, sigma, Q, outliers, status, noise=noise, error_estimate=error)

    def _convex(self, reason: str, fit: Fit | None = None) -> Recovered:
        """The convex program that the descent leads to, solved directly."""
        if min(self.problem.values.shape) > CONVEX_LIMIT:
            status = Status(
                "not_identified", False, f"Act 1: {reason}.", "Give n_components, or an alpha that fits the data."
            )
            return self._nothing(status) if fit is None else self._from_fit(fit, status)
        exact = Problem(self.problem.values.double(), self.problem.observed)
        solution = pursue(
            exact,
            alpha=self.alpha,
            tol=max(self.tol, 1e-8),
            max_iter=max(self.polisher.budget, 1),
            history=self.history,
        )
        if solution.converged:
            root = solution.sigma.sqrt()
            U, V = ((factor * root).to(self.problem.values.dtype) for factor in (solution.U, solution.V))
            again = self.polisher.run(U, V, NEAR_SOLUTION * self.problem.typical)
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
