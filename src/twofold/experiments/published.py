"""Robust PCA by the published descent and by its convex program, for X = UVᵀ and, as in the theorem, for X = UUᵀ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twofold.experiments.program import solved

if TYPE_CHECKING:
    from twofold.operators import LinearMap

Array = NDArray[Any]

START = 1e-12
"""Of the descent: the theorem is about infinitesimal starts."""


def instance(n: int, rank: int, share: float, *, symmetric: bool, seed: Any) -> tuple[Array, Array]:
    """(Y, X): X = U·Vᵀ or U·Uᵀ with normal factors, and in Y a share of outliers uniform in ±2·mean|X|.

    Those of a positive semidefinite X are not symmetric: an entry and its mirror image are two measurements.
    """
    from twofold.datasets import low_rank_plus_sparse

    rng = np.random.default_rng(seed)
    if not symmetric:
        data = low_rank_plus_sparse(n, rank, share, random_state=rng)
        return data.observed, data.low_rank
    U = rng.standard_normal((n, rank))
    X = U @ U.T
    Y, limit = X.copy(), 2 * np.abs(X).mean()
    struck = rng.choice(n * n, round(share * n * n), replace=False)
    Y.flat[struck] += rng.uniform(-limit, limit, len(struck))
    return Y, X


def _entries(n: int) -> LinearMap:
    """All entries as measurements, row by row: LinearMap.entries without its mask, which would cost every step."""
    import torch

    from twofold.operators import LinearMap

    return LinearMap(forward=torch.Tensor.flatten, adjoint=lambda y: y.reshape(n, n))


def descended(Y: Array, *, steps: int, symmetric: bool, ratio: float = 1.0, start: float = START) -> Array:
    """X of the published descent with alpha = ratio·sqrt(n)."""
    from twofold.matrix.sensing.recover import recover_low_rank

    n = len(Y)
    solution = recover_low_rank(
        Y.ravel(), _entries(n), (n, n), method="descent", alpha=ratio * math.sqrt(n),
        symmetric=symmetric, tol=1e-14, start_scale=start, max_iter=steps, certify=False,
    )  # fmt: skip
    return np.asarray(solution.low_rank)


def pursued(Y: Array, *, symmetric: bool, ratio: float = 1.0, gap: float = 1e-7) -> Array:
    """X of min ‖X‖_* + ‖Y − X‖_1/(ratio·sqrt(n)), among the positive semidefinite ones if ``symmetric``."""
    import torch

    from twofold.benchmarks.matrix import phase

    if not symmetric:
        return phase.pursued(Y, gap, ratio)[0]
    n = len(Y)
    return solved(
        _entries(n).on_symmetric(), torch.from_numpy(Y.ravel()), n, alpha=ratio * math.sqrt(n), tol=gap,
        max_iter=phase.MAX_STEPS, symmetric=True,
    )[0]  # fmt: skip
