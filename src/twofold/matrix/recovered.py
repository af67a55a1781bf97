"""What the acts hand to the public functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from twofold.status import Status


@dataclass(frozen=True)
class Recovered:
    """X = P·diag(sigma)·Qᵀ and outliers S, in the working dtype, with how the run ended.

    ``noise`` is the root mean square of what neither explains, ``error_estimate`` the
    relative error of X that it means; ``constants`` are those that determined the answer.
    """

    P: Tensor
    sigma: Tensor
    Q: Tensor
    outliers: Tensor
    status: Status
    dual_variable: Tensor | None = None
    noise: float = 0.0
    error_estimate: float | None = None
    constants: Mapping[str, float | str | bool] = field(default_factory=dict)


def nothing_found(shape: tuple[int, int], y: Tensor, status: Status) -> Recovered:
    """X = 0 and no outliers in measurements like y."""
    m, n = shape
    return Recovered(y.new_zeros(m, 0), y.new_zeros(0), y.new_zeros(n, 0), y.new_zeros(y.shape), status)
