"""alpha = sqrt(n) needs no tuning: error of the low-rank part against alpha/sqrt(n), for several n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.dynamics import attempts
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment
from twofold.experiments.published import START, descended, instance, pursued

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACTS = "three acts"
DESCENT, PROGRAM = "published descent, X = UVᵀ", "convex program, X = UVᵀ"
SYMMETRIC_DESCENT, SYMMETRIC_PROGRAM = "published descent, X = UUᵀ", "convex program, X = UUᵀ"
DESCENTS = {DESCENT: PROGRAM, SYMMETRIC_DESCENT: SYMMETRIC_PROGRAM}
"""With the program that each leads to. The theorem is about the second form, where X is positive semidefinite."""

STARTS = {DESCENT: START, SYMMETRIC_DESCENT: 1e-20}
"""The theorem is about infinitesimal starts. Entries do not commute, and the smallest start is not the best one: of
1e-12, 1e-20 and 1e-30 these bring either form nearest to its program."""

TARGET = 1e-3
LOW, HIGH = 0.5, 2.0
OUTLIERS = 0.05
VARIATIONS = ((1e-4, 1), (1e-6, 1), (1e-12, 3), (1e-30, 1), (1e-30, 3))
"""Starts, and how many times the steps, with which it is tried again at LOW."""


def cells(choice: Choice) -> list[Cell]:
    """Every size, method and ratio."""
    ratios = (0.1, 0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0, 10.0) if choice.quick else np.geomspace(0.1, 10, 21)
    sizes = (50, 100, 200) if choice.quick else (50, 100, 200, 400)
    steps = 30_000 if choice.quick else 100_000
    made = []
    for n in sizes:
        methods = [ACTS]
        # The descent's and the program's steps cost n³ each.
        if n <= 100:
            methods += [SYMMETRIC_DESCENT, SYMMETRIC_PROGRAM]
        if n <= (100 if choice.quick else 200):
            methods += [DESCENT, PROGRAM]
        for method in methods:
            for ratio in ratios:
                settings = {
                    "n": n, "rank": max(n // 100, 1), "outliers": OUTLIERS, "seed": 0, "method": method,
                    "ratio": round(float(ratio), 4), "steps": steps,
                }  # fmt: skip
                made.append(Cell("alpha", f"n={n}, {method}, alpha={settings['ratio']:g} sqrt(n)", settings, compute))
    # Does another start, or more patience, bring the descent nearer where alpha is small?
    n, few = sizes[0], {"rank": 1, "outliers": OUTLIERS, "seed": 0, "method": DESCENT, "ratio": LOW}
    for start, times in VARIATIONS:
        settings = {"n": n, **few, "steps": times * steps, "start": start}
        made.append(Cell("alpha", f"n={n}, {DESCENT}, start {start:g}, {settings['steps']} steps", settings, compute))
    return made


def compute(settings: Mapping[str, Any]) -> Facts:
    """Relative error of the low-rank part."""
    from twofold.matrix.recover import robust_pca
    from twofold.metrics import relative_error

    n, method, ratio = settings["n"], settings["method"], settings["ratio"]
    symmetric = method in (SYMMETRIC_DESCENT, SYMMETRIC_PROGRAM)
    Y, X = instance(n, settings["rank"], settings["outliers"], symmetric=symmetric, seed=settings["seed"])
    if method in DESCENTS:
        start = settings.get("start", STARTS[method])
        found = descended(Y, symmetric=symmetric, ratio=ratio, start=start, steps=settings["steps"])
    elif method in DESCENTS.values():
        found = pursued(Y, symmetric=symmetric, ratio=ratio, gap=1e-8)
    else:
        found = np.asarray(robust_pca(Y, alpha=ratio * np.sqrt(n), certify=False).low_rank)
    return {"error": float(f"{relative_error(X, found):.3g}")}


def curves(records: Sequence[Record]) -> dict[tuple[int, str], dict[float, float]]:
    """(n, method) → ratio → error."""
    found: dict[tuple[int, str], dict[float, float]] = {}
    for record in records:
        settings = record["settings"]
        if "start" in settings:
            continue
        found.setdefault((settings["n"], settings["method"]), {})[settings["ratio"]] = record["facts"]["error"]
    return found


def checks(records: Sequence[Record]) -> list[Check]:
    """Flat where it should be, for every n."""
    by_method: dict[str, dict[int, dict[float, float]]] = {}
    for (n, method), curve in curves(records).items():
        by_method.setdefault(method, {})[n] = curve
    worst = {n: max(curve[ratio] for ratio in _band(curve)) for n, curve in by_method[ACTS].items()}
    expected = f"error ≤ {TARGET:g} for alpha/sqrt(n) from {LOW:g} to {HIGH:g}"
    found = [Check(f"{ACTS}: {expected}, for every n", _words(worst), max(worst.values()) <= TARGET)]
    for method, program in DESCENTS.items():
        worst, lost = {}, []
        for n, curve in by_method[method].items():
            there = [ratio for ratio in _band(curve) if by_method[program][n][ratio] <= TARGET]
            worst[n] = max((curve[ratio] for ratio in there), default=0.0)
            lost += [f"n={n}, {ratio:g}" for ratio in _band(curve) if ratio not in there]
        words = _words(worst) + (f"; without {'; '.join(lost)}, where the program is off as well" if lost else "")
        found.append(
            Check(
                f"{method}: {expected}, where its program has it, for every n", words, max(worst.values()) <= TARGET
            )
        )
        at_one = {n: curve[1.0] for n, curve in by_method[method].items()}
        expected_there = f"{method}: error ≤ {TARGET:g} at alpha = sqrt(n), for every n"
        found.append(Check(expected_there, _words(at_one), max(at_one.values()) <= TARGET))
        best = {n: min(curve, key=lambda ratio: curve[ratio]) for n, curve in by_method[method].items()}
        found.append(
            Check(
                f"{method}: its best alpha/sqrt(n) lies between {LOW:g} and {HIGH:g}, whatever n is",
                ", ".join(f"n={n}: {ratio:g}" for n, ratio in best.items()),
                all(LOW <= ratio <= HIGH for ratio in best.values()),
            )
        )
    return found


def _band(curve: Mapping[float, float]) -> list[float]:
    return [ratio for ratio in curve if LOW <= ratio <= HIGH]


def _words(errors: Mapping[int, float]) -> str:
    return ", ".join(f"n={n}: {error:.1e}" for n, error in errors.items())


def remarks(records: Sequence[Record]) -> list[str]:
    """How far alpha may be off for each method, and where the descent departs from the convex program."""
    said, apart = [], []
    found = curves(records)
    for (n, method), curve in found.items():
        if method == DESCENT:
            program = found[n, PROGRAM]
            apart += [
                f"n={n}, {ratio:g}: {curve[ratio]:.1e}"
                for ratio in sorted(_band(curve))
                if curve[ratio] > TARGET >= program[ratio]
            ]
        good = [ratio for ratio, error in curve.items() if error <= TARGET]
        if good:
            said.append(f"{method}, n={n}: error ≤ {TARGET:g} for alpha/sqrt(n) from {min(good):g} to {max(good):g}")
    words = ["; ".join(said) + ". The three acts use alpha only to identify."]
    if apart:
        again = attempts([r for r in records if "start" in r["settings"]], lambda r: r["facts"]["error"])
        words.append(
            "The entries of a matrix are measurements that do not commute, and there the theorem is silent. Where "
            f"the convex program finds the truth, the descent for X = UVᵀ is still off by: {'; '.join(apart)}. At "
            f"{LOW:g} it was tried again. {again}."
        )
    return words


def figure(records: Sequence[Record], folder: Path) -> Figure:
    """Errors against alpha/sqrt(n)."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(8, 4.6), layout="constrained")
    axes = made.subplots()
    colours = {
        ACTS: "#009E73", DESCENT: "#0072B2", PROGRAM: "0.6", SYMMETRIC_DESCENT: "#D55E00", SYMMETRIC_PROGRAM: "0.3",
    }  # fmt: skip
    sizes = sorted({n for n, _ in curves(records)})
    for (n, method), curve in curves(records).items():
        marker = "o^sD"[sizes.index(n)]
        ratios = sorted(curve)
        axes.loglog(
            ratios, [max(curve[ratio], 1e-13) for ratio in ratios], marker + "-", color=colours[method],
            markersize=4, label=f"{method}, n={n}",
        )  # fmt: skip
    axes.axhline(TARGET, color="0.7", linewidth=1)
    axes.axvspan(LOW, HIGH, color="0.95")
    axes.set_xlabel("alpha / sqrt(n)")
    axes.set_ylabel("relative error of the low-rank part")
    made.legend(loc="outside right center", frameon=False, fontsize=9)
    return made


EXPERIMENT = Experiment(
    name="alpha",
    title="alpha = sqrt(n) needs no tuning",
    claim="With alpha = sqrt(n) the descent recovers low-rank matrices from sparse outliers for every n; nothing is "
    "tuned.",
    setup=f"Robust PCA of n×n matrices of rank 1 (n/100 for larger n) with {OUTLIERS:.0%} outliers: the published "
    "descent on UVᵀ or UUᵀ, g and h; the convex program that it leads to, solved to a gap of 1e-8; twofold's three "
    "acts on UVᵀ.",
    cells=cells,
    checks=checks,
    figures={"errors": Drawn(figure, "Error of the low-rank part against alpha/sqrt(n). Grey band: half to twice the "
                                     "tuning-free value.")},
    remarks=remarks,
)  # fmt: skip
