"""The published iteration, run to convergence: gradient descent on U·Uᵀ or U·Vᵀ, g and h, and nothing else."""

from __future__ import annotations

import math

import torch

from twofold.descent import descend
from twofold.history import History
from twofold.matrix.identify import MIN_GAP, largest_gap
from twofold.matrix.recovered import Recovered
from twofold.matrix.sensing.scales import operator_norm
from twofold.models.factored import AsymmetricFactors, SymmetricFactors
from twofold.outliers import HadamardOutliers
from twofold.problem import Problem
from twofold.status import Status

START_SCALE = 1e-6
"""Start of U (and V), g and h, for data whose spectral norm is 1. The theorem is about the limit of small starts."""

MAX_HALVINGS = 12
"""How often a learning rate that diverged is halved."""

STABLE = 0.45
"""Learning rate in units of 1/max(σ₁(Y), alpha·max|Y|), the curvature at the solution: half the stability limit."""


def plain_descent(
    problem: Problem,
    shape: tuple[int, int],
    *,
    alpha: float,
    symmetric: bool,
    start_scale: float | None,
    tol: float,
    max_iter: int,
    generator: torch.Generator,
    history: History,
) -> Recovered:
    """Run gradient descent with discrepant learning rates as published.

    Parameters
    ----------
    problem : Problem
        The values, or the operator, scaled as they come.
    shape : tuple (m, n)
        Of X.
    alpha : float
        1/λ; the ratio of the learning rates follows from it (see :mod:`twofold.models.factored`).
    symmetric : bool
        X = U·Uᵀ, positive semidefinite, in place of X = U·Vᵀ.
    start_scale : float, optional
        None: START_SCALE.
    tol : float
        Converged when ‖y − X − s‖ ≤ sqrt(tol)·‖y‖: the residual falls like one over the number of steps, so that
        a machine-precision tolerance is never met.
    max_iter : int
    generator : torch.Generator
    history : History

    Returns
    -------
    Recovered
    """
    y = problem.values
    like = problem.pull_back(y)
    tiny = torch.finfo(y.dtype).tiny
    # Scaled so that the signal is of size 1: its norm, or what the operator's adjoint shows of it.
    squared = 1.0 if problem.operator is None else operator_norm(problem.operator, shape, y, generator) ** 2
    norm = max(float(torch.linalg.matrix_norm(like, 2)) / max(squared, tiny), tiny)
    unit = Problem(y / norm, problem.observed, problem.operator)
    scale = START_SCALE if start_scale is None else start_scale
    ratio = (SymmetricFactors if symmetric else AsymmetricFactors).rate_ratio_per_alpha * alpha
    # Curvatures of ½‖r‖² at the solution: 4σ₁‖A‖² for U·Uᵀ (2σ₁‖A‖² for U·Vᵀ), 4·ratio·max|s| for the outliers.
    largest = float(unit.values.abs().max())
    tau = STABLE / max((2.0 if symmetric else 1.0) * squared, 2 * ratio * largest)
    for _ in range(MAX_HALVINGS):
        signal: SymmetricFactors | AsymmetricFactors
        if symmetric:
            signal = SymmetricFactors.identity(shape[0], scale, dtype=y.dtype, device=y.device)
        else:
            signal = AsymmetricFactors.random(shape, scale, generator=generator, dtype=y.dtype)
        outliers = HadamardOutliers(y.shape, start_scale=scale, dtype=y.dtype, device=y.device)
        run = descend(
            unit,
            signal,
            outliers,
            tau=lambda step: tau,  # noqa: B023
            alpha=ratio,
            max_steps=max_iter,
            terminate=lambda step, residual: float(torch.linalg.vector_norm(residual)) <= math.sqrt(tol) * unit.norm,
            history=history,
        )
        if run.stop != "diverged" or problem.operator is None:
            break
        # Behind an operator the signal may be larger than what A*(y) shows of it.
        tau = tau / 2
    P, sigma, Qt = torch.linalg.svd(signal.value(), full_matrices=False)
    # A finite start leaves every direction at some small size; the gap tells which ones carry the signal.
    rank, gap = largest_gap(sigma)
    rank = rank if gap >= MIN_GAP else len(sigma)
    if run.stop == "terminated":
        status = Status("converged", True, f"The residual fell below the tolerance in {run.n_steps} steps.")
    elif run.stop == "diverged":
        status = Status("diverged", False, "The descent diverged.", "Use a smaller alpha or start_scale.")
    else:
        cause = f"After {max_iter} steps the residual is {history.records[-1].residual:.1e} of the data."
        remedy = "Raise max_iter (the residual falls like one over the steps), or use method='three-act'."
        status = Status("max_iter", False, cause, remedy)
    root = norm * sigma[:rank]
    constants = {"symmetric": symmetric, "start_scale": scale, "tau": tau, "rate_ratio": ratio}
    return Recovered(P[:, :rank], root, Qt[:rank].T, norm * outliers.value(), status, noise=0.0, constants=constants)
