"""recover_low_rank against known answers, a reference solver and its own certificate."""

from __future__ import annotations

import math
import pickle

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg as spl
import torch

import twofold
from twofold import recover_low_rank, robust_pca
from twofold.history import History
from twofold.matrix.sensing.convex import pursue
from twofold.matrix.sensing.scales import alpha_of_pull, sign_pull
from twofold.operators import LinearMap
from twofold.problem import Problem


def low_rank(n1: int, n2: int, rank: int, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((n1, rank)) @ rng.standard_normal((rank, n2))


def corrupted(y: np.ndarray, share: float, rng: np.random.Generator, size: float = 4.0) -> np.ndarray:
    """y with outliers of ``size`` times its mean magnitude."""
    struck = rng.random(len(y)) < share
    return y + struck * size * np.abs(y).mean() * rng.uniform(-1, 1, len(y))


def error(solution: twofold.LowRankSolution, X: np.ndarray) -> float:
    return float(np.linalg.norm(np.asarray(solution.low_rank) - X) / np.linalg.norm(X))


def operators(rng: np.random.Generator) -> dict[str, LinearMap]:
    t = torch.from_numpy
    return {
        "gaussian": LinearMap.from_matrix(t(rng.standard_normal((700, 900))), (30, 30)),
        "entries": LinearMap.entries(t(rng.random((30, 30)) < 0.85)),
        "fourier": LinearMap.fourier(t(rng.random((30, 30)) < 0.45)),
        "quadratic": LinearMap.quadratic(t(rng.standard_normal((700, 30)))),
        "bilinear": LinearMap.quadratic(t(rng.standard_normal((700, 30))), t(rng.standard_normal((700, 30)))),
        "masks of 0 and 1": LinearMap.from_matrix(t((rng.random((700, 900)) < 0.5).astype(float)), (30, 30)),
    }


@pytest.mark.parametrize("kind", operators(np.random.default_rng(0)))
@pytest.mark.parametrize("seed", [1, 2])
def test_exact_with_a_proof_that_verifies(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A = operators(rng)[kind]
    U = rng.standard_normal((30, 1))
    X = U @ U.T if kind == "quadratic" else low_rank(30, 30, 1, rng)
    y = corrupted(A.forward(torch.from_numpy(X)).numpy(), 0.07, rng)
    solution = recover_low_rank(y, A, X.shape)
    assert solution.rank == 1
    assert error(solution, X) < 1e-8
    assert solution.status.code == "certified", solution.status
    assert solution.certificate is not None
    assert 0 <= solution.certificate.verify(y) < 1e-8
    # The proof's parts, recomputed here.
    nu = solution.certificate.dual_variable
    assert np.abs(nu).max() <= (1 + 1e-9) / solution.certificate.alpha
    assert np.linalg.norm(A.adjoint(torch.from_numpy(nu)).numpy(), 2) <= 1 + 1e-9
    assert solution.certificate.dual == pytest.approx(float(nu @ y), rel=1e-9)
    np.testing.assert_allclose(y, A.forward(torch.from_numpy(X)).numpy() + solution.outliers, atol=1e-6)


def test_symmetric_positive_semidefinite() -> None:
    rng = np.random.default_rng(0)
    U, a = rng.standard_normal((25, 2)), rng.standard_normal((400, 25))
    X, A = U @ U.T, LinearMap.quadratic(torch.from_numpy(a))
    y = corrupted(((a @ X) * a).sum(1), 0.1, rng)
    solution = recover_low_rank(y, A, (25, 25), symmetric=True)
    assert error(solution, X) < 1e-8
    assert solution.status.code == "certified", solution.status
    assert np.linalg.eigvalsh(solution.low_rank)[0] > -1e-9 * np.linalg.norm(X, 2)
    assert solution.certificate is not None
    assert solution.certificate.verify(y) < 1e-8
    with pytest.raises(ValueError, match=r"symmetric=True: shape \(25, 24\)"):
        recover_low_rank(y, LinearMap.quadratic(torch.from_numpy(a), torch.from_numpy(a[:, 1:])), (25, 24),
                         symmetric=True)  # fmt: skip


def test_identity_agrees_with_robust_pca() -> None:
    rng = np.random.default_rng(3)
    X = low_rank(30, 20, 2, rng)
    Y = corrupted(X.ravel(), 0.1, rng).reshape(X.shape)
    general = recover_low_rank(Y.ravel(), spl.aslinearoperator(np.eye(600)), X.shape, alpha=math.sqrt(30))
    special = robust_pca(Y, alpha=math.sqrt(30))
    np.testing.assert_allclose(general.low_rank, special.low_rank, atol=1e-8)
    assert general.certificate is not None
    assert special.certificate is not None
    assert general.certificate.primal == pytest.approx(special.certificate.primal, rel=1e-8)


def test_alpha_rule_at_known_operators() -> None:
    """sqrt(n) for the identity, sqrt(f·n) for observed entries, sqrt(m·n) for Gaussian measurements."""
    generator = torch.Generator().manual_seed(0)
    n, m = 120, 2000
    half = torch.rand(n, n, generator=generator) < 0.5
    gaussian = torch.randn(m, 80 * 60, generator=generator, dtype=torch.float64)
    for A, shape, size, expected in (
        (LinearMap.entries(torch.ones(n, n, dtype=torch.bool)), (n, n), n * n, math.sqrt(n)),
        (LinearMap.entries(half), (n, n), int(half.sum()), math.sqrt(n / 2)),
        (LinearMap.from_matrix(gaussian, (80, 60)), (80, 60), m, math.sqrt(m * 80)),
    ):
        like = torch.zeros(size, dtype=torch.float64)
        assert alpha_of_pull(sign_pull(A, like, generator), shape) == pytest.approx(expected, rel=0.06)
        assert alpha_of_pull(sign_pull(A.scaled(7.0), like, generator), shape) == pytest.approx(
            7 * expected, rel=0.06
        )


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.6])
def test_alpha_needs_no_tuning(factor: float) -> None:
    """Proven recovery for weights around the rule's."""
    rng = np.random.default_rng(5)
    X, A = low_rank(25, 25, 1, rng), rng.standard_normal((500, 625))
    y = corrupted(A @ X.ravel(), 0.06, rng)
    rule = recover_low_rank(y, A, X.shape).settings["alpha"]
    assert isinstance(rule, float)
    solution = recover_low_rank(y, A, X.shape, alpha=factor * rule)
    assert solution.status.code == "certified", solution.status
    assert error(solution, X) < 1e-8


