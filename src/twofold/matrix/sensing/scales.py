"""The scale of an operator, and the weight of the outliers that follows from it.

The rule for alpha. Robust PCA's weight 1/alpha = 1/sqrt(max(n1, n2)) works because outliers with random signs ε on
every entry would pull on the matrix with ‖ε‖ ≈ sqrt(n1) + sqrt(n2) and so, times 1/alpha, with a spectral norm of 1
to 2: as strongly as a singular direction does, whatever the data are. Asking the same of any operator gives

    alpha = E‖A*(ε)‖ · sqrt(max(n1, n2)) / (sqrt(n1) + sqrt(n2)),       ε_i = ±1 at random,

which is sqrt(max(n1, n2)) for the identity, sqrt(f·max(n1, n2)) where a share f of the entries is observed (both as
in Candès, Li, Ma, Wright, JACM 2011), and close to sqrt(m·max(n1, n2)) for m Gaussian measurements or quadratic ones.
It follows the operator's units: alpha(c·A) = c·alpha(A), as the program itself asks for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twofold.matrix.identify import range_finder
from twofold.operators import LinearMap

DRAWS = 4
"""Random sign vectors over which ‖A*(ε)‖ is averaged; it concentrates, so that few tell it to a percent or two."""

NORM_STEPS = 12
"""Power iterations for the norm of an operator."""

LOW_RANK = 2
"""Rank of the matrices over which ‖A(Z)‖/‖Z‖ is maximized."""


def spectral_norm(A: Tensor, generator: torch.Generator) -> float:
    """‖A‖ of a small matrix exactly, of a large one by subspace iteration."""
    if min(A.shape) <= 200:
        return float(torch.linalg.matrix_norm(A, 2))
    return float(range_finder(A, 8, generator)[1][0])


def sign_pull(operator: LinearMap, like: Tensor, generator: torch.Generator) -> float:
    """E‖A*(ε)‖ for random signs ε shaped like the measurements."""
    norms = []
    for _ in range(DRAWS):
        draw = torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)
        norms.append(spectral_norm(operator.adjoint(torch.where(draw < 0.5, -1.0, 1.0).to(like)), generator))
    return sum(norms) / DRAWS


def alpha_of_pull(pull: float, shape: tuple[int, int]) -> float:
    """alpha from E‖A*(ε)‖: see this module's docstring."""
    return pull * math.sqrt(max(shape)) / (math.sqrt(shape[0]) + math.sqrt(shape[1]))


def operator_norm(operator: LinearMap, shape: tuple[int, int], like: Tensor, generator: torch.Generator) -> float:
    """‖A‖ by power iteration on A*A."""
    Z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    norm = 0.0
    for _ in range(NORM_STEPS):
        size = float(torch.linalg.vector_norm(Z))
        if size == 0.0:
            break
        Z = Z / size
        image = operator.forward(Z)
        norm = float(torch.linalg.vector_norm(image))
        Z = operator.adjoint(image)
    return norm


def low_rank_norm(operator: LinearMap, shape: tuple[int, int], like: Tensor, generator: torch.Generator) -> float:
    """max ‖A(Z)‖/‖Z‖ over matrices Z of rank LOW_RANK, by power iteration with truncation.

    This, and not the norm of A, is what limits the steps of a low-rank signal: for m Gaussian measurements it is
    close to sqrt(m), for the observed entries of a matrix it is close to 1.
    """
    rank = min(LOW_RANK, *shape)
    Z = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    norm = 0.0
    for _ in range(NORM_STEPS // 2):
        left, sigma, right = range_finder(Z, min(rank + 4, *shape), generator)
        Z = (left[:, :rank] * sigma[:rank]) @ right[:, :rank].T
        size = float(torch.linalg.vector_norm(Z))
        if size == 0.0:
            break
        image = operator.forward(Z / size)
        norm = float(torch.linalg.vector_norm(image))
        Z = operator.adjoint(image)
    return norm


def sees_symmetric_part_only(
    operator: LinearMap, shape: tuple[int, int], like: Tensor, generator: torch.Generator
) -> bool:
    """Whether A*(v) is symmetric for every v, so that A cannot tell X from Xᵀ.

    Then (X + Xᵀ)/2 has the same measurements and no larger nuclear norm: only symmetric X need to be looked at.
    """
    if shape[0] != shape[1]:
        return False
    v = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    pull = operator.adjoint(v)
    skew = float(torch.linalg.vector_norm(pull - pull.T))
    return skew <= 100 * torch.finfo(like.dtype).eps * float(torch.linalg.vector_norm(pull))
