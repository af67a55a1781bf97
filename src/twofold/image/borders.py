"""Border lines that do not go on with what is beside them: scanners and cameras leave a first or last row or column
of other content, or one that is moved along by some pixels.

Nothing foretells such a line from the rest, but all of it is missed alike: where its own entries foretell far better
how an entry is missed, they are asked. Nor does such a line say anything about the rest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.windows import back_in_place, on_top

LINES = 2  # from each border inwards
REACH = 8  # pixels along the line, to both sides
FALL = 2.0  # pixels over which the weight of a neighbour falls by e
LEAST = 0.1  # weight of an entry that is taken for an outlier: where nothing foretells the line, it may be none
OUTSIDE = 4.0  # typical errors from the median beyond which a neighbour does not count
BETTER = 0.5  # the typical error that the line has to have, relative to that of the prediction there
ODD = 4.0  # typical error of the prediction there, relative to that in the whole picture
ENOUGH = 64  # pixels of a line that is judged
SOME = 13  # of so many entries one says what is usual
_LEVEL = 1 / 255


def along_borders(y: Tensor, prediction: Tensor, good: Tensor, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What its own line says about each entry near the border, and where that is to be believed.

    Parameters
    ----------
    y, prediction : Tensor of shape (C, H, W)
    good : Tensor of shape (C, H, W)
        Probability that an entry is no outlier; −1 where it says nothing.
    own : bool Tensor of shape (C, H, W), optional
        Where it was to be believed before: not asked again.

    Returns
    -------
    prediction : Tensor of shape (C, H, W)
        The same with what the lines say.
    own : bool Tensor of shape (C, H, W)

    Examples
    --------
    >>> rows, columns = torch.meshgrid(torch.arange(80.0), torch.arange(90.0), indexing="ij")
    >>> y = (rows + columns)[None] / 400
    >>> expected = y.clone()
    >>> y[0, 0] += 0.4 + 0.1 * (columns[0] / 9).sin()  # other content
    >>> value, own = along_borders(y, expected, torch.ones_like(y))
    >>> bool(own[0, 0].all()), bool(own[0, 1:].any()), bool(((value - y)[own].abs() < 0.05).all())
    (True, False, True)
    """
    believed = torch.zeros_like(y, dtype=torch.bool)
    if own is not None and not bool(own.any()):
        return prediction, believed
    weight = torch.where(good < 0, 0.0, good.clamp(min=LEAST))
    odd = ODD * _usual((y - prediction).abs(), weight)
    for border in range(4):
        y_, foretold, weight_ = (on_top(x, border, LINES) for x in (y, prediction, weight))
        if y_.shape[2] < ENOUGH:
            continue
        value, error = _by_its_line(y_, foretold, weight_)
        if own is None:
            before = _median((y_ - foretold).abs(), weight_)
            here = ((error < BETTER * before) & (before > odd[:, None]))[..., None].expand_as(y_)
        else:
            here = on_top(own, border, LINES)
        value, here = (back_in_place(x, border, y) for x in (value, here))
        prediction = torch.where(here & ~believed, value, prediction)
        believed |= here
    return prediction, believed


def _usual(error: Tensor, weight: Tensor) -> Tensor:
    """The typical error of each channel, by one of so many entries: SOME."""
    return _median(*(x.flatten(1)[:, ::SOME] for x in (error, weight))).clamp(min=_LEVEL)


def _by_its_line(y: Tensor, prediction: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """What rows say about their entries, by their values or by how they are missed, and the typical error of that."""
    value, least = prediction, torch.full_like(y[..., 0], torch.inf)
    for other in (_along(y, weight), prediction + _along(y - prediction, weight)):
        error = _median((y - other).abs(), weight)
        value = torch.where((error < least)[..., None], other, value)
        least = least.minimum(error)
    return value, least


def _along(x: Tensor, weight: Tensor) -> Tensor:
    """Mean of the entries beside each one, those nearby first, without those that are far from their median."""
    beside = torch.cat([torch.arange(-REACH, 0), torch.arange(1, REACH + 1)])
    near, weights = (_windows(v)[..., REACH + beside] for v in (x, weight))
    median = _median(near, weights)
    spread = _median((x - median).abs(), weight)[..., None].clamp(min=_LEVEL)
    closeness = torch.exp(-beside.abs() / FALL).to(x)
    weights = weights * closeness * ((near - median[..., None]).abs() <= OUTSIDE * spread[..., None])
    total = weights.sum(-1)
    return torch.where(total > 0, (weights * near).sum(-1) / total.clamp(min=1e-6), median)


def _windows(x: Tensor) -> Tensor:
    """The 2·REACH + 1 entries around each one along the last axis; 0 beyond the ends."""
    return F.pad(x, (REACH, REACH)).unfold(-1, 2 * REACH + 1, 1)


def _median(x: Tensor, weight: Tensor) -> Tensor:
    """Weighted median over the last axis."""
    ordered, order = x.sort(-1)
    sums = weight.gather(-1, order).cumsum(-1)
    place = (sums < 0.5 * sums[..., -1:]).sum(-1, keepdim=True)
    return ordered.gather(-1, place.clamp(max=x.shape[-1] - 1))[..., 0]
