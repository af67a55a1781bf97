"""Means and sums over square windows of an image, (C, H, W)."""

from __future__ import annotations

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
