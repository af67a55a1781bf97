"""General measurements: y = A(X) + s with Gaussian, random-subset, Fourier and quadratic A, beside a convex solver.

X = UVᵀ with N(0, 1) factors (UUᵀ for quadratic measurements); outliers uniform up to twice the mean magnitude of A(X)
on a share p of the measurements; seed 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Answer, Case, Choice, Facts, Solver
from twofold.benchmarks.matrix.objective import TARGET, judged
from twofold.benchmarks.matrix.peers import Run
from twofold.metrics import relative_error

LARGEST_DENSE = 10_000_000
"""The most entries of A as a dense matrix that the convex solver is given."""


@dataclass(frozen=True)
class Measurements:
    """Measurements of a matrix.

    Attributes
    ----------
    y : ndarray of shape (m,)
    operator : object
        As :func:`twofold.recover_low_rank` takes it.
    dense : ndarray of shape (m, n1·n2), optional
        The operator as a matrix, for those who take nothing else.
    X : ndarray of shape (n1, n2)
        The truth.
    symmetric : bool
        X is positive semidefinite; everybody is told.
    """

    y: NDArray[Any]
    operator: Any
    dense: NDArray[Any] | None
    X: NDArray[Any]
    symmetric: bool


def cases(choice: Choice) -> Iterator[Case]:
    """The cases of the group "sensing"."""
    if choice.quick:
        yield _case("Gaussian", 12, 1, 150, 0.1)
        yield _case("quadratic", 10, 1, 150, 0.1)
        return
    yield _case("Gaussian", 50, 2, 1500, 0.1)  # the one that is quoted
    yield _case("Gaussian", 30, 1, 600, 0.1)
    yield _case("Gaussian", 30, 1, 600, 0.3)
    yield _case("quadratic", 40, 2, 1000, 0.1)
    yield _case("random subset", 40, 1, 900, 0.1)
    yield _case("random subset", 500, 5, 75_000, 0.1)
    yield _case("Fourier", 100, 3, 6000, 0.1)


def _case(kind: str, n: int, rank: int, m: int, outliers: float) -> Case:
    settings = {"kind": kind, "n": n, "rank": rank, "measurements": m, "outliers": outliers, "seed": 0}
    name = f"{kind} n={n} r={rank} m={m} p={outliers}"
    return Case("sensing", name, settings, partial(_make, settings), SENSING_SOLVERS, judge_measurements)


def _make(settings: dict[str, Any]) -> Measurements:
    import torch

    from twofold.operators import LinearMap

    kind, n, rank, m = (settings[name] for name in ("kind", "n", "rank", "measurements"))
    rng = np.random.default_rng(settings["seed"])
    left, right = rng.standard_normal((n, rank)), rng.standard_normal((rank, n))
    X = left @ (left.T if kind == "quadratic" else right)
    operator: Any
    dense = None
    if kind == "Gaussian":
        operator = dense = rng.standard_normal((m, n * n))
        y = dense @ X.reshape(-1)
    elif kind == "quadratic":
        vectors = rng.standard_normal((m, n))
        operator = LinearMap.quadratic(torch.from_numpy(vectors))
        dense = (vectors[:, :, None] * vectors[:, None, :]).reshape(m, n * n)
        y = dense @ X.reshape(-1)
    else:
        kept = np.zeros((n, n), dtype=bool)
        if kind == "Fourier":
            row, column = np.indices(kept.shape)
            # Half a plane: of all others each is the conjugate of one in it.
            half = (column <= n // 2) & ((column % (n // 2) > 0) | (row <= n // 2))
            kept.reshape(-1)[rng.choice(np.flatnonzero(half), m // 2, replace=False)] = True
            operator = LinearMap.fourier(torch.from_numpy(kept))
        else:
            kept.reshape(-1)[rng.choice(n * n, m, replace=False)] = True
            operator = LinearMap.entries(torch.from_numpy(kept))
            if m * n * n <= LARGEST_DENSE:
                dense = np.eye(n * n)[kept.reshape(-1)]
        y = operator.forward(torch.from_numpy(X)).numpy()
    struck = rng.choice(len(y), round(settings["outliers"] * len(y)), replace=False)
    limit = 2 * float(np.abs(y).mean())
    y[struck] += rng.uniform(-limit, limit, struck.size)
    return Measurements(y, operator, dense, X, kind == "quadratic")


def judge_measurements(data: Measurements, answer: Answer) -> tuple[Facts, str]:
    """‖X̂ − X‖ / ‖X‖ against the target."""
    return judged(relative_error(data.X, answer.value), TARGET)


def twofold_sensing(data: Measurements, *, certify: bool) -> Run:
    """twofold: told nothing but the operator."""
    from twofold.matrix.sensing.recover import recover_low_rank

    shape = (data.X.shape[0], data.X.shape[1])

    def run() -> Answer:
        solution = recover_low_rank(data.y, data.operator, shape, symmetric=data.symmetric, certify=certify)
        facts = {"rank": solution.rank, "status": solution.status.code, "outliers": lambda: solution.outlier_fraction}
        certificate = solution.certificate
        if certificate is not None:
            facts["gap"] = certificate.gap
            facts["verified gap"] = lambda: certificate.verify(data.y)
        return Answer(solution.low_rank, facts, "" if solution.status.success else str(solution.status))

    return run


def scs_sensing(data: Measurements) -> Run:
    """The same convex program as a semidefinite one, modelled by CVXPY, solved by SCS with its defaults; told
    twofold's alpha.
    """
    import cvxpy as cp

    from twofold.matrix.sensing.recover import recover_low_rank

    dense = data.dense
    assert dense is not None
    n1, n2 = data.X.shape
    found = recover_low_rank(data.y, data.operator, (n1, n2), symmetric=data.symmetric, certify=False)
    alpha = found.settings["alpha"]

    def run() -> Answer:
        X = cp.Variable((n1, n2), PSD=True) if data.symmetric else cp.Variable((n1, n2))
        size = cp.trace(X) if data.symmetric else cp.normNuc(X)
        misfit = cp.norm1(data.y - dense @ cp.vec(X, order="C"))
        problem = cp.Problem(cp.Minimize(size + misfit / alpha))
        problem.solve(solver=cp.SCS)
        limit = "" if problem.status == cp.OPTIMAL else f"SCS ended as {problem.status}"
        return Answer(np.asarray(X.value), {}, limit)

    return run


def _refuses_dense(case: Case) -> str:
    settings = case.settings
    if settings["measurements"] * settings["n"] ** 2 > LARGEST_DENSE:
        return f"its matrix would have more than {LARGEST_DENSE} entries"
    return ""


SENSING_SOLVERS = (
    Solver("twofold, with certificate", partial(twofold_sensing, certify=True)),
    Solver("twofold, certify=False", partial(twofold_sensing, certify=False)),
    Solver("convex program by SCS (cvxpy), told alpha", scs_sensing, _refuses_dense, needs="cvxpy"),
)
