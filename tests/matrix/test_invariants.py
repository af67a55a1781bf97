"""What must not change the answer, or change it in a known way."""

from __future__ import annotations

import numpy as np
import pytest

from tests.problems import low_rank_problem
from twofold import robust_pca

PROBLEM = low_rank_problem(120, 90, 4, 0.1, missing=0.1, seed=3)
ANSWER = robust_pca(PROBLEM.Y)
SCALE = np.linalg.norm(PROBLEM.X)


def assert_same(low_rank: np.ndarray, expected: np.ndarray, tol: float = 1e-8) -> None:
    assert np.linalg.norm(low_rank - expected) <= tol * np.linalg.norm(expected)


def test_transpose() -> None:
    assert_same(robust_pca(PROBLEM.Y.T).low_rank, ANSWER.low_rank.T)


def test_permutation_of_rows_and_columns() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(120), rng.permutation(90)
    permuted = robust_pca(PROBLEM.Y[rows][:, columns])
    assert_same(permuted.low_rank, ANSWER.low_rank[rows][:, columns])


@pytest.mark.parametrize("factor", [1e-6, 1e6, -1.0])
def test_scaling(factor: float) -> None:
    scaled = robust_pca(factor * PROBLEM.Y)
    assert scaled.rank == ANSWER.rank
    assert_same(scaled.low_rank, factor * ANSWER.low_rank)
    assert scaled.certificate.gap <= 1e-8
    assert scaled.certificate.primal == pytest.approx(abs(factor) * ANSWER.certificate.primal, rel=1e-6)


def test_scaling_by_a_power_of_two_is_exact() -> None:
    np.testing.assert_array_equal(robust_pca(2.0**20 * PROBLEM.Y).low_rank, 2.0**20 * ANSWER.low_rank)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_extreme_scales(dtype: type, factor: float) -> None:
    problem = low_rank_problem(60, 50, 2, 0.05)
    solution = robust_pca((factor * problem.Y).astype(dtype))
    assert solution.rank == 2
    assert_same(solution.low_rank / dtype(factor), problem.X, 1e-4 if dtype == np.float32 else 1e-8)


def test_seed() -> None:
    other = robust_pca(PROBLEM.Y, random_state=12345)
    assert_same(other.low_rank, ANSWER.low_rank)
    np.testing.assert_array_equal(robust_pca(PROBLEM.Y).low_rank, ANSWER.low_rank)


def test_float32_against_float64() -> None:
    single = robust_pca(PROBLEM.Y.astype(np.float32))
    assert single.rank == ANSWER.rank
    assert_same(single.low_rank, ANSWER.low_rank, 1e-5)
    # Rounding to 24 bits moves an outlier by 1e-7 of its size at most: the same entries are outliers.
    assert np.mean((single.outliers != 0) != (ANSWER.outliers != 0)) <= 1e-3


def test_memory_layout() -> None:
    assert_same(robust_pca(np.asfortranarray(PROBLEM.Y)).low_rank, ANSWER.low_rank)
    assert_same(robust_pca(PROBLEM.Y[::-1]).low_rank[::-1], ANSWER.low_rank)


def test_polish_lowers_the_residual_to_machine_precision() -> None:
    last = [record.residual for record in ANSWER.history if record.act == "polish"][-1]
    assert last <= 1e-9
