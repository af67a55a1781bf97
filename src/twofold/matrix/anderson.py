"""Anderson acceleration of a fixed-point iteration x ← G(x).

    f_k = G(x_k) − x_k,    γ = argmin ‖f_k − ΔF·γ‖,    x_{k+1} = G(x_k) − (ΔX + ΔF)·γ

where ΔX, ΔF hold differences of the last few points. For projections onto sets that barely meet, as those of a dual
certificate at the edge of what the convex program recovers, it saves most of the rounds.

Reference: Walker, Ni: Anderson acceleration for fixed-point iterations, SIAM J. Numer. Anal. 2011.
"""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-10
"""Ridge of the small least-squares problem, relative to its largest diagonal entry."""


class Anderson:
    """Next points from the last ``memory`` ones.

    Parameters
    ----------
    memory : int
        Differences kept: 2·memory arrays of the size of x. 0: plain iteration.

    Examples
    --------
    >>> import torch
    >>> slow = lambda x: torch.tensor([0.99, 0.9]) * x + torch.tensor([0.01, 0.1])
    >>> anderson, x = Anderson(memory=2), torch.zeros(2)
    >>> for _ in range(5):
    ...     x = anderson.next(x, slow(x))
    >>> bool((x - 1).abs().max() < 1e-3)
    True
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.restart()

    def restart(self) -> None:
        """Forget all points: after G has changed."""
        self._last: tuple[Tensor, Tensor] | None = None
        self._steps: list[Tensor] = []
        self._changes: list[Tensor] = []

    def next(self, x: Tensor, image: Tensor) -> Tensor:
        """The next point after G(x) = image."""
        if self.memory == 0:
            return image
        residual = image - x
        if self._last is not None:
            self._steps.append(x - self._last[0])
            self._changes.append(residual - self._last[1])
            if len(self._steps) > self.memory:
                del self._steps[0], self._changes[0]
        self._last = (x, residual)
        if not self._steps:
            return image
        gram = torch.stack([torch.stack([(a * b).sum() for b in self._changes]) for a in self._changes])
        right = torch.stack([(a * residual).sum() for a in self._changes])
        gram.diagonal().add_(RIDGE * gram.diagonal().max())
        weights = torch.linalg.pinv(gram, hermitian=True) @ right  # no change at all gives zeros
        following = image.clone()
        for weight, step, change in zip(weights.tolist(), self._steps, self._changes, strict=True):
            following.add_(step, alpha=-weight).add_(change, alpha=-weight)
        return following
