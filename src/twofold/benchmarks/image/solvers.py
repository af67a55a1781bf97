"""Who recovers images. twofold is told nothing, and has the same settings in every case."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from twofold.benchmarks.cases import Answer, Case, Solver
from twofold.benchmarks.image.changes import AS_IT_IS, CHANGES, COMPILED, MUON, ONE_NETWORK, Change
from twofold.benchmarks.image.objective import Picture

Run = Callable[[], Answer]

WEIGHTS = (0.7, 0.9, 1.1, 1.4)
"""Of total variation's misfit: the best is taken, with the truth at hand."""

PRIOR_STEPS = 2000
"""Of deep image priors; their image is at its best before that, where it overfits at all."""


def twofold_image(
    data: Picture, *, preset: str = "balanced", change: Change = AS_IT_IS, times: float = 1.0, seed: int = 0
) -> Run:
    """twofold with a preset; with one thing changed, or so many times its steps, where that is what is asked."""
    from twofold.image.fitting import nominal_steps
    from twofold.image.presets import PRESETS
    from twofold.image.recover import recover_image

    chosen = change.of(PRESETS[preset])
    steps = None if times == 1.0 else round(times * nominal_steps(chosen, data.clean.shape[0] * data.clean.shape[1]))
    through: dict[str, Any] = (
        {} if data.instrument is None else {"operator": data.instrument.forward, "shape": data.clean.shape}
    )

    def run() -> Answer:
        with change.during():
            solution = recover_image(
                data.noisy, mask=data.mask, preset=chosen, steps=steps, seed=seed, device=data.device, **through
            )
        facts = {"status": solution.status.code, "steps": solution.n_steps}
        return Answer(solution, facts, "" if solution.status.success else str(solution.status))

    return run


def baseline(data: Picture, *, name: str, variants: tuple[dict[str, Any], ...] = ({},)) -> Run:
    """A baseline of :mod:`twofold.baselines`; of several variants the best, chosen with the truth at hand."""
    import twofold.baselines as baselines

    function = getattr(baselines, name)
    where = {"device": data.device} if name == "deep_image_prior" else {}

    def run() -> Answer:
        solutions = [function(data.noisy, mask=data.mask, **where, **options) for options in variants]
        return Answer(solutions, {"steps": solutions[0].n_steps} if solutions[0].n_steps else {})

    return run


def two_stages(data: Picture, *, first: Callable[[Picture], Run]) -> Run:
    """Outliers of the measurement corrected by somebody, then the operator undone classically."""
    assert data.instrument is not None
    correct, undone = first(replace(data, instrument=None)), data.instrument.undone

    def run() -> Answer:
        answer = correct()
        corrected = answer.value if isinstance(answer.value, list) else [answer.value]
        pictures = [replace(s, image=image) for s in corrected for image in undone(s.image, data.clean.shape)]
        return replace(answer, value=pictures)

    return run


def _told_values(case: Case) -> str:
    """Whether outliers have the values that the detector looks for."""
    return "" if "salt and pepper" in case.settings["noise"] else "looks for black and white only"


def _cannot_be_had(case: Case, *, change: str) -> str:
    if change == COMPILED and shutil.which(os.environ.get("CXX", "g++")) is None:
        return "needs a C++ compiler"
    return "needs torch 2.9 or newer" if change == MUON and not hasattr(torch.optim, "Muon") else ""


FAST = Solver("twofold, fast", partial(twofold_image, preset="fast"))
BALANCED = Solver("twofold, balanced", twofold_image)
BEST = Solver("twofold, best", partial(twofold_image, preset="best"))
LONGER = Solver("twofold, balanced, three times the steps", partial(twofold_image, times=3.0))
WIDTHS = tuple(
    Solver(f"twofold, balanced, width {width}", partial(twofold_image, change=Change({"width": width})))
    for width in (16, 32, 64, 128)
)
CHANCE = tuple(
    Solver(
        f"twofold, balanced, width {width}, seed {seed}",
        partial(twofold_image, change=Change({"width": width}), seed=seed),
    )
    for width in (64, 128)
    for seed in (0, 10, 20)
)
CHANGED = tuple(
    Solver(
        f"twofold, balanced, {name}",
        partial(twofold_image, change=replace(change, constants=ONE_NETWORK | change.constants)),
        partial(_cannot_be_had, change=name),
    )
    for name, change in CHANGES.items()
)

MEDIAN = Solver(
    "best median of 3, 5, 7 (chosen by the truth)",
    partial(baseline, name="median", variants=tuple({"size": size} for size in (3, 5, 7))),
)
ADAPTIVE_MEDIAN = Solver("adaptive median up to 9", partial(baseline, name="adaptive_median"))
LINEAR = Solver(
    "black and white detected, linear interpolation",
    partial(baseline, name="detect_and_interpolate", variants=({"kind": "linear"},)),
    _told_values,
)
CUBIC = Solver(
    "black and white detected, cubic interpolation",
    partial(baseline, name="detect_and_interpolate", variants=({"kind": "cubic"},)),
    _told_values,
)
TOTAL_VARIATION = Solver(
    "total variation, l1 (best of four weights, chosen by the truth)",
    partial(baseline, name="total_variation_l1", variants=tuple({"weight": weight} for weight in WEIGHTS)),
)
PRIORS = tuple(
    Solver(
        f"deep image prior, {loss}, " + ("stopped by running variance" if stopped else f"{PRIOR_STEPS} steps"),
        partial(
            baseline,
            name="deep_image_prior",
            variants=({"loss": loss, "early_stopping": stopped, "steps": PRIOR_STEPS},),
        ),
    )
    for loss in ("l2", "l1", "huber")
    for stopped in (False, True)
)

CLASSICS = (MEDIAN, ADAPTIVE_MEDIAN, LINEAR, CUBIC, TOTAL_VARIATION)

TWO_STAGES = tuple(
    Solver(f"{who.name}; then undone classically", partial(two_stages, first=who.prepare), who.refuses)
    for who in (BALANCED, MEDIAN, ADAPTIVE_MEDIAN, CUBIC)
)
"""Enlarged by bicubic interpolation, or Richardson and Lucy's deconvolution, the best of several by the truth."""
