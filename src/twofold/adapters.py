"""From the operators that users have to a :class:`twofold.operators.LinearMap`, checked once.

Anything that says how it maps the row-major vector of a signal, and how its adjoint maps back, is accepted: a matrix
(NumPy, SciPy sparse or torch), a SciPy ``LinearOperator`` or a PyLops operator, a pair of callables, a DeepInverse
physics, a :class:`LinearMap`. Adapters, not a new protocol.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twofold.operators import LinearMap

ACCEPTED = (
    "a matrix of shape (m, n), a SciPy LinearOperator, a PyLops operator, a pair of callables (forward, adjoint), "
    "a DeepInverse physics or a twofold.operators.LinearMap is accepted"
)

DOT_TEST = {torch.float32: 1e-5, torch.float64: 1e-6}
"""Largest |⟨A(x), v⟩ − ⟨x, A*(v)⟩| relative to ‖A(x)‖·‖v‖ that counts as rounding."""


def as_linear_map(operator: Any, shape: tuple[int, ...], like: Tensor, *, arrays: str = "torch") -> LinearMap:
    """The operator as a map from signals of ``shape`` to measurements shaped, typed and placed like ``like``.

    Parameters
    ----------
    operator : object
        See this module's docstring.
    shape : tuple of int
        Shape of the signal; everything but a LinearMap and a DeepInverse physics acts on its row-major vector.
    like : Tensor of shape (m,)
        The measurements.
    arrays : {"torch", "numpy"}
        What a pair of callables is given.

    Raises
    ------
    TypeError
        If the operator is of no accepted kind, or complex.
    ValueError
        If its shape does not fit, or its adjoint is none.

    Examples
    --------
    >>> import scipy.sparse.linalg as spla
    >>> A = spla.aslinearoperator(np.array([[1.0, 1.0, 0.0, 0.0]]))
    >>> as_linear_map(A, (2, 2), torch.zeros(1)).forward(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    tensor([3.])
    """
    mapped = _called_as(_adapted(operator, shape, like, arrays), like)
    check_adjoint(mapped, shape, like)
    return mapped


def _called_as(operator: LinearMap, like: Tensor) -> LinearMap:
    """The operator sees the dtype and device of ``like``, whatever it is given, and gives back what came in."""
    kind = like.new_empty(0)
    return LinearMap(partial(_as_called, operator.forward, kind), partial(_as_called, operator.adjoint, kind))


def _as_called(function: Callable[[Tensor], Tensor], kind: Tensor, tensor: Tensor) -> Tensor:
    return function(tensor.to(kind)).to(tensor)


def _adapted(operator: Any, shape: tuple[int, ...], like: Tensor, arrays: str) -> LinearMap:
    n, m = math.prod(shape), like.numel()
    if isinstance(operator, LinearMap):
        return operator
    if isinstance(operator, Tensor | np.ndarray):
        _check_shape(tuple(operator.shape), m, n)
        matrix = operator if isinstance(operator, Tensor) else torch.from_numpy(np.ascontiguousarray(operator))
        if matrix.is_complex():
            raise TypeError(_complex_message(matrix.dtype))
        return LinearMap.from_matrix(matrix.to(like), shape)
    if hasattr(operator, "A") and hasattr(operator, "A_adjoint"):  # DeepInverse: (batch, channel, height, width)
        return _deep_inverse(operator, shape, like)
    if hasattr(operator, "matvec") and hasattr(operator, "rmatvec"):
        _check_shape(tuple(operator.shape), m, n)
        if getattr(operator, "dtype", None) is not None and np.issubdtype(operator.dtype, np.complexfloating):
            raise TypeError(_complex_message(operator.dtype))
        return _from_vectors(operator.matvec, operator.rmatvec, shape, like, "numpy")
    if hasattr(operator, "tocsr"):
        _check_shape(tuple(operator.shape), m, n)
        if np.issubdtype(operator.dtype, np.complexfloating):
            raise TypeError(_complex_message(operator.dtype))
        rows, columns = operator.tocsr(), operator.T.tocsr()
        return _from_vectors(rows.dot, columns.dot, shape, like, "numpy")
    if isinstance(operator, tuple | list) and len(operator) == 2 and all(map(callable, operator)):
        return _from_vectors(operator[0], operator[1], shape, like, arrays)
    raise TypeError(f"operator: {type(operator).__name__}; {ACCEPTED}")


def _check_shape(given: tuple[int, ...], m: int, n: int) -> None:
    if given != (m, n):
        raise ValueError(f"operator: shape {given}; accepted is ({m}, {n}): measurements × entries of the signal")


def _complex_message(dtype: Any) -> str:
    return f"operator: dtype {dtype}; real operators are accepted: stack real and imaginary parts of the measurements"


def _from_vectors(
    forward: Callable[[Any], Any], adjoint: Callable[[Any], Any], shape: tuple[int, ...], like: Tensor, arrays: str
) -> LinearMap:
    """A pair that maps vectors, of NumPy or torch."""
    return LinearMap(
        partial(_on_vectors, "operator's forward map", forward, tuple(like.shape), arrays),
        partial(_on_vectors, "operator's adjoint", adjoint, tuple(shape), arrays),
    )


def _on_vectors(
    name: str, function: Callable[[Any], Any], shape: tuple[int, ...], arrays: str, tensor: Tensor
) -> Tensor:
    vector = tensor.reshape(-1)
    result = function(vector.cpu().numpy() if arrays == "numpy" else vector)
    if np.iscomplexobj(result) or (isinstance(result, Tensor) and result.is_complex()):
        raise TypeError(_complex_message("complex").replace("operator", name, 1))
    given = result if isinstance(result, Tensor) else torch.from_numpy(np.asarray(result))
    if given.numel() != math.prod(shape):
        raise ValueError(f"{name}: gives {given.numel()} numbers; {math.prod(shape)} are accepted")
    return given.to(tensor).reshape(shape)


def _deep_inverse(physics: Any, shape: tuple[int, ...], like: Tensor) -> LinearMap:
    """A DeepInverse physics, for which a matrix is an image of one channel."""
    batch = (1,) * (4 - len(shape)) + tuple(shape)
    measured = tuple(physics.A(like.new_zeros(batch)).shape)
    if math.prod(measured) != like.numel():
        raise ValueError(f"operator: gives {math.prod(measured)} numbers; {like.numel()} are accepted")
    return LinearMap(
        partial(_on_batches, physics.A, batch, tuple(like.shape)),
        partial(_on_batches, physics.A_adjoint, measured, tuple(shape)),
    )


def _on_batches(
    function: Callable[[Tensor], Tensor], batch: tuple[int, ...], shape: tuple[int, ...], tensor: Tensor
) -> Tensor:
    return function(tensor.reshape(batch)).detach().reshape(shape).to(tensor)


def check_adjoint(operator: LinearMap, shape: tuple[int, ...], like: Tensor) -> None:
    """The dot test: ⟨A(x), v⟩ = ⟨x, A*(v)⟩ for random x and v, up to rounding.

    It fails for a wrong adjoint, and almost surely for a map that is not linear.

    Raises
    ------
    ValueError
        If the two differ, or a result has another shape or is not finite, or a map fails.
    """
    generator = torch.Generator(device=like.device).manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
    v = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    try:
        image, pulled = operator.forward(x), operator.adjoint(v)
    except RuntimeError as error:  # PyTorch's for shapes, dtypes and devices that do not fit together
        reason = str(error).splitlines()[0]
        kind = f"{like.dtype} on {like.device}"
        raise ValueError(f"operator: fails on a signal of shape {tuple(shape)}, {kind}: {reason}") from error
    for name, result, expected in (("forward map", image, like.shape), ("adjoint", pulled, torch.Size(shape))):
        if result.shape != expected:
            raise ValueError(f"operator: its {name} gives shape {tuple(result.shape)}; {tuple(expected)} is accepted")
        if not bool(torch.isfinite(result).all()):
            raise ValueError(f"operator: its {name} gives nan or inf for finite numbers; finite ones are accepted")
    there, back = float((image * v).sum()), float((x * pulled).sum())
    scale = float(torch.linalg.vector_norm(image) * torch.linalg.vector_norm(v))
    if abs(there - back) > DOT_TEST[like.dtype] * max(scale, abs(back)):
        raise ValueError(
            f"operator: its adjoint does not belong to its forward map: <A(x), v> = {there:.6g} but "
            f"<x, A*(v)> = {back:.6g} for random x and v; an adjoint with equal inner products is accepted (for a "
            "real matrix: its transpose), and the forward map has to be linear"
        )
