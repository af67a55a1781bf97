"""How long a recovery takes, from a few steps of it: for a time limit, and to be told before it begins."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import torch

from twofold.history import History
from twofold.image.fitting import NetworkFit, decided_outliers
from twofold.image.overlays import overlays
from twofold.image.presets import Preset
from twofold.problem import Problem

LEAST_STEPS = 30
"""Of one network: fewer do not tell outliers from the picture."""

RESERVE = 0.9
"""Share of the time that is planned for."""


@dataclass(frozen=True)
class Pace:
    """Seconds that the parts of a recovery take on one tile.

    Attributes
    ----------
    step : float
        One step of the descent.
    decision : float
        Once deciding who is an outlier.
    overlays : float
        Looking for what was drawn over the picture, once.
    steps, n_networks : int
        Of one network, and how many of them, where time does not matter.
    """

    step: float
    decision: float
    overlays: float
    steps: int
    n_networks: int

    @classmethod
    def of(cls, problem: Problem, preset: Preset, n_pixels: int) -> Pace:
        """Measure it, by three steps and a decision whose results are thrown away.

        ``problem`` is one tile's, ``n_pixels`` are those of the whole image.
        """
        y = problem.values
        fit = NetworkFit(problem, preset, "both", False, 500.0, None, 0, History())
        x = fit.signal.value().detach()
        fit.signal.descend(torch.zeros_like(y), 0.0)  # the first one is slow
        _wait(y)
        started = perf_counter()
        for _ in range(2):
            residual = problem.residual(fit.signal.value().detach(), fit.dual.value())
            fit.signal.descend(residual, 0.0)
            fit.dual.descend(residual, 0.0)
        _wait(y)
        step = (perf_counter() - started) / 2
        started = perf_counter()
        decided_outliers(problem, torch.full_like(y, 0.05), "both", False, 0).revise(x)
        _wait(y)
        decision = perf_counter() - started
        started = perf_counter()
        if problem.operator is None:
            overlays(y, problem.observed)
        steps = fit.n_identify + fit.n_polish
        return cls(step, decision, perf_counter() - started, steps, preset.networks_for(n_pixels))

    def seconds(self, preset: Preset) -> float:
        """For one tile, with the preset's steps."""
        return self.n_networks * self.steps * self.step + self._besides(preset, self.n_networks)

    def steps_within(self, seconds: float, preset: Preset) -> int:
        """The most steps of all networks that a tile can have in so many seconds; no more than the preset's."""
        fitting = int((RESERVE * seconds - self._besides(preset, self.n_networks)) / self.step)
        return min(fitting, self.n_networks * self.steps)

    def least_seconds(self, preset: Preset) -> float:
        """What a tile needs at the least."""
        return (LEAST_STEPS * preset.n_networks * self.step + self._besides(preset, preset.n_networks)) / RESERVE

    def _besides(self, preset: Preset, n_networks: int) -> float:
        """Seconds that are no steps."""
        # The smooth fit is chosen before and after the last of them, which takes about as long each time.
        n_decisions = n_networks * preset.revisions + preset.final_revisions + 4
        return n_decisions * self.decision + self.overlays


def _wait(like: torch.Tensor) -> None:
    if like.device.type == "cuda":
        torch.cuda.synchronize(like.device)
