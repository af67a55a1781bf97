"""The convex program for general measurements, solved directly: where no rank stands out, or none fits.

    max ⟨ν, y⟩   subject to   ‖W‖ ≤ 1,  |z_i| ≤ λ,    W = A*(ν),  z = ν

by alternating directions on this dual program: ν from the normal equations (AA* + I)·ν = ..., by a few conjugate
gradients from the last ν; W and z by projection. The multipliers of the two equations are X and s.

Reference: Yang, Zhang: Alternating direction algorithms for l1-problems in compressive sensing, SIAM J. Sci. Comput.
2011 (their dual algorithm, here with a spectral ball).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.conjugate import conjugate_gradients
from twofold.history import History
from twofold.matrix.sensing.certificate import duality_gap
from twofold.problem import Problem

CHECK_EVERY = 10
"""Steps between computations of the duality gap and changes of the penalty."""

INNER = 20
"""The most conjugate-gradient steps for one ν."""

INNER_TOL = 1e-2
"""These stop at this share of the residual that the step before left."""


@dataclass(frozen=True)
class SensedPursuit:
    """Solution of the convex program: X = P·diag(sigma)·Qᵀ, s = y − A(X), the dual variable and the gap proven."""

    P: Tensor
    sigma: Tensor
    Q: Tensor
    dual_variable: Tensor
    gap: float
    converged: bool


def _soft_spectrum(M: Tensor, amount: float, symmetric: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Singular triplets above ``amount``, lowered by it; of a symmetric M its eigenpairs."""
    if symmetric:
        values, vectors = torch.linalg.eigh(M)
        keep = values > amount
        P = vectors[:, keep].flip(1)
        return P, values[keep].flip(0) - amount, P
    left, sigma, right = torch.linalg.svd(M, full_matrices=False)
    keep = sigma > amount
    return left[:, keep], sigma[keep] - amount, right[keep].T


def pursue(
    problem: Problem,
    shape: tuple[int, int],
    *,
    alpha: float,
    tol: float,
    max_iter: int,
    symmetric: bool = False,
    start: tuple[Tensor, Tensor] | None = None,
    history: History,
) -> SensedPursuit:
    """Solve min ‖X‖_* + (1/alpha)·‖s‖_1 subject to A(X) + s = y to a relative duality gap, or report how far it got.

    Parameters
    ----------
    problem : Problem
        With an operator of norm about 1, in float64.
    shape : tuple (n1, n2)
    alpha : float
    tol : float
        Relative duality gap to reach.
    max_iter : int
    symmetric : bool
        X is positive semidefinite; the operator's adjoint gives symmetric matrices.
    start : tuple (X, ν), optional
        Where to begin. The gap is then that of this X, and the run ends early where an iterate is better than it.
    history : History

    Returns
    -------
    SensedPursuit
    """
    operator, y = problem.operator, problem.values
    assert operator is not None
    lam = 1.0 / alpha
    seen = torch.ones_like(y) if problem.observed is None else problem.observed.to(y.dtype)
    # Multipliers are in units of y, dual variables in units of 1: mu carries the ratio.
    mu = max(float(torch.linalg.vector_norm(operator.adjoint(y))), 1e-300) / min(shape) ** 0.5
    nu, s = torch.zeros_like(y), torch.zeros_like(y)
    X = torch.zeros(shape, dtype=y.dtype, device=y.device)
    W, z = torch.zeros_like(X), torch.zeros_like(y)
    norm = problem.norm or 1.0
    upper = float("inf")
    if start is not None:
        X, nu = start
        s = seen * (y - operator.forward(X))
        W, z = operator.adjoint(nu), nu
        upper = float(torch.linalg.matrix_norm(X, "nuc")) + lam * float(s.abs().sum())
    P, sigma, Q = X[:, :0], X.new_zeros(0), X.T[:, :0]
    gap, step = float("inf"), 0
    for step in range(1, max_iter + 1):
        nu = _normal_equations(
            problem, seen, nu, seen * ((y - operator.forward(X) - s) / mu + operator.forward(W) + z)
        )
        pull = operator.adjoint(nu)
        # The part of A*(ν) + X/mu outside the ball, times mu, is the new X.
        target = pull + X / mu
        P, sigma, Q = _soft_spectrum(target, 1.0, symmetric)
        outside = (P * sigma) @ Q.T
        W, X, sigma = target - outside, mu * outside, mu * sigma
        target = nu + s / mu
        z = target.clamp(-lam, lam) * seen
        s = mu * (target - z) * seen
        misfit = float(torch.linalg.vector_norm((y - operator.forward(X) - s) * seen)) / norm
        moved = torch.hypot(torch.linalg.vector_norm(pull - W), torch.linalg.vector_norm(nu - z))
        dual_residual = float(moved) / max(float(torch.linalg.vector_norm(nu)), 1e-300)
        outlying = float((s != 0).sum()) / max(problem.n_observed, 1)
        history.add("convex", step, max_iter, misfit, outlying)
        if step % CHECK_EVERY == 0:
            primal, dual = duality_gap(problem, float(sigma.sum()), X, nu * seen, alpha, symmetric=symmetric)
            best = primal if start is None else upper
            gap = max(best - dual, 0.0) / best if best > 0 else 0.0
            if gap <= tol or primal < (1 - 10 * tol) * upper < float("inf"):
                break
            if misfit > 5 * dual_residual:
                mu /= 1.6
            elif dual_residual > 5 * misfit:
                mu *= 1.6
    return SensedPursuit(P, sigma, Q, nu * seen, gap, gap <= tol)


def _normal_equations(problem: Problem, seen: Tensor, nu: Tensor, right: Tensor) -> Tensor:
    """Solve (AA* + I)·ν = right on the observed measurements, from the last ν."""
    operator = problem.operator
    assert operator is not None
    return conjugate_gradients(
        lambda v: seen * operator.forward(operator.adjoint(v)) + v, right, tol=INNER_TOL, max_steps=INNER, start=nu
    )[0]
