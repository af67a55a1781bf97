"""Linear measurement operators: what the sensor does to a signal before outliers strike.

Maps are partial applications of this module's functions, not closures: so they can be pickled, and with them the
solutions whose certificates refer to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor


@dataclass(frozen=True)
class LinearMap:
    """A linear map A and its adjoint A*, with ⟨A(x), v⟩ = ⟨x, A*(v)⟩.

    Parameters
    ----------
    forward : callable
        Takes a signal x, gives measurements y.
    adjoint : callable
        Takes a tensor shaped like y, gives a tensor shaped like x.

    Examples
    --------
    >>> import torch
    >>> blur = LinearMap.from_matrix(torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]), shape=(3,))
    >>> blur.forward(torch.tensor([1.0, 3.0, 5.0]))
    tensor([2., 4.])
    """

    forward: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor], Tensor]

    @classmethod
    def from_matrix(cls, matrix: Tensor, shape: tuple[int, ...]) -> LinearMap:
        """The map x → matrix @ vec(x) for signals of the given shape, vec in row-major order.

        Parameters
        ----------
        matrix : Tensor of shape (m, prod(shape))
            Dense or sparse.
        shape : tuple of int
            Shape of the signal.

        Raises
        ------
        ValueError
            If the matrix has another number of columns than the signal has entries.
        """
        size = math.prod(shape)
        if matrix.ndim != 2 or matrix.shape[1] != size:
            raise ValueError(
                f"matrix: shape {tuple(matrix.shape)}; accepted is (m, {size}) for a signal of shape {shape}"
            )
        return cls(partial(_product, matrix), partial(_transposed_product, matrix, shape))

    @classmethod
    def quadratic(cls, left: Tensor, right: Tensor | None = None) -> LinearMap:
        """The map X → (a_iᵀ X b_i)_i, without forming the m matrices a_i·b_iᵀ.

        Parameters
        ----------
        left : Tensor of shape (m, n1)
            Rows a_i.
        right : Tensor of shape (m, n2), optional
            Rows b_i. None: b_i = a_i, the quadratic measurements of covariance sketching and phase retrieval.

        Raises
        ------
        ValueError
            If left and right have different numbers of rows.

        Examples
        --------
        >>> LinearMap.quadratic(torch.tensor([[1.0, 2.0]])).forward(torch.eye(2))
        tensor([5.])
        """
        other = left if right is None else right
        if left.ndim != 2 or other.ndim != 2 or len(left) != len(other):
            raise ValueError(
                f"left, right: shapes {tuple(left.shape)}, {tuple(other.shape)}; accepted are (m, n1) and (m, n2)"
            )
        return cls(partial(_bilinear, left, other), partial(_sum_of_outer_products, left, other))

    @classmethod
    def entries(cls, observed: Tensor) -> LinearMap:
        """The map that picks the entries where ``observed`` is True, in row-major order.

        Parameters
        ----------
        observed : bool Tensor
            Shaped like the signal.

        Examples
        --------
        >>> corner = LinearMap.entries(torch.tensor([[True, False], [False, True]]))
        >>> corner.forward(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([1., 4.])
        """
        return cls(partial(_picked, observed), partial(_put, observed))

    @classmethod
    def fourier(cls, kept: Tensor) -> LinearMap:
        """The map to some coefficients of the orthonormal 2-D discrete Fourier transform of a real signal.

        Measurements are real: the real parts of the kept coefficients in row-major order, then their imaginary parts.

        Parameters
        ----------
        kept : bool Tensor of shape (n1, n2)
            Which frequencies, in the order of :func:`torch.fft.fft2`. Those of one half plane hold everything: the
            others are their complex conjugates.

        Examples
        --------
        >>> mean = LinearMap.fourier(torch.tensor([[True, False], [False, False]]))
        >>> mean.forward(torch.ones(2, 2))
        tensor([2., 0.])
        """
        return cls(partial(_coefficients, kept), partial(_signal_of_coefficients, kept))

    def scaled(self, factor: float) -> LinearMap:
        """factor·A."""
        return LinearMap(partial(_times, factor, self.forward), partial(_times, factor, self.adjoint))

    def on_symmetric(self) -> LinearMap:
        """A restricted to symmetric matrices, whose adjoint is v → (A*(v) + A*(v)ᵀ)/2."""
        return LinearMap(self.forward, partial(_symmetric_part, self.adjoint))


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    return matrix @ x.reshape(-1)


def _transposed_product(matrix: Tensor, shape: tuple[int, ...], v: Tensor) -> Tensor:
    return (matrix.T @ v).reshape(shape)


def _bilinear(left: Tensor, right: Tensor, x: Tensor) -> Tensor:
    return ((left @ x) * right).sum(1)


def _sum_of_outer_products(left: Tensor, right: Tensor, v: Tensor) -> Tensor:
    return left.T @ (v[:, None] * right)


def _picked(observed: Tensor, x: Tensor) -> Tensor:
    return x[observed]


def _put(observed: Tensor, v: Tensor) -> Tensor:
    x = v.new_zeros(observed.shape)
    x[observed] = v
    return x


def _coefficients(kept: Tensor, x: Tensor) -> Tensor:
    z = torch.fft.fft2(x, norm="ortho")[kept]
    return torch.cat([z.real, z.imag])


def _signal_of_coefficients(kept: Tensor, v: Tensor) -> Tensor:
    half = len(v) // 2
    full = torch.zeros(kept.shape, dtype=torch.complex(v[:1], v[:1]).dtype, device=v.device)
    full[kept] = torch.complex(v[:half], v[half:])
    return torch.fft.ifft2(full, norm="ortho").real


def _times(factor: float, function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    return factor * function(tensor)


def _symmetric_part(adjoint: Callable[[Tensor], Tensor], v: Tensor) -> Tensor:
    pull = adjoint(v)
    return 0.5 * (pull + pull.T)
