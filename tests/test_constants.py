"""The constants that are easy to get wrong, pinned: each test fails if a factor of 2 moves.

Two kinds of facts are used. For one entry, y = x + s, gradient flow has a closed form. For commuting measurements the
theorem names the limit, and a convex solver computes it independently.
"""

from __future__ import annotations

import math

import cvxpy as cp
import numpy as np
import pytest
import torch

from twofold import robust_pca
from twofold.descent import descend
from twofold.history import History
from twofold.models.factored import AsymmetricFactors, SymmetricFactors
from twofold.operators import LinearMap
from twofold.outliers import DualOutliers, HadamardOutliers
from twofold.problem import Problem

FLOAT64 = {"dtype": torch.float64, "device": torch.device("cpu")}


def run_one_entry(
    y: float,
    alpha: float,
    *,
    symmetric: bool,
    start_x: float,
    start_s: float,
    copies: int = 1,
    tau: float = 1e-3,
    max_steps: int = 60_000,
) -> tuple[float, float]:
    """Limit (x, s) of the descent on y = x + s, from U = start_x (and V) and g = h = start_s."""
    problem = Problem(y * torch.eye(copies, dtype=torch.float64), torch.eye(copies, dtype=torch.bool))
    U = start_x * torch.eye(copies, dtype=torch.float64)
    signal = SymmetricFactors(U) if symmetric else AsymmetricFactors(U, U.clone())
    outliers = HadamardOutliers((copies, copies), start_scale=start_s, dtype=torch.float64)
    run = descend(
        problem,
        signal,
        outliers,
        tau=lambda step: tau,
        alpha=signal.rate_ratio_per_alpha * alpha,
        max_steps=max_steps,
        terminate=lambda step, residual: float(residual.abs().max()) < 1e-9 * abs(y),
        history=History(),
    )
    assert run.stop == "terminated"
    return float(signal.value()[0, 0]), float(outliers.value()[0, 0])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("alpha", [0.5, 0.8, 1.25, 2.0])
def test_loser_shrinks_with_the_power_of_the_start_that_the_rates_dictate(symmetric: bool, alpha: float) -> None:
    """x = γ²·exp(E), s = γ²·exp(alpha·E): factor ½ of the loss, the factor 2 of U·Uᵀ and the 1 of U·Vᵀ, 2 of g∘g."""
    y, gamma = 1.0, 1e-4
    x, s = run_one_entry(y, alpha, symmetric=symmetric, start_x=gamma, start_s=gamma)
    winner, loser, exponent = (s, x, 1 / alpha) if alpha > 1 else (x, s, alpha)
    assert loser == pytest.approx(gamma**2 * (winner / gamma**2) ** exponent, rel=0.02)
    assert x + s == pytest.approx(y, rel=1e-8)


@pytest.mark.parametrize("symmetric", [True, False])
def test_ratio_of_the_two_starting_scales_moves_the_threshold(symmetric: bool) -> None:
    """Equal growth exponents need alpha = log(y/g²)/log(y/u²): with g = u² the balance is at alpha = 2."""
    x, s = run_one_entry(1.0, 1.5, symmetric=symmetric, start_x=1e-3, start_s=1e-6)
    assert x > 10 * s
    x, s = run_one_entry(1.0, 2.8, symmetric=symmetric, start_x=1e-3, start_s=1e-6)
    assert s > 10 * x


def test_sum_loss_not_mean_loss() -> None:
    """More independent entries change nothing; under a mean loss both rates would be divided by their number."""
    one = run_one_entry(1.0, 1.25, symmetric=True, start_x=1e-3, start_s=1e-3)
    many = run_one_entry(1.0, 1.25, symmetric=True, start_x=1e-3, start_s=1e-3, copies=7)
    assert many == pytest.approx(one, rel=1e-12)


def test_dual_form_is_the_small_step_limit_of_the_hadamard_form() -> None:
    torch.manual_seed(0)
    residuals = torch.randn(400, 5, dtype=torch.float64)
    rate = 1e-3
    published = HadamardOutliers((5,), start_scale=0.1, dtype=torch.float64)
    dual = DualOutliers((5,), beta=2 * 0.1**2, dtype=torch.float64)
    for residual in residuals:
        published.descend(residual, rate)
        dual.descend(residual, rate)
    torch.testing.assert_close(dual.value(), published.value(), rtol=0.02, atol=1e-5)
    integral = residuals.sum(0)
    torch.testing.assert_close(dual.theta, 4 * rate * integral, rtol=0.02, atol=1e-3)


