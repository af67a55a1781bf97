"""Frames: lines of one value along the border of a picture, as scanners and video leave them.

A network blurs a line one pixel wide, and kriging knows no direction. What tells a missing entry of it is that all
trusted entries on both sides along the line have one value, and that the places beside the line have not. Inside a
photograph such lines are rather dead rows that were not found.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.overlays import shifted
from twofold.image.windows import back_in_place, count_beside, on_top

MARGIN = 8  # pixels from the border within which a frame lies
REACH = 8  # pixels along the line, to both sides
ENOUGH = 3  # trusted entries on each side
REJECTED = 0.25  # entries of the line's value that are not trusted, for each that is
EQUAL = 1.5 / 255  # values of one line differ by less
WIDEST = 3  # pixels: what is wider is an area, and foretold by all that surrounds it


def on_a_frame(y: Tensor, good: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Value of the frame's line through each entry, by other entries than itself, and whether there is one.

    Parameters
    ----------
    y : Tensor of shape (C, H, W)
    good, known : bool Tensor of shape (C, H, W)
        Entries that are trusted, and those that were observed: where many of the others have the line's value too,
        it may have been drawn over the picture.

    Returns
    -------
    value : Tensor of shape (C, H, W)
    on_frame : bool Tensor of shape (C, H, W)

    Examples
    --------
    >>> y = torch.arange(24.0).div(24).expand(1, 24, 24).clone()
    >>> y[0, 0] = 0
    >>> y[0, 0, 9] = y[0, 7, 9] = 1.0
    >>> value, on_frame = on_a_frame(y, y < 1, torch.ones_like(y, dtype=torch.bool))
    >>> float(value[0, 0, 9]), bool(on_frame[0, 0, 9]), bool(on_frame[0, 7, 9])
    (0.0, True, False)
    """
    value, on_frame, apart = torch.zeros_like(y), torch.zeros_like(good), torch.zeros_like(good)
    for border in range(4):
        in_strip = _in_rows(*(on_top(x, border, MARGIN + WIDEST) for x in (y, good, known)))
        found, is_line = (back_in_place(x[:, :MARGIN], border, y) for x in in_strip)
        apart |= on_frame & is_line & ((found - value).abs() > EQUAL)  # in a corner
        value = torch.where(is_line, found, value)
        on_frame |= is_line
    return value, on_frame & ~apart


def _in_rows(y: Tensor, good: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """The same for lines along the rows, wherever they are."""
    # An outlier or two that were not seen are no reason to give up a line.
    good = good & ~_stands_out(y, good)
    top = _highest_beside(torch.where(good, y, -torch.inf)).amax(0)
    bottom = -_highest_beside(torch.where(good, -y, -torch.inf)).amax(0)
    n = count_beside(good, 2, REACH)
    is_line = (n >= ENOUGH).all(0) & (top - bottom <= EQUAL)
    value = torch.where(is_line, 0.5 * (top + bottom), y.new_zeros(()))
    rejected = torch.zeros_like(y)
    others = torch.where(known & ~good, y, torch.inf)
    for k in range(1, REACH + 1):
        for sign in (1, -1):
            here, there = ((slice(None), *place) for place in shifted(y.shape[1:], (0, sign), k))
            rejected[here] += (others[there] - value[here]).abs() <= EQUAL
    is_line &= rejected < REJECTED * n.sum(0)
    for sign in (1, -1):  # beside the line, on either side, has to be something else
        differs = torch.zeros_like(is_line)
        for k in range(1, WIDEST + 1):
            here, there = ((slice(None), *place) for place in shifted(y.shape[1:], (sign, 0), k))
            other = torch.ones_like(is_line)  # beyond the border is something else, too
            other[here] = (top[there] - value[here] > EQUAL) | (value[here] - bottom[there] > EQUAL)
            differs |= other
        is_line &= differs
    return value, is_line


def _stands_out(y: Tensor, good: Tensor) -> Tensor:
    """True where the nearest good entries before and after have one value, and the entry has not."""
    width = y.shape[-1]
    places = torch.arange(width, device=y.device)
    last = torch.where(good, places, -1).cummax(-1).values
    next_ = torch.where(good, places, width).flip(-1).cummin(-1).values.flip(-1)
    before = F.pad(last, (1, 0), value=-1)[..., :width]
    after = F.pad(next_, (0, 1), value=width)[..., 1:]
    a, b = (y.gather(-1, place.clamp(0, width - 1)) for place in (before, after))
    return (before >= 0) & (after < width) & ((a - b).abs() <= EQUAL) & ((y - a).abs() > EQUAL)


def _highest_beside(x: Tensor) -> Tensor:
    """Maximum over REACH entries before each one and after it; −inf where there is none. Shape (2, C, H, W)."""
    width = x.shape[-1]
    highest = F.max_pool2d(F.pad(x, (REACH, REACH), value=-torch.inf), (1, REACH), 1)
    return torch.stack([highest[..., :width], highest[..., REACH + 1 :]])
