"""Blended strokes: the rest of an overlay, once act 1 has shown what does not belong to the picture.

Thin letters and lines drawn with blended edges have few pixels of their own colour c, by which
:mod:`twofold.image.overlays` finds them; most are mixtures with the picture behind them. With its prediction m, from
pixels that act 1 does not doubt, the rest is told by the line in colour space on which it lies,

    y − m  =  a·(c − m) + r,       0 < a ≤ 1,  |r| small

A doubtful pixel like that is a part of the overlay if it is next to a pixel that was found, or if pixels like it
connect it to one of nearly the full colour (a ≥ CORE). An overlay with hard edges was found as a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label, maximum
from torch import Tensor

from twofold.image.overlays import LEVELS, Bools

COLOURS, LEAST, LEAST_SHARE = 4, 64, 0.1  # the most colours; pixels of one, and share of all that were found
SOFT = 0.1  # share of mixtures among what was found from which on edges are blended,
SOFT_BESIDE = 0.14  # and among the pixels beside it: up to 0.12 beside dead columns in a rough picture
CROWDED = 0.4  # share of pixels most of whose channels are doubtful, from which on some are like everything
WEAKEST = 0.1  # a, at least
CORE = 0.7  # a of a pixel that hardly shows the picture
CONTRAST, SEEN = 0.15, 0.04  # |c − m| of such a pixel, and |a·(c − m)| of any, at least
OFF, OFF_SHARE = 0.05, 0.15  # |r|, at most: so much, and this share of |a·(c − m)|
_EIGHT = np.ones((3, 3), bool)


def blended_strokes(y: Tensor, prediction: Tensor, doubtful: Tensor, overlay: Tensor) -> Tensor:
    """What was found of an overlay and what belongs to it.

    Parameters
    ----------
    y, prediction : Tensor of shape (C, H, W)
        Observation in [0, 1], and what the entries that are not doubtful say about it.
    doubtful, overlay : bool Tensor of shape (C, H, W)
        What act 1 took for outliers, and what was found. Entries that are known to be missing are in neither.

    Returns
    -------
    bool Tensor of shape (C, H, W)

    Examples
    --------
    >>> prediction = torch.full((3, 80, 80), 0.2)
    >>> cover = torch.zeros(80, 80)
    >>> cover[5:75, 10], cover[5:75, 11] = 1.0, torch.linspace(0.35, 0.65, 70)
    >>> cover[20, 20:30], cover[20, 24:26] = 0.3, 0.9
    >>> y = prediction + cover * (torch.tensor([0.9, 0.8, 0.1])[:, None, None] - prediction)
    >>> overlay = cover.expand(3, 80, 80) > 0.3  # without the last, thin one
    >>> overlay[:, 20, 24:26] = False
    >>> found = blended_strokes(y, prediction, y != prediction, overlay)
    >>> int(overlay[0].sum()), int(found[0].sum()), int((cover > 0).sum())
    (140, 150, 150)
    """
    # In one channel only there are dead lines and impulses, which have hard edges.
    found, doubted = overlay.all(0).cpu().numpy(), doubtful.any(0).cpu().numpy()
    mostly = (doubtful.float().mean(0) > 0.5).cpu().numpy()
    if (mostly & ~found).sum() > CROWDED * (~found).sum():
        return overlay
    result = found.copy()
    beside = binary_dilation(found, _EIGHT) & ~overlay.any(0).cpu().numpy()
    values, m = (v.cpu().numpy().astype(np.float64) for v in (y, prediction))
    colours, is_soft = _colours(values, found)
    for colour in colours:
        cover, contrast = _covered(values, m, colour)
        like = doubted & ~found & (cover > 0)
        mixed = like & beside & (cover < 1 - WEAKEST)
        if not (is_soft or mixed.sum() > SOFT_BESIDE * beside.sum()):
            continue
        pieces, n_pieces = label(like, _EIGHT)
        core = maximum(np.where(contrast >= CONTRAST, cover, 0.0), pieces, np.arange(n_pieces + 1)) >= CORE
        core[0] = False
        result |= (like & beside) | core[pieces]
    return torch.from_numpy(result).to(y.device).expand_as(y) | overlay


def _colours(values: NDArray[Any], found: Bools) -> tuple[NDArray[Any], bool]:
    """The colours, of shape (n, C), that most of what was found has; and whether mixtures, each of a colour of its
    own, were found with them."""
    levels = np.rint(LEVELS * values[:, found].T).astype(np.int32)
    colours, counts = np.unique(levels, axis=0, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:COLOURS]
    most = most[counts[most] >= max(LEAST, LEAST_SHARE * len(levels))]
    return colours[most] / LEVELS, bool(counts[counts < LEAST].sum() > SOFT * len(levels))


def _covered(values: NDArray[Any], m: NDArray[Any], colour: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """a for each pixel, 0 where it is no mixture of m and the colour; and |c − m|."""
    away, missed = colour[:, None, None] - m, values - m
    contrast = np.sqrt((away**2).sum(0))
    a = (away * missed).sum(0) / np.maximum(contrast**2, 1e-12)
    off = np.sqrt(((missed - a * away) ** 2).sum(0))
    mixture = (a >= WEAKEST) & (a <= 1 + WEAKEST) & (a * contrast >= SEEN)
    return np.where(mixture & (off <= OFF + OFF_SHARE * a * contrast), a, 0.0), contrast
