"""The phase transition: up to which rank and how many outliers is a matrix recovered?

n × n matrices over a grid of r/n and p in (0, 0.5], several trials a cell; recovered where the relative error of the
low-rank part is at most 1e-3. twofold (acts 1 and 2, told nothing) stands beside principal component pursuit, solved
to a relative duality gap of 1e-7: what any solver of the convex program can do at best; and beside the published
descent alone, which takes so long that it gets every fourth rank and share, and one trial.

Outliers are those of the other groups: uniform up to twice the mean magnitude of X.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Cell, Choice, Facts, Record
from twofold.benchmarks.matrix.objective import TARGET
from twofold.datasets import low_rank_plus_sparse
from twofold.metrics import relative_error

LARGEST = 0.5
"""Of r/n and of p."""

GAP = 1e-7
"""Relative duality gap to which principal component pursuit is solved."""

MAX_STEPS = 5000
"""The most steps for that; a few hundred are enough nearly everywhere."""

MOST = 0.9
"""Success rate from which a cell counts as recovered where cells are named one by one."""

DESCENT_STEPS = 20_000
"""The most steps of the published descent, whose error falls like one over their number."""

DESCENT_TOL = 1e-8
"""It ends earlier where the residual has fallen below the square root of this, relative to the data."""

DESCENT = "plain descent"
METHODS = ("twofold", "PCP", DESCENT)


def cells(choice: Choice) -> list[Cell]:
    """The cells of the grid, coarse grids first: a run that is cut off shows the whole square in fewer points."""
    if "phase" not in choice.groups:
        return []
    n, steps, trials = (40, 4, 2) if choice.quick else (200, 20, 10)
    found = []
    for i, j in sorted(
        ((i, j) for i in range(1, steps + 1) for j in range(1, steps + 1)), key=lambda ij: (-_coarseness(*ij), ij)
    ):
        rank, outliers = round(LARGEST * n * i / steps), round(LARGEST * j / steps, 6)
        settings = {
            "n": n, "steps": steps, "rank": rank, "outliers": outliers, "trials": trials, "seed": [i, j],
            "descent trials": int(_coarseness(i, j) >= 4),
        }  # fmt: skip
        found.append(Cell("phase", f"n={n} r={rank} p={outliers:g}", settings, count))
    return found


def _coarseness(i: int, j: int) -> int:
    """Of the coarsest grid that holds the cell: the power of two in both indices."""
    both = math.gcd(i, j)
    return both & -both


def count(settings: Mapping[str, Any]) -> Facts:
    """Try the methods on every trial of a cell.

    Returns
    -------
    dict
        ``errors``: method → relative error of each trial, None where it broke off; ``recovered``: method → how many
        trials; ``unfinished``: trials in which PCP did not reach its gap; ``broken``: reasons.
    """
    n, rank = settings["n"], settings["rank"]
    errors: dict[str, list[float | None]] = {method: [] for method in METHODS}
    unfinished, broken = 0, []
    for trial in range(settings["trials"]):
        rng = np.random.default_rng([*settings["seed"], trial])
        data = low_rank_plus_sparse(n, rank, settings["outliers"], random_state=rng)
        for method, solve in (("twofold", recovered_by_twofold), ("PCP", pursued), (DESCENT, descended)):
            if trial >= trials_of(settings, method):
                continue
            error = None
            try:
                low_rank, gap = solve(data.observed)
                error = float(f"{relative_error(data.low_rank, low_rank):.2e}")
                unfinished += gap > GAP
            except Exception as failure:
                broken.append(f"{method}, trial {trial}: {type(failure).__name__}: {failure}")
            errors[method].append(error)
    recovered = {method: sum(error is not None and error <= TARGET for error in errors[method]) for method in METHODS}
    return {"recovered": recovered, "errors": errors, "unfinished": unfinished, "broken": broken}


def recovered_by_twofold(Y: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """twofold's low-rank part, told nothing; no gap is asked for."""
    from twofold.matrix.recover import robust_pca

    return np.asarray(robust_pca(Y, certify=False).low_rank), 0.0


def trials_of(settings: Mapping[str, Any], method: str) -> int:
    """How many trials of a cell a method gets."""
    return int(settings["descent trials"] if method == DESCENT else settings["trials"])


