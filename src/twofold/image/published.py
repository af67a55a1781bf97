"""The published recipe, step by step as in the paper's experiments, and nothing else.

    L(theta, g, h) = mean (y − f(theta) − g∘g + h∘h)²
    stochastic gradient steps with rate 1 for theta and alpha = 500 for g and h, 150,000 of them

with a skip network of width 128, fresh noise on its input at each step, and g, h started at 1e-5·N(0, 1). The mean
makes both rates depend on the size of the image: this is why twofold's own presets take a sum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from twofold.descent import descend
from twofold.history import History
from twofold.image.checkpoint import State, part, prefixed
from twofold.image.identify import explained_by_outliers
from twofold.image.presets import Preset
from twofold.models.network import NetworkSignal
from twofold.outliers import HadamardOutliers, Polarity
from twofold.problem import Problem

START = 1e-5
"""Standard deviation of g and h at the start."""

INPUT_NOISE = 1 / 30
"""Standard deviation of the noise on the network's input."""


class PublishedFit:
    """The published descent with one network; can be put down and taken up at any step.

    Parameters
    ----------
    problem : Problem
    shape : tuple (C, H, W)
        Of the image.
    preset : Preset
        Its width, skip channels, scales, and learning rate; ``identify_steps`` is the number of steps.
    polarity : {"both", "bright", "dark"}
    alpha : float
        The rate of g and h over that of theta.
    steps : int, optional
        None: the preset's.
    seed : int
    history : History
    """

    def __init__(
        self, problem: Problem, shape: tuple[int, int, int], preset: Preset, polarity: Polarity, alpha: float,
        steps: int | None, seed: int, history: History,
    ) -> None:  # fmt: skip
        y = problem.values
        self.problem, self.preset, self.alpha, self.history = problem, preset, alpha, history
        self.n_steps = preset.identify_steps if steps is None else steps
        self.step = 0
        self.signal = NetworkSignal(
            shape, width=preset.width, skip=preset.skip, scales=preset.scales, n_in=preset.n_in, padding="reflect",
            input_noise=INPUT_NOISE, optimizer=torch.optim.SGD, mixed_precision=False, seed=seed, device=y.device,
        )  # fmt: skip
        self.outliers = HadamardOutliers(y.shape, start_scale=START, polarity=polarity, device=y.device)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.outliers.parameters():
            parameter.data *= torch.randn(y.shape, generator=generator).to(y)

    def run(self, before_step: Callable[[], None] = lambda: None) -> tuple[Tensor, Tensor] | None:
        """The network's last image, and 1 where g∘g − h∘h explains more of the misfit than it leaves over.

        None: diverged.
        """

        def mark(step: int) -> None:
            self.step = step
            before_step()

        # The gradient of a mean of squares is 2/N times that of half their sum.
        tau = 2 * self.preset.learning_rate / self.problem.n_observed
        ended = descend(
            self.problem, self.signal, self.outliers, tau=lambda step: tau, alpha=self.alpha, max_steps=self.n_steps,
            history=self.history, act="descent", first_step=self.step, before_step=mark,
        )  # fmt: skip
        if ended.stop == "diverged":
            return None
        outlier = explained_by_outliers(self.outliers.value(), ended.residual)
        if self.problem.observed is not None:
            outlier |= ~self.problem.observed
        return self.signal.last, outlier.float()

    def state(self) -> State:
        """Everything that the rest of the run depends on."""
        return {
            "step": torch.tensor(self.step), **prefixed("signal", self.signal.state()),
            **prefixed("outliers", self.outliers.state_dict()),
        }  # fmt: skip

    def restore(self, state: State) -> None:
        """Take up a state."""
        self.step = int(state["step"])
        self.signal.restore(part("signal", state))
        self.outliers.load_state_dict(part("outliers", state))
