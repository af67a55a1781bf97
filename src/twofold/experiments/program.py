"""The convex program of the theorem for measurements of any kind, by twofold's own solver with its duality gap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from twofold.operators import LinearMap

Array = NDArray[Any]


def convex_solution(
    A: Array, y: Array, n: int, *, alpha: float | None = None, tol: float, max_iter: int, symmetric: bool = False
) -> tuple[Array, float]:
    """(X, gap) of min ‖X‖_* + (1/alpha)·‖s‖_1 subject to y = A vec(X) + s.

    Parameters
    ----------
    A : array (m, n²)
    y : array (m,)
    n : int
    alpha : float, optional
        By default the one that needs no tuning, of :mod:`twofold.matrix.sensing.scales`.
    tol : float
        Relative duality gap to reach; the one that is returned is larger where max_iter iterations were too few.
    max_iter : int
    symmetric : bool
        X is positive semidefinite, and every row of A a symmetric matrix.
    """
    import torch

    from twofold.matrix.sensing.scales import alpha_of_pull, sign_pull
    from twofold.operators import LinearMap

    # A(X) = (A/norm)(norm·X): the program in norm·X has the weight norm/alpha, and the solver wants a norm of one.
    norm = float(np.linalg.norm(A, 2))
    operator = LinearMap.from_matrix(torch.from_numpy(A / norm), (n, n))
    values = torch.from_numpy(y)
    if alpha is None:
        scaled = alpha_of_pull(sign_pull(operator, values, torch.Generator().manual_seed(0)), (n, n))
    else:
        scaled = alpha / norm
    X, gap = solved(operator, values, n, alpha=scaled, tol=tol, max_iter=max_iter, symmetric=symmetric)
    return X / norm, gap


def solved(
    operator: LinearMap, y: Tensor, n: int, *, alpha: float, tol: float, max_iter: int, symmetric: bool
) -> tuple[Array, float]:
    """(X, gap) of the same program for an operator of norm 1; a symmetric one gives symmetric matrices back."""
    from twofold.history import History
    from twofold.matrix.sensing.convex import pursue
    from twofold.problem import Problem

    problem = Problem(y, None, operator)
    found = pursue(problem, (n, n), alpha=alpha, tol=tol, max_iter=max_iter, symmetric=symmetric, history=History())
    return ((found.P * found.sigma) @ found.Q.T).numpy(), found.gap