def convex_optimum(y: np.ndarray, A: np.ndarray, n: int, lam: float, psd: bool) -> tuple[float, np.ndarray]:
    X = cp.Variable((n, n), PSD=True) if psd else cp.Variable((n, n))
    s = cp.Variable(len(y))
    program = cp.Problem(
        cp.Minimize((cp.trace(X) if psd else cp.normNuc(X)) + lam * cp.norm1(s)),
        [A @ cp.vec(X, order="C") + s == y],
    )
    return program.solve(solver=cp.CLARABEL), X.value


@pytest.mark.parametrize("psd", [False, True])
def test_convex_program_where_it_is_not_the_truth(psd: bool) -> None:
    """A full-rank problem: the program's optimum against an interior-point solver."""
    rng = np.random.default_rng(7)
    n, m, lam = 6, 20, 2.0
    a = rng.standard_normal((m, n))
    A = np.einsum("ij,ik->ijk", a, a).reshape(m, -1) if psd else rng.standard_normal((m, n * n))
    y = rng.standard_normal(m)
    A /= np.linalg.norm(A, 2)
    optimum, X = convex_optimum(y, A, n, lam, psd)
    operator = LinearMap.from_matrix(torch.from_numpy(A), (n, n))
    found = pursue(
        Problem(torch.from_numpy(y), operator=operator.on_symmetric() if psd else operator), (n, n), alpha=1 / lam,
        tol=1e-9, max_iter=5000, symmetric=psd, history=History(),
    )  # fmt: skip
    assert found.converged
    assert 0 < len(found.sigma) < n
    value = float(found.sigma.sum()) + lam * float(
        (torch.from_numpy(y) - operator.forward((found.P * found.sigma) @ found.Q.T)).abs().sum()
    )
    assert value == pytest.approx(optimum, rel=1e-7)
    np.testing.assert_allclose((found.P * found.sigma) @ found.Q.T, X, atol=1e-3 * np.abs(X).max())


