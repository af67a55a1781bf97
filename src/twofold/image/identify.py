"""Act 1, identify: descent with discrepant learning rates shows who is an outlier.

    x = f(theta),  s = beta·sinh(vartheta)          (g∘g − h∘h under multiplicative updates)
    r = y − x − s
    theta    <- theta + Adam step along Jᵀψ(r),     rate tau
    vartheta <- vartheta + 4·alpha·c·tau·ψ(r)

with the Huber influence ψ(r) = clip(r/delta, −1, 1) and c = ``outlier_rate``. The published recipe takes the square
loss, which first fits the mean of clean and corrupted values; the Huber loss starts from their median.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from twofold.descent import Descended, descend
from twofold.history import History
from twofold.image.presets import Preset
from twofold.models.network import NetworkSignal
from twofold.outliers import DualOutliers
from twofold.problem import Problem


@dataclass(frozen=True)
class Identified:
    """What act 1 found: the outlier set (bool, shape of y), and how the descent ended."""

    outlier: Tensor
    descended: Descended


def huber(residual: Tensor, delta: float) -> Tensor:
    """Influence function of the Huber loss, in units of delta: clip(r/delta, −1, 1)."""
    return (residual / delta).clamp_(-1, 1)


def warm_up(step: int, n_steps: int, share: float, top: float) -> float:
    """A learning rate that rises from top/25 to top over the first ``share`` of the steps and stays there."""
    u = min((step + 1) / max(share * n_steps, 1), 1.0)
    return top * (0.04 + 0.96 * (0.5 - 0.5 * math.cos(math.pi * u)))


class StableSet:
    """A test for :func:`descend`: did the outlier set change by less than ``change`` within ``window`` steps?

    Outliers start small, and the set that is nearly empty stands still for a while: it is not asked before the step
    ``earliest``, nor while more than ``change`` of the entries are missed by more than ``delta``. Those pull as hard
    as any, and all outliers among them grow up at about the same time.
    """

    def __init__(self, outliers: DualOutliers, *, earliest: int, change: float, window: int, delta: float) -> None:
        self.outliers, self.earliest, self.change, self.window = outliers, earliest, change, window
        self.delta = delta
        self.before: Tensor | None = None

    def __call__(self, step: int, residual: Tensor) -> bool:
        """Whether the set stands still."""
        if step < self.earliest or step % self.window:
            return False
        now, before = explained_by_outliers(self.outliers.value(), residual), self.before
        share = 1.0 if before is None or not bool(now.any()) else float((now ^ before).float().mean())
        self.before = now
        return share < self.change and float((residual.abs() > self.delta).float().mean()) < self.change

    def state(self) -> dict[str, Tensor]:
        """What the next answers depend on."""
        return {} if self.before is None else {"before": self.before}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state."""
        self.before = state["before"].to(self.outliers.theta.device) if "before" in state else None


def explained_by_outliers(s: Tensor, residual: Tensor) -> Tensor:
    """True where s explains more of the misfit y − x than it leaves over."""
    return s.abs() > residual.abs()


def identify(
    problem: Problem, signal: NetworkSignal, outliers: DualOutliers, stable: StableSet, *, alpha: float,
    preset: Preset, pace: int, n_steps: int, history: History, first_step: int = 0,
    before_step: Callable[[int], None] | None = None,
) -> Identified:  # fmt: skip
    """Run act 1 in place on ``signal`` and ``outliers``.

    Parameters
    ----------
    problem : Problem
        y of shape (C, H, W) in [0, 1].
    signal, outliers
        Changed in place.
    stable : StableSet
        Ends the act where the outlier set stands still.
    alpha : float
        The published ratio of learning rates. Growth per step is 4·alpha·outlier_rate·tau·ψ: a sum over entries, so
        that neither the size of the image nor the number of channels matters.
    preset : Preset
    pace : int
        Steps that the warm-up's share is of.
    n_steps : int
        The most steps; fewer where the outlier set stands still.
    history : History
    first_step, before_step
        As in :func:`twofold.descent.descend`.

    Returns
    -------
    Identified
    """
    ended = descend(
        problem,
        signal,
        outliers,
        tau=lambda step: warm_up(step, pace, preset.warm_up, preset.rate),
        alpha=alpha * preset.outlier_rate * preset.learning_rate / preset.rate,
        max_steps=n_steps,
        influence=lambda r: huber(r, preset.delta),
        terminate=stable,
        history=history,
        act="identify",
        first_step=first_step,
        before_step=before_step,
    )
    outlier = explained_by_outliers(outliers.value(), ended.residual)
    if problem.observed is not None:
        outlier |= ~problem.observed
    return Identified(outlier, ended)