def commuting_instance(seed: int, n: int = 6, m: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Measurements A_i = Q·diag(a_i)·Qᵀ, a positive semidefinite X, one outlier: (rows vec(A_i), y, Q)."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    diagonals = rng.standard_normal((m, n))
    A = np.stack([(Q * d) @ Q.T for d in diagonals]).reshape(m, n * n)
    X = (Q[:, :2] * [2.0, 1.0]) @ Q[:, :2].T
    y = A @ X.reshape(-1)
    y[0] += 3.0
    return A, y, Q


def convex_optimum(A: np.ndarray, y: np.ndarray, n: int, alpha: float) -> tuple[np.ndarray, float]:
    X = cp.Variable((n, n), PSD=True)
    objective = cp.trace(X) + cp.norm1(y - A @ cp.vec(X, order="C")) / alpha
    problem = cp.Problem(cp.Minimize(objective))
    problem.solve(solver=cp.CLARABEL)
    return X.value, problem.value


@pytest.mark.parametrize(("seed", "alpha"), [(0, 1.0), (1, 1.0), (2, 0.5), (3, 2.0)])
def test_theorem_the_limit_solves_the_convex_program(seed: int, alpha: float) -> None:
    n = 6
    A, y, _ = commuting_instance(seed, n)
    _, best = convex_optimum(A, y, n, alpha)
    problem = Problem(torch.from_numpy(y), operator=LinearMap.from_matrix(torch.from_numpy(A), (n, n)))
    excess = []
    for scale in (1e-2, 1e-4, 1e-8):
        signal = SymmetricFactors.identity(n, scale, **FLOAT64)
        outliers = HadamardOutliers(y.shape, start_scale=scale, dtype=torch.float64)
        descend(
            problem, signal, outliers, tau=lambda step: 5e-3, alpha=alpha, max_steps=40_000,
            terminate=lambda step, residual: float(residual.abs().max()) < 1e-7, history=History(),
        )  # fmt: skip
        X = signal.value().numpy()
        value = np.trace(X) + np.abs(y - A @ X.reshape(-1)).sum() / alpha
        excess.append(value / best - 1)
    # The excess shrinks like one over log(1/scale), or like a power of the scale under strict complementarity.
    assert excess[0] > excess[1] > excess[2] > -1e-6
    assert excess[2] <= 0.2 * excess[0] <= 0.01


def pursuit_by_cvxpy(Y: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    observed = ~np.isnan(Y)
    X = cp.Variable(Y.shape)
    misfit = cp.multiply(observed, np.nan_to_num(Y) - X)
    problem = cp.Problem(cp.Minimize(cp.normNuc(X) + cp.sum(cp.abs(misfit)) / alpha))
    problem.solve(solver=cp.CLARABEL)
    return X.value, problem.value


@pytest.mark.parametrize("alpha", [None, 1.5, 3.0, 6.0, 100.0])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_three_acts_reach_the_optimum_of_the_convex_program(alpha: float | None, missing: float) -> None:
    """On data with no planted structure, where the optimum is what the method leads to, for any weight."""
    rng = np.random.default_rng(4)
    Y = rng.standard_normal((12, 9))
    Y[rng.random(Y.shape) < missing] = np.nan
    solution = robust_pca(Y, alpha=alpha)
    weight = solution.settings["alpha"]
    _, best = pursuit_by_cvxpy(Y, weight)
    reached = np.linalg.norm(solution.low_rank, "nuc") + np.nansum(np.abs(Y - solution.low_rank)) / weight
    assert solution.certificate is not None
    if solution.status.code in ("convex", "certified"):
        assert reached == pytest.approx(best, rel=2e-4)
    assert solution.certificate.dual <= best * (1 + 1e-6)
    assert solution.certificate.primal >= best * (1 - 1e-6)


@pytest.mark.parametrize("symmetric", [True, False])
def test_plain_descent_approaches_the_optimum_of_the_convex_program(symmetric: bool) -> None:
    rng = np.random.default_rng(5)
    factor = rng.standard_normal((8, 1))
    Y = factor @ factor.T
    Y[1, 2] = Y[2, 1] = 4.0
    _, best = pursuit_by_cvxpy(Y, math.sqrt(8))
    excess = []
    for scale in (1e-2, 1e-4, 1e-8):
        solution = robust_pca(Y, method="descent", symmetric=symmetric, start_scale=scale, max_iter=15_000)
        X = solution.low_rank
        value = np.linalg.norm(X, "nuc") + np.abs(Y - X).sum() / math.sqrt(8)
        excess.append(value / best - 1)
    assert excess[0] > excess[1] > excess[2] > -1e-6
    assert excess[2] <= 5e-3