def test_too_few_measurements_give_the_convex_solution_and_say_so() -> None:
    rng = np.random.default_rng(0)
    X, A = low_rank(20, 20, 4, rng), rng.standard_normal((60, 400))
    solution = recover_low_rank(A @ X.ravel(), A, X.shape)
    assert solution.status.code == "convex"
    assert "need not be the truth" in solution.status.remedy
    assert solution.certificate is not None
    assert solution.certificate.gap < 1e-7


@pytest.mark.parametrize("seed", range(3))
def test_dense_noise_is_measured_and_its_error_predicted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, A = low_rank(30, 25, 2, rng), rng.standard_normal((700, 750))
    clean = A @ X.ravel()
    sigma = 1e-3 * np.abs(clean).mean()
    y = corrupted(clean, 0.1, rng) + sigma * rng.standard_normal(len(clean))
    solution = recover_low_rank(y, A, X.shape)
    assert solution.status.code == "noisy"
    assert solution.rank == 2
    assert solution.noise == pytest.approx(sigma, rel=0.25)
    assert solution.error_estimate == pytest.approx(error(solution, X), rel=0.5)


def test_missing_measurements() -> None:
    rng = np.random.default_rng(2)
    X, A = low_rank(30, 20, 1, rng), rng.standard_normal((500, 600))
    y = corrupted(A @ X.ravel(), 0.05, rng)
    y[::6] = np.nan
    solution = recover_low_rank(y, A, X.shape)
    assert error(solution, X) < 1e-8
    assert not solution.outliers[::6].any()
    assert solution.certificate is not None
    assert solution.certificate.verify(y) < 1e-8


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_outliers_of_any_size(size: float) -> None:
    rng = np.random.default_rng(4)
    X, A = low_rank(25, 25, 2, rng), rng.standard_normal((600, 625))
    solution = recover_low_rank(corrupted(A @ X.ravel(), 0.1, rng, size), A, X.shape)
    assert error(solution, X) < 1e-8


def test_weak_components_are_found() -> None:
    rng = np.random.default_rng(1)
    P, Q = (np.linalg.qr(rng.standard_normal((n, 3)))[0] for n in (30, 25))
    X, A = (P * [1.0, 0.03, 0.001]) @ Q.T, rng.standard_normal((700, 750))
    solution = recover_low_rank(corrupted(A @ X.ravel(), 0.08, rng), A, X.shape)
    assert solution.rank == 3
    assert error(solution, X) < 1e-8


def test_units_of_data_and_operator_do_not_matter() -> None:
    rng = np.random.default_rng(6)
    X, A = low_rank(20, 20, 1, rng), rng.standard_normal((300, 400))
    y = corrupted(A @ X.ravel(), 0.05, rng)
    plain = recover_low_rank(y, A, X.shape)
    scaled = recover_low_rank(1e6 * y, 1e-3 * A, X.shape)
    np.testing.assert_allclose(scaled.low_rank, 1e9 * plain.low_rank, rtol=1e-7, atol=1e2)
    np.testing.assert_allclose(scaled.outliers, 1e6 * plain.outliers, rtol=1e-6, atol=1e-1)


def test_same_kind_and_dtype_out() -> None:
    rng = np.random.default_rng(0)
    X, A = low_rank(20, 15, 1, rng), rng.standard_normal((250, 300))
    y = corrupted(A @ X.ravel(), 0.05, rng)
    solution = recover_low_rank(torch.from_numpy(y).float(), torch.from_numpy(A), X.shape)
    assert isinstance(solution.low_rank, torch.Tensor)
    assert solution.low_rank.dtype == solution.outliers.dtype == torch.float32
    assert error(solution, X) < 1e-5
    assert solution.status.success


