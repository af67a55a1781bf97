"""robust_pca on problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.problems import low_rank_problem
from twofold import RecoveryError, robust_pca

EASY = {
    "square": {"m": 200, "n": 200, "rank": 5, "outliers": 0.1},
    "many outliers": {"m": 300, "n": 300, "rank": 5, "outliers": 0.3},
    "tall": {"m": 1000, "n": 200, "rank": 3, "outliers": 0.05},
    "wide": {"m": 200, "n": 1000, "rank": 3, "outliers": 0.05},
    "small": {"m": 30, "n": 30, "rank": 1, "outliers": 0.1},
    "few outliers": {"m": 100, "n": 100, "rank": 4, "outliers": 0.001},
    "no outliers": {"m": 100, "n": 80, "rank": 7, "outliers": 0.0},
    "missing": {"m": 300, "n": 300, "rank": 5, "outliers": 0.1, "missing": 0.4},
    "condition 10": {"m": 300, "n": 300, "rank": 8, "outliers": 0.1, "condition": 10},
    "condition 1000": {"m": 300, "n": 300, "rank": 8, "outliers": 0.1, "condition": 1000},
}


@pytest.mark.parametrize("name", EASY)
def test_recovers_rank_and_both_parts_and_proves_it(name: str) -> None:
    problem = low_rank_problem(**EASY[name])
    solution = robust_pca(problem.Y)
    assert solution.rank == problem.rank
    assert problem.error(solution.low_rank) <= 1e-8
    assert solution.status.code == "certified"
    assert solution.status.success
    assert solution.certificate.gap <= 1e-8
    observed = ~np.isnan(problem.Y)
    np.testing.assert_allclose(solution.outliers[observed], problem.S[observed], atol=1e-6)
    assert np.all(solution.outliers[~observed] == 0)


def test_the_issue_sizes_at_full_size() -> None:
    problem = low_rank_problem(500, 500, 10, 0.3, missing=0.2)
    solution = robust_pca(problem.Y)
    assert solution.rank == 10
    assert problem.error(solution.low_rank) <= 1e-8


@pytest.mark.parametrize(("rank", "outliers"), [(6, 0.45), (12, 0.35), (20, 0.2), (30, 0.12), (42, 0.02)])
def test_recovers_beyond_the_phase_transition_of_the_convex_program(rank: int, outliers: float) -> None:
    problem = low_rank_problem(120, 120, rank, outliers, seed=1)
    solution = robust_pca(problem.Y)
    assert solution.rank == rank
    assert problem.error(solution.low_rank) <= 1e-8


@pytest.mark.parametrize("symmetric", [False, True])
def test_plain_descent_comes_close_and_closer_with_a_smaller_start(symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    factor = rng.standard_normal((60, 2))
    X = factor @ factor.T
    S = np.triu(np.where(rng.random(X.shape) < 0.05, rng.uniform(-3, 3, X.shape), 0.0), 1)
    Y = X + S + S.T
    errors = []
    for start_scale in (1e-1, 1e-2, 1e-4):
        solution = robust_pca(Y, method="descent", symmetric=symmetric, start_scale=start_scale, max_iter=4000)
        errors.append(np.linalg.norm(solution.low_rank - X) / np.linalg.norm(X))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] <= 0.02


def test_dense_noise_is_told_apart_from_outliers() -> None:
    problem = low_rank_problem(300, 200, 4, 0.1, noise=0.01)
    solution = robust_pca(problem.Y)
    magnitude = np.abs(problem.X).mean()
    assert solution.status.code == "noisy"
    assert solution.rank == 4
    assert solution.settings["noise"] == pytest.approx(0.01 * magnitude, rel=0.1)
    assert problem.error(solution.low_rank) <= 0.005
    # With the support and the rank known, a factor of sqrt(r(m+n)/(mn)) of the noise is left.
    oracle = 0.01 * magnitude * np.sqrt(4 * 500) / np.linalg.norm(problem.X)
    assert problem.error(solution.low_rank) <= 1.6 * oracle


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (3, 7), (7, 3), (10, 10), (1, 300)])
def test_every_small_shape_gets_the_convex_solution(shape: tuple[int, int]) -> None:
    Y = np.random.default_rng(1).standard_normal(shape)
    solution = robust_pca(Y)
    assert solution.status.success
    assert solution.certificate.gap <= 1e-6
    np.testing.assert_allclose(solution.low_rank + solution.outliers, Y, atol=1e-5)


def test_all_zero() -> None:
    solution = robust_pca(np.zeros((6, 4)))
    assert solution.rank == 0
    assert solution.status.success
    assert not solution.low_rank.any()
    assert not solution.outliers.any()
    assert solution.certificate.gap == 0


@pytest.mark.parametrize("fraction", [0.001, 0.02, 0.3])
def test_outliers_alone_have_rank_zero(fraction: float) -> None:
    rng = np.random.default_rng(2)
    Y = np.where(rng.random((80, 60)) < fraction, rng.choice([-5.0, 5.0], (80, 60)), 0.0)
    solution = robust_pca(Y)
    assert solution.rank == 0
    np.testing.assert_array_equal(solution.outliers, Y)


def test_constant_columns_and_one_spike() -> None:
    Y = np.tile(np.arange(1.0, 21.0), (30, 1))
    Y[3, 4] = 500.0
    solution = robust_pca(Y)
    assert solution.rank == 1
    assert np.argwhere(solution.outliers).tolist() == [[3, 4]]
    assert solution.outliers[3, 4] == pytest.approx(495.0)


def test_huge_outliers_beside_tiny_ones() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((100, 3)) @ rng.standard_normal((3, 100))
    Y = X.copy()
    Y[rng.random(Y.shape) < 0.02] += 1e6
    Y[rng.random(Y.shape) < 0.02] += 0.1
    solution = robust_pca(Y)
    assert solution.rank == 3
    assert np.linalg.norm(solution.low_rank - X) <= 1e-8 * np.linalg.norm(X)


def test_whole_corrupted_rows() -> None:
    problem = low_rank_problem(300, 100, 3, 0.05)
    Y = problem.Y.copy()
    Y[:6] = np.random.default_rng(4).uniform(-10, 10, (6, 100))
    solution = robust_pca(Y)
    assert solution.rank == 3
    good = np.linalg.norm((solution.low_rank - problem.X)[6:]) / np.linalg.norm(problem.X[6:])
    assert good <= 1e-8


def test_no_structure_gives_the_convex_solution_and_says_so() -> None:
    Y = np.random.default_rng(5).standard_normal((60, 50))
    solution = robust_pca(Y)
    assert solution.status.code == "convex"
    assert "no gap" in solution.status.cause or "does not fit" in solution.status.cause
    assert solution.certificate.gap <= 1e-7


def test_rank_told() -> None:
    problem = low_rank_problem(150, 100, 4, 0.1)
    solution = robust_pca(problem.Y, n_components=4)
    assert solution.rank == 4
    assert problem.error(solution.low_rank) <= 1e-8
    too_small = robust_pca(problem.Y, n_components=2)
    assert too_small.rank == 2
    assert np.linalg.matrix_rank(too_small.low_rank) == 2


def test_kind_and_dtype_of_the_answer_are_those_of_the_question() -> None:
    problem = low_rank_problem(80, 60, 2, 0.05)
    as_float32 = robust_pca(problem.Y.astype(np.float32))
    assert as_float32.low_rank.dtype == np.float32
    assert problem.error(as_float32.low_rank) <= 1e-5
    as_tensor = robust_pca(torch.from_numpy(problem.Y))
    assert isinstance(as_tensor.low_rank, torch.Tensor)
    assert isinstance(as_tensor.certificate.dual_variable, torch.Tensor)
    np.testing.assert_array_equal(as_tensor.low_rank.numpy(), robust_pca(problem.Y).low_rank)
    counts = np.rint(10 * np.outer(np.arange(1, 31), np.arange(1, 21))).astype(np.int32)
    assert robust_pca(counts).low_rank.dtype == np.float64
    assert robust_pca(counts[::-1, ::2]).rank == 1


def test_input_is_not_changed() -> None:
    problem = low_rank_problem(50, 40, 2, 0.1, missing=0.1)
    before = problem.Y.copy()
    robust_pca(problem.Y)
    np.testing.assert_array_equal(problem.Y, before)


def test_too_few_steps_is_a_failure_with_cause_and_remedy() -> None:
    problem = low_rank_problem(100, 100, 3, 0.1)
    solution = robust_pca(problem.Y, max_iter=12)
    assert solution.status.code == "max_iter"
    assert not solution.status.success
    assert "max_iter" in solution.status.remedy
    with pytest.raises(RecoveryError, match="max_iter"):
        robust_pca(problem.Y, max_iter=12, raise_on_failure=True)


def test_solution_carries_what_determined_it() -> None:
    problem = low_rank_problem(60, 90, 2, 0.05, missing=0.1)
    solution = robust_pca(problem.Y, random_state=7)
    assert solution.settings["seed"] == 7
    observed = np.mean(~np.isnan(problem.Y))
    assert solution.settings["alpha"] == pytest.approx(np.sqrt(observed * 90))
    assert {"tau", "start", "beta", "paces", "tol", "dtype", "device"} <= set(solution.settings)
    assert solution.history.acts == ["identify", "polish", "certify"]
    U, sigma, Vt = solution.factors
    np.testing.assert_allclose((U * sigma) @ Vt, solution.low_rank, atol=1e-12)
    assert np.all(np.diff(sigma) <= 0)


def test_observer_sees_every_record() -> None:
    seen = []
    solution = robust_pca(low_rank_problem(60, 60, 2, 0.05).Y, observer=seen.append)
    assert seen == solution.history.records
    assert seen[-1].act == "certify"


def test_certify_false_gives_no_certificate() -> None:
    solution = robust_pca(low_rank_problem(60, 60, 2, 0.05).Y, certify=False)
    assert solution.certificate is None
    assert solution.status.code == "recovered"


@pytest.mark.parametrize("seed", range(6))
def test_dropped_sensors_with_weak_components_beside_a_strong_one(seed: int) -> None:
    """A large offset, three components of a fiftieth of it, and stretches of a column stuck at zero."""
    rng = np.random.default_rng(seed)
    hours = np.arange(480) / 4
    courses = np.stack(
        [np.ones(480), np.sin(hours / 3.8), np.cos(hours / 3.8), np.cumsum(rng.standard_normal(480)) / 12]
    )
    weights = np.stack(
        [rng.uniform(17, 24, 120), rng.uniform(0.5, 3, 120), rng.normal(0, 1, 120), rng.uniform(0.5, 2, 120)]
    )
    X = courses.T @ weights
    Y = X.copy()
    for column in rng.choice(120, 24, replace=False):
        begin = rng.integers(0, 440)
        Y[begin : begin + rng.integers(10, 40), column] = 0.0
    spikes = rng.random(X.shape) < 0.04
    Y[spikes] += rng.uniform(5, 40, spikes.sum())
    Y[rng.random(X.shape) < 0.05] = np.nan
    solution = robust_pca(Y)
    assert solution.rank == 4
    assert np.linalg.norm(solution.low_rank - X) <= 1e-8 * np.linalg.norm(X)


def test_a_rank_that_the_data_do_not_ask_for_does_no_harm() -> None:
    problem = low_rank_problem(200, 100, 2, 0.1, noise=0.01)
    told = robust_pca(problem.Y, n_components=4)
    assert told.rank == 4
    assert problem.error(told.low_rank) <= 0.03
