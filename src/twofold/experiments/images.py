"""The paper's table and pictures: four images at one level of noise, one image at four levels, one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment
from twofold.experiments.pictures import clean, gallery, keep, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRESET = "balanced"
LEVELS = (0.1, 0.3, 0.5, 0.7)


def cells(choice: Choice) -> list[Cell]:
    """Four pictures at 50%, the first at every level."""
    four = names(choice.data)
    wanted = [(name, 0.5) for name in four] + [(four[0], level) for level in LEVELS if level != 0.5]
    run = partial(compute, data=choice.data, folder=choice.folder)
    made = []
    for name, level in wanted:
        settings = {
            "image": name, "level": level, "seed": 0, "crop": 128 if choice.quick else None, "preset": PRESET,
        }  # fmt: skip
        made.append(Cell("images", f"{name}, {level:.0%}", settings, run))
    return made


def compute(settings: Mapping[str, Any], *, data: Path | None, folder: Path) -> Facts:
    """PSNR of twofold and of what does not overfit either: medians, and interpolation told black and white."""
    import twofold.baselines as baselines
    from twofold.benchmarks.image.datasets import corrupted
    from twofold.image.recover import recover_image
    from twofold.metrics import psnr

    picture = clean(settings["image"], data, settings["crop"])
    noisy = corrupted(picture, "salt and pepper", settings["level"], settings["seed"]).noisy
    solution = recover_image(noisy, preset=settings["preset"], seed=settings["seed"])
    scores = {
        "noisy": psnr(picture, noisy),
        "twofold": psnr(picture, solution.image),
        "best median": max(psnr(picture, baselines.median(noisy, size=size).image) for size in (3, 5, 7)),
        "detect and cubic": psnr(picture, baselines.detect_and_interpolate(noisy, kind="cubic").image),
    }
    label = f"{settings['image']}-{round(100 * settings['level'])}"
    pictures = {"noisy": noisy, "twofold": solution.image, "truth": picture}
    return {
        "psnr": {name: round(float(score), 2) for name, score in scores.items()},
        "status": solution.status.code, "found": round(float((solution.outlier_probability > 0.5).mean()), 4),
        "pictures": {name: keep(folder, f"{label}-{name}", image) for name, image in pictures.items()},
    }  # fmt: skip


def checks(records: Sequence[Record]) -> list[Check]:
    """Above both baselines everywhere."""
    found = []
    for other in ("best median", "detect and cubic"):
        margins = {r["name"]: r["facts"]["psnr"]["twofold"] - r["facts"]["psnr"][other] for r in records}
        least = min(margins, key=lambda name: margins[name])
        found.append(
            Check(
                f"one setting, told nothing: above {other} in every case",
                f"by {np.mean(list(margins.values())):.1f} dB on average, by {margins[least]:.1f} at least ({least})",
                margins[least] > 0,
            )
        )
    return found


def remarks(records: Sequence[Record]) -> list[str]:
    """The table."""
    words = [
        f"{r['name']}: " + ", ".join(f"{name} {score:.1f}" for name, score in r["facts"]["psnr"].items())
        for r in records
    ]
    return ["PSNR in dB. " + "; ".join(words) + "."]


def figure(records: Sequence[Record], folder: Path) -> Figure | None:
    """Corrupted, recovered, true."""
    columns = []
    for record in records:
        psnr = {name: f"{score:.1f} dB" for name, score in record["facts"]["psnr"].items()}
        pictures = record["facts"]["pictures"]
        columns.append((record["name"], {name: (file, psnr.get(name, "")) for name, file in pictures.items()}))
    return gallery(columns, {"noisy": "corrupted", "twofold": "recovered", "truth": "truth"}, folder)


EXPERIMENT = Experiment(
    name="images",
    title="Varying images and varying noise, one setting",
    claim="Images of all kinds and 10% to 70% of corrupted values are recovered with one setting: no early stopping, "
    "no parameter tuned.",
    setup=f"Salt and pepper, each value on its own. twofold's {PRESET} preset, told nothing, beside the best of "
    "three medians, chosen with the truth at hand, and cubic interpolation from all values but exact 0 and 1. "
    "Quick: the middle 128×128 pixels, where there is less to learn from than in a whole image.",
    cells=cells,
    checks=checks,
    figures={"pictures": Drawn(figure, "What was given, what twofold made of it, and the truth.")},
    remarks=remarks,
)  # fmt: skip
