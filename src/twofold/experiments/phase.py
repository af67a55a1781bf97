"""Phase transitions: up to which rank, how many outliers and from how many measurements a matrix is recovered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.dynamics import attempts, follow
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment
from twofold.experiments.program import convex_solution
from twofold.experiments.published import START, descended, instance, pursued

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

ACTS, PROGRAM, DESCENT = "twofold, three acts", "convex program (PCP)", "published descent"
FORMS = {"UVᵀ": False, "UUᵀ": True}
"""Of X in the published descent, and whether X is positive semidefinite, as in the theorem."""

EXACT, TWICE, LARGE = "l1, exact rank", "l1, twice the rank", "l1, twice the rank, large steps"
METHODS = {
    "outliers": (ACTS, PROGRAM, EXACT, TWICE, LARGE), "descent": (PROGRAM, DESCENT), "again": (DESCENT,),
    "measurements": (ACTS, PROGRAM),
}  # fmt: skip
"""By kind of cell."""

TARGET = 1e-3
RATES = {EXACT: 1.0, TWICE: 1.0, LARGE: 3.0}
"""First learning rate of the l1 loss, for data of norm 1."""

HALVINGS, L1_STEPS, DESCENT_STEPS = 14, 1500, 20_000
WRONG = 0.1
"""Share of the measurements that are wrong."""

AGAIN, VARIATIONS = 0.2, ((1e-6, 1), (1e-9, 1), (1e-30, 1), (START, 5))
"""Share of outliers at which the published descent is tried again, with other starts and so many times the steps."""


def cells(choice: Choice) -> list[Cell]:
    """A square of ranks and shares of outliers, and one of ranks and numbers of measurements."""
    n, trials = (40, 2) if choice.quick else (100, 5)
    ranks = (1, 2, 4, 6, 8, 12, 16) if choice.quick else tuple(range(2, 51, 4))
    shares = (0.05, 0.1, 0.2, 0.3, 0.4) if choice.quick else tuple(np.arange(0.05, 0.51, 0.05).round(2).tolist())
    made = []
    for rank in ranks:
        for share in shares:
            settings = {"kind": "outliers", "n": n, "rank": rank, "outliers": share, "trials": trials}
            made.append(Cell("phase", f"n={n} r={rank} p={share:g}", settings, compute))
    # A descent takes long: fewer cells and trials, which reach to where its program ends.
    base = {"n": n, "trials": 2 if choice.quick else 3, "start": START, "steps": DESCENT_STEPS}
    for form in FORMS:
        for rank in (1, 2, 4, 6) if choice.quick else range(2, 27, 4):
            for share in (0.05, 0.1, 0.2, 0.3) if choice.quick else np.arange(0.05, 0.36, 0.05).round(2).tolist():
                settings = {"kind": "descent", "form": form, "rank": rank, "outliers": share, **base}
                made.append(Cell("phase", f"X = {form}, n={n} r={rank} p={share:g}", settings, compute))
        for start, times in VARIATIONS:
            steps = times * DESCENT_STEPS
            settings = {
                "kind": "again", "form": form, "rank": ranks[0], "outliers": AGAIN, **base, "start": start,
                "steps": steps,
            }  # fmt: skip
            name = f"X = {form}, n={n} r={ranks[0]} p={AGAIN:g}, start {start:g}, {steps} steps"
            made.append(Cell("phase", name, settings, compute))
    n = 20 if choice.quick else 40
    for rank in (1, 2, 3) if choice.quick else (1, 2, 3, 4, 6, 8):
        for times in (2, 3, 4, 5, 6, 8, 10):
            settings = {"kind": "measurements", "n": n, "rank": rank, "m": times * n * rank, "trials": trials}
            made.append(Cell("phase", f"n={n} r={rank} m={times}nr", settings, compute))
    return made


def compute(settings: Mapping[str, Any]) -> Facts:
    """Method → in how many trials the relative error is at most TARGET, and the largest of its errors."""
    from twofold.metrics import relative_error

    kind = settings["kind"]
    solving = {"outliers": _entries, "descent": _published, "again": _published, "measurements": _sensing}[kind]
    errors: dict[str, list[float]] = {method: [] for method in METHODS[kind]}
    for trial in range(settings["trials"]):
        truth, solvers = solving(settings, trial)
        for method, found in errors.items():
            found.append(float(relative_error(truth, solvers[method]())))
    return {
        "recovered": {method: sum(error <= TARGET for error in found) for method, found in errors.items()},
        "worst": {method: float(f"{max(found):.3g}") for method, found in errors.items()},
    }


def _instance(settings: Mapping[str, Any], trial: int, symmetric: bool) -> tuple[Array, Array]:
    n, rank, share = settings["n"], settings["rank"], settings["outliers"]
    return instance(n, rank, share, symmetric=symmetric, seed=[n, rank, round(1000 * share), trial])


def _entries(settings: Mapping[str, Any], trial: int) -> tuple[Array, dict[str, Any]]:
    from twofold.matrix.recover import robust_pca

    Y, X = _instance(settings, trial, symmetric=False)
    n, rank = settings["n"], settings["rank"]
    return X, {
        ACTS: lambda: np.asarray(robust_pca(Y, certify=False).low_rank),
        PROGRAM: lambda: pursued(Y, symmetric=False),
        EXACT: lambda: l1(Y, rank, RATES[EXACT]),
        TWICE: lambda: l1(Y, min(2 * rank, n), RATES[TWICE]),
        LARGE: lambda: l1(Y, min(2 * rank, n), RATES[LARGE]),
    }


def _published(settings: Mapping[str, Any], trial: int) -> tuple[Array, dict[str, Any]]:
    symmetric = FORMS[settings["form"]]
    Y, X = _instance(settings, trial, symmetric)
    return X, {
        PROGRAM: lambda: pursued(Y, symmetric=symmetric),
        DESCENT: lambda: descended(Y, symmetric=symmetric, start=settings["start"], steps=settings["steps"]),
    }


def l1(Y: Array, n_columns: int, rate: float) -> Array:
    """UVᵀ with so many columns by the subgradient method on ‖Y − UVᵀ‖_1, at a geometrically falling rate."""
    import torch

    from twofold.models.factored import AsymmetricFactors
    from twofold.outliers import NoOutliers
    from twofold.problem import Problem

    norm, n = float(np.linalg.norm(Y, 2)), len(Y)
    generator = torch.Generator().manual_seed(0)
    U, V = (1e-2 * torch.randn(n, n_columns, generator=generator, dtype=torch.float64) / math.sqrt(n) for _ in "UV")
    problem, signal = Problem(torch.from_numpy(Y / norm)), AsymmetricFactors(U, V)
    follow(
        problem, signal, NoOutliers(problem.values), tau=lambda step: rate * 0.5 ** (HALVINGS * step / L1_STEPS),
        alpha=0.0, n_steps=L1_STEPS, look=lambda residual: {}, influence=lambda r: torch.sign(r) / n,
    )  # fmt: skip
    found: Array = norm * signal.value().numpy()
    return found


def _sensing(settings: Mapping[str, Any], trial: int) -> tuple[Array, dict[str, Any]]:
    from twofold.matrix.sensing.recover import recover_low_rank

    n, rank, m = settings["n"], settings["rank"], settings["m"]
    rng = np.random.default_rng([n, rank, m, trial])
    X = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, n))
    A = rng.standard_normal((m, n * n))
    y = A @ X.ravel()
    wrong = rng.choice(m, round(WRONG * m), replace=False)
    y[wrong] += 10 * np.abs(y).mean() * rng.standard_normal(len(wrong))

    return X, {
        ACTS: lambda: np.asarray(recover_low_rank(y, A, (n, n), certify=False).low_rank),
        PROGRAM: lambda: convex_solution(A, y, n, tol=1e-7, max_iter=3000)[0],
    }


def of_kind(records: Sequence[Record], kind: str, form: str | None = None) -> list[Record]:
    """Cells of a kind, and of a form of X."""
    return [r for r in records if r["settings"]["kind"] == kind and r["settings"].get("form") == form]


def shares(records: Sequence[Record]) -> dict[str, float]:
    """Method → mean share of the trials that it recovers."""
    methods = METHODS[records[0]["settings"]["kind"]]
    return {
        m: float(np.mean([r["facts"]["recovered"][m] / r["settings"]["trials"] for r in records])) for m in methods
    }


def checks(records: Sequence[Record]) -> list[Check]:
    """Who recovers more than whom, and whether anything is lost."""
    outliers, sensed = of_kind(records, "outliers"), of_kind(records, "measurements")
    share = shares(outliers)
    found = [
        Check(
            "twofold recovers at least what the convex program does, cell by cell, and more in all",
            f"{share[ACTS]:.0%} of the trials beside {share[PROGRAM]:.0%}; {_lost(outliers)}",
            share[ACTS] > share[PROGRAM] and not _cells_lost(outliers),
        ),
        Check(
            "the l1 loss told the exact rank recovers, told twice the rank it does not",
            f"{share[EXACT]:.0%} and {share[TWICE]:.0%}",
            share[EXACT] > 0.3 and share[TWICE] < 0.05,
        ),
    ]
    for form in FORMS:
        share = shares(of_kind(records, "descent", form))
        found.append(
            Check(
                f"published descent, X = {form}: recovers what its convex program does, within a tenth of the square",
                f"{share[DESCENT]:.0%} of the trials beside {share[PROGRAM]:.0%}",
                share[DESCENT] >= share[PROGRAM] - 0.1,
            )
        )
    share = shares(sensed)
    found.append(
        Check(
            "from Gaussian measurements twofold needs no more of them than the convex program, cell by cell",
            f"{share[ACTS]:.0%} of the trials beside {share[PROGRAM]:.0%}; {_lost(sensed)}",
            not _cells_lost(sensed),
        )
    )
    return found


def _cells_lost(records: Sequence[Record]) -> list[str]:
    return [r["name"] for r in records if r["facts"]["recovered"][ACTS] < r["facts"]["recovered"][PROGRAM]]


def _lost(records: Sequence[Record]) -> str:
    lost = _cells_lost(records)
    return "no cell lost" if not lost else "lost: " + "; ".join(lost)


def remarks(records: Sequence[Record]) -> list[str]:
    """How near the published descent comes, and what large steps do to the l1 loss."""
    said = []
    for form in FORMS:
        sure = [
            r
            for r in of_kind(records, "descent", form)
            if r["facts"]["recovered"][PROGRAM] == r["settings"]["trials"]
        ]
        if sure:
            errors = [r["facts"]["worst"][DESCENT] for r in sure]
            said.append(
                f"X = {form}: in the {len(sure)} cells in which the convex program recovers every trial, the errors "
                f"of the published descent are at most {float(np.median(errors)):.1e} in the median cell, "
                f"{max(errors):.1e} in the worst, and 1e-2 or less in {sum(error <= 1e-2 for error in errors)}."
            )
        if again := of_kind(records, "again", form):
            words = attempts(again, lambda r: r["facts"]["worst"][DESCENT])
            said.append(
                f"X = {form}, rank {again[0]['settings']['rank']}, {AGAIN:.0%} outliers: with other starts and more "
                f"steps the published descent has errors of at most: {words}."
            )
    said.append(
        "Single entries are measurements that do not commute, and for such the theorem is silent: smaller starts "
        "need not lead nearer to the program's solution."
    )
    share = shares(of_kind(records, "outliers"))
    said.append(
        f"With three times the first learning rate the l1 loss told twice the rank recovers {share[LARGE]:.0%} of "
        f"the trials ({share[TWICE]:.0%} with the smaller one): its first, noisy steps keep it from fitting "
        "outliers. How large they have to be, nobody tells; the rate ratio alpha needs no such choice."
    )
    return said


def figure(records: Sequence[Record], folder: Path) -> Figure:
    """A square for each method."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(11, 8.2), layout="constrained")
    plots: list[tuple[str, str | None, str]] = [("outliers", None, method) for method in METHODS["outliers"]]
    plots += [("descent", form, method) for form in FORMS for method in METHODS["descent"]]
    plots += [("measurements", None, method) for method in METHODS["measurements"]]
    panels = made.subplots(3, 4)
    for axes in panels.flat[len(plots) :]:
        axes.set_axis_off()
    for axes, (kind, form, method) in zip(panels.flat, plots, strict=False):
        here = of_kind(records, kind, form)
        ranks = sorted({record["settings"]["rank"] for record in here})
        across = [_across(record) for record in here]
        columns = sorted(set(across))
        rate = np.full((len(ranks), len(columns)), np.nan)
        for record, column in zip(here, across, strict=True):
            done = record["facts"]["recovered"][method] / record["settings"]["trials"]
            rate[ranks.index(record["settings"]["rank"]), columns.index(column)] = done
        axes.imshow(rate, origin="lower", cmap="gray", vmin=0, vmax=1, aspect="auto")
        axes.set_xticks(range(len(columns)), [f"{column:g}" for column in columns], fontsize=8)
        axes.set_yticks(range(len(ranks)), [str(rank) for rank in ranks], fontsize=8)
        seen = {"outliers": "", "descent": f", X = {form}", "measurements": ", Gaussian"}[kind]
        axes.set_title(method + seen, fontsize=9)
        axes.set_xlabel("measurements / (n·rank)" if kind == "measurements" else "share of outliers", fontsize=8)
        axes.set_ylabel("rank", fontsize=8)
    return made


def _across(record: Record) -> float:
    settings = record["settings"]
    if settings["kind"] == "measurements":
        return settings["m"] / (settings["n"] * settings["rank"])
    return float(settings["outliers"])


EXPERIMENT = Experiment(
    name="phase",
    title="Phase transitions: how far recovery reaches",
    claim="Double over-parameterization recovers without the rank what the l1 loss recovers with the exact rank.",
    setup="Random n×n matrices with uniform outliers of up to twice the mean magnitude; recovered where the relative "
    f"error is at most {TARGET:g}. The published descent starts at {START:g}, has {DESCENT_STEPS} steps, and stands "
    "beside the program of its form: for X = UUᵀ that is the theorem's, over positive semidefinite X. The l1 loss on "
    "UVᵀ is told the rank or twice the rank, and has a geometrically falling rate. Gaussian measurements: a tenth of "
    "them is wrong.",
    cells=cells,
    checks=checks,
    figures={"squares": Drawn(figure, "White: recovered in every trial; black: in none.")},
    remarks=remarks,
)  # fmt: skip
