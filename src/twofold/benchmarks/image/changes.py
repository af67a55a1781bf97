"""One network of the balanced preset, and one thing changed at a time: what it gives, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import torch

from twofold.benchmarks.image.optimizers import MuonOfFilters, polish_to_the_end
from twofold.devices import one_thread
from twofold.image.presets import Preset
from twofold.models import network

Context = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Change:
    """What is different from the preset: constants of it, and something that holds while the recovery runs."""

    constants: dict[str, Any] = field(default_factory=dict)
    during: Context = nullcontext

    def of(self, preset: Preset) -> Preset:
        """The preset with the changed constants."""
        return replace(preset, **self.constants)


def _optimizer(make: Callable[..., torch.optim.Optimizer], **options: Any) -> Context:
    """``make`` in place of Adam with a short memory."""

    def instead(parameters: Any, betas: tuple[float, float], fused: bool) -> torch.optim.Optimizer:
        return make(parameters, **options)

    return lambda: patch("twofold.models.network.Adam", instead)


def _compiled() -> AbstractContextManager[Any]:
    """The network as torch.compile makes it; the minute that this takes counts."""
    make = network.SkipNetwork
    return patch(
        "twofold.models.network.SkipNetwork", lambda *sizes, **options: torch.compile(make(*sizes, **options))
    )


AS_IT_IS = Change()

ONE_NETWORK: dict[str, Any] = {"n_small": 1}
"""So that times compare: how many networks a small image gets depends on what they gain."""

COMPILED = "compiled by torch.compile"
MUON = "Muon for the filters"

CHANGES = {
    "one network": AS_IT_IS,
    "up to two networks, as it is": Change({"n_small": 2}),
    "up to four networks": Change({"n_small": 4}),
    "one thread": Change(during=one_thread),
    COMPILED: Change(during=_compiled),
    "float32 throughout, no bfloat16": Change(
        during=lambda: patch("twofold.models.network._bf16_helps", lambda device: False)
    ),
    "channels not last in memory": Change(during=lambda: patch("torch.channels_last", torch.contiguous_format)),
    "half resolution and a pixel shuffle": Change({"shrink": 2}),
    "act 1 not ended when the outliers stand still": Change({"stable_change": 0.0}),
    "no warm-up of the learning rate": Change({"warm_up": 1e-9}),
    "learning rate not lowered in act 2": Change(
        during=lambda: patch("twofold.image.polish.cool_down", lambda step, n_steps, top: top)
    ),
    "outliers not decided anew in act 2": Change({"revisions": 0}),
    "no total variation": Change({"smoothing": 0.0}),
    "Adam, beta2 = 0.999": Change(during=_optimizer(torch.optim.Adam, betas=(0.9, 0.999))),
    "NAdam": Change(during=_optimizer(torch.optim.NAdam, betas=(0.9, 0.99))),
    "RMSprop": Change(during=_optimizer(torch.optim.RMSprop, alpha=0.99)),
    "gradient steps with momentum, rate 1e-4": Change(
        {"learning_rate": 1e-4}, _optimizer(torch.optim.SGD, lr=0.0, momentum=0.9)
    ),
    MUON: Change(during=_optimizer(MuonOfFilters, lr=0.0)),
    "30 steps of L-BFGS at the end": Change(during=lambda: patch("twofold.image.fitting.polish", polish_to_the_end)),
    "half the width": Change({"width": 16}),
    "one network, three times as long": Change(
        during=lambda: patch(
            "twofold.image.run.shared_steps",
            lambda preset, steps, n_pixels, n_whole: (1, 3 * (preset.identify_steps + preset.polish_steps)),
        )
    ),
}
