"""The convex program of the theorem for measurements of any kind, by twofold's own solver with its duality gap."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    from twofold.history import History
    from twofold.matrix.sensing.convex import pursue
    from twofold.matrix.sensing.scales import alpha_of_pull, sign_pull
    from twofold.operators import LinearMap
    from twofold.problem import Problem

    # A(X) = (A/norm)(norm·X): the program in norm·X has the weight norm/alpha, and the solver wants a norm of one.
    norm = float(np.linalg.norm(A, 2))
    operator = LinearMap.from_matrix(torch.from_numpy(A / norm), (n, n))
    problem = Problem(torch.from_numpy(y), None, operator)
    if alpha is None:
        scaled = alpha_of_pull(sign_pull(operator, problem.values, torch.Generator().manual_seed(0)), (n, n))
    else:
        scaled = alpha / norm
    found = pursue(problem, (n, n), alpha=scaled, tol=tol, max_iter=max_iter, symmetric=symmetric, history=History())
    return ((found.P * found.sigma) @ found.Q.T).numpy() / norm, found.gap
