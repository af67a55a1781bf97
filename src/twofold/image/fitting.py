"""Both acts with one network, as something that can be put down at any step and taken up again."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from twofold.history import History
from twofold.image.checkpoint import State, part, prefixed
from twofold.image.identify import StableSet, identify
from twofold.image.polish import DecidedOutliers, polish
from twofold.image.presets import Preset
from twofold.image.strokes import blended_strokes
from twofold.models.network import NetworkSignal
from twofold.outliers import DualOutliers, Polarity
from twofold.problem import Problem

FOLDS = 4
"""Random subsets that are predicted from the others in turn."""

MISLED = 0.7
"""Share of outliers among what act 1 was shown from which on its network is given up."""

FULL_SIZE = 256
"""Pixels along the side of a square image from which on all steps are taken."""

SMALL = 128
"""Pixels along the shorter side below which the network works at full resolution."""


@dataclass(frozen=True)
class Fitted:
    """What one network gives.

    Attributes
    ----------
    x : Tensor of shape (C, H, W)
        Its image: the closest fit, by which outliers are decided.
    first : Tensor of shape (C, H, W)
        The same at the beginning of act 2, or ``x`` where that began with a new network: :mod:`twofold.image.smooth`.
    outliers : DecidedOutliers
        The outliers that were decided with it.
    """

    x: Tensor
    first: Tensor
    outliers: DecidedOutliers


@dataclass
class NetworkFit:
    """Acts 1 and 2 with one network.

    Parameters
    ----------
    problem : Problem
    preset : Preset
    polarity : {"both", "bright", "dark"}
    grouped : bool
    alpha : float
    steps : int or None
        Of this network in both acts; None: the preset's, fewer for small images.
    seed : int
    history : History
    shape : tuple (C, H, W), optional
        Of the image. None: that of the values, which are the image's without an operator.
    overlay : bool Tensor shaped like the values, optional
        Entries that were drawn over the picture: left out in act 1, and judged in act 2. Act 1 adds to them.
    impulses : bool Tensor shaped like the values, optional
        Entries that have a scattered value: as well left out in act 1, and judged in act 2.
    withheld : bool Tensor shaped like the values, optional
        Entries that the network is not shown in either act, by which the result is judged.

    Attributes
    ----------
    act : {"identify", "polish"}
    step : int
        The next one of that act.
    pace : int
        Steps of act 1 that the outliers' growth is made for. Where there are fewer than the preset's they grow
        faster; where there are more they do not grow slower, or the network would follow them in the meantime.
    first : Tensor of shape (C, H, W), optional
        The network's image at the beginning of act 2, unless that began with a new network.
    """

    problem: Problem
    preset: Preset
    polarity: Polarity
    grouped: bool
    alpha: float
    steps: int | None
    seed: int
    history: History
    shape: tuple[int, int, int] | None = None
    overlay: Tensor | None = None
    impulses: Tensor | None = None
    withheld: Tensor | None = None
    act: Literal["identify", "polish"] = "identify"
    step: int = 0
    decided: DecidedOutliers | None = None
    first: Tensor | None = None
    signal: NetworkSignal = field(init=False)
    dual: DualOutliers = field(init=False)
    stable: StableSet = field(init=False)
    pace: int = field(init=False)

    def __post_init__(self) -> None:
        p, y = self.preset, self.problem.values
        self.shape = (y.shape[0], y.shape[1], y.shape[2]) if self.shape is None else self.shape
        share = 1.0 if p.published else size_share(self.shape[1] * self.shape[2])
        self.n_identify, self.n_polish = (
            math.ceil(n * (share if self.steps is None else 1.0)) for n in split_steps(p, self.steps)
        )
        self.pace = min(self.n_identify, math.ceil(share * p.identify_steps))
        self.signal = self._network(self.seed)
        self.dual = DualOutliers(
            y.shape, p.beta, polarity=self.polarity, group_dim=0 if self.grouped else None, device=y.device
        )
        self.stable = StableSet(
            self.dual, earliest=self.pace // 2, change=p.stable_change, window=p.stable_window, delta=p.delta
        )

    def run(self, before_step: Callable[[], None] = lambda: None) -> Fitted | None:
        """Go on from where it stands; None: diverged. ``before_step`` is called whenever ``state`` is whole."""

        def mark(step: int) -> None:
            self.step = step
            before_step()

        if self.act == "identify":
            found = identify(
                self._seen_through(), self.signal, self.dual, self.stable,
                alpha=self.alpha * self.preset.identify_steps / self.pace, preset=self.preset, pace=self.pace,
                n_steps=self.n_identify, history=self.history, first_step=self.step, before_step=mark,
            )  # fmt: skip
            if found.descended.stop == "diverged":
                return None
            self._begin_polish(self._with_strokes(found.outlier).float())
        assert self.decided is not None
        x, ended = polish(
            self.problem, self.signal, self.decided, preset=self.preset, n_steps=self.n_polish, history=self.history,
            first=self.first, first_step=self.step, before_step=mark,
        )  # fmt: skip
        if ended.stop == "diverged":
            return None
        return Fitted(x, x if self.first is None else self.first, self.decided)

    def _begin_polish(self, outlier: Tensor) -> None:
        self.act, self.step = "polish", 0
        seen = self._seen_through().observed
        share = outlier.mean() if seen is None else outlier[seen].mean()
        if self.withheld is not None:
            # Act 1 says nothing about what is withheld: as likely an outlier as others.
            open_ = self.withheld & ~self._hidden(self.overlay, self.impulses)
            open_ = open_ if self.problem.observed is None else open_ & self.problem.observed
            outlier = torch.where(open_, share, outlier)
        self.decided = self._undecided(outlier)
        # Where nearly everything looked like an outlier, the network has followed them: fit a new one to the inliers.
        if self.n_polish > 0 and float(share) > MISLED:
            for _ in range(2):
                self.decided.revise(self.signal.last)
            self.signal = self._network(self.seed + 1)
        else:
            self.first = self.signal.last

    def _with_strokes(self, outlier: Tensor) -> Tensor:
        """What act 1 found and what was drawn over the picture, of which it shows the rest."""
        if self.overlay is None or not bool(self.overlay.any()):
            return outlier
        observed = self.problem.observed
        prediction, _ = self._undecided((outlier | self.overlay).float()).predicted(self.signal.last)
        seen = outlier if observed is None else outlier & observed
        self.overlay = blended_strokes(self.problem.values, prediction, seen, self.overlay)
        return outlier | self.overlay

    def _seen_through(self) -> Problem:
        """The problem without what was drawn over the picture or scattered in it, and without what is withheld."""
        p, hidden = self.problem, self._hidden(self.overlay, self.impulses, self.withheld)
        if not bool(hidden.any()):
            return p
        seen = ~hidden if p.observed is None else p.observed & ~hidden
        return Problem(p.values * ~hidden, seen, p.operator)

    def _hidden(self, *kinds: Tensor | None) -> Tensor:
        hidden = torch.zeros_like(self.problem.values, dtype=torch.bool)
        for entries in kinds:
            if entries is not None:
                hidden |= entries
        return hidden

    def _undecided(self, probability: Tensor) -> DecidedOutliers:
        return decided_outliers(
            self.problem, probability, self.polarity, self.grouped, self.seed, self.overlay, self.impulses,
            self.withheld,
        )  # fmt: skip

    def _network(self, seed: int) -> NetworkSignal:
        p = self.preset
        assert self.shape is not None
        small = min(self.shape[1:]) < SMALL
        # The few edges of a small image are outliers to total variation; behind an operator nothing else holds it.
        smoothing = 0.0 if small and self.problem.operator is None else p.total_variation
        return NetworkSignal(
            self.shape, width=p.width, skip=p.skip, scales=p.scales, n_in=p.n_in, shrink=1 if small else p.shrink,
            smoothing=smoothing, seed=seed, device=self.problem.values.device,
        )  # fmt: skip

    def state(self) -> State:
        """Everything that the rest of the run depends on."""
        flags = torch.tensor([self.act == "polish", self.step])
        found = {"flags": flags, **prefixed("signal", self.signal.state())}
        if self.act == "identify":
            return {**found, **prefixed("dual", self.dual.state()), **prefixed("stable", self.stable.state())}
        assert self.decided is not None
        more = {"first": self.first, "overlay": self.overlay}
        found |= {name: tensor for name, tensor in more.items() if tensor is not None}
        return {**found, **prefixed("decided", self.decided.state())}

    def restore(self, state: State) -> None:
        """Take up a state."""
        is_polish, self.step = (int(flag) for flag in state["flags"])
        if is_polish:
            self.act = "polish"
            if "first" in state:
                self.first = state["first"].to(self.problem.values)
            else:
                self.signal = self._network(self.seed + 1)
            if "overlay" in state:
                self.overlay = state["overlay"].to(self.problem.values.device)
            self.decided = self._undecided(torch.zeros_like(self.problem.values))
            self.decided.restore(part("decided", state))
        else:
            self.dual.restore(part("dual", state))
            self.stable.restore(part("stable", state))
        self.signal.restore(part("signal", state))


def decided_outliers(
    problem: Problem, probability: Tensor, polarity: Polarity, grouped: bool, seed: int,
    overlay: Tensor | None = None, impulses: Tensor | None = None, withheld: Tensor | None = None,
    trust: Tensor | None = None,
) -> DecidedOutliers:  # fmt: skip
    """Outliers that start from a probability, and from former trust if any; the seed draws who is held out."""
    return DecidedOutliers(
        problem, probability, polarity=polarity, grouped=grouped, folds=FOLDS,
        generator=torch.Generator().manual_seed(seed), overlay=overlay, impulses=impulses,
        withheld=withheld, trust=trust,
    )  # fmt: skip


def size_share(n_pixels: int) -> float:
    """Share of the preset's steps that a small image takes: the same network follows outliers sooner there.

    >>> size_share(512 * 512), size_share(64 * 64)
    (1.0, 0.5)
    """
    return min(1.0, math.sqrt(math.sqrt(n_pixels) / FULL_SIZE))


def nominal_steps(preset: Preset, n_pixels: int) -> float:
    """Of all networks together, for an image in one piece, where neither steps nor time are given."""
    return preset.networks_for(n_pixels) * _steps_of_one(preset, n_pixels)


def _steps_of_one(preset: Preset, n_pixels: int) -> float:
    return size_share(n_pixels) * (preset.identify_steps + preset.polish_steps)


def shared_steps(preset: Preset, steps: int | None, n_pixels: int, n_whole: int) -> tuple[int, int | None]:
    """How many networks so many steps are for, and each one's share of them; None: the preset's own steps.

    ``n_pixels`` are those of the tile, ``n_whole`` those of the whole image.

    More than the preset's steps are for further networks, whose average is better; for one network, going on makes
    some images better and others worse.

    >>> from twofold.image.presets import PRESETS
    >>> for steps in (None, 100, 220, 700):
    ...     print(shared_steps(PRESETS["balanced"], steps, 512 * 512, 512 * 512))
    (1, None)
    (1, 100)
    (1, 220)
    (3, 233)
    """
    if steps is None:
        return preset.networks_for(n_whole), None
    n_networks = max(preset.n_networks, round(steps / _steps_of_one(preset, n_pixels)))
    return n_networks, max(steps // n_networks, 1)


def split_steps(preset: Preset, steps: int | None) -> tuple[int, int]:
    """Steps of act 1 and act 2 of one network, in the preset's proportion."""
    if steps is None:
        return preset.identify_steps, preset.polish_steps
    n_identify = math.ceil(steps * preset.identify_steps / (preset.identify_steps + preset.polish_steps))
    return n_identify, steps - n_identify
