"""Scattered values: exact values in the place of many entries here and there, whatever the picture is there.

Where more than half of all entries became black, a descent that starts from the middle of what it sees follows the
black; where little is left of most pixels, as of a grey picture among much salt and pepper, it follows both. What
gives such a value v away is that it falls independently: of the entries none of whose eight neighbours is near to v,
other than v itself, a share p is v, however few of those neighbours are. A value of the picture has neighbours like
itself: with few of them it is rare. p is read off at the places with the fewest neighbours v. An area of the picture
that has the value is told by the entries that no other such value struck.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twofold.image.overlays import JUMP, LEVELS
from twofold.image.windows import sum_around

MISLEADING = 0.38
"""p of one value, or share of the pixels of which no channel is left, from which on a descent may follow what struck
them. Of fewer nobody is misled, and act 1 had better see them: they keep the network from fitting too closely."""

LEAST = 0.1  # p from which on others count as well
LEFT = 0.01  # share of the entries that has to be left, or nothing is known about the picture
PLACES = 200  # that p is read off at, at least
_AROUND = 9  # pixels: window in which the picture's own areas of a value are told from scattered ones
_DEVIATIONS, _EXCESS = 4.0, 0.1  # by so many standard deviations and this share above p


def scattered(y: Tensor, known: Tensor | None = None) -> Tensor:
    """Entries that have a scattered value.

    Parameters
    ----------
    y : Tensor of shape (C, H, W), in [0, 1]
    known : bool Tensor of shape (C, H, W), optional
        False where the entry is known to be bad.

    Returns
    -------
    bool Tensor of shape (C, H, W)
        All False where nobody is misled by them.

    Examples
    --------
    >>> rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    >>> picture = 0.2 + rows[None] / 100
    >>> struck = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.7
    >>> found = scattered(torch.where(struck, 0.0, picture))
    >>> bool((found == struck).all()), bool(scattered(picture).any())
    (True, False)
    """
    levels = (y.clamp(0, 1) * LEVELS).round().to(torch.int32)
    known = torch.ones_like(levels, dtype=torch.bool) if known is None else known.expand_as(levels)
    found, most = torch.zeros_like(known), 0.0
    for channel, good, mark in zip(levels, known, found, strict=True):
        counts = torch.bincount(channel[good].long(), minlength=LEVELS + 1)
        common = torch.nonzero(counts >= (LEAST * counts.sum()).clamp(min=1)).flatten().tolist()
        rates = {value: _rate((channel == value) & good, (channel - value).abs() > JUMP, good) for value in common}
        rates = {value: p for value, p in rates.items() if p >= LEAST}
        most = max([most, *rates.values()])
        for value, p in rates.items():
            others = torch.isin(channel, channel.new_tensor([other for other in rates if other != value]))
            left = max(1 - sum(rates.values()) + p, p)
            equal = (channel == value) & good
            mark |= equal & ~_area(equal, good & ~others, p / left)
    seen = known.any(0)
    lost = float(((found | ~known).all(0) & seen).sum() / seen.sum().clamp(min=1))
    enough_left = float((known & ~found).sum()) >= LEFT * float(known.sum())
    return found if max(most, lost) >= MISLEADING and enough_left else torch.zeros_like(found)


def _rate(equal: Tensor, far: Tensor, good: Tensor) -> float:
    """p of a value: equal to it, far from it, and known are images of shape (H, W)."""
    neighbours, near = (sum_around(v.float()[None], 3)[0].round().int() for v in (equal, good & ~equal & ~far))
    plain = good & (near == 0)
    places = torch.bincount(neighbours[plain], minlength=9).cumsum(0)
    hits = torch.bincount(neighbours[plain & equal], minlength=9).cumsum(0)
    enough = torch.nonzero(places >= PLACES)
    return 0.0 if len(enough) == 0 else float(hits[enough[0]] / places[enough[0]])


def _area(equal: Tensor, good: Tensor, p: float) -> Tensor:
    """True where nearly all around have the value: an area of the picture."""
    n = sum_around(good.float()[None], _AROUND)[0].clamp(min=1)
    share = sum_around(equal.float()[None], _AROUND)[0] / n
    return share > p + _DEVIATIONS * math.sqrt(p * (1 - p)) / n.sqrt() + _EXCESS
