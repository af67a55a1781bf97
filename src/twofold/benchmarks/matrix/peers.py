"""Other packages on the matrix benchmark, used as their documentation says; each prepares (imports, converts its
input) and returns the run that is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Answer
from twofold.benchmarks.matrix.objective import Matrix, NewRows

Run = Callable[[], Answer]


def pyrpca(data: Matrix, *, rho: float) -> Run:
    """PCP by the inexact augmented Lagrangian, with the weight that its documentation names."""
    from pyrpca import rpca_pcp_ialm

    max_iter, tol = 1000, 1e-7  # its defaults

    def run() -> Answer:
        weight = 1 / np.sqrt(max(data.Y.shape))
        low_rank, sparse = rpca_pcp_ialm(data.Y, weight, max_iter, rho=rho, tol=tol, verbose=False)

        def limit() -> str:
            residual = np.linalg.norm(data.Y - low_rank - sparse) / np.linalg.norm(data.Y)
            return "" if residual < tol else f"{max_iter} steps were not enough (residual {residual:.1e})"

        return Answer(low_rank, {"rank": lambda: numerical_rank(low_rank)}, limit)

    return run


def accaltproj(data: Matrix, *, stacked: bool) -> Run:
    """Accelerated alternating projections (Cai, Cai, Wei 2019).

    The package subtracts the mean of each column, so that a matrix of rank r with outliers in its means is no longer
    one of rank r with sparse outliers. Stacked on its negative, every column has mean zero and the rank stays.
    """
    from rpca import RobustPCA

    def run() -> Answer:
        Y = np.vstack([data.Y, -data.Y]) if stacked else data.Y
        model = RobustPCA(n_components=data.rank, tol=1e-8, gamma=0.5, verbose=False).fit(Y)
        low_rank = (model.low_rank_ + model.mean_)[: len(data.Y)]
        residual = float(model.errors_[-1])
        enough = residual < model.tol
        limit = "" if enough else f"{model.max_iter} steps were not enough (residual {residual:.1e})"
        return Answer(low_rank, {"rank": data.rank}, limit)

    return run


def tensorly_robust_pca(data: Matrix) -> Run:
    """Robust tensor PCA: for a matrix both unfoldings count, ‖X‖_* + ‖Xᵀ‖_* + reg_E·‖S‖_1, so reg_E is twice the
    weight of PCP. Its default of 100 steps is too few for any of these matrices; 500 let it end by its own tolerance.
    """
    from tensorly.decomposition import robust_pca

    max_steps = 500
    missing = np.isnan(data.Y)
    mask = (~missing).astype(data.Y.dtype) if missing.any() else None
    filled = np.where(missing, 0, data.Y)

    def run() -> Answer:
        low_rank, _, errors = robust_pca(
            filled,
            mask=mask,
            reg_E=2 / np.sqrt(max(filled.shape)),
            n_iter_max=max_steps,
            return_errors=True,
            verbose=0,
        )
        # It says nothing about how it ended.
        limit = "" if len(errors) < max_steps else f"{max_steps} steps were not enough (residual {errors[-1]:.1e})"
        return Answer(low_rank, {"rank": lambda: numerical_rank(low_rank)}, limit)

    return run


def cvxpy_scs(data: Matrix) -> Run:
    """PCP as a semidefinite program, modelled by CVXPY, solved by SCS with its defaults."""
    import cvxpy as cp

    observed = ~np.isnan(data.Y)
    filled = np.where(observed, data.Y, 0)

    def run() -> Answer:
        X = cp.Variable(data.Y.shape)
        weight = 1 / np.sqrt(max(data.Y.shape))
        misfit = cp.sum(cp.abs(cp.multiply(observed.astype(float), filled - X)))
        problem = cp.Problem(cp.Minimize(cp.normNuc(X) + weight * misfit))
        problem.solve(solver=cp.SCS)
        limit = "" if problem.status == cp.OPTIMAL else f"SCS ended as {problem.status}"
        low_rank = np.asarray(X.value)
        return Answer(low_rank, {"rank": lambda: numerical_rank(low_rank)}, limit)

    return run


def randomized_svd(data: Matrix) -> Run:
    """What ordinary PCA costs. It is not robust."""
    from sklearn.utils.extmath import randomized_svd as decompose

    def run() -> Answer:
        U, sigma, Vt = decompose(data.Y, n_components=data.rank, random_state=0)
        return Answer((U * sigma) @ Vt, {"rank": data.rank})

    return run


def accaltproj_rows(data: NewRows) -> Run:
    """Fitted beforehand by accelerated alternating projections; new rows are projected as they are."""
    from rpca import RobustPCA

    model = RobustPCA(n_components=data.rank, tol=1e-8, gamma=0.5, verbose=False)
    model.fit(np.vstack([data.training, -data.training]))

    def run() -> Answer:
        return Answer((model.transform(data.Y), model.components_, model.mean_), {"rank": data.rank})

    return run


def pca_rows(data: NewRows) -> Run:
    """What ordinary PCA costs. It is not robust, neither in what it is fitted to nor in new rows."""
    from sklearn.decomposition import PCA

    model = PCA(data.rank, random_state=0).fit(data.training)

    def run() -> Answer:
        return Answer((model.transform(data.Y), model.components_, model.mean_), {"rank": data.rank})

    return run


def numerical_rank(matrix: NDArray[Any]) -> int:
    """Singular values above a millionth of the largest."""
    sigma = np.linalg.svd(matrix, compute_uv=False)
    return int((sigma > 1e-6 * sigma[0]).sum()) if sigma.size and sigma[0] > 0 else 0
