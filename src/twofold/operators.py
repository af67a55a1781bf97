"""Linear measurement operators: what the sensor does to a signal before outliers strike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
        shape : tuple of int
            Shape of the signal.

        Raises
        ------
        ValueError
            If the matrix has another number of columns than the signal has entries.
        """
        size = 1
        for length in shape:
            size *= length
        if matrix.ndim != 2 or matrix.shape[1] != size:
            raise ValueError(
                f"matrix: shape {tuple(matrix.shape)}; accepted is (m, {size}) for a signal of shape {shape}"
            )
        return cls(lambda x: matrix @ x.reshape(-1), lambda v: (matrix.T @ v).reshape(shape))
