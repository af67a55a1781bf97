"""Eigenvalues and eigenvectors of many small Hermitian matrices at once, by Jacobi's rotations.

LAPACK takes the matrices one by one, and CUDA's library half a megabyte of memory for each. Rotating the same two
axes of all matrices together is a few operations on whole planes, quick on both: to make the off-diagonal entry b of

    [a  b ]
    [b̄  d ]        zero, with t = tan(angle):  t² + 2·τ·t − 1 = 0,  τ = (d − a)/(2·|b|),  the smaller root.

Sweeps over all pairs of axes converge quadratically (Golub and Van Loan, Matrix Computations, section 8.5): three
are enough for three channels of a picture.
"""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = 1e-30
_ROUNDING = 100  # of the diagonal, in units of its last place: the rest counts as zero


def eigen(A: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors, in no order.

    Parameters
    ----------
    A : complex Tensor of shape (C, C, ...)
        Hermitian in its first two dimensions; C should be small.

    Returns
    -------
    values : real Tensor of shape (C, ...)
    vectors : complex Tensor of shape (C, C, ...)
        ``vectors[:, k]`` belongs to ``values[k]``.

    Examples
    --------
    >>> A = torch.tensor([[2, 1j], [-1j, 2]])[:, :, None]
    >>> values, vectors = eigen(A)
    >>> values.flatten().sort().values
    tensor([1., 3.])
    """
    C = len(A)
    diagonal = [A[k, k].real for k in range(C)]
    upper = {(p, q): A[p, q] for p in range(C) for q in range(p + 1, C)}
    eye = torch.eye(C, dtype=A.dtype, device=A.device)
    columns = [list(column) for column in eye.view(C, C, *[1] * (A.ndim - 2))]
    for sweep in range(C + 1):  # by then rounding is reached, mostly a sweep before: that is asked once
        if sweep == C and _is_diagonal(diagonal, upper):
            break
        for p, q in list(upper):
            b = upper[p, q]
            size = b.abs()
            tau = (diagonal[q] - diagonal[p]) / (2 * size.clamp(min=_TINY))
            t = torch.copysign((size > _TINY) / (tau.abs() + (1 + tau * tau).sqrt()), tau)
            c = (1 + t * t).rsqrt()
            s = (c * t / size.clamp(min=_TINY)) * b
            shift = t * size
            diagonal[p], diagonal[q] = diagonal[p] - shift, diagonal[q] + shift
            upper[p, q] = torch.zeros_like(b)
            for r in range(C):
                if r not in (p, q):
                    x, y = _rotated(_entry(upper, r, p), _entry(upper, r, q), c, s)
                    for k, entry in ((p, x), (q, y)):
                        upper[min(r, k), max(r, k)] = entry if r < k else entry.conj()
            for row in range(C):
                columns[p][row], columns[q][row] = _rotated(columns[p][row], columns[q][row], c, s)
    vectors = [torch.stack([v.expand(A.shape[2:]) for v in column]) for column in columns]
    return torch.stack(diagonal), torch.stack(vectors, dim=1)


def _is_diagonal(diagonal: list[Tensor], upper: dict[tuple[int, int], Tensor]) -> bool:
    largest = max((float(b.abs().max()) for b in upper.values()), default=0.0)
    size = sum(float(d.abs().mean()) for d in diagonal) / len(diagonal)
    return largest <= _ROUNDING * torch.finfo(diagonal[0].dtype).eps * size


def _entry(upper: dict[tuple[int, int], Tensor], row: int, column: int) -> Tensor:
    return upper[row, column] if row < column else upper[column, row].conj()


def _rotated(x: Tensor, y: Tensor, c: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Entries in the columns p and q after the rotation; s holds the phase of the entry that it makes zero."""
    return c * x - s.conj() * y, s * x + c * y
