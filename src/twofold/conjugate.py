"""Conjugate gradients for a positive semidefinite map of tensors of any shape: the one such loop.

(New rows have their own, which solves for all rows at once: :mod:`twofold.matrix.rows`.)
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor], right: Tensor, *, tol: float, max_steps: int, start: Tensor | None = None
) -> tuple[Tensor, int]:
    """Solve apply(x) = right.

    Parameters
    ----------
    apply : callable
        Linear, symmetric and positive semidefinite; ``right`` is in its range, up to what ``tol`` forgives.
    right : Tensor
    tol : float
        Residual that is good enough, relative to the first.
    max_steps : int
    start : Tensor, optional
        None: zero.

    Returns
    -------
    x : Tensor
    n_steps : int
        Applications of the map after the first residual.

    Examples
    --------
    >>> x, n_steps = conjugate_gradients(lambda x: 2 * x, torch.tensor([4.0, 6.0]), tol=1e-6, max_steps=5)
    >>> x, n_steps
    (tensor([2., 3.]), 1)
    """
    x = torch.zeros_like(right) if start is None else start
    residual = right if start is None else right - apply(start)
    direction = residual
    square = float((residual * residual).sum())
    enough = tol * tol * square
    n_steps = 0
    while square > enough and n_steps < max_steps:
        n_steps += 1
        image = apply(direction)
        curvature = float((direction * image).sum())
        if curvature <= 0.0:
            break
        x = torch.add(x, direction, alpha=square / curvature)
        residual = torch.add(residual, image, alpha=-square / curvature)
        square, previous = float((residual * residual).sum()), square
        direction = torch.add(residual, direction, alpha=square / previous)
    return x, n_steps


def preconditioned(
    difference: Callable[[Tensor], Tensor], inverse: Callable[[Tensor], Tensor], right: Tensor,
    start: tuple[Tensor, Tensor], *, tol: float, max_steps: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Solve (M + D)·x = right with the preconditioner M, of which only M⁻¹ is at hand.

    M·direction is kept beside each direction, so that a step takes one application of M⁻¹ and one of D.

    Parameters
    ----------
    difference, inverse : callable
        D and M⁻¹: linear and symmetric, M and M + D positive definite.
    right : Tensor
    start : tuple (x, M·x)
    tol : float
        Residual that is good enough in the norm √(r·M⁻¹·r), relative to the first.
    max_steps : int

    Returns
    -------
    x, Mx : Tensor

    Examples
    --------
    >>> zero = torch.zeros(2)
    >>> x, Mx = preconditioned(
    ...     lambda x: 3 * x, lambda r: r, torch.tensor([4.0, 8.0]), (zero, zero), tol=1e-6, max_steps=5
    ... )
    >>> x, Mx
    (tensor([1., 2.]), tensor([1., 2.]))
    """
    x, Mx = start
    residual = right - Mx - difference(x)
    direction = image = torch.zeros_like(right)  # image = M·direction
    previous, enough = math.inf, 0.0
    for step in range(max_steps):
        better = inverse(residual)
        square = float((residual * better).sum())
        if step == 0:
            enough = tol * tol * square
        direction = torch.add(better, direction, alpha=square / previous)
        image = torch.add(residual, image, alpha=square / previous)
        mapped = image + difference(direction)
        curvature = float((direction * mapped).sum())
        if square <= enough or curvature <= 0.0:
            break
        length, previous = square / curvature, square
        x, Mx = torch.add(x, direction, alpha=length), torch.add(Mx, image, alpha=length)
        residual = torch.add(residual, mapped, alpha=-length)
    return x, Mx
