"""recover_low_rank: check the input, scale it, run the acts, hand back a solution in the input's own kind."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from twofold.adapters import as_linear_map
from twofold.history import History, Observer
from twofold.matrix.certificate import Certificate
from twofold.matrix.finish import as_solution, computed_with, final_status
from twofold.matrix.inputs import Method, as_measurements, as_seed, as_shape, check_options
from twofold.matrix.plain import plain_descent
from twofold.matrix.recovered import Recovered, nothing_found
from twofold.matrix.sensing.acts import SensingActs
from twofold.matrix.sensing.certificate import ROUNDS, dual_certificate, duality_gap
from twofold.matrix.sensing.convex import pursue
from twofold.matrix.sensing.metric import metric_of
from twofold.matrix.sensing.scales import (
    alpha_of_pull,
    low_rank_norm,
    operator_norm,
    sees_symmetric_part_only,
    sign_pull,
)
from twofold.problem import Problem
from twofold.solution import LowRankSolution, Settings
from twofold.status import RecoveryError, Status

MAX_ITER = {"three-act": 1000, "descent": 100_000}
"""Steps allowed by max_iter=None."""

CLOSED = 1e-9
"""Relative duality gap from which nothing more is tried."""

PURSUIT_STEPS = 600
"""Steps of the convex program for a dual variable that the construction did not find."""


def recover_low_rank(
    y: Any,
    operator: Any,
    shape: tuple[int, int],
    *,
    symmetric: bool = False,
    n_components: int | None = None,
    method: Method = "three-act",
    alpha: float | None = None,
    start_scale: float | None = None,
    tol: float = 1e-7,
    max_iter: int | None = None,
    certify: bool = True,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    random_state: int | None = None,
    observer: Observer | None = None,
    raise_on_failure: bool = False,
) -> LowRankSolution:
    """Recover a low-rank matrix from linear measurements of which some are grossly wrong: y = A(X) + s.

    Rank, number and size of the outliers are found, not asked. The three acts are those of
    :func:`twofold.robust_pca`, for the program

        min ‖X‖_* + (1/alpha)·‖s‖_1   subject to   A(X) + s = y.

    Parameters
    ----------
    y : ndarray or Tensor of shape (m,)
        Real numbers; NaN marks a missing measurement. Integers are taken as float64.
    operator : object
        A, acting on the row-major vector of X: a matrix (NumPy, SciPy sparse, torch) of shape (m, n1·n2), a SciPy
        ``LinearOperator``, a PyLops operator, a pair of callables (forward, adjoint) that take and give vectors of
        y's kind (NumPy or torch), a DeepInverse physics, or a :class:`twofold.operators.LinearMap`, for which there
        are Gaussian (``from_matrix``), ``quadratic``, ``fourier`` and ``entries`` ones. Real; its adjoint is checked
        once with the dot test.
    shape : tuple (n1, n2)
        Of X.
    symmetric : bool
        X is positive semidefinite, n1 = n2; the program then minimizes tr X over such X.
    n_components : int, optional
        Rank, at most min(n1, n2). None: found.
    method : {"three-act", "descent"}
        "descent": the published iteration alone, run until the residual is below sqrt(tol)·‖y‖; slow, for study.
    alpha : float, optional
        1/λ of the program. None: E‖A*(ε)‖·sqrt(max(n1, n2))/(sqrt(n1) + sqrt(n2)) for random signs ε, which needs
        no tuning: sqrt(n) for the identity, about sqrt(m·n) for m Gaussian measurements
        (see :mod:`twofold.matrix.sensing.scales`).
    start_scale : float, optional
        Only for "descent": start of U, V, g and h. None: 1e-6.
    tol : float
        Relative accuracy of the low-rank part; the inliers' residual is driven to a thousandth of it.
    max_iter : int, optional
        The most steps of all acts together, certificate aside. None: 1000, for "descent" 100,000.
    certify : bool
        Whether to run act 3.
    device, dtype : optional
        Where and in which precision to compute. None: as y is; float64 for integers.
    random_state : int, optional
        Seed of every random start. None: 0, so that results are reproducible.
    observer : callable, optional
        Shown each :class:`twofold.history.Record`.
    raise_on_failure : bool
        Raise :class:`twofold.RecoveryError` where the status has no success.

    Returns
    -------
    LowRankSolution
        ``outliers`` has the shape of y; the certificate's dual variable too.

    Raises
    ------
    TypeError, ValueError
        Before any work, naming the argument, its value and what is accepted.
    RecoveryError
        See ``raise_on_failure``.

    References
    ----------
    You, Zhu, Qu, Ma: Robust Recovery via Implicit Bias of Discrepant Learning Rates for Double
    Over-parameterization, NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> X = np.outer(rng.standard_normal(20), rng.standard_normal(15))
    >>> A = rng.standard_normal((200, 300))
    >>> y = A @ X.ravel()
    >>> y[:20] += 30.0
    >>> solution = recover_low_rank(y, A, (20, 15))
    >>> solution.rank, bool(np.linalg.norm(solution.low_rank - X) < 1e-8 * np.linalg.norm(X))
    (1, True)
    >>> np.flatnonzero(solution.outliers).tolist() == list(range(20)), solution.status.code
    (True, 'certified')
    """
    seed = as_seed(random_state)
    data = as_measurements(y, device=device, dtype=dtype)
    size = as_shape(shape)
    max_iter = MAX_ITER.get(method, 1) if max_iter is None else max_iter
    check_options(
        size, n_components=n_components, alpha=alpha, method=method, symmetric=symmetric, start_scale=start_scale,
        tol=tol, max_iter=max_iter,
    )  # fmt: skip
    values = data.values
    A = as_linear_map(operator, size, values, arrays="torch" if isinstance(y, Tensor) else "numpy")
    generator = torch.Generator(device=values.device).manual_seed(seed)
    if symmetric or sees_symmetric_part_only(A, size, values, generator):
        A = A.on_symmetric()
    metric = metric_of(A, values, data.observed, generator)
    even = metric.on(A)
    pull = sign_pull(even, values, generator)
    if pull == 0.0:
        raise ValueError("operator: maps every matrix to zero; one that measures something is accepted")
    weight = alpha_of_pull(pull, size) if alpha is None else float(alpha)
    history = History(observer)
    largest = float(values.abs().max())
    # Inside, A is of norm 1 on matrices of low rank and the largest measurement 1, about: powers of two are exact.
    gain = 2.0 ** math.ceil(math.log2(low_rank_norm(even, size, values, generator)))
    unit = 2.0 ** math.floor(math.log2(largest / gain)) if largest > 0 else 1.0
    problem = Problem(values / (gain * unit), data.observed, A.scaled(1 / gain))
    inner_tol = max(1e-3 * tol, 4 * torch.finfo(values.dtype).eps)
    if largest == 0.0:
        found = nothing_found(size, values, Status("recovered", True, "Every observed measurement is zero."))
    elif method == "descent":
        found = plain_descent(
            problem, size, alpha=weight / gain, symmetric=symmetric, start_scale=start_scale, tol=tol,
            max_iter=max_iter, generator=generator, history=history,
        )  # fmt: skip
    else:
        found = SensingActs(
            problem, metric, size, weight / gain, symmetric, n_components, inner_tol, max_iter, generator, history
        ).run()
    n_iter = len(history)
    certificate = None
    if certify:
        certificate = _certify(problem, found, weight, gain, unit, symmetric, A, generator, history)
    settings: Settings = {
        "method": method, "alpha": weight, "seed": seed, "tol": tol, "inner_tol": inner_tol, "max_iter": max_iter,
        "unit": unit, "gain": gain, "noise": found.noise * gain * unit, **computed_with(values),
        **found.constants,
    }  # fmt: skip
    status = final_status(found, certificate, gain * unit)
    solution = as_solution(
        y, found, status, certificate, n_iter, history, settings, unit=unit, outlier_unit=gain * unit
    )
    if raise_on_failure and not status.success:
        raise RecoveryError(status)
    return solution


def _certify(
    problem: Problem, found: Recovered, alpha: float, gain: float, unit: float, symmetric: bool, operator: Any,
    generator: torch.Generator, history: History,
) -> Certificate:  # fmt: skip
    """Act 3, in the scaled problem; the certificate in the user's units."""
    exact = Problem(problem.values.double(), problem.observed, problem.operator)
    assert exact.operator is not None
    P, sigma, Q = found.P.double(), found.sigma.double(), found.Q.double()
    nu = found.dual_variable
    if nu is None:
        norm = operator_norm(exact.operator, (len(P), len(Q)), exact.values, generator)
        nu = dual_certificate(
            exact, P, Q, found.outliers.sign().double(), alpha / gain, norm=1.1 * norm, symmetric=symmetric,
            history=history, rounds=ROUNDS if found.noise == 0.0 else 1,
        )  # fmt: skip
    X = (P * sigma) @ Q.T

    def gap_of(nu: Tensor) -> tuple[float, float, float]:
        primal, dual = duality_gap(exact, float(sigma.sum()), X, nu, alpha / gain, symmetric=symmetric)
        return max((primal - dual) / primal, 0.0) if primal > 0 else 0.0, primal, dual

    gap, primal, dual = gap_of(nu)
    if found.dual_variable is None and found.noise == 0.0 and gap > CLOSED:
        # No strictly feasible dual variable came out: at the edge of what the program recovers there may be none.
        closer = pursue(
            exact, (len(P), len(Q)), alpha=alpha / gain, tol=0.1 * CLOSED, max_iter=PURSUIT_STEPS,
            symmetric=symmetric, start=(X, nu), history=history,
        ).dual_variable  # fmt: skip
        if gap_of(closer)[0] < gap:
            nu = closer
            gap, primal, dual = gap_of(nu)
    return Certificate(unit * primal, unit * dual, gap, nu / gain, alpha, unit * X, operator, symmetric)
