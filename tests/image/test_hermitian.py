"""Eigenvalues of many small matrices: known answers, LAPACK's, and matrices that invite division by zero."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch
from torch import Tensor

import twofold.image.hermitian as module
from twofold.image.hermitian import eigen


def hermitian(C: int, kind: str) -> Tensor:
    """Matrices (C, C, 40, 30)."""
    B = torch.randn(C, C, 40, 30, dtype=torch.complex64, generator=torch.Generator().manual_seed(C))
    if kind == "rank one":
        return B[:, :1] * B[:, :1].transpose(0, 1).conj()
    if kind == "multiples of one":
        return torch.eye(C)[:, :, None, None] * B[0, 0].real + 0j
    if kind == "zero":
        return 0 * B
    if kind == "far apart":
        B = B * torch.logspace(0, -4, C)[:, None, None, None]
    return B + B.transpose(0, 1).conj()


@pytest.mark.parametrize("C", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["any", "rank one", "multiples of one", "zero", "far apart"])
def test_as_lapack_and_back(C: int, kind: str) -> None:
    A = hermitian(C, kind)
    values, vectors = eigen(A)
    lapack = np.linalg.eigvalsh(A.permute(2, 3, 0, 1).numpy().astype(complex))
    size = float(A.abs().max()) + 1e-30
    np.testing.assert_allclose(values.sort(0).values.permute(1, 2, 0), lapack, atol=3e-6 * size)
    together = torch.einsum("ik...,k...,jk...->ij...", vectors, values.to(vectors), vectors.conj())
    assert float((together - A).abs().max()) < 3e-6 * size
    product = torch.einsum("ki...,kj...->ij...", vectors.conj(), vectors)
    assert float((product - torch.eye(C)[:, :, None, None]).abs().max()) < 3e-6


def test_docstrings() -> None:
    assert doctest.testmod(module).failed == 0
