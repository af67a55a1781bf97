"""Problems that defeat a first threshold: weak components, uneven lines, one-sided, tiny and huge outliers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from twofold import robust_pca
from twofold.matrix.balance import balance_of
from twofold.problem import Problem

N = 200


def low_rank(rank: int, rng: np.random.Generator, condition: float = 1.0, n: int = N) -> np.ndarray:
    """Entries of size about 1, singular values in geometric progression."""
    left, right = (np.linalg.qr(rng.standard_normal((n, rank)))[0] for _ in range(2))
    return (left * np.geomspace(1, 1 / condition, rank)) @ right.T * n / rank**0.5


def spread(X: np.ndarray, share: float, rng: np.random.Generator, size: float = 2.0) -> np.ndarray:
    return np.where(rng.random(X.shape) < share, rng.uniform(-size, size, X.shape), 0)


def weak_components(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = low_rank(10, rng, condition=1e4)
    return X, spread(X, 0.1, rng)


def rank_a_fifth(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = low_rank(N // 5, rng)
    return X, spread(X, 0.05, rng)


def many_outliers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = low_rank(3, rng)
    return X, spread(X, 0.4, rng)


def tiny_beside_huge(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = low_rank(5, rng)
    kind = rng.random(X.shape)
    huge, tiny = 1e5 * rng.standard_normal(X.shape), 1e-2 * rng.standard_normal(X.shape)
    return X, np.where(kind < 0.05, huge, np.where(kind < 0.1, tiny, 0))


def one_sided(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = low_rank(5, rng)
    return X, np.where(rng.random(X.shape) < 0.2, rng.uniform(1, 5, X.shape), 0)


def one_sided_constant(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = low_rank(5, rng)
    return X, np.where(rng.random(X.shape) < 0.2, 5.0, 0)


def swapped_entries(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Outliers with exactly the distribution of the entries."""
    X = low_rank(5, rng)
    other = rng.permutation(X.ravel()).reshape(X.shape)
    return X, np.where(rng.random(X.shape) < 0.15, other - X, 0)


def block(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = low_rank(5, rng)
    S = spread(X, 0.05, rng)
    S[30:70, 50:100] += rng.standard_normal((40, 50)) * 3
    return X, S


def coherent(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    U, V = rng.standard_normal((N, 4)), rng.standard_normal((N, 4))
    U[:3] *= 20
    V[:3] *= 20
    return U @ V.T, spread(U @ V.T, 0.1, rng, 5.0)


def features_in_different_units(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    units = 10.0 ** rng.uniform(-3, 3, (1, N))
    X = low_rank(5, rng)
    return X * units, spread(X, 0.1, rng) * units


CASES: list[Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]] = [
    weak_components, rank_a_fifth, many_outliers, tiny_beside_huge, one_sided, one_sided_constant, swapped_entries,
    block, coherent, features_in_different_units,
]  # fmt: skip


@pytest.mark.parametrize("make", CASES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exact(make: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]], seed: int) -> None:
    X, S = make(np.random.default_rng(seed))
    solution = robust_pca(X + S, certify=False)
    assert solution.status.code == "recovered", solution.status
    assert solution.rank == np.linalg.matrix_rank(X)
    assert np.linalg.norm(solution.low_rank - X) <= 1e-8 * np.linalg.norm(X)


@pytest.mark.parametrize("shape", [(5000, 40), (40, 5000)])
def test_very_tall_and_very_wide(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    solution = robust_pca(X + spread(X, 0.1, rng), certify=False)
    assert solution.rank == 3
    assert np.linalg.norm(solution.low_rank - X) <= 1e-8 * np.linalg.norm(X)


def test_whole_corrupted_rows_do_not_touch_the_others() -> None:
    rng = np.random.default_rng(0)
    X = low_rank(5, rng)
    S = spread(X, 0.05, rng)
    S[:10] = 3 * rng.standard_normal((10, N))
    solution = robust_pca(X + S, certify=False)
    assert solution.rank == 5
    assert np.linalg.norm(solution.low_rank[10:] - X[10:]) <= 1e-8 * np.linalg.norm(X)
    assert "10 rows" in solution.status.cause


@pytest.mark.parametrize("seed", range(3))
def test_seventy_percent_missing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = low_rank(4, rng, n=300)
    Y = X + spread(X, 0.1, rng)
    Y[rng.random(X.shape) < 0.7] = np.nan
    solution = robust_pca(Y, certify=False)
    assert solution.rank == 4
    assert np.linalg.norm(solution.low_rank - X) <= 1e-8 * np.linalg.norm(X)


def test_even_matrices_are_not_balanced_and_balancing_is_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    even = torch.randn(60, 50, generator=generator, dtype=torch.float64)
    assert balance_of(Problem(even), generator) is None
    uneven = even * 10.0 ** torch.linspace(-4, 4, 60, dtype=torch.float64)[:, None]
    balance = balance_of(Problem(uneven), generator)
    assert balance is not None
    balanced = balance.apply(Problem(uneven)).values
    assert 0.3 < float(balanced.abs().median(1).values.min()) < float(balanced.abs().median(1).values.max()) < 3
    assert torch.equal(balanced / balance.rows / balance.columns, uneven)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rank", "sigma"), [(5, 1e-3), (15, 1e-2), (2, 0.3)])
def test_dense_noise_is_measured_and_its_error_predicted(rank: int, sigma: float, seed: int) -> None:
    """The error is that of least squares told rank and outliers, and it is known beforehand."""
    rng = np.random.default_rng(seed)
    X = low_rank(rank, rng)
    S = spread(X, 0.1, rng, 5.0)
    solution = robust_pca(X + S + sigma * rng.standard_normal(X.shape), certify=False)
    assert (solution.status.code, solution.rank) == ("noisy", rank)
    assert solution.noise == pytest.approx(sigma, rel=0.06)
    error = np.linalg.norm(solution.low_rank - X) / np.linalg.norm(X)
    oracle = sigma * np.sqrt(rank * (2 * N - rank) / np.mean(S == 0)) / np.linalg.norm(X)
    assert error <= 1.15 * oracle
    assert solution.error_estimate == pytest.approx(error, rel=0.1)


def test_exact_answers_have_no_noise() -> None:
    rng = np.random.default_rng(0)
    X = low_rank(3, rng)
    solution = robust_pca(X + spread(X, 0.1, rng), certify=False)
    assert (solution.noise, solution.error_estimate) == (0.0, None)
