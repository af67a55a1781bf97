"""Act 2, polish: fit the inliers, deciding anew who they are as the fit improves.

    theta <- theta + Adam step along Jᵀ(w∘ψ(y − f(theta)))         w = P(inlier), the trust in each entry
    now and then:   m = f(theta) + kriging of y − f(theta), each entry predicted without itself
                    P = outlier_probability(y, m)                  see confidence.py

and at the end x = y where an entry is trusted, its prediction where it is not, and in proportion between.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twofold.descent import Descended, descend
from twofold.history import History
from twofold.image.confidence import outlier_probability
from twofold.image.identify import huber
from twofold.image.kriging import ResidualField, held_out
from twofold.image.presets import Preset
from twofold.models.network import NetworkSignal
from twofold.outliers import Polarity
from twofold.problem import Problem

_NOISE = 0.005  # standard deviation of a good observation


class DecidedOutliers:
    """Outliers that are decided rather than descended: s = y − prediction where P(outlier) > ½, else 0.

    Parameters
    ----------
    problem : Problem
    probability : Tensor of shape (C, H, W)
        The first decision, in [0, 1].
    polarity, grouped
        As in :func:`outlier_probability`.
    folds : int
    generator : torch.Generator
        Draws the entries that are held out.
    """

    def __init__(
        self, problem: Problem, probability: Tensor, *, polarity: Polarity, grouped: bool, folds: int,
        generator: torch.Generator,
    ) -> None:  # fmt: skip
        self.problem, self.polarity, self.grouped = problem, polarity, grouped
        self.folds, self.generator = folds, generator
        self.probability = probability
        self.s = torch.zeros_like(problem.values)
        self.trust = (self.probability < 0.1).float()

    def value(self) -> Tensor:
        """s."""
        return self.s

    def descend(self, residual: Tensor, rate: float) -> None:
        """Nothing: s changes in ``revise`` only."""

    def revise(self, x: Tensor) -> None:
        """Decide anew, given the network's image x."""
        y = self.problem.values
        prediction = x + held_out(y - x, self.trust, folds=self.folds, generator=self.generator)
        self.probability = outlier_probability(
            y, prediction, self.probability,
            observed=self.problem.observed, polarity=self.polarity, grouped=self.grouped,
        )  # fmt: skip
        self.s = torch.where(self.probability > 0.5, y - prediction, 0.0)
        if self.problem.observed is not None:
            self.s *= self.problem.observed
        # An entry that may be an outlier is a noisy observation: its variance is noise + P·(y − prediction)².
        self.trust = (1 - self.probability) / (1 + self.probability * ((y - prediction) / _NOISE) ** 2)

    def complete(self, x: Tensor) -> Tensor:
        """The image: y where trusted, the network plus kriging where not."""
        y = self.problem.values
        filled = x + ResidualField(y - x, self.trust).predict(y - x, self.trust)
        return torch.lerp(filled, y, 1 - self.probability).clamp(0, 1)


def cool_down(step: int, n_steps: int, top: float) -> float:
    """A learning rate that falls from top to top/1000 along half a cosine."""
    return top * (1e-3 + 0.5 + 0.5 * math.cos(math.pi * step / max(n_steps, 1)))


def polish(
    problem: Problem, signal: NetworkSignal, outliers: DecidedOutliers, *, preset: Preset, n_steps: int,
    history: History, revise_at_start: bool = True,
) -> tuple[Tensor, Descended]:  # fmt: skip
    """Run act 2 in place on ``signal`` and ``outliers``.

    ``revise_at_start=False`` is for a network that has not been fitted yet.

    Returns
    -------
    x : Tensor of shape (C, H, W)
        The network's image; ``outliers.complete(x)`` is the recovered one.
    descended : Descended
    """
    every = max(n_steps // max(preset.revisions, 1), 1)

    def revise_now_and_then(step: int, residual: Tensor) -> bool:
        if step % every == 0 and step < n_steps and (step > 0 or revise_at_start):
            outliers.revise(signal.last)
        return False

    ended = descend(
        problem,
        signal,
        outliers,
        tau=lambda step: cool_down(step, n_steps, preset.learning_rate),
        alpha=0.0,
        max_steps=n_steps,
        influence=lambda r: (1 - outliers.probability) * huber(r, preset.delta),
        terminate=revise_now_and_then,
        history=history,
        act="polish",
    )
    return signal.last, ended
