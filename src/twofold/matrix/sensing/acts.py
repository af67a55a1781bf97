"""Acts 1 and 2 for general measurements, and what to do when an act does not succeed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from twofold.history import History
from twofold.matrix.fit import WHITE
from twofold.matrix.identify import CONSTANTS, SENSING_CLIP, factor_svd, identify
from twofold.matrix.recovered import Recovered, nothing_found
from twofold.matrix.sensing.convex import pursue
from twofold.matrix.sensing.metric import Metric
from twofold.matrix.sensing.polish import SensedFit, gauss_newton_step, polish, tangent
from twofold.matrix.sensing.scales import spectral_norm
from twofold.problem import Problem
from twofold.status import Status

PACES = ((0.6, 5.0, 0.05), (0.85, 4.0, 0.01), (0.93, 3.0, 0.003))
"""(decay, floor) of the polish's threshold and the accuracy of its steps: begin fast, and slow down where haste left
good measurements out."""

MANY_INNER = 30
"""Where a Gauss–Newton step took so many inner ones A is ill-conditioned on the tangent space: an exact fit may be
wrong in the directions that A hardly sees."""

MAX_ROUNDS = 8
"""How often act 1 may look at what a fit left over."""

LOST = 0.5
"""A row or column of which the inliers see less than this share of what they see of others is lost."""

DRAWS = 3
"""Draws of independent noise that a residual, and the error that it means for X, are compared with."""

OVERDETERMINED = 1.5
"""A fit to so many times as many measurements as it has degrees of freedom is no accident."""

MEANINGLESS = 0.5
"""From this expected relative error of X on, calling what is left over dense noise says nothing."""


@dataclass
class SensingActs:
    """Acts 1 and 2 with everything they share; ``run`` is the plan in words.

    Parameters
    ----------
    problem : Problem
        Scaled so that the largest measurement is about 1, and ‖A(X)‖ ≤ ‖X‖ for X of low rank, in the metric.
    metric : Metric
    shape : tuple (n1, n2)
    alpha : float
    symmetric : bool
        X is positive semidefinite; the operator's adjoint gives symmetric matrices.
    n_components : int or None
    tol : float
    max_iter : int
        The most steps of all acts together.
    generator : torch.Generator
    history : History
    """

    problem: Problem
    metric: Metric
    shape: tuple[int, int]
    alpha: float
    symmetric: bool
    n_components: int | None
    tol: float
    max_iter: int
    generator: torch.Generator
    history: History

    def run(self) -> Recovered:
        """Identify a rank, polish it, and look again at what is left, until that is nothing or noise."""
        constants = {
            **CONSTANTS, "clip": SENSING_CLIP, "paces": str(PACES), "white": WHITE, "symmetric": self.symmetric,
        }  # fmt: skip
        return replace(self._run(), constants=constants)

    def _run(self) -> Recovered:
        target = self.n_components
        if target == 0:
            return self._only_outliers("n_components=0: every measurement is an outlier.")
        start = self._identify(self.problem, target)
        if start is None and self._is_sparse(0):
            return self._only_outliers(
                "Most measurements are zero: every other one is an outlier, and the rank is 0."
            )
        if start is None:
            return self._convex("no gap in the singular values: no rank stands out")
        fit = self._polish_patiently(start)
        for _ in range(MAX_ROUNDS):
            missing = None if target is None else target - fit.rank
            if missing == 0 or fit.stop != "plateau" or (target is None and self._is_white(fit)):
                break
            more = self._identify(self._left_over(fit), missing, rest=True)
            if more is None:
                break
            U = torch.cat([fit.P * fit.sigma, more[0] * more[1]], 1)
            fit = self._polish_patiently(factor_svd(U, torch.cat([fit.Q, more[2]], 1)))
        return self._conclude(fit)

    def _identify(
        self, problem: Problem, at_most: int | None, rest: bool = False
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """Singular triplets of the low-rank part that stands out."""
        found = identify(
            problem, alpha=self.alpha, at_most=at_most, rest=rest, symmetric=self.symmetric,
            metric=self.metric, generator=self.generator, history=self.history,
        )  # fmt: skip
        return None if found is None else factor_svd(found.U, found.V)

    @property
    def _budget(self) -> int:
        return max(self.max_iter - len(self.history), 0)

    def _polish_patiently(self, start: tuple[Tensor, Tensor, Tensor]) -> SensedFit:
        """Polish at the fast pace, and at slower ones until a fit is exact, or two in turn stop at the same noise."""
        fits: list[SensedFit] = []
        for pace in PACES:
            fit = self._polish(start, *pace)
            if fit.stop == "exact" and not self._loses_lines(fit):
                return fit
            fits.append(fit)
            if fit.stop == "max_iter":
                return fit
            if len(fits) > 1 and fit.stop == fits[-2].stop == "plateau" and fit.rms > 0.7 * fits[-2].rms:
                return fits[-2]
        exact = [fit for fit in fits if fit.stop == "exact"]
        if exact:
            return min(exact, key=lambda fit: int(fit.outlying.sum()))
        plateaus = [fit for fit in fits if fit.stop == "plateau"]
        return min(plateaus or fits, key=lambda fit: fit.rms)

    def _polish(
        self, start: tuple[Tensor, Tensor, Tensor], decay: float, floor: float, inner_tol: float
    ) -> SensedFit:
        P, sigma, Q = (part.to(self.problem.values.dtype) for part in start)
        return polish(
            self.problem, P, sigma, Q, decay=decay, floor=floor, inner_tol=inner_tol, tol=self.tol,
            max_iter=self._budget, history=self.history,
        )  # fmt: skip

    def _loses_lines(self, fit: SensedFit) -> bool:
        """Whether the inliers see a row or column of X much less than the others: then the fit says little about it.

        Haste can do that where measurements are local, as those of a blur or of single entries are.
        """
        y = self.problem.values
        Z = torch.randn(self.shape, generator=self.generator, dtype=y.dtype, device=y.device)
        rest = self._left_over(fit)
        whole = self.problem.pull_back(self.problem.residual(Z, y))  # the same for y − A(Z) − y as for A(Z)
        part = self.problem.pull_back(rest.residual(Z, rest.values))
        share = rest.observed_fraction / self.problem.observed_fraction
        return any(bool((part.norm(dim=dim) < LOST * share * whole.norm(dim=dim)).any()) for dim in (0, 1))

    def _left_over(self, fit: SensedFit) -> Problem:
        """The inliers' residual as an observation of its own, outliers taken for missing."""
        observed = self.problem.observed
        kept = ~fit.outlying if observed is None else ~fit.outlying & observed
        return Problem(fit.residual * kept, kept, self.problem.operator)

    def _is_white(self, fit: SensedFit) -> bool:
        """Whether the inliers' residual pulls off the tangent space no more than independent noise of its size.

        Off it, because the fit has left nothing in it; and A may pull much more in some directions than in others.
        """
        rest = self._left_over(fit)
        pulls = [self._off_tangent(fit, rest.values)]
        pulls += [self._off_tangent(fit, self._noise_like(fit, rest)) for _ in range(DRAWS)]
        return pulls[0] <= WHITE * sum(pulls[1:]) / DRAWS

    def _off_tangent(self, fit: SensedFit, r: Tensor) -> float:
        pull = self.problem.pull_back(self.metric(r))
        return spectral_norm(pull - tangent(fit.P, fit.Q, pull), self.generator)

    def _noise_like(self, fit: SensedFit, rest: Problem) -> Tensor:
        """Independent Gaussian noise of the size of the inliers' residual, on the inliers."""
        y = rest.values
        draw = torch.randn(y.shape, generator=self.generator, dtype=y.dtype, device=y.device)
        draw = draw if rest.observed is None else draw * rest.observed
        return fit.rms * draw

    def _noise_and_error(self, fit: SensedFit) -> tuple[float, float]:
        """Standard deviation of dense noise, and ‖X̂ − X‖/‖X‖ that it means: drawn, and fitted once more."""
        rest = self._left_over(fit)
        kept = (~fit.outlying if rest.observed is None else rest.observed).to(rest.values.dtype)
        # The fit has absorbed as many measurements of the noise as it has degrees of freedom.
        absorbed = max(1 - fit.freedom / max(int(kept.sum()), 1), 0.05) ** 0.5
        errors = [
            float(torch.linalg.vector_norm(gauss_newton_step(self.problem, fit.P, fit.Q, noise, kept, 1e-3)[0]))
            for noise in (self._noise_like(fit, rest) for _ in range(DRAWS))
        ]
        return fit.rms / absorbed, sum(errors) / DRAWS / absorbed / float(torch.linalg.vector_norm(fit.sigma))

    def _conclude(self, fit: SensedFit) -> Recovered:
        if fit.stop == "exact" and self._is_sparse(fit.freedom + 2 * int(fit.outlying.sum())):
            return self._only_outliers("Fewer measurements are non-zero than a low rank takes: each is an outlier.")
        if fit.stop == "exact":
            cause = "Low rank plus outliers explain every measurement."
            if fit.n_inner < MANY_INNER:
                return self._from_fit(fit, Status("recovered", True, cause))
            cause += " But the operator hardly sees some directions of the low-rank part, which may be wrong in them."
            remedy = "Measure more, or with an operator of better condition."
            return self._from_fit(fit, Status("ill_conditioned", False, cause, remedy))
        if fit.stop == "max_iter":
            cause = f"{self.max_iter} steps were not enough; the inliers' residual is {{noise}}."
            return self._from_fit(fit, Status("max_iter", False, cause, "Raise max_iter."), noise=fit.rms)
        if fit.stop == "plateau":
            noise, error = self._noise_and_error(fit)
            if self._is_overdetermined(fit) and error < MEANINGLESS and self._is_white(fit):
                cause = "Low rank plus outliers leave what looks like dense noise of standard deviation {noise}."
                return self._from_fit(fit, Status("noisy", True, cause), noise=noise, error=error)
            if self.n_components is not None:
                cause = "At the rank given, low rank plus outliers leave more than noise (root mean square {noise})."
                status = Status("approximate", True, cause, "n_components=None finds the rank.")
                return self._from_fit(fit, status, noise=fit.rms)
        return self._convex("the rank found does not fit the measurements: too many outliers, or too high a rank")

    def _is_overdetermined(self, fit: SensedFit) -> bool:
        return self._left_over(fit).n_observed >= OVERDETERMINED * fit.freedom

    def _is_sparse(self, n_numbers: int) -> bool:
        """Whether X = 0, s = y takes no more numbers (two for an outlier) than given, or than half of y."""
        twice = 2 * int(self.problem.values.count_nonzero())
        return twice <= (n_numbers or self.problem.n_observed)

    def _only_outliers(self, cause: str) -> Recovered:
        y = self.problem.values
        return replace(nothing_found(self.shape, y, Status("recovered", True, cause)), outliers=y)

    def _from_fit(self, fit: SensedFit, status: Status, noise: float = 0.0, error: float | None = None) -> Recovered:
        keep = fit.sigma > 10 * self.tol * fit.sigma[0]
        outliers = fit.residual * fit.outlying
        return Recovered(
            fit.P[:, keep], fit.sigma[keep], fit.Q[:, keep], outliers, status, noise=noise, error_estimate=error
        )

    def _convex(self, reason: str) -> Recovered:
        """The convex program that the descent leads to, solved directly."""
        observed, operator = self.problem.observed, self.problem.operator
        exact = Problem(self.problem.values.double(), observed, operator)
        solution = pursue(
            exact, self.shape, alpha=self.alpha, tol=max(self.tol, 1e-8), max_iter=max(self._budget, 1),
            symmetric=self.symmetric, history=self.history,
        )  # fmt: skip
        if solution.converged:
            fit = self._polish((solution.P, solution.sigma, solution.Q), *PACES[-1])
            if fit.stop == "exact" and self._is_overdetermined(fit):
                cause = f"Act 1: {reason}, so the convex program was solved, and its solution polished."
                return self._from_fit(fit, Status("recovered", True, cause))
            cause = f"Act 1: {reason}. This is the solution of the convex program (relative gap {solution.gap:.1e})."
            status = Status("convex", True, cause, "It need not be the truth: look at its rank and outliers.")
        else:
            cause = (
                f"Act 1: {reason}. The convex program was not solved in {self.max_iter} steps "
                f"(relative gap {solution.gap:.1e})."
            )
            status = Status("max_iter", False, cause, "Raise max_iter.")
        dtype = self.problem.values.dtype
        P, sigma, Q = (part.to(dtype) for part in (solution.P, solution.sigma, solution.Q))
        X = (P * sigma) @ Q.T
        outliers = self.problem.residual(X, torch.zeros((), dtype=dtype, device=X.device))
        return Recovered(P, sigma, Q, outliers, status, dual_variable=solution.dual_variable)
