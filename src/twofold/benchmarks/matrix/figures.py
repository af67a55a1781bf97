"""The figures of the matrix benchmark, drawn from the records of its result file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Record
from twofold.benchmarks.matrix.phase import areas, rates
from twofold.benchmarks.matrix.solvers import in_time_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours: to be told apart by everybody. twofold's two lines share one.
_COLOURS = ("#0072B2", "#0072B2", "#D55E00", "#E69F00", "#CC79A7", "#009E73", "#56B4E9", "#000000", "0.6")
_NOT_MEASURED = "#f3e0c0"


def time_figure(cases: Sequence[Record], cells: Sequence[Record]) -> Figure | None:
    """Seconds against n for each solver, r = n/100 and p = 0.1; a wrong answer is a cross. None: no such cases.

    Errors stand beside the names, from each solver's largest problem.
    """
    lines: dict[str, dict[int, tuple[float, bool, float | None]]] = {}
    for record in cases:
        if in_time_series(record["settings"]):
            for row in record["rows"]:
                if row["seconds"] is not None:
                    error = row["facts"].get("error")
                    point = (row["seconds"], row["outcome"] == "ok", error)
                    lines.setdefault(row["solver"], {})[record["settings"]["n"]] = point
    if not lines:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.6), layout="constrained")
    axes = figure.subplots()
    for index, (name, points) in enumerate(lines.items()):
        sizes = np.array(sorted(points))
        seconds = np.array([points[n][0] for n in sizes])
        right = np.array([points[n][1] for n in sizes])
        colour = _COLOURS[index % len(_COLOURS)]
        errors = [error for _, _, error in points.values() if error is not None]
        label = f"{name}: error {_range(errors)}" if errors else name
        style = "--" if index == 1 else "-"
        axes.plot(sizes, seconds, style, color=colour, linewidth=1.6, alpha=0.9)
        axes.plot(sizes[right], seconds[right], "o", color=colour, markersize=6)
        axes.plot(sizes[~right], seconds[~right], "X", color=colour, markersize=8)
        marker = "o" if right.all() else "X"
        axes.plot([], [], style, marker=marker, color=colour, label=label)  # the legend's line
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = sorted({n for points in lines.values() for n in points})
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("n of an n × n matrix (log scale)")
    axes.set_ylabel("seconds (log scale)")
    axes.set_title("Time to recover rank n/100 from 10% gross outliers (✕: the answer is wrong)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13), ncols=1, frameon=False, fontsize=9)
    return figure


def phase_figure(cases: Sequence[Record], cells: Sequence[Record]) -> Figure | None:
    """Success rates of each method side by side, the boundaries of twofold and PCP in each. None: no cells."""
    if not cells:
        return None
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    ranks, outliers, rate = rates(cells)
    area = areas(cells)
    figure = Figure(figsize=(5 * len(area), 5), layout="constrained")
    panels = figure.subplots(1, len(area), sharey=True)
    styles = {"twofold": ("C0", "-"), "PCP": ("C1", "--")}
    for axes, method in zip(panels, area, strict=True):
        drawn = _draw_rates(axes, ranks, outliers, rate[method])
        axes.set_xlim(_span(outliers))
        axes.set_ylim(_span(ranks))
        for other, (colour, style) in styles.items():
            _draw_boundary(axes, ranks, outliers, rate[other], colour, style)
        axes.set_title(f"{method}: {area[method]:.1%} of the square")
        axes.set_xlabel("p, share of outliers")
    panels[0].set_ylabel("r/n, rank")
    figure.colorbar(drawn, ax=panels, label="share of trials recovered", shrink=0.9)
    legend = [Line2D([], [], color=colour, linestyle=style) for colour, style in styles.values()]
    panels[0].legend(legend, [f"{method} recovers half" for method in styles], loc="upper right", framealpha=0.9)
    settings = cells[0]["settings"]
    title = f"Phase transition, n = {settings['n']}, {settings['trials']} trials a cell"
    if len(cells) < (all_cells := settings["steps"] ** 2):
        title += f", {len(cells)} of {all_cells} cells so far"
    figure.suptitle(title)
    return figure


def _draw_rates(axes: Axes, ranks: NDArray[Any], outliers: NDArray[Any], rate: NDArray[Any]) -> Any:
    from matplotlib import colormaps

    here = np.isfinite(rate)  # a method that was given every other rank and share has larger squares
    axes.set_facecolor(_NOT_MEASURED)
    across, up = here.any(0), here.any(1)
    return axes.pcolormesh(
        outliers[across], ranks[up], np.ma.masked_invalid(rate[up][:, across]), shading="nearest", vmin=0, vmax=1,
        cmap=colormaps["Greys_r"].with_extremes(bad=_NOT_MEASURED),
    )  # fmt: skip


def _span(ticks: NDArray[Any]) -> tuple[float, float]:
    """From half a cell before the first to half a cell after the last."""
    half = (ticks[1] - ticks[0]) / 2 if len(ticks) > 1 else 0.5
    return ticks[0] - half, ticks[-1] + half


def _draw_boundary(
    axes: Axes, ranks: NDArray[Any], outliers: NDArray[Any], rate: NDArray[Any], colour: str, style: str
) -> None:
    """Where the rate falls through one half; nowhere for an unfinished grid or a rate that never crosses."""
    known = rate[np.isfinite(rate)]
    if min(rate.shape) >= 2 and known.size == rate.size and known.min() < 0.5 < known.max():
        axes.contour(outliers, ranks, rate, levels=[0.5], colors=[colour], linestyles=[style], linewidths=2.2)


def _range(errors: Sequence[float]) -> str:
    low, high = f"{min(errors):.0e}", f"{max(errors):.0e}"
    return low if low == high else f"{low} to {high}"
