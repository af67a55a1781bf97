"""Who splits them. Each prepares (imports, converts its input) and returns the run that is timed.

Peers are used as their documentation says; what each has to be told stands in its name. How large a problem each is
given keeps the whole benchmark to two or three hours on two cores, half of them for the phase transition.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Answer, Case, Solver
from twofold.benchmarks.matrix.objective import Matrix, NewRows

Run = Callable[[], Answer]

VERIFIED_UP_TO = 2000
"""Longest shorter side for which a gap is also recomputed from scratch, by two full singular value decompositions."""

ORACLE_STEPS = 15
"""Alternations of the oracle; the error stands still after a dozen."""


@dataclass(frozen=True)
class Limits:
    """Why a solver does not take a case; "" if it does.

    Attributes
    ----------
    largest : mapping
        Group → side of the largest square that it is given there; "" for all other groups.
    takes_missing : bool
    series : int
        As ``largest``, for the series of the time figure.
    """

    largest: Mapping[str, int]
    takes_missing: bool = False
    series: int = 0

    def __call__(self, case: Case) -> str:
        if case.settings.get("missing") and not self.takes_missing:
            return "takes no missing entries"
        largest = self.largest.get(case.group, self.largest.get("", 0))
        if in_time_series(case.settings):
            largest = max(largest, self.series)
        if largest == 0:
            return "not asked in this group, to save time"
        if case.settings["m"] * case.settings["n"] > largest**2:
            return f"more entries than {largest}×{largest}, its limit here, to save time"
        return ""


def in_time_series(settings: Mapping[str, Any]) -> bool:
    """Whether a case belongs to the series of the time figure: square, float64, r = n/100, p = 0.1, no more."""
    plain = not any(settings.get(name) for name in ("missing", "noise", "condition"))
    shape = (settings.get("m"), settings.get("n"))
    if not plain or shape[0] != shape[1] or settings.get("dtype") != "float64":
        return False
    return bool(settings["rank"] == settings["n"] // 100 and settings["outliers"] == 0.1)


def twofold_robust_pca(data: Matrix, *, certify: bool, told: bool = False) -> Run:
    """twofold: told nothing, or the rank."""
    from twofold.matrix.recover import robust_pca

    def run() -> Answer:
        solution = robust_pca(data.Y, n_components=data.rank if told else None, certify=certify)
        facts = {"rank": solution.rank, "status": solution.status.code, "outliers": lambda: solution.outlier_fraction}
        certificate = solution.certificate
        if certificate is not None:
            facts["gap"] = certificate.gap
            if min(data.Y.shape) <= VERIFIED_UP_TO:
                facts["verified gap"] = lambda: certificate.verify(data.Y)
        return Answer(solution.low_rank, facts, "" if solution.status.success else str(solution.status))

    return run


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


def oracle(data: Matrix) -> Run:
    """min ‖P(Y − U·Vᵀ)‖ over the entries without outliers, at the true rank, by alternating least squares from the
    true row space: what anyone could reach who knew everything but the values.
    """

    def run() -> Answer:
        assert data.X is not None
        assert data.struck is not None
        seen = ~(data.struck | np.isnan(data.Y))
        values = np.where(seen, data.Y, 0).astype(np.float64)
        V = np.linalg.svd(data.X.astype(np.float64), full_matrices=False)[2][: data.rank].T
        for _ in range(ORACLE_STEPS):
            U = np.linalg.qr(_least_squares(values, seen, V))[0]
            V = _least_squares(values.T, seen.T, U)
        return Answer(U @ V.T, {"rank": data.rank})

    return run


def _least_squares(values: NDArray[Any], seen: NDArray[np.bool_], V: NDArray[Any]) -> NDArray[Any]:
    """For each row y of (m, n) ``values``: argmin_u Σ_j seen_j·(y_j − u·V_j)²; shape (m, r)."""
    n, r = V.shape
    outer = (V[:, :, None] * V[:, None, :]).reshape(n, r * r)
    normal = (seen.astype(np.float64) @ outer).reshape(-1, r, r)
    return np.linalg.solve(normal, (values @ V)[:, :, None])[:, :, 0]


def twofold_rows(data: NewRows) -> Run:
    """RobustPCA fitted beforehand; told nothing."""
    from twofold.estimators import RobustPCA

    model = RobustPCA(certify=False).fit(data.training)

    def run() -> Answer:
        scores = model.transform(data.Y)
        return Answer((scores, model.components_, 0.0), {"rank": model.n_components_})

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


_ANY_SIZE = 10**6

_CERTIFIED = Solver("twofold, with certificate", partial(twofold_robust_pca, certify=True))
_UNCERTIFIED = Solver("twofold, certify=False", partial(twofold_robust_pca, certify=False))
_PYRPCA = Solver(
    "pyrpca, rho=1.5 (its default)",
    partial(pyrpca, rho=1.5),
    Limits({"headline": 2000, "video": 2100, "hard": 1600, "": 1000}, series=2000),
    needs="pyrpca",
)
_ACCALTPROJ_STACKED = Solver(
    "AccAltProj (rpca) on [Y; −Y], told the rank", partial(accaltproj, stacked=True), Limits({"": 5000}), needs="rpca"
)
_RANDOMIZED_SVD = Solver(
    "randomized_svd (scikit-learn), told the rank, not robust", randomized_svd, Limits({"": _ANY_SIZE})
)

MATRIX_SOLVERS = (
    _CERTIFIED,
    _UNCERTIFIED,
    _PYRPCA,
    Solver("pyrpca, rho=1.2", partial(pyrpca, rho=1.2), Limits({"headline": 1000}), needs="pyrpca"),
    Solver(
        "AccAltProj (rpca), told the rank",
        partial(accaltproj, stacked=False),
        Limits({"headline": 5000}),
        needs="rpca",
    ),
    _ACCALTPROJ_STACKED,
    Solver(
        "robust_pca (tensorly), reg_E=2/√n, 500 steps",
        tensorly_robust_pca,
        Limits({"headline": 1000, "missing": 500}, takes_missing=True, series=500),
        needs="tensorly",
    ),
    Solver("PCP by SCS (cvxpy)", cvxpy_scs, Limits({"": 100}, takes_missing=True), needs="cvxpy"),
    _RANDOMIZED_SVD,
)

NOISE_SOLVERS = (
    _CERTIFIED,
    _UNCERTIFIED,
    _PYRPCA,
    _ACCALTPROJ_STACKED,
    _RANDOMIZED_SVD,
    Solver("oracle least squares, told rank and support", oracle),
)

VIDEO_SOLVERS = (
    _UNCERTIFIED,
    # What the command `twofold video` does: a camera at rest.
    Solver("twofold, certify=False, told the rank", partial(twofold_robust_pca, certify=False, told=True)),
    _PYRPCA,
    _ACCALTPROJ_STACKED,
    _RANDOMIZED_SVD,
)

ROW_SOLVERS = (
    Solver("twofold RobustPCA.transform", twofold_rows),
    Solver("AccAltProj (rpca).transform, told the rank, not robust in new rows", accaltproj_rows, needs="rpca"),
    Solver("PCA.transform (scikit-learn), told the rank, not robust", pca_rows),
)
