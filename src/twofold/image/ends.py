"""Black and white entries: where the scene is at an end of the range, an outlier there changes nothing.

A sensor clips, and many pictures are black or white over whole areas. An inlier there has exactly that value with a
probability c, not a density, and an outlier that has it as well is none that anybody could see. How often that
happens depends on how near the end an entry is foretold, which is learned from the image itself:

    f  =  share of entries at the end, of those foretold alike          rising towards the end
    f₀ =  the same of those foretold far away from it                   only outliers
    c  =  (f − f₀)/(1 − π)                                              π: share of the outliers
    P(outlier that changed an entry | entry at the end)  =  f₀·(1 − c)/f

No law of the errors is needed for it, and it does not matter that the prediction is biased there: the good black
entries of a black area among black outliers had no part in it.
"""

from __future__ import annotations

import torch
from scipy.optimize import isotonic_regression
from torch import Tensor

from twofold.image.agreement import BINS, share_of

_STEP, _STEPS = 0.5, 20
"""Predictions are alike that have the same distance from the end up to so many of their errors; so many such steps to
either side are told apart."""

_FAR = 3
"""Lowest steps from which inliers do not reach the end."""

_PRIOR = 10.0
"""Entries that the logistic law, by which all others are judged, counts for in each step."""

_SURE, _TIMES = 2.0, 10.0
"""c is what f is above f₀ by more than so many standard errors, and at most so many times what the law says: a right
entry where only outliers are would cost more than the other way round, in the error that is expected."""

_LEAST = 1e-6


def odds_at_the_ends(y: Tensor, prediction: Tensor, scale: Tensor, known: Tensor, P: Tensor) -> Tensor:
    """How many times likelier an entry at an end of [0, 1] is right than changed; 0 for all others.

    Parameters
    ----------
    y, prediction : Tensor of shape (C, H, W)
        In units of the range.
    scale : Tensor of shape (C, H, W)
        Of the error's logistic law.
    known : Tensor of shape (C, H, W)
        1 where the entry counts, else 0.
    P : Tensor of shape (C, H, W)
        Probability of an outlier, as far as it is known.

    Examples
    --------
    A dark half is black in one entry of two; a tenth of all entries was set to black.

    >>> generator = torch.Generator().manual_seed(0)
    >>> draw = lambda: torch.rand(1, 400, 400, generator=generator)
    >>> prediction = torch.full((1, 400, 400), 0.5)
    >>> prediction[:, :200] = 0
    >>> scene = torch.where(draw() < 0.5, prediction, 0.5)
    >>> struck = draw() < 0.1
    >>> y = torch.where(struck, 0.0, scene)
    >>> P = (y == 0).float() * torch.where(prediction == 0, 0.1 / 0.55, 1.0)
    >>> odds = odds_at_the_ends(y, prediction, torch.full_like(y, 0.02), torch.ones_like(y), P)
    >>> black = (y == 0) & (prediction == 0)
    >>> changed, told = (struck & (scene > 0))[black].float().mean(), (1 / (1 + odds[black])).mean()
    >>> f"{changed:.2f} {told:.2f}"
    '0.09 0.09'
    """
    half, counts = 0.5 / (BINS - 1), known > 0
    ends = [(y < half, _step(prediction - half, scale)), (y > 1 - half, _step(1 - half - prediction, scale))]
    # Where no inlier reaches an end every outlier is seen.
    inside = known * (ends[0][1] < _FAR) * (ends[1][1] < _FAR)
    total = float(((P * inside).sum() + _PRIOR * share_of(P, known)) / (inside.sum() + _PRIOR))
    result = torch.zeros_like(y)
    for at, step in ends:
        n, here = (torch.bincount(step[which], minlength=2 * _STEPS + 1) for which in (counts, counts & at))
        taken = float((P * (counts & at)).sum() / counts.sum().clamp(min=1))
        odds = _odds(n.double().cpu(), here.double().cpu(), taken, total)
        result = torch.where(at, odds.to(y)[step], result)
    return result


def _step(inside: Tensor, scale: Tensor) -> Tensor:
    """How far beyond an end an entry is foretold, in steps from the lowest."""
    return (-inside / (_STEP * scale)).clamp(-_STEPS, _STEPS).round().long() + _STEPS


def _odds(n: Tensor, here: Tensor, taken: float, total: float) -> Tensor:
    """The odds in each step: of n entries ``here`` are at the end. ``taken``: share of all entries that is there and
    was taken for outliers; ``total``: share of all outliers."""
    f0 = (here[:_FAR].sum() + _PRIOR * taken) / (n[:_FAR].sum() + _PRIOR)
    law = torch.sigmoid(_STEP * torch.arange(-_STEPS, _STEPS + 1, dtype=torch.float64))
    n, here = n + _PRIOR, here + _PRIOR * (f0 + (1 - f0) * law)
    f = torch.from_numpy(isotonic_regression((here / n).numpy(), weights=n.numpy()).x)
    c = (f - _SURE * (f * (1 - f) / n).sqrt() - f0) / max(1 - total, _LEAST)
    c = c.clamp(0, 1).minimum(_TIMES * law)
    f = f0 + (1 - total) * c
    return f / (f0 * (1 - c)).clamp(min=_LEAST) - 1
