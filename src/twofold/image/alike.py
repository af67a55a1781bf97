"""Neighbours that are missed alike: details that only the places around them foretell.

What no prediction foretells — the far side of an edge, a thin line, a glint — rarely is one entry: the prediction
misses a neighbour by about the same amount, e_j ≈ e_i. Outliers that fall independently hardly ever look like that.
How much more likely the misses around entry i are if it is a part of a detail than by chance:

    Λ_i  =  ∏_j ((1−ALIKE) + ALIKE·L(e_j − e_i; b_i + SHADE·|e_i|) / p(y_j))        over the eight neighbours j

L Laplace's law, b_i the size of e_i that was expected, p(y_j) the density of the neighbour's value whatever it is. By
chance Λ is 1 on average.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twofold.image.details import SHADE
from twofold.image.overlays import DIRECTIONS, shifted

ALIKE = 0.3  # share of a detail's neighbours that are missed alike
MOST = 1e4  # of Λ: what eight neighbours say together is not independent
ELSEWHERE = 17  # pixels down and to the left: neighbours of another place
_MOST_RATIO = 1e4  # of one neighbour: keeps the product finite


def missed_alike(error: Tensor, b: Tensor, whatever: Tensor, evidence: Tensor, *, by_chance: bool = False) -> Tensor:
    """Λ for each entry.

    Parameters
    ----------
    error, b : Tensor of shape (C, H, W)
        y − m, and the mean size of it that was expected.
    whatever : Tensor of shape (C, H, W)
        p(y), positive.
    evidence : Tensor of shape (C, H, W)
        1 for the entries that count as neighbours, else 0.
    by_chance : bool, default False
        Beside neighbours of another place: how often Λ is large for entries that have nothing to do with each other.

    Returns
    -------
    Tensor of shape (C, H, W)

    Examples
    --------
    >>> error = torch.zeros(1, 9, 9)
    >>> error[0, 4, 1], error[0, 4, 5:8] = 0.5, 0.5  # one alone, and three in a row
    >>> one = torch.ones(1, 9, 9)
    >>> likely = torch.where(error > 0, 0.1, 30.0)
    >>> found = missed_alike(error, 0.01 * one, likely, one)[0, 4]
    >>> bool(found[1] < 0.1), bool(found[5] > 1), bool(found[6] > 20)
    (True, True, True)
    """
    sharpness = 1 / (b + SHADE * error.abs())
    surprise, certain = 0.5 * ALIKE * evidence / whatever, 1 - ALIKE * evidence
    beside = error
    if by_chance:
        beside, surprise, certain = (v.roll((ELSEWHERE, -ELSEWHERE), (1, 2)) for v in (error, surprise, certain))
    ratio = torch.ones_like(error)
    for direction in DIRECTIONS:
        one, other = ((slice(None), *place) for place in shifted(error.shape[1:], direction))
        for here, there in ((one, other), (other, one)):
            apart = (error[here] - beside[there]).abs_()
            alike = torch.exp(-apart * sharpness[here]) * sharpness[here] * surprise[there]
            ratio[here] *= certain[there] + alike.clamp_(max=_MOST_RATIO)
    return ratio.clamp_(max=MOST)
