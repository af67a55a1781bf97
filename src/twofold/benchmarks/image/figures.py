"""The figure of the image benchmark: PSNR against the share of outliers, one panel a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twofold.benchmarks.cases import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours: to be told apart by everybody.
_COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#CC79A7", "#009E73", "0.5")


def salt_figure(cases: Sequence[Record], cells: Sequence[Record]) -> Figure | None:
    """Salt and pepper."""
    return _levels([record for record in cases if record["group"] == "salt"], "Salt and pepper")


def random_figure(cases: Sequence[Record], cells: Sequence[Record]) -> Figure | None:
    """Random values."""
    return _levels([record for record in cases if record["group"] == "random"], "Random-valued impulses")


def _levels(records: Sequence[Record], title: str) -> Figure | None:
    lines: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for record in records:
        settings: dict[str, Any] = record["settings"]
        for row in record["rows"]:
            if (score := row["facts"].get("psnr")) is not None:
                panel = lines.setdefault(settings["image"], {})
                panel.setdefault(row["solver"], []).append((settings["level"], score))
    if not lines:
        return None
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(solver for panel in lines.values() for solver in panel))
    figure = Figure(figsize=(3.2 * len(lines), 4.8), layout="constrained")
    panels = figure.subplots(1, len(lines), sharey=True, squeeze=False)[0]
    for axes, (image, panel) in zip(panels, lines.items(), strict=True):
        for solver, points in panel.items():
            colour = _COLOURS[names.index(solver) % len(_COLOURS)]
            levels, scores = zip(*sorted(points), strict=True)
            axes.plot(levels, scores, "o-", color=colour, linewidth=1.8, label=solver)
        axes.set_title(image)
        axes.set_xlabel("share of outliers")
        axes.grid(color="0.9")
        axes.set_axisbelow(True)
    panels[0].set_ylabel("PSNR in dB")
    handles = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.suptitle(f"{title}: PSNR of the recovered image")
    return figure
