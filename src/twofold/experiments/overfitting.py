"""Robust losses overfit when the model is over-parameterized; double over-parameterization does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.dynamics import follow, rounded
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N, RANK, MEASUREMENTS, OUTLIERS = 50, 2, 600, 0.1
LOSSES = ("l2", "l1", "Huber")
EXACT, OVER, DOUBLE, ACTS = "exact rank", "over-parameterized", "double over-parameterization", "three acts"
RATE, RATE_DOUBLE = 0.1, 0.05
HALVINGS = 12  # of the l1 loss's rate: a subgradient method converges with a geometric one alone
DELTA = 0.01  # turning point of the Huber loss, a tenth of a typical outlier
START, START_DOUBLE = 1e-3, 1e-6  # the limit is the convex program's for small starts only


def cells(choice: Choice) -> list[Cell]:
    """Every loss with the exact rank and over-parameterized, and the two ways of twofold."""
    steps = 20_000 if choice.quick else 200_000
    methods = [f"{loss}, {model}" for model in (EXACT, OVER) for loss in LOSSES] + [DOUBLE, ACTS]
    base = {"n": N, "rank": RANK, "measurements": MEASUREMENTS, "outliers": OUTLIERS, "seed": 0}
    # Losses have said what they have to say after 20,000 steps; the descent's error goes on falling.
    settings: list[dict[str, Any]] = [
        {**base, "method": m, "steps": steps if m == DOUBLE else 20_000} for m in methods
    ]
    return [Cell("overfitting", s["method"], s, compute) for s in settings]


def instance(settings: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """(problem, X, A): X positive semidefinite of norm 1, A_i symmetric Gaussian, a share of y grossly wrong."""
    import torch

    from twofold.operators import LinearMap
    from twofold.problem import Problem

    n, m = settings["n"], settings["measurements"]
    rng = np.random.default_rng(settings["seed"])
    U = rng.standard_normal((n, settings["rank"]))
    X = U @ U.T / np.linalg.norm(U, 2) ** 2
    A = rng.standard_normal((m, n, n))
    A = ((A + A.transpose(0, 2, 1)) / 2).reshape(m, n * n) / np.sqrt(m)
    y = A @ X.ravel()
    wrong = rng.choice(m, round(settings["outliers"] * m), replace=False)
    y[wrong] += 10 * np.abs(y).mean() * rng.standard_normal(len(wrong))
    operator = LinearMap.from_matrix(torch.from_numpy(A), (n, n))
    return Problem(torch.from_numpy(y), None, operator), torch.from_numpy(X), A


def compute(settings: Mapping[str, Any]) -> Facts:
    """Error of X and mean magnitude of the residual along the descent."""
    import torch

    from twofold.matrix.sensing.scales import alpha_of_pull, sign_pull
    from twofold.models.factored import SymmetricFactors
    from twofold.outliers import HadamardOutliers, NoOutliers

    problem, X, A = instance(settings)
    method, n, n_steps = settings["method"], settings["n"], settings["steps"]
    if method == ACTS:
        return _three_acts(problem, X, A)
    generator = torch.Generator().manual_seed(settings["seed"])
    scale = START_DOUBLE if method == DOUBLE else START
    start = scale * torch.randn(n, n, generator=generator, dtype=torch.float64) / np.sqrt(n)
    outliers: Any = NoOutliers(problem.values)
    alpha, rate, influence = 0.0, RATE, None
    if method == DOUBLE:
        alpha = alpha_of_pull(sign_pull(problem.operator, problem.values, generator), (n, n))
        outliers = HadamardOutliers(problem.values.shape, start_scale=scale, dtype=torch.float64)
        rate = RATE_DOUBLE
    else:
        loss, model = method.split(", ")
        if model == EXACT:
            start = start[:, : settings["rank"]]
        influence = {
            "l2": None, "l1": lambda r: torch.sign(r) / np.sqrt(len(r)), "Huber": lambda r: r.clamp(-DELTA, DELTA),
        }[loss]  # fmt: skip
    signal = SymmetricFactors(start.clone())

    def tau(step: int) -> float:
        return rate * 0.5 ** (HALVINGS * step / n_steps) if method.startswith("l1") else rate

    def look(residual: Any) -> dict[str, float]:
        error = torch.linalg.vector_norm(signal.value() - X) / torch.linalg.vector_norm(X)
        return {"error": float(error), "loss": float(residual.abs().mean())}

    curve = follow(
        problem, signal, outliers, tau=tau, alpha=alpha, n_steps=n_steps, look=look, influence=influence
    )  # fmt: skip
    values = {name: rounded(value) for name, value in curve.values.items()}
    return {"steps": curve.steps, **values, "stop": curve.stop, "alpha": alpha}


def _three_acts(problem: Any, X: Any, A: Any) -> Facts:
    from twofold.matrix.sensing.recover import recover_low_rank
    from twofold.metrics import relative_error

    solution = recover_low_rank(problem.values.numpy(), A, tuple(X.shape), symmetric=True)
    error = float(f"{relative_error(X.numpy(), np.asarray(solution.low_rank)):.3g}")
    return {"steps": [solution.n_iter], "error": [error], "status": solution.status.code, "rank": solution.rank}


def checks(records: Sequence[Record]) -> list[Check]:
    """The talk's table, and what double over-parameterization makes of it."""
    facts = {record["name"]: record["facts"] for record in records}
    found = []
    error = facts[f"l1, {EXACT}"]["error"][-1]
    found.append(Check("the l1 loss with the exact rank recovers: error ≤ 1e-3", f"{error:.1e}", error <= 1e-3))
    error = facts[f"l2, {EXACT}"]["error"][-1]
    found.append(Check("the l2 loss does not even with the exact rank: error ≥ 0.1", f"{error:.2g}", error >= 0.1))
    for loss in ("l1", "Huber"):
        errors = facts[f"{loss}, {OVER}"]["error"]
        best, last = min(errors), errors[-1]
        words = f"{best:.1e} at its best, {last:.2g} at the end"
        expected = f"the over-parameterized {loss} loss overfits: its error grows tenfold from its best, to 1 or more"
        found.append(Check(expected, words, last >= max(10 * best, 1)))
    errors = facts[DOUBLE]["error"]
    best, last = min(errors), errors[-1]
    found.append(
        Check(
            "double over-parameterization does not: its last error is its best, and at most 1e-2",
            f"{best:.1e} at its best, {last:.1e} at the end",
            last <= 1.001 * best and last <= 1e-2,
        )
    )
    acts = facts[ACTS]
    words = f"{acts['error'][0]:.1e} after {acts['steps'][0]} steps, rank {acts['rank']}, status {acts['status']}"
    found.append(
        Check(
            "identified and polished: error ≤ 1e-6, rank found",
            words,
            acts["error"][0] <= 1e-6 and acts["rank"] == RANK,
        )
    )
    return found


