"""The over-parameterized outliers s = g∘g − h∘h and the dual variable that their descent accumulates.

With the residual r = y − A(x) − s, gradient descent on ½‖r‖² at the rate alpha·tau moves

    g ← g + 2·alpha·tau·r∘g,        h ← h − 2·alpha·tau·r∘h.

For small steps these are the multiplicative updates g ← g∘exp(2·alpha·tau·r), h ← h∘exp(−2·alpha·tau·r). Started
from g = h = gamma they keep g∘h = gamma² for ever, so that one array tells both of them:

    s = beta·sinh(theta),    theta ← theta + 4·alpha·tau·r,    beta = 2·gamma².

theta / (4·alpha) is the time integral of the residual: the dual variable of the convex program that the descent
solves in the limit. It keeps a memory of the whole run, which is why it separates outliers from a poor fit better
than any one residual does. :class:`DualOutliers` uses this form; :class:`HadamardOutliers` is the published one.

The explicit step on theta overshoots where 4·alpha·tau·|s| > 1, that is for large outliers. A linearly implicit
Euler step for the same flow, theta' = 4·alpha·(y − A(x) − beta·sinh(theta)), is stable for any step size:

    theta ← theta + 4·alpha·tau·r / (1 + 4·alpha·tau·|s|)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

Polarity = Literal["both", "bright", "dark"]


def _check_polarity(polarity: str) -> None:
    if polarity not in get_args(Polarity):
        raise ValueError(f"polarity={polarity!r}: accepted are {', '.join(map(repr, get_args(Polarity)))}")


def _check_start(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}: a positive number is accepted")


class NoOutliers:
    """s = 0, shaped like ``like``: for a descent on a loss alone, robust or not."""

    def __init__(self, like: Tensor) -> None:
        self._zero = torch.zeros_like(like)

    def value(self) -> Tensor:
        """s."""
        return self._zero

    def descend(self, residual: Tensor, rate: float) -> None:
        """Nothing."""


class HadamardOutliers(nn.Module):
    """Outliers s = g∘g − h∘h with trainable g and h.

    Parameters
    ----------
    shape : sequence of int
        Shape of the observation.
    start_scale : float, default 1e-5
        g and h start at this constant. The paper starts at random values of about this size; a constant gives
        every entry the same threshold, and makes the run reproducible.
    polarity : {"both", "bright", "dark"}
        "bright": s = g∘g ≥ 0 only; "dark": s = −h∘h ≤ 0 only.
    dtype, device : optional
        As in PyTorch. g and h belong in float32 or better: their first increments vanish in bfloat16.

    Raises
    ------
    ValueError
        If polarity or start_scale is out of range.

    References
    ----------
    You, Zhu, Qu, Ma: Robust Recovery via Implicit Bias of Discrepant Learning Rates for Double
    Over-parameterization, NeurIPS 2020, eq. (3).

    Examples
    --------
    >>> outliers = HadamardOutliers((2, 3), start_scale=0.5)
    >>> outliers().shape, float(outliers.value().abs().max())
    (torch.Size([2, 3]), 0.0)
    """

    def __init__(
        self,
        shape: Sequence[int],
        *,
        start_scale: float = 1e-5,
        polarity: Polarity = "both",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        _check_polarity(polarity)
        _check_start("start_scale", start_scale)
        start = torch.full(tuple(shape), start_scale, dtype=dtype, device=device)
        self.g = nn.Parameter(start if polarity != "dark" else torch.zeros_like(start))
        self.h = nn.Parameter(start.clone() if polarity != "bright" else torch.zeros_like(start))

    def forward(self) -> Tensor:
        """g∘g − h∘h."""
        return self.g * self.g - self.h * self.h

    @torch.no_grad()
    def value(self) -> Tensor:
        """g∘g − h∘h, without a graph."""
        return self()

    @torch.no_grad()
    def descend(self, residual: Tensor, rate: float) -> None:
        """One step of gradient descent on ½‖r‖² at the given rate."""
        self.g.addcmul_(residual, self.g, value=2 * rate)
        self.h.addcmul_(residual, self.h, value=-2 * rate)


class DualOutliers:
    """Outliers s = beta·sinh(theta): g∘g − h∘h under multiplicative updates, in one array.

    Parameters
    ----------
    shape : sequence of int
    beta : float
        2·gamma², where gamma is the start of g and h.
    polarity : {"both", "bright", "dark"}
        "bright": s = beta/2·(exp(theta) − 1) where theta > 0, else 0; "dark": its mirror image.
    group_dim : int, optional
        Entries along this dimension are outliers together: theta is a vector for each group and
        s = beta·sinh(‖theta‖)·theta/‖theta‖, whose limit minimizes the sum of the groups' 2-norms in place of
        the 1-norm.

    Raises
    ------
    ValueError
        If polarity or beta is out of range.

    Examples
    --------
    >>> outliers = DualOutliers((1, 2), beta=1e-2)
    >>> for _ in range(10):
    ...     outliers.descend(torch.tensor([[1.0, -0.1]]), rate=0.1)
    >>> outliers.theta
    tensor([[ 3.9212, -0.3997]])
    """

    # One step may not multiply an outlier by more than exp(3): a first residual of any size stays finite.
    MAX_INCREMENT = 3.0

    def __init__(
        self,
        shape: Sequence[int],
        beta: float,
        *,
        polarity: Polarity = "both",
        group_dim: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        _check_polarity(polarity)
        _check_start("beta", beta)
        self.beta = beta
        self.polarity = polarity
        self.group_dim = group_dim
        self.theta = torch.zeros(tuple(shape), dtype=dtype, device=device)
        self._value = torch.zeros_like(self.theta)
        self._damping = torch.empty_like(self.theta)
        self._is_current = True

    def value(self) -> Tensor:
        """s, in memory that the next step overwrites."""
        if not self._is_current:
            if self.polarity == "both" and self.group_dim is None:
                torch.sinh(self.theta, out=self._value).mul_(self.beta)
            else:
                self._value.copy_(self._restricted())
            self._is_current = True
        return self._value

    def _restricted(self) -> Tensor:
        """s where a sign or groups restrict it."""
        theta = self.theta
        if self.polarity != "both":
            theta = theta.clamp(min=0) if self.polarity == "bright" else theta.clamp(max=0)
        if self.group_dim is None:
            return self._grow(theta)
        size = torch.linalg.vector_norm(theta, dim=self.group_dim, keepdim=True)
        return theta / size.clamp(min=torch.finfo(theta.dtype).tiny) * self._grow(size)

    def _grow(self, theta: Tensor) -> Tensor:
        if self.polarity == "both":
            return torch.sinh(theta).mul_(self.beta)
        # g∘g alone starts at beta/2, not at zero; subtracting its start removes a bias that two signs cancel.
        return torch.expm1(theta.abs()).mul_(self.beta / 2).copysign_(theta)

    def state(self) -> dict[str, Tensor]:
        """What the next steps depend on."""
        return {"theta": self.theta}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state."""
        self.theta.copy_(state["theta"])
        self._is_current = False

    def descend(self, residual: Tensor, rate: float) -> None:
        """theta ← theta + 4·rate·r / (1 + 4·rate·|s|), no more than MAX_INCREMENT at once."""
        damping = torch.abs(self.value(), out=self._damping).mul_(4 * rate).add_(1.0)
        increment = torch.div(residual, damping, out=damping).mul_(4 * rate)
        self.theta += increment.clamp_(-self.MAX_INCREMENT, self.MAX_INCREMENT)
        self._is_current = False
