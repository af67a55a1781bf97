"""Who solves them. Each solver takes Y and returns (low-rank part, what it says about it)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import twofold

Answer = tuple[np.ndarray, dict[str, Any]]


def twofold_certified(Y: np.ndarray) -> Answer:
    """All three acts; told nothing."""
    solution = twofold.robust_pca(Y)
    return solution.low_rank, {
        "rank": solution.rank,
        "gap": solution.certificate.gap,
        "verified gap": lambda: solution.certificate.verify(Y),
        "status": solution.status.code,
    }


def twofold_uncertified(Y: np.ndarray) -> Answer:
    """Acts 1 and 2; told nothing."""
    solution = twofold.robust_pca(Y, certify=False)
    return solution.low_rank, {"rank": solution.rank, "status": solution.status.code}


def pyrpca(Y: np.ndarray, rho: float = 1.5) -> Answer:
    """Inexact augmented Lagrangian for PCP with its documented weight 1/sqrt(max(m, n)); no missing entries."""
    from pyrpca import rpca_pcp_ialm

    low_rank, _ = rpca_pcp_ialm(Y, 1 / np.sqrt(max(Y.shape)), rho=rho, verbose=False)
    return low_rank, {"rank": int(np.linalg.matrix_rank(low_rank, tol=1e-6 * np.linalg.norm(low_rank, 2)))}


SOLVERS: dict[str, Callable[[np.ndarray], Answer]] = {
    "twofold, three acts": twofold_certified,
    "twofold, certify=False": twofold_uncertified,
    "pyrpca 1.0, rho=1.5": pyrpca,
}
CANNOT_MISS = {"pyrpca 1.0, rho=1.5"}