def remarks(records: Sequence[Record]) -> list[str]:
    """How slowly the published descent converges."""
    facts = {record["name"]: record["facts"] for record in records}[DOUBLE]
    steps, errors = facts["steps"], facts["error"]
    tenth = int(np.searchsorted(steps, steps[-1] / 10))
    slope = np.log(errors[-1] / errors[tenth]) / np.log(steps[-1] / steps[tenth])
    return [
        f"The descent's error falls like the steps to the power {slope:.2f} over its last tenfold of steps: it "
        "identifies quickly and converges slowly, which is why twofold polishes what was identified."
    ]


def figure(records: Sequence[Record], folder: Path) -> Figure:
    """Errors and losses on the same axis of steps."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = made.subplots(1, 2)
    colours = {"l2": "0.5", "l1": "#D55E00", "Huber": "#E69F00"}
    for record in records:
        name, facts = record["name"], record["facts"]
        if name == ACTS:
            left.plot(
                facts["steps"], facts["error"], "*", color="#009E73", markersize=12, label="twofold, three acts"
            )
            continue
        loss = name.split(", ")[0]
        style = {"color": "#0072B2"} if name == DOUBLE else {"color": colours[loss]}
        style["linestyle"] = "--" if name.endswith(EXACT) else "-"
        left.loglog(facts["steps"][1:], facts["error"][1:], label=name, **style)
        right.loglog(facts["steps"][1:], facts["loss"][1:], **style)
    left.set_ylabel("relative error of X")
    right.set_ylabel("mean magnitude of the residual")
    for axes in (left, right):
        axes.set_xlabel("steps")
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
    made.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return made


EXPERIMENT = Experiment(
    name="overfitting",
    title="Robust losses overfit, double over-parameterization does not",
    claim="With outliers, gradient descent on a robust loss finds a low-rank matrix if the factors have its exact "
    "rank, and fits the outliers if they are over-parameterized. With the outliers over-parameterized as well, and "
    "discrepant learning rates, it finds the matrix all the same, rank not told.",
    setup=f"y = A(X) + s: {MEASUREMENTS} symmetric Gaussian measurements of a positive semidefinite {N}×{N} matrix "
    f"of rank {RANK}, {OUTLIERS:.0%} of them wrong by ten times their mean magnitude. X = UUᵀ with {RANK} or {N} "
    "columns, from a small random start; alpha by twofold's rule for measurements. The l1 loss gets a falling "
    "learning rate, which its convergence asks for; it overfits with a constant one as well.",
    cells=cells,
    checks=checks,
    figures={"curves": Drawn(figure, "Error of the recovered matrix (left) and the residual that each method sees "
                                     "(right) against steps. Robust losses with too many parameters (solid) pass the "
                                     "truth on their way to fitting the outliers.")},
    remarks=remarks,
)  # fmt: skip
