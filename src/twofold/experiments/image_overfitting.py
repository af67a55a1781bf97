"""Deep image priors show the picture and then fit the noise; with over-parameterized outliers they do not.

The published descent in units that do not depend on the size of the picture. In the paper, with a mean over
N = 3·512² entries, an outlier moves by alpha·2/N times its pull at each of 150,000 plain gradient steps. With Adam,
which needs fewer steps, it moves as far in all of them. Adam in its form AMSGrad: plain gradient steps vanish with
the gradient, and so do those; Adam's own never do, and go on to shake the network when nothing is left to fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.benchmarks.cases import Cell, Facts, Record
from twofold.experiments.dynamics import follow, looked_at, rounded
from twofold.experiments.experiment import Check, Choice, Drawn, Experiment
from twofold.experiments.pictures import clean, gallery, keep, names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 0.5
RATE, INPUT_NOISE = 0.01, 1 / 30
ALPHA, REFERENCE, PLAIN_STEPS = 500.0, 3 * 512**2, 150_000
"""The paper's ratio, entries and steps."""

START = 1e-5
DOUBLE = "double over-parameterization"


def cells(choice: Choice) -> list[Cell]:
    """Square and l1 loss and double over-parameterization, each at two widths."""
    name = names(choice.data)[0]
    # Networks of widths 64 and 128 have 0.6 and two million parameters, one of width 32 170,000. The claim is about
    # those with more of them than there are entries: 12,000 and 49,000.
    # The number of steps is a compromise: outliers appear when 4% of them are done, which has to be before the
    # network fits the noise (docs/reproducing.md), and afterwards it needs time to fit the picture.
    crop, widths, steps = (64, (32, 64), 2500) if choice.quick else (128, (64, 128), 7000)
    run = partial(compute, data=choice.data, folder=choice.folder)
    made = []
    for method, width in (("l2", widths[0]), *(("l1", w) for w in widths), *((DOUBLE, w) for w in widths)):
        settings = {
            "image": name, "crop": crop, "level": LEVEL, "seed": 0, "method": method, "width": width, "steps": steps,
            "optimizer": "AMSGrad",
        }  # fmt: skip
        if method == DOUBLE:
            settings["ratio"] = ratio(steps)
        made.append(Cell("image-overfitting", f"{method}, width {width}", settings, run))
    return made


def ratio(steps: int) -> float:
    """Of the learning rates, for half the sum of squares: the outliers move as far as in the paper's whole run."""
    return round(PLAIN_STEPS * ALPHA * 2 / REFERENCE / (RATE * steps), 4)


def compute(settings: Mapping[str, Any], *, data: Path | None, folder: Path) -> Facts:
    """PSNR of the network's image along the descent; the image at its best and at the end."""
    import torch

    from twofold.benchmarks.image.datasets import corrupted
    from twofold.models.network import NetworkSignal
    from twofold.outliers import HadamardOutliers, NoOutliers
    from twofold.problem import Problem

    picture = clean(settings["image"], data, settings["crop"])
    noisy = corrupted(picture, "salt and pepper", settings["level"], settings["seed"]).noisy
    x, y = (torch.from_numpy(image.transpose(2, 0, 1) / 255).float().contiguous() for image in (picture, noisy))
    method, width, steps = settings["method"], settings["width"], settings["steps"]
    signal = NetworkSignal(
        (3, *y.shape[1:]), width=width, input_noise=INPUT_NOISE, padding="reflect", seed=0,
        optimizer=partial(torch.optim.Adam, amsgrad=True),
    )  # fmt: skip
    double = method == DOUBLE
    outliers: Any = HadamardOutliers(y.shape, start_scale=START) if double else NoOutliers(y)
    best: dict[str, Any] = {"psnr": -np.inf, "image": None}

    def look(residual: Any) -> dict[str, float]:
        shown = signal.last.clamp(0, 1)
        score = float(-10 * torch.log10((shown - x).square().mean()))
        if score > best["psnr"]:
            best.update(psnr=score, image=shown)
        return {"psnr": score}

    curve = follow(
        Problem(y), signal, outliers, tau=RATE, alpha=settings["ratio"] if double else 0.0, n_steps=steps,
        influence=torch.sign if method == "l1" else None, look=look, looks=looked_at(steps, 80),
    )  # fmt: skip
    label = f"{settings['image']}-{method.split()[0]}-{width}"
    shown = {"best": best["image"], "last": signal.last.clamp(0, 1)}
    files = {
        when: keep(folder, f"{label}-{when}", np.rint(255 * image.numpy()).astype(np.uint8).transpose(1, 2, 0))
        for when, image in shown.items()
    }
    keep(folder, f"{settings['image']}-overfitting-noisy", noisy)
    return {"steps": curve.steps, "psnr": rounded(curve.values["psnr"]), "pictures": files}


