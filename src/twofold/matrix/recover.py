"""robust_pca: check the input, run the acts, hand back a solution in the input's own kind."""

from __future__ import annotations

import math
from typing import Any

import torch

from twofold.history import History, Observer
from twofold.matrix.certificate import Certificate, duality_gap
from twofold.matrix.dual import ROUNDS, dual_certificate
from twofold.matrix.finish import as_solution, computed_with, final_status
from twofold.matrix.inputs import Method, as_problem, as_seed, check_options
from twofold.matrix.plain import plain_descent
from twofold.matrix.recovered import Recovered, nothing_found
from twofold.matrix.sweep import largest, signs_of
from twofold.matrix.three_acts import ThreeActs, default_alpha
from twofold.memory import freed_memory_kept
from twofold.problem import Problem
from twofold.solution import LowRankSolution, Settings
from twofold.status import RecoveryError, Status


def robust_pca(
    Y: Any,
    *,
    n_components: int | None = None,
    alpha: float | None = None,
    method: Method = "three-act",
    symmetric: bool = False,
    start_scale: float | None = None,
    tol: float = 1e-7,
    max_iter: int = 1000,
    certify: bool = True,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    random_state: int | None = None,
    observer: Observer | None = None,
    raise_on_failure: bool = False,
) -> LowRankSolution:
    """Split a matrix into a low-rank part and outliers: Y = X + S.

    Rank, number and size of the outliers are found, not asked. The three acts: *identify* the rank by gradient
    descent on Y ≈ U·Vᵀ + g∘g − h∘h with discrepant learning rates, whose implicit bias leads to

        min ‖X‖_* + (1/alpha)·‖S‖_1   subject to   X + S = Y on the observed entries,

    *polish* the fit at that rank to machine precision, *certify* it by a duality gap for this program.

    Parameters
    ----------
    Y : ndarray or Tensor of shape (m, n)
        Real numbers; NaN, or the mask of a masked array, marks a missing entry. Integers are taken as float64.
    n_components : int, optional
        Rank, at most min(m, n). None: found.
    alpha : float, optional
        1/λ of the program. None: sqrt(f·max(m, n)) for a share f of observed entries, which needs no tuning.
    method : {"three-act", "descent"}
        "descent": the published iteration alone, run until the residual is below sqrt(tol)·‖Y‖; slow, for study.
    symmetric : bool
        Only for "descent": X = U·Uᵀ.
    start_scale : float, optional
        Only for "descent": start of U, V, g and h. None: 1e-6.
    tol : float
        Relative accuracy of the low-rank part; the inliers' residual is driven to a thousandth of it.
    max_iter : int
        The most steps of all acts together, certificate aside.
    certify : bool
        Whether to run act 3.
    device : optional
        Where to compute. None: where Y is (NumPy: CPU).
    dtype : torch.float32 or torch.float64, optional
        None: Y's own; float64 for integers.
    random_state : int, optional
        Seed of the randomized range finder. None: 0, so that results are reproducible.
    observer : callable, optional
        Shown each :class:`twofold.history.Record`.
    raise_on_failure : bool
        Raise :class:`twofold.RecoveryError` where the status has no success.

    Returns
    -------
    LowRankSolution

    Raises
    ------
    TypeError, ValueError
        Before any work, naming the argument, its value and what is accepted.
    RecoveryError
        See ``raise_on_failure``.

    References
    ----------
    You, Zhu, Qu, Ma: Robust Recovery via Implicit Bias of Discrepant Learning Rates for Double
    Over-parameterization, NeurIPS 2020. Candès, Li, Ma, Wright: Robust principal component analysis?, JACM 2011.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 40))
    >>> Y = X.copy()
    >>> Y[rng.random(Y.shape) < 0.05] = 9.0
    >>> solution = robust_pca(Y)
    >>> solution.rank, bool(np.linalg.norm(solution.low_rank - X) < 1e-8 * np.linalg.norm(X))
    (3, True)
    >>> solution.status.code
    'certified'
    """
    seed = as_seed(random_state)
    data = as_problem(Y, device=device, dtype=dtype)
    m, n = data.values.shape
    if symmetric and method == "three-act":
        raise ValueError("symmetric=True: accepted with method='descent' only")
    check_options(
        (m, n), n_components=n_components, alpha=alpha, method=method, symmetric=symmetric,
        start_scale=start_scale, tol=tol, max_iter=max_iter,
    )  # fmt: skip
    weight = default_alpha((m, n), data.observed_fraction) if alpha is None else float(alpha)
    generator = torch.Generator(device=data.values.device).manual_seed(seed)
    history = History(observer)
    # A power of two: exact, so that the answer scales with the data to the last bit.
    magnitude = largest(data.values)
    unit = 2.0 ** math.floor(math.log2(magnitude)) if magnitude > 0 else 1.0
    problem = Problem(data.values / unit, data.observed)
    inner_tol = max(1e-3 * tol, 4 * torch.finfo(problem.values.dtype).eps)
    with freed_memory_kept(problem.values.nbytes):
        if magnitude == 0.0:
            found = nothing_found((m, n), data.values, Status("recovered", True, "Every observed entry is zero."))
        elif method == "descent":
            found = plain_descent(
                problem, (m, n), alpha=weight, symmetric=symmetric, start_scale=start_scale, tol=tol,
                max_iter=max_iter, generator=generator, history=history,
            )  # fmt: skip
        else:
            found = ThreeActs(problem, weight, n_components, inner_tol, max_iter, generator, history).run()
        n_iter = len(history)
        certificate = _certify(problem, found, weight, unit, generator, history) if certify else None
    settings: Settings = {
        "method": method, "alpha": weight, "seed": seed, "tol": tol, "inner_tol": inner_tol, "max_iter": max_iter,
        "unit": unit, "noise": found.noise * unit, **computed_with(problem.values),
        **found.constants,
    }  # fmt: skip
    status = final_status(found, certificate, unit)
    solution = as_solution(Y, found, status, certificate, n_iter, history, settings, unit=unit)
    if raise_on_failure and not status.success:
        raise RecoveryError(status)
    return solution


def _certify(
    problem: Problem, found: Recovered, alpha: float, unit: float, generator: torch.Generator, history: History
) -> Certificate:
    """Act 3: the dual variable of the convex program where there is one, else one built on the identified parts."""
    is_exact = problem.values.dtype == torch.float64
    exact = problem if is_exact else Problem(problem.values.double(), problem.observed)
    P, sigma, Q = found.P.double(), found.sigma.double(), found.Q.double()
    nu, norm = found.dual_variable, None
    if nu is None:
        # Where dense noise is left over the program's optimum lies elsewhere, and more rounds cannot close the gap.
        rounds = ROUNDS if found.noise == 0.0 else 1
        signs = signs_of(found.outliers)
        nu, norm = dual_certificate(exact, P, Q, signs, alpha, generator=generator, history=history, rounds=rounds)
    X = (P * sigma) @ Q.T
    primal, dual = duality_gap(exact, float(sigma.sum()), X, nu, alpha, norm)
    gap = max((primal - dual) / primal, 0.0) if primal > 0 else 0.0
    return Certificate(unit * primal, unit * dual, gap, nu, alpha, X.mul_(unit))
