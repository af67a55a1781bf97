"""Who solves them: twofold, the packages of :mod:`twofold.benchmarks.matrix.peers`, and two that are told what nobody
knows. Each prepares (imports, converts its input) and returns the run that is timed.

What a solver has to be told stands in its name. How large a problem each is given keeps the whole benchmark to two or
three hours on two cores, half of them for the phase transition.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Answer, Case, Solver
from twofold.benchmarks.matrix.objective import Matrix, NewRows
from twofold.benchmarks.matrix.peers import (
    Run,
    accaltproj,
    accaltproj_rows,
    cvxpy_scs,
    numerical_rank,
    pca_rows,
    pyrpca,
    randomized_svd,
    tensorly_robust_pca,
)

VERIFIED_UP_TO = 2000
"""Longest shorter side for which a gap is also recomputed from scratch, by two full singular value decompositions."""

ORACLE_STEPS = 15
"""Alternations of the oracle; the error stands still after a dozen."""

STABLE_STEPS = 1000
"""The most steps of stable PCP."""

STABLE_TOL = 1e-7
"""Relative change of X in a step at which stable PCP ends."""


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


def stable_pcp(data: Matrix) -> Run:
    """min ‖X‖_* + ‖S‖_1/sqrt(n) + ‖Y − X − S‖²_F/(2μ) with μ = σ·sqrt(2n) for dense noise σ (Zhou, Li, Wright,
    Candès, Ma 2010), by the accelerated proximal gradient method; μ falls to its value from ‖Y‖.
    """
    n = max(data.Y.shape)
    weight, smallest = 1 / np.sqrt(n), data.noise * np.sqrt(2 * n)
    filled = np.where(np.isnan(data.Y), 0, data.Y)
    observed = ~np.isnan(data.Y)

    def run() -> Answer:
        X = before = np.zeros_like(filled)
        mu, t, t_before = float(np.linalg.norm(filled, 2)), 1.0, 1.0
        for _ in range(STABLE_STEPS):
            Z = X + (t_before - 1) / t * (X - before)
            # Minimized over S, the misfit is Huber's function; this is μ times its descent direction.
            Z += np.clip(observed * (filled - Z), -mu * weight, mu * weight)
            before, X = X, _shrink_singular_values(Z, mu)
            t_before, t = t, (1 + np.sqrt(1 + 4 * t * t)) / 2
            if mu == smallest and np.linalg.norm(X - before) <= STABLE_TOL * np.linalg.norm(X):
                return Answer(X, {"rank": partial(numerical_rank, X)})
            mu = max(0.9 * mu, smallest)
        return Answer(X, {}, f"{STABLE_STEPS} steps were not enough")

    return run


def _shrink_singular_values(Z: NDArray[Any], mu: float) -> NDArray[Any]:
    """The proximal map of μ‖·‖_*; singular values above μ are all it needs, which ZᵀZ tells well enough."""
    squared, V = np.linalg.eigh(Z.T @ Z)
    V = V[:, squared > mu * mu]
    sigma = np.sqrt(squared[squared > mu * mu])
    return np.asarray(((Z @ V) * (1 - mu / sigma)) @ V.T)


def twofold_rows(data: NewRows) -> Run:
    """RobustPCA fitted beforehand; told nothing."""
    from twofold.estimators import RobustPCA

    model = RobustPCA(certify=False).fit(data.training)

    def run() -> Answer:
        scores = model.transform(data.Y)
        return Answer((scores, model.components_, 0.0), {"rank": model.n_components_})

    return run


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
    Solver("stable PCP, told the noise level", stable_pcp),
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