def checks(records: Sequence[Record]) -> list[Check]:
    """Falls from the best PSNR to the last."""
    found = []
    for record in records:
        psnr, method = record["facts"]["psnr"], record["settings"]["method"]
        fall = max(psnr) - psnr[-1]
        words = f"{max(psnr):.1f} dB at its best, {psnr[-1]:.1f} at the end"
        if method == DOUBLE:
            found.append(Check(f"{record['name']}: falls by at most 0.2 dB from its best", words, fall <= 0.2))
        elif method == "l1":
            found.append(Check(f"{record['name']}: falls by 3 dB or more from its best", words, fall >= 3))
    ours = max(r["facts"]["psnr"][-1] for r in records if r["settings"]["method"] == DOUBLE)
    stopped = max(max(r["facts"]["psnr"]) for r in records if r["settings"]["method"] != DOUBLE)
    found.append(
        Check(
            "its last image is better than the best one that a deep image prior shows on the way",
            f"{ours:.1f} dB beside {stopped:.1f}",
            ours > stopped,
        )
    )
    return found


def figure(records: Sequence[Record], folder: Path) -> Figure:
    """PSNR against steps."""
    from matplotlib.figure import Figure

    made = Figure(figsize=(7.5, 4.4), layout="constrained")
    axes = made.subplots()
    colours = {"l2": "0.5", "l1": "#D55E00", DOUBLE: "#0072B2"}
    widths = sorted({record["settings"]["width"] for record in records})
    for record in records:
        settings, facts = record["settings"], record["facts"]
        style = "-" if settings["width"] == widths[0] else "--"
        axes.semilogx(
            facts["steps"][1:], facts["psnr"][1:], style, color=colours[settings["method"]], label=record["name"]
        )
    axes.set_xlabel("steps")
    axes.set_ylabel("PSNR of the network's image in dB")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
    return made


def pictures(records: Sequence[Record], folder: Path) -> Figure | None:
    """The images at their best and at the end."""
    columns = []
    for record in records:
        psnr, files = record["facts"]["psnr"], record["facts"]["pictures"]
        shown = {"best": (files["best"], f"{max(psnr):.1f} dB"), "last": (files["last"], f"{psnr[-1]:.1f} dB")}
        columns.append((record["name"].replace(", ", "\n"), shown))
    return gallery(columns, {"best": "at its best", "last": "at the end"}, folder)


EXPERIMENT = Experiment(
    name="image-overfitting",
    title="Deep image priors overfit, double over-parameterization does not",
    claim="Fitted to an image with half of its values destroyed, a deep image prior with the square or the l1 loss "
    "first shows the image and then the noise; with over-parameterized outliers and discrepant learning rates PSNR "
    "rises and stays. Nothing has to be stopped early.",
    setup="The middle of the first picture, 50% salt and pepper, a skip network with noise on its input and several "
    "times as many parameters as there are entries; alpha = 500 in units that do not depend on the size; AMSGrad for "
    "the network, where the paper takes 150,000 plain gradient steps.",
    cells=cells,
    checks=checks,
    figures={
        "curves": Drawn(figure, "PSNR of the network's image against steps."),
        "pictures": Drawn(pictures, "The image at its best, which only the truth can tell, and at the end."),
    },
)  # fmt: skip
