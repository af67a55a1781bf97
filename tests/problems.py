"""Problems with known answers, made here with NumPy alone, so that tests do not lean on the package's generators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LowRankProblem:
    """Y = X + S (+ noise), NaN where missing."""

    Y: np.ndarray
    X: np.ndarray
    S: np.ndarray
    rank: int

    def error(self, low_rank: np.ndarray) -> float:
        """Relative error of a low-rank part in the Frobenius norm."""
        return float(np.linalg.norm(low_rank - self.X) / np.linalg.norm(self.X))


def low_rank_problem(
    m: int,
    n: int,
    rank: int,
    outliers: float,
    *,
    missing: float = 0.0,
    noise: float = 0.0,
    condition: float = 1.0,
    seed: int = 0,
) -> LowRankProblem:
    """Gaussian factors; outliers uniform with twice the mean magnitude of X; noise relative to that magnitude."""
    rng = np.random.default_rng(seed)
    scales = np.logspace(0, -np.log10(condition), rank) if rank else np.ones(0)
    X = (rng.standard_normal((m, rank)) * scales) @ rng.standard_normal((rank, n))
    magnitude = np.abs(X).mean() if rank else 1.0
    S = np.where(rng.random((m, n)) < outliers, rng.uniform(-2, 2, (m, n)) * magnitude, 0.0)
    Y = X + S + noise * magnitude * rng.standard_normal((m, n))
    Y[rng.random((m, n)) < missing] = np.nan
    return LowRankProblem(Y, X, S, rank)


def pursuit_objective(Y: np.ndarray, X: np.ndarray, alpha: float) -> float:
    """‖X‖_* + (1/alpha)·‖Y − X‖_1 over the observed entries."""
    return float(np.linalg.norm(X, "nuc") + np.nansum(np.abs(Y - X)) / alpha)