def test_special_answers() -> None:
    A = np.random.default_rng(0).standard_normal((200, 120))
    zero = recover_low_rank(np.zeros(200), A, (12, 10))
    assert (zero.rank, zero.outlier_fraction, zero.status.success) == (0, 0.0, True)
    y = np.zeros(200)
    y[:10] = 5.0
    sparse = recover_low_rank(y, A, (12, 10))
    assert sparse.rank == 0
    np.testing.assert_array_equal(sparse.outliers, y)
    one = recover_low_rank(np.array([2.0, 2.0, 2.0, 9.0]), np.ones((4, 1)), (1, 1))
    assert one.low_rank.item() == pytest.approx(2.0)


def test_rank_can_be_told() -> None:
    rng = np.random.default_rng(0)
    X, A = low_rank(20, 20, 2, rng), rng.standard_normal((400, 400))
    y = corrupted(A @ X.ravel(), 0.05, rng)
    assert error(recover_low_rank(y, A, X.shape, n_components=2), X) < 1e-8
    told = recover_low_rank(y, A, X.shape, n_components=1)
    assert (told.rank, told.status.code) == (1, "approximate")
    nothing = recover_low_rank(y, A, X.shape, n_components=0)
    np.testing.assert_array_equal(nothing.outliers, y)


def test_published_descent() -> None:
    rng = np.random.default_rng(0)
    X, A = low_rank(8, 8, 1, rng), rng.standard_normal((50, 64))
    y = A @ X.ravel()
    y[:3] += 20.0
    solution = recover_low_rank(y, A, X.shape, method="descent", tol=1e-8, start_scale=1e-4, max_iter=30_000)
    assert solution.status.code == "converged"
    assert error(solution, X) < 2e-2


REFUSED = {
    "shape": ({"shape": (20, 0)}, "shape=.*two positive integers"),
    "y 2-D": ({"y": np.ones((3, 3))}, "y: 2-D array of shape .*1-D array is accepted"),
    "y inf": ({"y": np.full(50, np.inf)}, "y: contains inf"),
    "all missing": ({"y": np.full(50, np.nan)}, "y: every entry is NaN"),
    "alpha": ({"alpha": -1.0}, "alpha=-1.0"),
    "tol": ({"tol": 0.0}, "tol=0.0"),
    "max_iter": ({"max_iter": 0}, "max_iter=0"),
    "method": ({"method": "magic"}, "method='magic'"),
    "n_components": ({"n_components": 9}, "n_components=9"),
    "blind operator": ({"operator": np.zeros((50, 64))}, "maps every matrix to zero"),
    "start_scale": ({"start_scale": 0.1}, "accepted with method='descent' only"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_any_work(name: str) -> None:
    changes, message = REFUSED[name]
    arguments = {"y": np.ones(50), "operator": np.ones((50, 64)), "shape": (8, 8)} | changes
    steps: list[object] = []
    with pytest.raises(ValueError, match=message):
        recover_low_rank(**arguments, observer=steps.append)
    assert not steps


def test_failure_can_be_raised() -> None:
    rng = np.random.default_rng(0)
    X, A = low_rank(20, 20, 2, rng), rng.standard_normal((400, 400))
    with pytest.raises(twofold.RecoveryError, match="max_iter"):
        recover_low_rank(corrupted(A @ X.ravel(), 0.1, rng), A, X.shape, max_iter=12, raise_on_failure=True)


@pytest.mark.parametrize("operator", ["matrix", "quadratic", "sparse"])
def test_solutions_can_be_pickled_with_their_certificates(operator: str) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((120, 8))
    X = np.outer(vectors[0], vectors[0])
    dense = (vectors[:, :, None] * vectors[:, None, :]).reshape(120, 64)
    y = dense @ X.ravel()
    y[:6] -= 20
    operators = {
        "matrix": dense,
        "quadratic": LinearMap.quadratic(torch.from_numpy(vectors)),
        "sparse": scipy.sparse.csr_array(dense),
    }
    solution = recover_low_rank(y, operators[operator], (8, 8), symmetric=True)
    again = pickle.loads(pickle.dumps(solution))
    np.testing.assert_array_equal(again.low_rank, solution.low_rank)
    assert again.certificate.verify(y) == pytest.approx(solution.certificate.verify(y), abs=1e-12)