def descended(Y: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """The low-rank part of the published descent; no gap is asked for."""
    from twofold.matrix.recover import robust_pca

    solution = robust_pca(Y, method="descent", tol=DESCENT_TOL, max_iter=DESCENT_STEPS, certify=False)
    return np.asarray(solution.low_rank), 0.0


def pursued(Y: NDArray[Any], gap: float = GAP, ratio: float = 1.0) -> tuple[NDArray[Any], float]:
    """The solution of min ‖X‖_* + ‖Y − X‖_1 / (ratio·sqrt(max(m, n))), and its relative duality gap."""
    import torch

    from twofold.history import History
    from twofold.matrix.convex import pursue
    from twofold.problem import Problem

    problem = Problem(torch.from_numpy(np.asarray(Y, dtype=np.float64)))
    alpha = ratio * math.sqrt(max(Y.shape))
    found = pursue(problem, alpha=alpha, tol=gap, max_iter=MAX_STEPS, history=History())
    return ((found.U * found.sigma) @ found.V.T).numpy(), found.gap


def rates(records: Sequence[Record]) -> tuple[NDArray[Any], NDArray[Any], dict[str, NDArray[Any]]]:
    """Success rates on the grid.

    Returns
    -------
    (ranks, outliers, rate)
        r/n and p along the axes; method → array of shape (len(ranks), len(outliers)), NaN where a cell is not there.
    """
    ranks = sorted({record["settings"]["rank"] / record["settings"]["n"] for record in records})
    outliers = sorted({record["settings"]["outliers"] for record in records})
    rate = {method: np.full((len(ranks), len(outliers)), np.nan) for method in METHODS}
    for record in records:
        settings = record["settings"]
        i, j = ranks.index(settings["rank"] / settings["n"]), outliers.index(settings["outliers"])
        for method in METHODS:
            if trials := trials_of(settings, method):
                rate[method][i, j] = record["facts"]["recovered"][method] / trials
    return np.array(ranks), np.array(outliers), rate


def areas(records: Sequence[Record]) -> dict[str, float]:
    """Share of the square (0, 0.5]² that is recovered: the mean success rate of the cells that a method was given."""
    rate = rates(records)[2]
    return {method: float(np.nanmean(rate[method])) for method in METHODS if np.isfinite(rate[method]).any()}


def lost(records: Sequence[Record]) -> list[Record]:
    """Cells where PCP succeeds and twofold does not: rates of at least, and below, nine tenths."""
    found = []
    for record in records:
        trials, recovered = record["settings"]["trials"], record["facts"]["recovered"]
        if recovered["PCP"] >= MOST * trials and recovered["twofold"] < MOST * trials:
            found.append(record)
    return sorted(found, key=lambda record: (record["settings"]["rank"], record["settings"]["outliers"]))


def summary(records: Sequence[Record]) -> list[str]:
    """The phase transition in a few lines."""
    if not records:
        return []
    settings = records[0]["settings"]
    area, all_cells = areas(records), settings["steps"] ** 2
    share = f"{len(records)} of {all_cells} cells so far" if len(records) < all_cells else f"{all_cells} cells"
    ratio = f"{area['twofold'] / area['PCP']:.2f} times" if area["PCP"] else "more than"
    lines = [
        f"n={settings['n']}, {share}, {settings['trials']} trials each, recovered at a relative error of {TARGET:g}: "
        f"twofold {area['twofold']:.1%} of the square r/n ≤ {LARGEST}, p ≤ {LARGEST}; "
        f"PCP {area['PCP']:.1%}; twofold {ratio} PCP's area."
    ]
    if DESCENT in area:
        most = max(trials_of(record["settings"], DESCENT) for record in records)
        lines.append(
            f"The published descent alone, up to {DESCENT_STEPS} steps, on every fourth rank and share, trials each: "
            f"{most}; recovered {area[DESCENT]:.1%}."
        )
    exceptions = ", ".join(
        f"{record['name']} ({record['facts']['recovered']['twofold']} of {record['settings']['trials']}, PCP "
        f"{record['facts']['recovered']['PCP']})"
        for record in lost(records)
    )
    lines.append(f"Cells where PCP succeeds and twofold does not: {exceptions or 'none'}.")
    unfinished = sum(record["facts"]["unfinished"] for record in records)
    if unfinished:
        lines.append(f"PCP did not reach its gap of {GAP:g} within {MAX_STEPS} steps in {unfinished} trials.")
    broken = [f"{record['name']}: {reason}" for record in records for reason in record["facts"]["broken"]]
    if broken:
        lines.append(f"An exception ended {len(broken)} trials: {'; '.join(broken)}.")
    return lines
