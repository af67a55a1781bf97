"""Principal component pursuit itself: the convex program that the descent's implicit bias leads to.

    min ‖X‖_* + λ‖S‖_1   subject to   X + S = Y on the observed entries

solved by the alternating direction method of multipliers (Boyd et al., Foundations and Trends in ML 2011; for robust
PCA: Yuan, Yang 2009). Each step costs a full eigendecomposition, so it is the slow road: it is taken where act 1
sees no gap in the spectrum, so that there is no rank to polish, and there its answer comes with a certified gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.history import History
from twofold.matrix.certificate import duality_gap, outer_triplets
from twofold.problem import Problem

CHECK_EVERY = 10
"""Steps between looks at the duality gap and at the balance of the residuals."""


@dataclass(frozen=True)
class ConvexSolution:
    """X = U·diag(sigma)·Vᵀ and S with their dual variable; ``converged``: the relative gap is at the tolerance."""

    U: Tensor
    sigma: Tensor
    V: Tensor
    S: Tensor
    dual_variable: Tensor
    gap: float
    n_steps: int
    converged: bool


def pursue(problem: Problem, *, alpha: float, tol: float, max_iter: int, history: History) -> ConvexSolution:
    """Solve principal component pursuit.

    Parameters
    ----------
    problem : Problem
        With identity operator, in float64.
    alpha : float
        1/λ.
    tol : float
        Relative duality gap to reach.
    max_iter : int
    history : History

    Returns
    -------
    ConvexSolution
    """
    Y = problem.values
    scale = max(float(torch.linalg.matrix_norm(Y, 2)), torch.finfo(Y.dtype).tiny)
    unit = Problem(Y / scale, problem.observed)
    lam, mu = 1.0 / alpha, 1.25
    S, N = torch.zeros_like(Y), torch.zeros_like(Y)
    gap = float("inf")
    norm = unit.norm or 1.0
    step = 0
    for step in range(1, max_iter + 1):
        U, sigma, V = outer_triplets(unit.values - S + N / mu, 1.0 / mu)
        sigma = sigma - 1.0 / mu
        X = (U * sigma) @ V.T
        free = unit.values - X + N / mu
        previous, S = S, torch.nn.functional.softshrink(free, lam / mu)
        if problem.observed is not None:
            S = torch.where(problem.observed, S, free)
        misfit = unit.values - X - S
        N = mu * (free - S)
        primal_residual = float(torch.linalg.vector_norm(misfit)) / norm
        dual_residual = (
            mu * float(torch.linalg.vector_norm(S - previous)) / max(float(torch.linalg.vector_norm(N)), 1e-30)
        )
        outlying = (S != 0) if problem.observed is None else (S != 0) & problem.observed
        history.add("convex", step, max_iter, primal_residual, float(outlying.sum()) / max(problem.n_observed, 1))
        if step % CHECK_EVERY == 0:
            primal, dual = duality_gap(unit, float(sigma.sum()), X, N, alpha)
            gap = max(primal - dual, 0.0) / primal if primal > 0 else 0.0
            if gap <= tol:
                break
            if primal_residual > 5 * dual_residual:
                mu *= 1.6
            elif dual_residual > 5 * primal_residual:
                mu /= 1.6
    if problem.observed is not None:
        S = S * problem.observed
    return ConvexSolution(U, scale * sigma, V, scale * S, N, gap, step, gap <= tol)
