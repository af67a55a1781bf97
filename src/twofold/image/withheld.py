"""How good the result is, told by entries that nobody was shown.

A few entries are withheld from the network in both acts: single entries, whole pixels and short strokes. What the
network, and kriging from all others, make of them is compared with what was observed there:

    e²  =  b²·mean of (y − x̂)² / mean of b²         over withheld good entries, by the trust in what is near
    E (image − truth)²  =  P·e² + P·(1 − P)·(y − x̂)²          for image = P·x̂ + (1 − P)·y,  P = P(outlier)

b is the local error, by which decisions are made: where the picture is rough, outliers hide and good entries are
taken for outliers, and there the prediction errs more. Entries that are likely outliers count by what is left of
them, 1 − P: among them are the good ones that nothing foretold. The second term is the risk of a wrong decision; of
an entry that is kept, x̂ is there what the others foretell without it. Of a small image few entries are withheld, and
a few sharp edges decide.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.windows import sum_around

LEAST_PIXELS = 64 * 64
"""Of a smaller image nothing is withheld: it needs all that it has, and few entries would tell little."""

SHARE = 0.02
"""Of the entries, withheld: a quarter as single entries, a quarter as whole pixels, one half as strokes."""

LEAST_GAIN = 0.005
"""Of the squared error, that a further network has to take off for another one to follow."""

_STROKES = ((1, 21), (21, 1), (3, 21), (21, 3))  # pixels: an edge along a scratch or a dead line goes on below it
_WINDOW = 5  # pixels, for the trust nearby
_BINS = 6  # of the trust nearby, each with as many withheld entries
_LEAST = 20  # good entries in a bin


def withheld_entries(like: Tensor, seed: int) -> Tensor | None:
    """True for the entries that are withheld from an image like this one, (C, H, W); None: it is too small.

    >>> chosen = withheld_entries(torch.zeros(3, 64, 64), seed=0)
    >>> chosen is not None and 0.01 < float(chosen.float().mean()) < 0.03
    True
    """
    C, H, W = like.shape
    if H * W < LEAST_PIXELS:
        return None
    generator = torch.Generator().manual_seed(seed)
    single = torch.rand(C, H, W, generator=generator) < SHARE / 4
    pixel = torch.rand(H, W, generator=generator) < SHARE / 4
    for height, width in _STROKES:
        share = SHARE / 2 / len(_STROKES) / (height * width)
        centre = (torch.rand(1, 1, H, W, generator=generator) < share).float()
        stroke = F.max_pool2d(centre, (height, width), 1, (height // 2, width // 2))
        pixel |= stroke[0, 0] > 0.5
    return (single | pixel).to(like.device)


def misfit(image: Tensor, y: Tensor, good: Tensor, withheld: Tensor) -> float:
    """Squared error of an image at withheld entries, each weighed by how likely it is no outlier."""
    return float((good * withheld * (y - image) ** 2).sum())


def still_gains(images: Tensor, y: Tensor, good: Tensor, withheld: Tensor) -> bool:
    """Whether the last of the networks took off at least LEAST_GAIN of the squared error of the mean image.

    Parameters
    ----------
    images : Tensor of shape (n_networks, C, H, W)
    y, good : Tensor of shape (C, H, W)
        Observation, and how likely each entry is no outlier.
    withheld : bool Tensor of shape (C, H, W)
        Entries by which it is told: no network was shown them.
    """
    if len(images) < 2:
        return True
    before, after = (misfit(some.mean(0), y, good, withheld) for some in (images[:-1], images))
    return after < (1 - LEAST_GAIN) * before


def squared_error(trust: Tensor, miss: Tensor, weight: Tensor, withheld: Tensor, local: Tensor) -> Tensor:
    """e² for each entry.

    Parameters
    ----------
    trust : Tensor of shape (C, H, W)
        In [0, 1].
    miss : Tensor of shape (C, H, W)
        y − x̂ where withheld, with x̂ predicted without any withheld entry.
    weight : Tensor of shape (C, H, W)
        How likely each entry is good; 0 where it is unknown.
    withheld : bool Tensor of shape (C, H, W)
    local : Tensor of shape (C, H, W)
        b, above 0.

    Returns
    -------
    Tensor of shape (C, H, W)
    """
    chosen = withheld & (weight > 0)
    if not bool((weight[chosen] > 0.5).any()):
        return torch.full_like(trust, torch.nan)
    result, scale = torch.empty_like(trust), local.square()
    w, e = weight[chosen], miss[chosen].square()
    (here, near), (here_before, near_before) = _context(trust), _context(trust * ~withheld)
    here_before, near_before = here_before[chosen], near_before[chosen]
    for alone in (True, False):
        some = (here_before < 0.5) == alone
        if float(w[some].sum()) < _LEAST:
            some = torch.ones_like(some)
        d, good = near_before[some], w[some]
        e_, b_ = good * e[some], good * scale[chosen][some]
        parts = d.argsort().tensor_split(max(min(_BINS, int(good.sum()) // _LEAST), 1))
        level = torch.stack([e_[part].sum() / b_[part].sum() for part in parts])
        edges = torch.stack([d[part[0]] for part in parts])[1:]
        place = (here < 0.5) == alone
        result[place] = level[torch.bucketize(near[place], edges, right=True)]
    return result * scale


def _context(trust: Tensor) -> tuple[Tensor, Tensor]:
    """For (C, H, W): the greatest trust in another channel of the pixel, and the mean in a window around it, half of
    it the own channel's."""
    C = len(trust)
    if C == 1:
        here = torch.zeros_like(trust)
    else:
        two = trust.topk(2, dim=0).values
        here = torch.where(trust == two[0], two[1], two[0])
    around = sum_around(trust, _WINDOW) / (_WINDOW**2 - 1)
    return here, 0.5 * (around + around.mean(0))
