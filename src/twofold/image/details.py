"""Details: pixels that no neighbour foretells, but whose channels foretell each other.

A glint, a thin line, the corner of an edge: the prediction m misses all channels of such a pixel by about the same
amount, e_c = y_c − m_c ≈ e_0, the median of e. Judged one by one the channels are outliers, and once they are, none
of them speaks for the others. Outliers that fall in each channel independently hardly ever agree like that:

    p(y | detail)  =  (1−π)·L(e_0; REACH)·∏ ((1−π)·a_c + π·q_c)    over channels other than the median's own
    a_c            =  L(e_c − e_0; b_c + SHADE·|e_0|)              L: Laplace's law
    r              =  τ·p(y | detail) / (∏ ((1−π)·p_c + π·q_c) + γ·∏ q_c)
    P(outlier)     =  (P_c + r·π·q_c/((1−π)·a_c + π·q_c)) / (1 + r)

with π, q, p as in :mod:`twofold.image.confidence`. Details come in clusters: τ is DETAIL on average, and learned for
each pixel from those around it. Where they do not, it is outliers that strike all channels of a pixel alike, and τ is
much less. γ is the share of pixels all of whose channels are outliers, beyond the share by chance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twofold.image.windows import sum_around

DETAIL = 0.002  # share of the pixels
REACH = 0.3  # mean size of what is missed where no neighbour foretells it
SHADE = 0.15  # mean difference of a detail's channels, relative to its contrast
ROUNDS = 3  # of learning where details are
EVERYWHERE, MOST = 0.05, 20.0  # τ relative to the average: the least, and the most
CLUSTERED = 5.0  # how many times the average there are next to one, at least
_AROUND = 3  # pixels, side of the window
_LEAST, _MOST_LOG = 1e-12, 60.0  # keep logarithms and exponentials finite


def without_details(
    P: Tensor, error: Tensor, b: Tensor, inlier: Tensor, outlier: Tensor, share: Tensor, evidence: Tensor
) -> Tensor:
    """P(outlier) of each entry, given that the pixel may be a detail.

    Parameters
    ----------
    P : Tensor of shape (C, H, W)
        P(outlier) of each entry by itself.
    error, b : Tensor of shape (C, H, W)
        y − m, and the mean size of it that was expected.
    inlier, outlier : Tensor of shape (C, H, W)
        Densities p(y | inlier) and p(y | outlier).
    share : Tensor, of shape (C, H, W) or any that it is broadcast from
        π, in (0, 1).
    evidence : Tensor of shape (C, H, W)
        1 for the entries whose agreement counts, else 0.

    Returns
    -------
    Tensor of shape (C, H, W)

    Examples
    --------
    >>> P, error, one = torch.zeros(3, 64, 64), torch.zeros(3, 64, 64), torch.ones(3, 64, 64)
    >>> P[:, 20, 20:23] = P[:, 40, 40] = 1.0
    >>> error[:, 20, 20:23] = torch.tensor([0.41, 0.4, 0.42])[:, None]
    >>> error[:, 40, 40] = torch.tensor([0.41, -0.2, 0.1])
    >>> inlier = torch.exp(-error.abs() / 0.01) / 0.02 + 0.003
    >>> found = without_details(P, error, 0.01 * one, inlier, one, torch.tensor(0.05), one)
    >>> bool((found[:, 20, 20:23] < 0.1).all()), bool((found[:, 40, 40] > 0.9).all())
    (True, True)
    """
    n = len(P)
    if n == 1:
        return P
    middle = _median(error)
    scale = b + SHADE * middle.abs()
    agrees = (1 - share) * evidence * torch.exp(-(error - middle).abs() / scale) / (2 * scale)
    # The median agrees with itself whatever it is.
    contrast = (1 - share) * evidence * torch.exp(-middle.abs() / REACH) / (2 * REACH)
    is_own = error == middle
    for channel in range(1, n):  # of several the first one
        is_own[channel] &= ~is_own[:channel].any(0)
    struck = torch.where(is_own, 0.0, share * outlier)
    if_detail = torch.where(is_own, contrast, agrees) + struck
    by_chance = share.expand_as(P).prod(0)
    together = max(float((P.prod(0) - by_chance).mean()), _LEAST)
    by_itself = torch.logaddexp(
        (share * outlier + (1 - share) * inlier).log().sum(0), outlier.log().sum(0) + math.log(together)
    )
    ratio = (if_detail.clamp(min=_LEAST).log().sum(0) - by_itself).clamp(max=_MOST_LOG).exp()
    struck_too = struck / if_detail.clamp(min=_LEAST)
    rejected = ((1 - struck_too) * P).sum(0) / (1 - struck_too).sum(0)
    r = DETAIL * ratio
    detail = r * rejected / (1 + r)
    n_around = sum_around(torch.ones_like(detail)[None], _AROUND)[0].clamp(min=1)
    average = DETAIL * min(1.0, _clustering(detail, n_around) / CLUSTERED) ** 4
    for _ in range(ROUNDS):
        r = average * _share_around(detail, n_around) * ratio
        detail = r * rejected / (1 + r)
    return (P + r * struck_too) / (1 + r)


def _median(error: Tensor) -> Tensor:
    """Over the channels; of three by comparing them, which is ten times as fast as sorting."""
    if len(error) != 3:
        return error.median(0).values
    a, b, c = error
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def _share_around(detail: Tensor, n_around: Tensor) -> Tensor:
    """τ of each pixel relative to the average, from P(detail) of those around it, not its own."""
    around = _around(detail, n_around) / max(float(detail.mean()), 1e-9)
    return (EVERYWHERE + (1 - EVERYWHERE) * around).clamp(max=MOST)


def _clustering(detail: Tensor, n_around: Tensor) -> float:
    """How many details there are next to one, relative to the average: 1 where they fall independently."""
    total, mean = float(detail.sum()), float(detail.mean())
    return float((detail * _around(detail, n_around)).sum()) / (total * mean) if total * mean > 0 else 0.0


def _around(detail: Tensor, n_around: Tensor) -> Tensor:
    """Mean of the pixels around each, without its own, of which there are ``n_around``."""
    return sum_around(detail[None], _AROUND)[0] / n_around
