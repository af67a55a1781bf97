"""The published descent's two free choices: how small it starts, and how many columns its factors have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.dynamics import follow, looked_at, rounded
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANK, OUTLIERS = 2, 0.05
START = 1e-6
STEP = 0.9
"""Learning rate in units of its limit of stability."""


def cells(choice: Choice) -> list[Cell]:
    """One sweep over the start at full width, one over the width at one start."""
    n, steps = (50, 10_000) if choice.quick else (100, 100_000)
    base = {"n": n, "rank": RANK, "outliers": OUTLIERS, "seed": 0, "steps": steps}
    found: list[dict[str, Any]] = [
        {**base, "sweep": "start", "start": start, "width": n}
        for start in (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8, 1e-12)
    ]
    widths = sorted({RANK, RANK + 1, 2 * RANK + 1, n // 10, n // 5, n // 2, n})
    found += [{**base, "sweep": "width", "start": START, "width": width} for width in widths]
    return [Cell("starts", f"{s['sweep']}: start {s['start']:g}, width {s['width']}", s, compute) for s in found]


def compute(settings: Mapping[str, Any]) -> Facts:
    """Error along the descent."""
    import torch

    from twofold.datasets import low_rank_plus_sparse
    from twofold.models.factored import AsymmetricFactors
    from twofold.outliers import HadamardOutliers
    from twofold.problem import Problem

    n, start = settings["n"], settings["start"]
    data = low_rank_plus_sparse(n, settings["rank"], settings["outliers"], random_state=settings["seed"])
    norm = float(np.linalg.norm(data.observed, 2))
    problem = Problem(torch.from_numpy(data.observed / norm))
    X = torch.from_numpy(data.low_rank / norm)
    full = AsymmetricFactors.random((n, n), start, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = settings["width"]
    signal = AsymmetricFactors(full.U[:, :k].contiguous(), full.V[:, :k].contiguous())
    outliers = HadamardOutliers((n, n), start_scale=start, dtype=torch.float64)
    ratio = AsymmetricFactors.rate_ratio_per_alpha * math.sqrt(n)
    # Curvatures at the solution: 2σ₁ = 2 for U and V, 4·ratio·max|s| for g and h.
    tau = STEP / max(1.0, 2 * ratio * float(problem.values.abs().max())) / 2

    def look(residual: Any) -> dict[str, float]:
        return {"error": float(torch.linalg.vector_norm(signal.value() - X) / torch.linalg.vector_norm(X))}

    steps = settings["steps"]
    curve = follow(
        problem, signal, outliers, tau=tau, alpha=ratio, n_steps=steps, look=look, looks=looked_at(steps, 40)
    )  # fmt: skip
    return {"steps": curve.steps, "error": rounded(curve.values["error"])}


def sweep(records: Sequence[Record], name: str) -> dict[float, Facts]:
    """Start or width → facts."""
    return {r["settings"][name]: r["facts"] for r in records if r["settings"]["sweep"] == name}


def checks(records: Sequence[Record]) -> list[Check]:
    """Small starts are needed, widths are not."""
    starts = {start: facts["error"][-1] for start, facts in sweep(records, "start").items()}
    widths = {width: facts["error"][-1] for width, facts in sweep(records, "width").items()}
    small = {start: error for start, error in starts.items() if start <= START}
    large = {start: error for start, error in starts.items() if start >= START}
    ordered = [large[start] for start in sorted(large, reverse=True)]
    rising = [facts["error"][-1] / min(facts["error"]) for facts in sweep(records, "start").values()]
    said = ", ".join(f"{start:g}: {error:.1e}" for start, error in starts.items())
    return [
        Check(
            f"the smaller the start, the smaller the error, down to {START:g}",
            said,
            all(b < a for a, b in pairwise(ordered)),
        ),
        Check(f"error ≤ 1e-3 for every start of {START:g} or less", said, max(small.values()) <= 1e-3),
        Check(
            f"the width does not matter: from the exact rank {min(widths):g} to {max(widths):g} columns the error "
            "differs by less than four times, and no width overfits",
            ", ".join(f"{width:g}: {error:.1e}" for width, error in widths.items()),
            max(widths.values()) < 4 * min(widths.values()),
        ),
        Check(
            "no early stopping: the last error is the best one, within a hundredth, for every start",
            f"at most {max(rising) - 1:.1%} above it",
            max(rising) <= 1.01,
        ),
    ]


def figure(records: Sequence[Record], folder: Path) -> Figure:
    """Errors along the descent, by start and by width."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    made = Figure(figsize=(10, 4.2), layout="constrained")
    for axes, name in zip(made.subplots(1, 2, sharey=True), ("start", "width"), strict=True):
        curves = sweep(records, name)
        for index, (value, facts) in enumerate(curves.items()):
            colour = colormaps["viridis"](0.9 * index / max(len(curves) - 1, 1))
            axes.loglog(facts["steps"][1:], facts["error"][1:], color=colour, label=f"{name} {value:g}")
        axes.set_xlabel("steps")
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8)
    made.axes[0].set_ylabel("relative error of the low-rank part")
    return made


EXPERIMENT = Experiment(
    name="starts",
    title="Start scale and width of the published descent",
    claim="The start has to be small; the number of columns of the factors may be anything from the rank to n.",
    setup=f"Robust PCA of an n×n matrix of rank {RANK} with {OUTLIERS:.0%} outliers (n=100, quick: 50) by the "
    "published descent on UVᵀ, g and h at alpha = sqrt(n), started at multiples of orthonormal columns.",
    cells=cells,
    checks=checks,
    figures={"curves": Drawn(figure, "Error of the low-rank part along the descent: by start scale at full width "
                                     "(left), by width at a start of 1e-6 (right).")},
)  # fmt: skip
