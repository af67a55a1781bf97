"""Act 2, polish: fit the inliers, deciding anew who they are as the fit improves.

    theta <- theta + Adam step along Jᵀ(w∘ψ(y − f(theta)))         w = P(inlier), the trust in each entry
    now and then:   m = f(theta) + kriging of y − f(theta), each entry predicted without itself
                    P = outlier_probability(y, m)                  see confidence.py

and at the end x = y where an entry is trusted, its prediction where it is not, and in proportion between; where the
image has dense noise (:mod:`twofold.image.kriging`), its prediction everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.descent import Descended, descend
from twofold.history import History
from twofold.image.agreement import Neighbours
from twofold.image.borders import along_borders
from twofold.image.confidence import local_error, outlier_probability
from twofold.image.frames import EQUAL, on_a_frame
from twofold.image.holes import depth_of_holes, fill_holes, variogram
from twofold.image.identify import huber
from twofold.image.kriging import held_out, noise_of, predicted
from twofold.image.presets import Preset
from twofold.image.smooth import UNSETTLED, UNTOLD, chosen, smooth_fit
from twofold.image.through import corrected
from twofold.image.withheld import squared_error
from twofold.models.network import NetworkSignal
from twofold.outliers import Polarity
from twofold.problem import Problem

# Standard deviation of a good observation, relative to the prediction's local error, which is taken for at least so
# much. The first one trusts doubtful entries more: better for sharp edges, whose entries look doubtful, and worse for
# rough texture, in which outliers hide. Held-out entries tell which.
_DEVIATIONS, _LEAST_ERROR = (0.7, 0.35), 0.0144
_ALIKE = 0.005  # mean difference of two trusts between which nothing is to be chosen
_FEW = 0.002  # share of the entries: where fewer change sides in a decision, the next waits for the end of act 2


@dataclass(frozen=True)
class Restored:
    """An image, its outlier probability, the expected square of its error for each entry, and the standard deviation
    of the dense noise that was left out of it."""

    image: Tensor
    probability: Tensor
    squared_error: Tensor
    noise: float


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
    overlay
        As in :class:`Neighbours`.
    impulses
        As in :func:`outlier_probability`.
    withheld : bool Tensor of shape (C, H, W), optional
        Entries that the network is not shown: :mod:`twofold.image.withheld`.
    trust : Tensor of shape (C, H, W), optional
        Trust in each entry as former decisions left it. None: as much in all that are hardly outliers, among which
        many that were missed may be. Where that is nearly the same it is taken anyway: it gives entries that were
        distrusted together, as along a line, another chance.
    """

    def __init__(
        self, problem: Problem, probability: Tensor, *, polarity: Polarity, grouped: bool, folds: int,
        generator: torch.Generator, overlay: Tensor | None = None, impulses: Tensor | None = None,
        withheld: Tensor | None = None, trust: Tensor | None = None,
    ) -> None:  # fmt: skip
        self.problem, self.polarity, self.grouped = problem, polarity, grouped
        self.folds, self.generator, self.overlay, self.impulses = folds, generator, overlay, impulses
        self.probability, self.withheld = probability, withheld
        self.s = torch.zeros_like(problem.values)
        self.changed = 1.0  # share of the entries that changed sides in the last decision
        self._neighbours = Neighbours(problem.values, problem.observed, overlay)
        hardly = (probability < 0.1).float()
        self.trusts = [hardly if trust is None or hardly_differ(trust, hardly) else trust]

    def value(self) -> Tensor:
        """s."""
        return self.s

    def descend(self, residual: Tensor, rate: float) -> None:
        """Nothing: s changes in ``revise`` only."""

    @property
    def trust(self) -> Tensor:
        """In each entry, in [0, 1]: the first one, where there is a choice."""
        return self.trusts[0]

    @property
    def still(self) -> bool:
        """The last decision changed next to nothing: it need not be made again while the network is being fitted."""
        return self.changed < _FEW

    def shown(self) -> Tensor:
        """Weight of each entry in the network's fit: P(inlier), 0 where withheld."""
        good = 1 - self.probability
        return good if self.withheld is None else good * ~self.withheld

    def state(self) -> dict[str, Tensor]:
        """What the next decisions depend on."""
        return {
            "probability": self.probability, "s": self.s, "trusts": torch.stack(self.trusts),
            "generator": self.generator.get_state(),
            "changed": torch.tensor(self.changed, dtype=torch.float64),
        }  # fmt: skip

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state."""
        y = self.problem.values
        self.probability, self.s = (state[name].to(y) for name in ("probability", "s"))
        self.trusts = list(state["trusts"].to(y))
        self.generator.set_state(state["generator"])
        self.changed = float(state["changed"])

    def revise(self, x: Tensor, *, settled: bool = False) -> None:
        """Decide anew, given the network's image; x is what it looks like in the measurements.

        As long as the network is not ``settled`` many outliers are still hidden among the good entries and would pass
        for noise: what is not trusted does not count as such.
        """
        y, (prediction, own) = self.problem.values, self.predicted(x)
        before, self.probability = self.probability, self._judged(prediction)
        self.changed = float(((before > 0.5) != (self.probability > 0.5)).float().mean())
        self.s = torch.where(self.probability > 0.5, y - prediction, 0.0)
        if self.problem.observed is not None:
            self.s *= self.problem.observed
        P, error = self.probability, (y - prediction).abs()
        noise = self._noise(x, 1 - P if settled else self.trust)[:, None, None]
        local = local_error(error, 1 - P, floor=_LEAST_ERROR)
        # Other content says nothing about what is beside it.
        self.trusts = [~own * trust_in(P, error, (d * local).maximum(noise)) for d in _DEVIATIONS]

    def predicted(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What each entry should be, by the network's image and the other entries that are trusted; and where only
        the other entries of its line are asked (:mod:`twofold.image.borders`). From now on entries are trusted as was
        best for that."""
        y, x = self.problem.values, self.problem.measured(x)
        last = self.trusts[-1]
        trusts = [*(trust for trust in self.trusts[:-1] if not hardly_differ(trust, last)), last]
        missed, trust = held_out(y - x, trusts, 1 - self.probability, folds=self.folds, generator=self.generator)
        self.trusts, prediction = [trust], x + missed
        if self.problem.operator is not None:
            return prediction, torch.zeros_like(y, dtype=torch.bool)
        prediction, own = along_borders(y, prediction, self._unmarked(1 - self.probability))
        # That an entry has the frame's value itself proves nothing: it may be a part of a dead row.
        value, on_frame = self._frame(torch.ones_like(y, dtype=torch.bool))
        return torch.where(on_frame & ((y - value).abs() > EQUAL), value, prediction), own

    def _frame(self, shown: Tensor) -> tuple[Tensor, Tensor]:
        y, known = self.problem.values, self.problem.observed
        known = torch.ones_like(y, dtype=torch.bool) if known is None else known
        return on_a_frame(y, (self.probability < 0.5) & shown & known, known)

    def _judged(self, prediction: Tensor, *, reported: bool = False) -> Tensor:
        return outlier_probability(
            self._neighbours, prediction, self.probability, impulses=self.impulses,
            polarity=self.polarity, grouped=self.grouped, reported=reported,
        )  # fmt: skip

    def _noise(self, x: Tensor, good: Tensor) -> Tensor:
        """Standard deviation of the dense noise in each channel; behind an operator it is not looked for."""
        y = self.problem.values
        return y.new_zeros(len(y)) if self.problem.operator is not None else noise_of(y, x, good)

    def settled(self, x: Tensor, first: Tensor, n_revisions: int) -> Restored:
        """The image, given the network's at the end of act 2 and at its beginning, and how far it may be trusted.

        Once the network stands still it is decided by its smooth fit: a network that is large for its picture has
        come near to outliers that are as near to it.
        """
        smooth = x if self.problem.operator is not None else self._smooth(x, first)
        for _ in range(n_revisions):
            self.revise(smooth, settled=True)
        return self.restored(x, first, smooth)

    def restored(self, x: Tensor, first: Tensor, decided_by: Tensor) -> Restored:
        """The smooth fit plus kriging of what it misses, and a spline in holes; the entries that are trusted stay as
        they are, unless they are noisy."""
        y, (prediction, own) = self.problem.values, self.predicted(decided_by)
        P = self._judged(prediction, reported=True)
        if self.problem.operator is not None:
            image = corrected(x, y, self.trust, self.problem.operator)
            return Restored(image, P, torch.full_like(image, torch.nan), 0.0)
        noise = self._noise(x, 1 - self.probability)
        smooth, foretold = self._chosen(x, first, 1 - P, noise, own)
        squared = torch.full_like(y, torch.nan)
        if self.withheld is not None:
            local = local_error((y - prediction).abs(), 1 - P)
            squared = squared_error(self.trust, y - foretold, 1 - P, self.withheld, local)
        fill, level = self._filler(torch.ones_like(own), noise, own)(smooth), noise[:, None, None]
        kept = (1 - self.probability) * (level == 0)
        _, on_frame = self._frame(torch.ones_like(own))
        depth = depth_of_holes(((self.probability < 0.5) | on_frame | own).any(0))
        in_holes = variogram(y, self.trust, depth) - 2 * level**2  # both of a pair are noisy
        squared = torch.where(depth > 0, in_holes, squared - level**2)
        good = torch.where(level == 0, (1 - kept) ** 2 * (y - fill) ** 2, squared)
        bad = squared + kept**2 * (y - prediction) ** 2  # the fill of an entry that is trusted was shown it
        image = fill_holes(torch.lerp(fill, y, kept), depth)
        return Restored(image, P, torch.lerp(good, bad, P), float(noise.mean()))

    def _filler(self, shown: Tensor, noise: Tensor, own: Tensor) -> Callable[[Tensor], Tensor]:
        """From a smooth fit to what entries are filled with: the fit plus kriging of what it misses, or what the
        entry's line or frame says; by the entries that are shown."""
        y, trust, not_bad = self.problem.values, self.trust * shown, (1 - self.probability) * shown
        value, on_frame = self._frame(shown)
        good, last = self._unmarked(torch.where(shown, 1 - self.probability, -1.0)), None

        def fill(smooth: Tensor) -> Tensor:
            nonlocal last  # fits that are tried one after the other miss nearly the same
            missed, last = predicted(y - smooth, trust, not_bad, noise, last)
            found, _ = along_borders(y, smooth + missed, good, own)
            return torch.where(on_frame, value, found)

        return fill

    def _unmarked(self, good: Tensor) -> Tensor:
        """−1 where an entry is known to be bad or was drawn over the picture."""
        if self.problem.observed is not None:
            good = torch.where(self.problem.observed, good, -1.0)
        return good if self.overlay is None else torch.where(self.overlay, -1.0, good)

    def _smooth(self, x: Tensor, first: Tensor) -> Tensor:
        good = 1 - self.probability
        _, own = along_borders(self.problem.values, x, self._unmarked(good))
        smooth, _ = self._chosen(x, first, good, self._noise(x, good), own)
        return smooth

    def _chosen(self, x: Tensor, first: Tensor, good: Tensor, noise: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """The smooth fit, and what it foretells of the entries that are withheld."""
        if self.withheld is None:
            smooth = smooth_fit(x, first, *UNTOLD)
            return smooth, smooth
        foretold = self._filler(~self.withheld, noise, own)
        return chosen(x, first, self.problem.values, good, self.withheld, foretold)


def hardly_differ(trust: Tensor, other: Tensor) -> bool:
    """There is nothing to be chosen between the two."""
    return float((trust - other).abs().mean()) < _ALIKE


def trust_in(P: Tensor, error: Tensor, d: Tensor) -> Tensor:
    """An entry that may be an outlier is a noisy observation: (1 − P)·d²/(d² + P·error²).

    Parameters
    ----------
    P, error, d : Tensor of shape (C, H, W)
        P(outlier), |y − prediction|, and the standard deviation of a good observation.

    Returns
    -------
    Tensor of shape (C, H, W), in [0, 1]

    >>> trust_in(torch.tensor([0.0, 0.5, 1.0]), torch.tensor(0.02), torch.tensor(0.02))
    tensor([1.0000, 0.3333, 0.0000])
    """
    return (1 - P) / (1 + P * (error / d) ** 2)


def cool_down(step: int, n_steps: int, top: float) -> float:
    """A learning rate that falls from top to top/1000 along half a cosine."""
    return top * (1e-3 + 0.5 + 0.5 * math.cos(math.pi * step / max(n_steps, 1)))


def polish(
    problem: Problem, signal: NetworkSignal, outliers: DecidedOutliers, *, preset: Preset, n_steps: int,
    history: History, first: Tensor | None, first_step: int = 0,
    before_step: Callable[[int], None] | None = None,
) -> tuple[Tensor, Descended]:  # fmt: skip
    """Run act 2 in place on ``signal`` and ``outliers``.

    ``first`` is the network's image at the beginning, None for a network that has not been fitted yet; ``first_step``
    and ``before_step`` are those of :func:`twofold.descent.descend`.

    Returns
    -------
    x : Tensor of shape (C, H, W)
        The network's image.
    descended : Descended
    """
    every = max(n_steps // max(preset.revisions, 1), 1)

    def revise_now_and_then(step: int, residual: Tensor) -> bool:
        if step % every == 0 and step < n_steps and (step > 0 or first is not None) and not outliers.still:
            x = signal.last
            if problem.operator is None:
                x = smooth_fit(x, x if first is None else first, *UNSETTLED)
            outliers.revise(x)
        return False

    ended = descend(
        problem,
        signal,
        outliers,
        tau=lambda step: cool_down(step, n_steps, preset.rate),
        alpha=0.0,
        max_steps=n_steps,
        influence=lambda r: outliers.shown() * huber(r, preset.delta),
        terminate=revise_now_and_then,
        history=history,
        act="polish",
        first_step=first_step,
        before_step=before_step,
    )
    return signal.last, ended
