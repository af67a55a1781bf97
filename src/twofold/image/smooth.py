"""The smooth fit, from which the places of outliers are filled.

A network fits the entries that it is shown more closely than those that it is not; kriging, which learns from the
former how much is missed, is told too little. So its image is taken back towards the beginning of act 2, and blurred:

    x̃ = G_σ * ((1 − back)·x + back·x_first)        G_σ: a Gaussian of standard deviation σ pixels

What that takes away kriging brings back, from the entries themselves. How much of it is best depends on how well the
network got to know the picture: nothing for a large sharp one, a lot for a small one. Entries that nobody was shown
tell: σ is chosen by how well they are foretold, then back.

Outliers are decided by the smooth fit as well: what the network has come near to does not look like one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.windows import sum_around
from twofold.image.withheld import misfit

SIGMAS = (0.0, 0.6, 0.85, 1.2, 1.7, 2.4, 3.4)
"""Pixels. The widest are for smooth pictures of which little is known, and for dense noise."""

BACKS = (0.2, 0.0, 0.4)
"""The first one while σ is chosen."""

UNTOLD = (0.2, 0.85)
"""back and σ where nothing is withheld: the image is small."""

UNSETTLED = (0.2, 0.5)
"""The same for decisions while the network is being fitted: more would blur a line along the border into the next."""


def smooth_fit(x: Tensor, first: Tensor, back: float, sigma: float) -> Tensor:
    """x̃ for images of shape (C, H, W)."""
    return blurred(torch.lerp(x, first, back), sigma)


def chosen(
    x: Tensor, first: Tensor, y: Tensor, good: Tensor, withheld: Tensor, foretold: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The smooth fit whose prediction of lonely withheld entries is best, and that prediction.

    Strokes that are withheld are left out: outliers hardly ever lie like that, and the few sharp edges below strokes
    would decide.

    Parameters
    ----------
    x, first : Tensor of shape (C, H, W)
        The network's image at the end of act 2 and at its beginning.
    y, good : Tensor of shape (C, H, W)
        Observation, and how likely each entry is no outlier.
    withheld : bool Tensor of shape (C, H, W)
    foretold : callable
        From a smooth fit to a prediction without the withheld entries.
    """
    told = alone(withheld)

    def tried(back: float, sigma: float) -> tuple[float, float, Tensor, Tensor]:
        fit = smooth_fit(x, first, back, sigma)
        prediction = foretold(fit)
        return misfit(prediction, y, good, told), sigma, fit, prediction

    best = tried(BACKS[0], SIGMAS[0])
    for sigma in SIGMAS[1:]:
        new = tried(BACKS[0], sigma)
        if new[0] >= best[0]:
            break
        best = new
    for back in BACKS[1:]:
        new = tried(back, best[1])
        if new[0] < best[0]:
            best = new
            break
    return best[2:]


def alone(withheld: Tensor) -> Tensor:
    """True for withheld entries none of whose eight neighbours in their channel is withheld.

    >>> withheld = torch.tensor([[[1, 0, 0, 0, 0], [0, 0, 0, 1, 1]]]) > 0
    >>> alone(withheld).int()
    tensor([[[1, 0, 0, 0, 0],
             [0, 0, 0, 0, 0]]], dtype=torch.int32)
    """
    return withheld & (sum_around(withheld.float(), 3) < 0.5)


def blurred(x: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of each channel of (C, H, W); the border is continued by its own values.

    >>> blurred(torch.eye(3)[None], 0.5)[0]
    tensor([[0.8093, 0.1791, 0.0118],
            [0.1791, 0.6415, 0.1791],
            [0.0118, 0.1791, 0.8093]])
    """
    if sigma == 0.0:
        return x
    reach = math.ceil(4 * sigma)
    bell = torch.exp(-torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device).square() / (2 * sigma**2))
    row = (bell / bell.sum())[None, None, None]
    x = F.pad(x[:, None], (reach,) * 4, mode="replicate")
    # On a CUDA device: the same bits each time, and all of them.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        return F.conv2d(F.conv2d(x, row), row.mT)[:, 0]
