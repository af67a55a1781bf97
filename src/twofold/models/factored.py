"""Low-rank signal models: X = U·Uᵀ and X = U·Vᵀ.

Constants. With R = A*(r) the residual pulled back to matrix space, gradient flow on ½‖r‖² gives

    symmetric    dU/dt = 2·R·U                  X grows like γ²·exp(4∫R)
    asymmetric   dU/dt = R·V,  dV/dt = Rᵀ·U     X grows like γ²·exp(2∫R)

from U = γ·I (and V = γ·I): a singular value can stay finite as γ → 0 only where the eigenvalues of 4∫R, or of
2∫R, stay below log(1/γ²). Outliers started at g = h = γ with rate ratio α stay finite only where
|4α∫r| ≤ log(1/γ²). The dual variable ν, scaled so that ‖A*(ν)‖ ≤ 1, therefore satisfies

    symmetric    ν = 4∫r / log(1/γ²),    |ν| ≤ 1/α          weight λ = 1/α
    asymmetric   ν = 2∫r / log(1/γ²),    |ν| ≤ 1/(2α)       weight λ = 1/(2α)

so the rate ratio that realizes the program min ‖X‖_* + λ‖s‖_1 is 1/λ for U·Uᵀ and 1/(2λ) for U·Vᵀ. Each model
states it as ``rate_ratio_per_alpha``, so that users speak of alpha = 1/λ only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor


def degrees_of_freedom(shape: tuple[int, int], rank: int) -> int:
    """r(m + n − r): the dimension of the m × n matrices of rank r."""
    return rank * (shape[0] + shape[1] - rank)


@dataclass
class SymmetricFactors:
    """X = U·Uᵀ, positive semidefinite; U is n × k."""

    U: Tensor
    rate_ratio_per_alpha: ClassVar[float] = 1.0

    @classmethod
    def identity(cls, n: int, start_scale: float, *, dtype: torch.dtype, device: torch.device) -> SymmetricFactors:
        """U = start_scale·I: the start of the theorem, with no direction preferred."""
        return cls(start_scale * torch.eye(n, dtype=dtype, device=device))

    @property
    def V(self) -> Tensor:
        """The right factor, which is U again."""
        return self.U

    def value(self) -> Tensor:
        """U·Uᵀ."""
        return self.U @ self.U.T

    def descend(self, pull: Tensor, rate: float) -> None:
        """U ← U + rate·(R + Rᵀ)·U for the pull R."""
        self.U = self.U + rate * (pull @ self.U + pull.T @ self.U)


@dataclass
class AsymmetricFactors:
    """X = U·Vᵀ; U is m × k and V is n × k."""

    U: Tensor
    V: Tensor
    rate_ratio_per_alpha: ClassVar[float] = 0.5
    _product: Tensor | None = field(default=None, repr=False)

    @classmethod
    def random(
        cls, shape: tuple[int, int], start_scale: float, *, generator: torch.Generator, dtype: torch.dtype
    ) -> AsymmetricFactors:
        """Balanced full-width factors at a small scale: U = γ·P, V = γ·Q with orthonormal columns.

        The theorem starts from U = V = γ·I; the singular vectors of a rectangular matrix have no preferred basis,
        so random orthonormal columns of full width k = min(m, n) take its place. For them X₀ = γ²·P·Qᵀ.
        """
        m, n = shape
        k = min(m, n)
        device = generator.device
        left = torch.linalg.qr(torch.randn(m, k, generator=generator, dtype=dtype, device=device))[0]
        right = torch.linalg.qr(torch.randn(n, k, generator=generator, dtype=dtype, device=device))[0]
        return cls(start_scale * left, start_scale * right)

    def value(self) -> Tensor:
        """U·Vᵀ, in memory that the next call overwrites."""
        if self._product is None:
            self._product = self.U.new_empty(len(self.U), len(self.V))
        return torch.mm(self.U, self.V.T, out=self._product)

    def descend(self, pull: Tensor, rate: float) -> None:
        """U ← U + rate·R·V and V ← V + rate·Rᵀ·U, both from the old factors, for the pull R."""
        step = pull @ self.V
        self.V = torch.addmm(self.V, pull.T, self.U, alpha=rate)
        self.U = torch.add(self.U, step, alpha=rate)
