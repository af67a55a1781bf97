"""Means and sums over windows of an image, (C, H, W), and its four borders."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def box_mean(x: Tensor, window: int) -> Tensor:
    """Mean over a window; windows are cut off at the borders."""
    return F.avg_pool2d(x[None], window, stride=1, padding=window // 2, count_include_pad=False)[0]


def sum_around(x: Tensor, window: int) -> Tensor:
    """Sum over a window without its own pixel; beyond the borders there is nothing.

    >>> import torch
    >>> sum_around(torch.tensor([[[1.0, 2.0, 4.0]]]), 3)
    tensor([[[2., 5., 2.]]])
    """
    return F.avg_pool2d(x[None], window, 1, window // 2)[0] * window**2 - x


def count_beside(x: Tensor, axis: int, reach: int, across: int = 0) -> Tensor:
    """How many entries are True within ``reach`` before each one and after it along an axis, and ``across`` to both
    sides of that; shape (2, C, H, W).

    >>> count_beside(torch.tensor([[[True, True, False, True]]]), 2, 2).tolist()
    [[[[0, 1, 2, 1]]], [[[1, 1, 1, 0]]]]
    """
    if across:
        sums = _sums(x, 3 - axis)
        x = _at(sums, 3 - axis, across + 1) - _at(sums, 3 - axis, -across)
    sums, n = _sums(x, axis), x.shape[axis]
    before, after = sums.narrow(axis, 0, n), sums.narrow(axis, 1, n)
    return torch.stack([before - _at(sums, axis, -reach), _at(sums, axis, reach + 1) - after])


def sum_along(x: Tensor, axis: int, reach: int) -> Tensor:
    """Sums of whole numbers within ``reach`` of each entry along an axis, itself included; cut off at the borders.

    >>> sum_along(torch.tensor([[[1, 2, 4, 8]]]), 2, 1).tolist()
    [[[3, 7, 14, 12]]]
    """
    sums = _sums(x, axis, torch.int64)
    return _at(sums, axis, reach + 1) - _at(sums, axis, -reach)


def _sums(x: Tensor, axis: int, dtype: torch.dtype = torch.int32) -> Tensor:
    """Sums of all entries before each place along an axis, one place more than there are."""
    sums = x.cumsum(axis, dtype=dtype)
    return torch.cat([torch.zeros_like(sums.narrow(axis, 0, 1)), sums], axis)


def _at(sums: Tensor, axis: int, step: int) -> Tensor:
    """Sums so many places on; what lies beyond the borders is empty."""
    n = sums.shape[axis] - 1
    first, last = (min(max(place, 0), n + 1) for place in (step, n + step))
    before = sums.narrow(axis, 0, 1).repeat_interleave(min(max(-step, 0), n), axis)
    after = sums.narrow(axis, n, 1).repeat_interleave(min(max(step - 1, 0), n), axis)
    return torch.cat([before, sums.narrow(axis, first, last - first), after], axis)


def on_top(x: Tensor, border: int, depth: int) -> Tensor:
    """The ``depth`` lines along one of the four borders as the first rows, from the border inwards."""
    return x.rot90(border, (1, 2))[:, :depth]


def back_in_place(rows: Tensor, border: int, like: Tensor) -> Tensor:
    """Undo :func:`on_top`: lines along a border in an image shaped like another one; 0 or False everywhere else.

    >>> x = torch.arange(6.0).reshape(1, 2, 3)
    >>> [back_in_place(on_top(x, border, 1), border, x).tolist() for border in (0, 1)]
    [[[[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]], [[[0.0, 0.0, 2.0], [0.0, 0.0, 5.0]]]]
    """
    whole = torch.zeros_like(like.rot90(border, (1, 2)), dtype=rows.dtype)
    whole[:, : rows.shape[1]] = rows
    return whole.rot90(-border, (1, 2))
