"""What was observed: y = A(x) + s, on the observed entries. Data and derived properties, no algorithms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twofold.operators import LinearMap

SAMPLE = 50_000
"""Values of which the median magnitude is taken."""


def in_numpy(Y: Any) -> Any:
    """As NumPy holds it: a tensor of any device as an array (bfloat16, which NumPy lacks, as float32), a masked array
    with NaN where its mask says that an entry is missing, if any is; anything else as it is.

    Examples
    --------
    >>> in_numpy(np.ma.masked_array([1, 999], mask=[False, True]))
    array([ 1., nan])
    >>> in_numpy(np.ma.masked_array([1, 2]))
    array([1, 2])
    >>> in_numpy(torch.tensor([1.5], dtype=torch.bfloat16))
    array([1.5], dtype=float32)
    """
    if isinstance(Y, Tensor):
        Y = Y.detach().cpu()
        return (Y.float() if Y.dtype == torch.bfloat16 else Y).numpy()
    if isinstance(Y, np.ma.MaskedArray):
        return np.where(Y.mask, np.nan, Y.data) if np.ma.is_masked(Y) else Y.data
    return Y


@dataclass(frozen=True)
class Problem:
    """The observation y = A(x) + s.

    Attributes
    ----------
    values : Tensor
        y, finite, zero where not observed.
    observed : bool Tensor shaped like y, optional
        False marks a missing entry. None: everything is observed.
    operator : LinearMap, optional
        A. None: the identity.
    """

    values: Tensor
    observed: Tensor | None = None
    operator: LinearMap | None = None

    def __post_init__(self) -> None:
        if not self.values.is_floating_point():
            raise TypeError(f"values: dtype {self.values.dtype}; a floating-point tensor is accepted")
        # One cheap pass decides nearly always; squares of very large numbers overflow, and then it takes the other.
        is_finite = math.isfinite(float(torch.linalg.vector_norm(self.values)))
        if not is_finite and not bool(torch.isfinite(self.values).all()):
            raise ValueError("values: contains nan or inf; mark missing entries in `observed` instead")
        if self.observed is not None:
            if self.observed.dtype != torch.bool or self.observed.shape != self.values.shape:
                raise ValueError(
                    f"observed: {self.observed.dtype} of shape {tuple(self.observed.shape)}; "
                    f"a bool tensor of shape {tuple(self.values.shape)} is accepted"
                )
            if bool((self.values[~self.observed] != 0).any()):
                raise ValueError("values: an entry that is not observed has to be zero")

    @cached_property
    def n_observed(self) -> int:
        """Number of observed entries."""
        return self.values.numel() if self.observed is None else int(self.observed.sum())

    @cached_property
    def observed_fraction(self) -> float:
        """Share of the entries that is observed, in [0, 1]."""
        return self.n_observed / max(self.values.numel(), 1)

    @cached_property
    def norm(self) -> float:
        """‖y‖, the Frobenius norm of what was observed."""
        return float(torch.linalg.vector_norm(self.values))

    @cached_property
    def line_lengths(self) -> tuple[Tensor, Tensor]:
        """Observed entries of each row, and of each column, of a matrix."""
        m, n = self.values.shape
        if self.observed is None:
            return (self.values.new_tensor([n], dtype=torch.long), self.values.new_tensor([m], dtype=torch.long))
        return self.observed.sum(1), self.observed.sum(0)

    @cached_property
    def typical(self) -> float:
        """Median magnitude of the values that are not zero; 0 where all are. Of many values, from a random sample."""
        sizes = self.values.reshape(-1)
        if sizes.numel() > SAMPLE:
            generator = torch.Generator(device=sizes.device).manual_seed(0)
            some = sizes[torch.randint(sizes.numel(), (SAMPLE,), generator=generator, device=sizes.device)].abs()
            some = some[some > 0]
            if len(some) > SAMPLE // 100:
                return float(some.median())
        sizes = sizes.abs()
        sizes = sizes[sizes > 0]
        return float(sizes.median()) if len(sizes) else 0.0

    def measured(self, x: Tensor) -> Tensor:
        """A(x)."""
        return x if self.operator is None else self.operator.forward(x)

    def residual(self, x: Tensor, s: Tensor, out: Tensor | None = None) -> Tensor:
        """r = y − A(x) − s on the observed entries, zero elsewhere; in ``out`` where given, else a new tensor."""
        r = torch.sub(self.values, self.measured(x), out=out)
        r -= s
        if self.observed is not None:
            r *= self.observed
        return r

    def pull_back(self, r: Tensor) -> Tensor:
        """A*(r): how a residual pulls on the signal (−gradient of ½‖r‖² with respect to x)."""
        return r if self.operator is None else self.operator.adjoint(r)
