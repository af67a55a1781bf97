"""One pass over Y: residual, threshold and products with the factors, a block of rows at a time.

Large matrices do not fit into the processor's cache, and then each element-wise pass over them costs as much as a
product with thin factors. A block that stays in the cache takes all the passes while it is there, so that a step of
the polish reads Y once and writes nothing of its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.problem import Problem

BLOCK = 1 << 20
"""Entries of a block: 4 MB in float32."""


def row_blocks(shape: torch.Size | tuple[int, ...], entries: int = BLOCK) -> Iterator[slice]:
    """Slices of rows that hold about so many entries each."""
    step = max(entries // max(shape[1], 1), 1)
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def largest(A: Tensor) -> float:
    """max |A|, without forming |A|."""
    low, high = A.aminmax()
    return max(-float(low), float(high))


def signs_of(A: Tensor) -> Tensor:
    """Signs in int8, block by block: fresh memory of A's size costs more than the signs."""
    signs = torch.empty(A.shape, dtype=torch.int8, device=A.device)
    for rows in row_blocks(A.shape):
        signs[rows] = A[rows].sign()
    return signs


def line_counts(where: Tensor) -> tuple[Tensor, Tensor]:
    """How many entries of each row, and of each column, are True."""
    rows = torch.empty(where.shape[0], dtype=torch.float32, device=where.device)
    columns = torch.zeros(where.shape[1], dtype=torch.float64, device=where.device)
    for block in row_blocks(where.shape):
        ones = where[block].float()
        torch.sum(ones, 1, out=rows[block])
        columns += ones.sum(0)
    return rows.long(), columns.long()


@dataclass(frozen=True)
class Swept:
    """Of the inliers' residual E: its norm, E·V and Eᵀ·U, in float32."""

    size: float
    EV: Tensor
    EU: Tensor


class Residual:
    """R = Y − U·Vᵀ on the observed entries, computed block by block.

    The residual is exact in Y's dtype and then small: its products with the factors need no more than float32, as in
    any iterative refinement.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        Y = problem.values
        rows = next(row_blocks(Y.shape), slice(0, 0))
        # Buffers: fresh memory costs as much as the arithmetic.
        self._exact = torch.empty_like(Y[rows])
        self._single = self._exact if Y.dtype == torch.float32 else torch.empty_like(Y[rows], dtype=torch.float32)
        self._outliers = torch.empty_like(self._single)

    def _block(self, U: Tensor, V: Tensor, rows: slice) -> Tensor:
        """R of some rows in float32, in memory that the next block overwrites."""
        Y, observed = self.problem.values, self.problem.observed
        count = rows.stop - rows.start
        R = torch.addmm(Y[rows], U[rows], V.T, alpha=-1, out=self._exact[:count])
        if observed is not None:
            R *= observed[rows]
        return R if R.dtype == torch.float32 else self._single[:count].copy_(R)

    def sweep(self, U: Tensor, V: Tensor, threshold: float) -> Swept:
        """Norm and products of E = R where |R| ≤ threshold, else 0."""
        single_u, single_v = U.float(), V.float()
        EV, EU = torch.empty_like(single_u), torch.zeros_like(single_v)
        square = torch.zeros((), dtype=torch.float64, device=U.device)
        for rows in row_blocks(self.problem.values.shape):
            E = self._block(U, V, rows)
            E -= torch.hardshrink(E, threshold, out=self._outliers[: len(E)])
            square += torch.linalg.vector_norm(E).double() ** 2
            torch.mm(E, single_v, out=EV[rows])
            EU.addmm_(E.T, single_u[rows])
        return Swept(float(square) ** 0.5, EV, EU)

    def outlying(self, U: Tensor, V: Tensor, threshold: float) -> Tensor:
        """Which entries have |R| > threshold."""
        where = torch.empty(self.problem.values.shape, dtype=torch.bool, device=U.device)
        for rows in row_blocks(where.shape):
            torch.gt(self._block(U, V, rows).abs_(), threshold, out=where[rows])
        return where

    def largest(self, U: Tensor, V: Tensor) -> float:
        """max |R|."""
        blocks = row_blocks(self.problem.values.shape)
        return max((largest(self._block(U, V, rows)) for rows in blocks), default=0.0)
