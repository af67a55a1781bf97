"""Act 2 for general measurements: robust Gauss–Newton steps on the rank-r matrices.

    R = y − A(X),    E = R where |R| ≤ threshold, else 0
    Z = argmin over Z in T of ‖E − A(Z) on the inliers‖        T = tangent space at X = P·Σ·Qᵀ; a few CG steps
    X ← best rank-r approximation of X + Z
    threshold ← max(decay·threshold, floor·median|R|)

What the identity allowed in closed form (see :mod:`twofold.matrix.polish`) takes a least-squares problem here; its
few unknowns, r(n1 + n2 − r) of them, make conjugate gradients converge in a dozen steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.conjugate import conjugate_gradients
from twofold.history import History
from twofold.matrix.watch import REOPEN, Stop, Watch
from twofold.models.factored import degrees_of_freedom
from twofold.problem import Problem

INNER = 100
"""The most conjugate-gradient steps of one Gauss–Newton step; where A is well-conditioned a handful suffices."""


@dataclass(frozen=True)
class SensedFit:
    """X = P·diag(sigma)·Qᵀ with orthonormal P, Q, fitted to the inliers of y.

    Attributes
    ----------
    P, sigma, Q : Tensor of shape (n1, r), (r,), (n2, r)
    residual : Tensor of shape (m,)
        y − A(X), zero where not observed.
    outlying : bool Tensor of shape (m,)
    rms : float
        Root mean square of the inliers' residual.
    n_inner : int
        The most conjugate-gradient steps that a Gauss–Newton step took: where A is ill-conditioned on the tangent
        space they are many.
    stop : str
        See :data:`twofold.matrix.watch.Stop`.
    """

    P: Tensor
    sigma: Tensor
    Q: Tensor
    residual: Tensor
    outlying: Tensor
    rms: float
    n_inner: int
    stop: Stop

    @property
    def rank(self) -> int:
        """Number of singular values."""
        return len(self.sigma)

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the low-rank part."""
        return degrees_of_freedom((len(self.P), len(self.Q)), self.rank)

    def value(self) -> Tensor:
        """X."""
        return (self.P * self.sigma) @ self.Q.T


def tangent(P: Tensor, Q: Tensor, W: Tensor) -> Tensor:
    """P_T(W) = PPᵀW + (I − PPᵀ)·W·QQᵀ."""
    PW, WQ = P.T @ W, W @ Q
    return torch.addmm(P @ PW, WQ - P @ (PW @ Q), Q.T)


def retract(P: Tensor, sigma: Tensor, Q: Tensor, Z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Best rank-r approximation of P·Σ·Qᵀ + Z for Z in the tangent space, from one 2r × 2r decomposition."""
    r = len(sigma)
    PZ, ZQ = P.T @ Z, Z @ Q
    core = PZ @ Q
    left, a = torch.linalg.qr(torch.cat([P, ZQ - P @ core], 1))
    right, b = torch.linalg.qr(torch.cat([Q, PZ.T - Q @ core.T], 1))
    middle = torch.zeros(2 * r, 2 * r, dtype=Z.dtype, device=Z.device)
    middle[:r, :r] = core + torch.diag(sigma)
    middle[:r, r:] = torch.eye(r, dtype=Z.dtype, device=Z.device)
    middle[r:, :r] = torch.eye(r, dtype=Z.dtype, device=Z.device)
    u, s, vt = torch.linalg.svd(a @ middle @ b.T)
    return left @ u[:, :r], s[:r], right @ vt[:r].T


def gauss_newton_step(
    problem: Problem, P: Tensor, Q: Tensor, E: Tensor, kept: Tensor, tol: float
) -> tuple[Tensor, int]:
    """The Z in the tangent space that explains E on the kept measurements, and how many CG steps it took."""
    operator = problem.operator
    assert operator is not None

    def pulled(r: Tensor) -> Tensor:
        return tangent(P, Q, operator.adjoint(r))

    return conjugate_gradients(lambda Z: pulled(operator.forward(Z) * kept), pulled(E), tol=tol, max_steps=INNER)


def polish(
    problem: Problem,
    P: Tensor,
    sigma: Tensor,
    Q: Tensor,
    *,
    decay: float,
    floor: float,
    inner_tol: float,
    tol: float,
    max_iter: int,
    history: History,
) -> SensedFit:
    """Fit P·Σ·Qᵀ to the inliers of the measurements.

    Parameters
    ----------
    problem : Problem
        With an operator.
    P, sigma, Q : Tensor of shape (n1, r), (r,), (n2, r)
        Start.
    decay : float in (0, 1)
        How fast the threshold falls.
    floor : float
        The threshold never falls below floor·median|R|.
    inner_tol : float
        Relative gradient at which a Gauss–Newton step is good enough.
    tol : float
        Exact when ‖E‖ ≤ tol·‖y‖ on the inliers.
    max_iter : int
    history : History

    Returns
    -------
    SensedFit
    """
    y, observed, operator = problem.values, problem.observed, problem.operator
    assert operator is not None
    n_observed = problem.n_observed
    freedom = degrees_of_freedom((len(P), len(Q)), len(sigma))
    negligible = tol * problem.typical  # where all that is kept is zero, so is X
    threshold: float | None = None
    watch = Watch()
    stop: Stop = "max_iter"
    step, n_inner = 0, 0
    while True:
        R = y - operator.forward((P * sigma) @ Q.T)
        size = R.abs()
        if observed is not None:
            R = R * observed
            size = R.abs()[observed]
        median = float(size.median())
        if threshold is None:
            threshold = min(float(size.max()), 10 * median)
        elif step > 0:
            threshold = max(decay * threshold, floor * median)
        outlying = R.abs() > threshold
        kept = ~outlying if observed is None else ~outlying & observed
        n_kept = int(kept.sum())
        E = R * kept
        left, fitted = float(torch.linalg.vector_norm(E)), float(torch.linalg.vector_norm(y * kept))
        history.add("polish", step, max_iter, left / (problem.norm or 1.0), 1 - n_kept / n_observed)
        if not left <= 1e3 * problem.norm or n_kept <= min(freedom, n_observed - 1):
            stop = "collapsed"
            break
        if left <= tol * max(fitted, negligible * n_kept**0.5):
            none_near = not bool((outlying & (R.abs() <= REOPEN * threshold)).any())
            end = watch.at_tolerance(n_kept, none_near)
            if end is not None:
                stop = end
                break
            threshold *= REOPEN / decay
        if watch.has_stalled(median, threshold, floor):
            stop = "plateau"
            break
        if step == max_iter:
            break
        Z, taken = gauss_newton_step(problem, P, Q, E, kept.to(y.dtype), inner_tol)
        P, sigma, Q = retract(P, sigma, Q, Z)
        n_inner = max(n_inner, taken)
        step += 1
    return SensedFit(P, sigma, Q, R, outlying, left / max(n_kept, 1) ** 0.5, n_inner, stop)
