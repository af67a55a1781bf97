"""Differences of neighbouring pixels, and what total variation is made of."""

from __future__ import annotations

import torch
from torch import Tensor

_ROUNDED = 0.02  # differences of neighbours below which total variation is nearly quadratic


def gradient(x: Tensor) -> Tensor:
    """Forward differences of (C, H, W), zero at the last row and column; shape (2, C, H, W)."""
    g = x.new_zeros(2, *x.shape)
    g[0, :, :-1] = x[:, 1:] - x[:, :-1]
    g[1, :, :, :-1] = x[:, :, 1:] - x[:, :, :-1]
    return g


def divergence(p: Tensor) -> Tensor:
    """Minus the gradient's adjoint."""
    d = torch.zeros_like(p[0])
    d[:, :-1] += p[0, :, :-1]
    d[:, 1:] -= p[0, :, :-1]
    d[:, :, :-1] += p[1, :, :, :-1]
    d[:, :, 1:] -= p[1, :, :, :-1]
    return d


def variation_gradient(x: Tensor) -> Tensor:
    """∇TV(x), for TV(x) = Σ √(d² + ε²) − ε over the differences d of neighbours in rows and in columns.

    >>> step = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    >>> print(variation_gradient(step).round(decimals=2) + 0.0)
    tensor([[[ 0., -1.,  1.,  0.]]])
    """
    d = gradient(x)
    return -divergence(d / torch.sqrt(d * d + _ROUNDED**2))
