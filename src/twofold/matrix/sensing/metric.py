"""A metric for residuals in which no few directions of the operator dominate all others.

Sensors with a mean (masks of 0 and 1, positive patterns, the trace in quadratic measurements) answer to one
direction many times more strongly than to all others: descent would see nothing else. The program's constraint
y = A(X) + s does not care how its violation is measured, and neither does the implicit bias: descent on

    ½⟨r, M r⟩,    M = I − Σ_j (1 − (s_{k+1}/s_j)²)·u_j u_jᵀ

accumulates the dual variable ∫M r in place of ∫r, and leads to the same limit. u_j are the k left singular vectors of
A that stand out, s_j their singular values; M lowers them to the first one that does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.operators import LinearMap

WIDTH = 4
"""Leading singular values looked at; fewer than these may stand out."""

STEPS = 8
"""Subspace iterations for them."""

OUTSTANDING = 1.5
"""Ratio of neighbouring singular values of A from which the larger ones stand out."""


@dataclass(frozen=True)
class Metric:
    """M = I − U·diag(1 − shrink²)·Uᵀ on the observed measurements.

    Attributes
    ----------
    U : Tensor of shape (m, k)
        Orthonormal columns; k may be 0.
    shrink : Tensor of shape (k,)
        s_{k+1}/s_j.
    observed : bool Tensor of shape (m,), optional
    """

    U: Tensor
    shrink: Tensor
    observed: Tensor | None

    def __call__(self, r: Tensor) -> Tensor:
        """M·r."""
        return self._apply(r, 1 - self.shrink**2)

    def root(self, r: Tensor) -> Tensor:
        """M^½·r."""
        return self._apply(r, 1 - self.shrink)

    def _apply(self, r: Tensor, amount: Tensor) -> Tensor:
        if len(self.shrink) == 0:
            return r
        r = r - self.U.to(r) @ (amount.to(r) * (self.U.to(r).T @ r))
        return r if self.observed is None else r * self.observed

    def on(self, operator: LinearMap) -> LinearMap:
        """M^½·A."""
        return LinearMap(lambda x: self.root(operator.forward(x)), lambda v: operator.adjoint(self.root(v)))


def metric_of(operator: LinearMap, like: Tensor, observed: Tensor | None, generator: torch.Generator) -> Metric:
    """The metric for an operator, from its leading singular values by subspace iteration."""
    width = min(WIDTH, like.numel())
    seen = torch.ones_like(like) if observed is None else observed.to(like.dtype)
    U = torch.randn(like.numel(), width, generator=generator, dtype=like.dtype, device=like.device)
    sigma = like.new_ones(width)
    for _ in range(STEPS):
        U = torch.linalg.qr(U * seen[:, None])[0]
        images = [seen * operator.forward(operator.adjoint(column)) for column in U.T]
        image = torch.stack(images, 1)
        squares, vectors = torch.linalg.eigh(U.T @ image)
        sigma = squares.clamp(min=0).sqrt().flip(0)
        directions = (U @ vectors).flip(1)
        U = image
    ratios = sigma[:-1] / sigma[1:].clamp(min=1e-12 * float(sigma[0]))
    count = int(ratios.argmax()) + 1 if len(ratios) and float(ratios.max()) >= OUTSTANDING else 0
    if float(sigma[-1]) <= 1e-6 * float(sigma[0]):  # A has fewer directions than were looked at: none is too many
        count = 0
    return Metric(directions[:, :count], sigma[count] / sigma[:count], observed)
