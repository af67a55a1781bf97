"""Where more outliers are than elsewhere: bad lines, a corner that was hit, a scan that gets worse towards its end.

With one share π of outliers for the whole picture those of a bad line pass for texture: each makes the error that is
allowed to the others larger. So the share is looked up in each place as well, as the mean P of the entries around:

    π_i  =  π + Δ_i                      where |Δ_i| > max(LEAST, 5σ)             in a box, all channels together
    π_i  =  π_i + (Δ_i − max(LEAST_ALONG, 5σ))₊                                   along a line of one channel

Δ the mean of P − π there and σ² = π·(1 − π)/n what chance makes of it with n entries. Fine texture raises P as well,
by less than LEAST; where outliers fall evenly nothing changes.

An edge of the picture that runs along a row or a column is missed all along it, too. But there the line itself
foretells its entries better than their surroundings do: a line has more outliers where it does not,

    Σ P·d²  ≥  Σ P·(ROUGH·min(|e|, EDGE))²        d: y minus the mean of its two neighbours on the line
                                                  e: y minus its prediction

For uniform outliers d² is at least 0.38 of e², and the values of a bright or dark line that is merely noisy have d
of 0.04 and more. Along edges that passed for bad lines, of bricks and buildings, d was at most 0.02 and e near 0.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twofold.image.borders import LINES
from twofold.image.windows import sum_along

BOX, LEAST = 20, 0.2  # pixels to each side
LINE, LEAST_ALONG = 31, 0.3
ROUGH, EDGE = 0.5, 0.06
LEAST_SHARE, MOST_SHARE = 1e-4, 0.95
_DEVIATIONS = 5.0
_UNIT = 2.0**20  # probabilities are counted in parts of it


class Places:
    """The surroundings of each entry.

    Parameters
    ----------
    y : Tensor of shape (C, H, W)
        The observation.
    evidence : Tensor of shape (C, H, W)
        1 for the entries that count, else 0.

    Examples
    --------
    >>> P, y = torch.zeros(1, 40, 40), torch.full((1, 40, 40), 0.5)
    >>> P[0, 20], y[0, 20] = 0.5, torch.rand(40)  # half of the outliers of a bad row have been seen
    >>> share = Places(y, torch.ones_like(P)).share(P, y - 0.5, torch.full_like(P, 0.01))
    >>> bool((share[0, 20] > 0.15).all()), bool((share[0, :20] == 0.01).all())
    (True, True)
    """

    def __init__(self, y: Tensor, evidence: Tensor) -> None:
        self.evidence = evidence
        known = evidence.long()
        self.in_box = _in_box(known).clamp(min=1)
        self.along = [sum_along(known, axis, LINE).clamp(min=1) for axis in (1, 2)]
        self.beside = [_beside(y, evidence, axis) for axis in (1, 2)]

    def share(self, P: Tensor, error: Tensor, overall: Tensor) -> Tensor:
        """π for each entry.

        Parameters
        ----------
        P, error, overall : Tensor of shape (C, H, W)
            P(outlier) of each entry, y minus its prediction, and what the share would be without its place.
        """
        excess = _in_box(self._counted(P - overall)) / (self.in_box * _UNIT)
        share = torch.where(excess.abs() > _beyond_chance(overall, self.in_box, LEAST), overall + excess, overall)
        share = share.clamp(LEAST_SHARE, MOST_SHARE)
        counted, more = self._counted(P - share), torch.zeros_like(share)
        smooth = (ROUGH * error.abs().clamp(max=EDGE)).square()
        for axis, n, (squared, both) in zip((1, 2), self.along, self.beside, strict=True):
            excess = sum_along(counted, axis, LINE) / (n * _UNIT) - _beyond_chance(share, n, LEAST_ALONG)
            if not bool((excess > 0).any()):
                continue
            is_rough = sum_along(self._counted(P * both * (squared - smooth)), axis, LINE) >= 0
            excess = torch.where(is_rough, excess, 0.0)
            # A line at the border that nothing foretells may be other content.
            inside = (slice(None), slice(LINES, -LINES)) if axis == 2 else (..., slice(LINES, -LINES))
            more[inside] = more[inside].maximum(excess[inside])
        return torch.where(self.evidence > 0, (share + more).clamp(max=MOST_SHARE), overall)

    def _counted(self, v: Tensor) -> Tensor:
        # Whole numbers, whose sum is the same in any order.
        return (v * self.evidence * _UNIT).round().long()


def _beside(y: Tensor, evidence: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The square of y minus the mean of its two neighbours along an axis, and 1 where both of them count. At the
    border the one neighbour is taken twice."""
    n = y.shape[axis]

    def mean(x: Tensor) -> Tensor:
        before = torch.cat([x.narrow(axis, min(1, n - 1), 1), x.narrow(axis, 0, n - 1)], axis)
        after = torch.cat([x.narrow(axis, 1, n - 1), x.narrow(axis, max(n - 2, 0), 1)], axis)
        return (before + after) / 2

    return (y - mean(y)).square(), (mean(evidence) == 1).to(y)


def _in_box(v: Tensor) -> Tensor:
    return sum_along(sum_along(v.sum(0, keepdim=True), 1, BOX), 2, BOX)


def _beyond_chance(share: Tensor, n: Tensor, least: float) -> Tensor:
    return (_DEVIATIONS * (share * (1 - share) / n).sqrt()).clamp(min=least)
