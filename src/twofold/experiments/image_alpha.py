"""alpha = 500 for images: how flat is the result around it, and for networks of several widths?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment
from twofold.experiments.pictures import clean, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER = 500.0
NEAR = (250.0, 1000.0)


def cells(choice: Choice) -> list[Cell]:
    """Alphas from a tenth to ten times the published one, three widths."""
    four = names(choice.data)
    alphas = (
        (50.0, 250.0, 500.0, 1000.0, 5000.0) if choice.quick else (50.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 5000.0)
    )
    run = partial(compute, data=choice.data)
    made = []
    for name in four[:1] if choice.quick else four[:2]:
        for width in (16, 32, 64):
            for alpha in alphas:
                settings = {
                    "image": name, "level": 0.5, "seed": 0, "crop": 128 if choice.quick else 256,
                    "preset": "balanced", "width": width, "alpha": alpha,
                }  # fmt: skip
                made.append(Cell("image-alpha", f"{name}, width {width}, alpha {alpha:g}", settings, run))
    return made


def compute(settings: Mapping[str, Any], *, data: Path | None) -> Facts:
    """PSNR of the result."""
    from dataclasses import replace

    from twofold.benchmarks.image.datasets import corrupted
    from twofold.image.presets import PRESETS
    from twofold.image.recover import recover_image
    from twofold.metrics import psnr

    picture = clean(settings["image"], data, settings["crop"])
    noisy = corrupted(picture, "salt and pepper", settings["level"], settings["seed"]).noisy
    preset = replace(PRESETS[settings["preset"]], width=settings["width"])
    solution = recover_image(noisy, preset=preset, alpha=settings["alpha"])
    return {"psnr": round(float(psnr(picture, solution.image)), 2), "status": solution.status.code}


def curves(records: Sequence[Record]) -> dict[tuple[str, int], dict[float, float]]:
    """(image, width) → alpha → PSNR."""
    found: dict[tuple[str, int], dict[float, float]] = {}
    for record in records:
        settings = record["settings"]
        found.setdefault((settings["image"], settings["width"]), {})[settings["alpha"]] = record["facts"]["psnr"]
    return found


def checks(records: Sequence[Record]) -> list[Check]:
    """Flat around 500, for every width."""
    spreads = {}
    for (name, width), curve in curves(records).items():
        near = [psnr for alpha, psnr in curve.items() if NEAR[0] <= alpha <= NEAR[1]]
        spreads[f"{name}, width {width}"] = max(near) - min(near)
    lost = {key: max(curve.values()) - curve[PAPER] for key, curve in curves(records).items()}
    return [
        Check(
            f"alpha from {NEAR[0]:g} to {NEAR[1]:g} changes PSNR by at most 0.5 dB, for every width",
            ", ".join(f"{name}: {spread:.2f} dB" for name, spread in spreads.items()),
            max(spreads.values()) <= 0.5,
        ),
        Check(
            "no alpha is better than 500 by more than 0.5 dB, for any width",
            ", ".join(f"{name}, width {width}: {loss:.2f} dB" for (name, width), loss in lost.items()),
            max(lost.values()) <= 0.5,
        ),
    ]


def figure(records: Sequence[Record], folder: Path) -> Figure:
    """PSNR against alpha."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(7, 4.2), layout="constrained")
    axes = made.subplots()
    for (name, width), curve in curves(records).items():
        axes.semilogx(sorted(curve), [curve[alpha] for alpha in sorted(curve)], "o-", label=f"{name}, width {width}")
    axes.axvline(PAPER, color="0.7", linewidth=1)
    axes.set_xlabel("alpha")
    axes.set_ylabel("PSNR in dB")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
    return made


EXPERIMENT = Experiment(
    name="image-alpha",
    title="alpha = 500 serves images and widths",
    claim="There is no theory for the best alpha of images, but alpha = 500 works for all images, levels of "
    "corruption and widths of the network.",
    setup="The middle of a picture with 50% salt and pepper, twofold's balanced preset with the network's width and "
    "alpha changed and nothing else.",
    cells=cells,
    checks=checks,
    figures={"psnr": Drawn(figure, "PSNR of the result against alpha, by width of the network.")},
)  # fmt: skip
