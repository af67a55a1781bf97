"""From what users have to a problem: every check of robust_pca's arguments, made before any work."""

from __future__ import annotations

import math
import numbers
from typing import Any, Literal, TypeGuard, get_args

import numpy as np
import torch
from torch import Tensor

from twofold.devices import as_device
from twofold.problem import Problem, in_numpy

Method = Literal["three-act", "descent"]
METHODS = get_args(Method)


def as_problem(Y: Any, *, device: torch.device | str | None, dtype: torch.dtype | None) -> Problem:
    """The observation in a matrix with NaN for missing entries.

    Parameters
    ----------
    Y : array-like or Tensor of shape (m, n)
    device, dtype : optional
        None: as Y is; float64 for integers and bool, float32 for half precision.

    Returns
    -------
    Problem
        Missing entries are zero and marked in ``observed``.

    Raises
    ------
    TypeError
        If Y does not hold real numbers, or dtype is not float32 or float64.
    ValueError
        If Y is not 2-D, is empty, holds inf, or has no observed entry; or if the device is not there.
    """
    return _as_observation("Y", Y, 2, device=device, dtype=dtype)


def as_measurements(y: Any, *, device: torch.device | str | None, dtype: torch.dtype | None) -> Problem:
    """The observation in a vector of measurements with NaN for missing ones; checks as in :func:`as_problem`."""
    return _as_observation("y", y, 1, device=device, dtype=dtype)


def as_shape(shape: Any) -> tuple[int, int]:
    """Two positive integers.

    Raises
    ------
    TypeError, ValueError
    """
    try:
        sizes = tuple(shape)
    except TypeError:
        raise TypeError(f"shape={shape!r}: two positive integers (n1, n2) are accepted") from None
    if len(sizes) != 2 or not all(_is_integer(size) and size > 0 for size in sizes):
        raise ValueError(f"shape={shape!r}: two positive integers (n1, n2) are accepted")
    return int(sizes[0]), int(sizes[1])


def _as_observation(
    name: str, Y: Any, ndim: int, *, device: torch.device | str | None, dtype: torch.dtype | None
) -> Problem:
    if dtype not in (None, torch.float32, torch.float64):
        raise TypeError(f"dtype={dtype!r}: accepted are torch.float32, torch.float64 and None")
    values = _as_tensor(name, Y)
    if values.ndim != ndim:
        shape = tuple(values.shape)
        raise ValueError(f"{name}: {values.ndim}-D array of shape {shape}; a {ndim}-D array is accepted")
    if values.numel() == 0:
        raise ValueError(f"{name}: shape {tuple(values.shape)} has no entries; at least one is needed")
    if dtype is None:
        dtype = values.dtype if values.is_floating_point() else torch.float64
        dtype = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    values = values.detach().to(device=as_device(device, values.device), dtype=dtype)
    if math.isfinite(float(torch.linalg.vector_norm(values))):
        return Problem(values)
    if bool(torch.isinf(values).any()):
        raise ValueError(f"{name}: contains inf; finite numbers are accepted, and NaN for missing entries")
    missing = torch.isnan(values)
    if not bool(missing.any()):
        return Problem(values)
    if bool(missing.all()):
        raise ValueError(f"{name}: every entry is NaN; at least one observed entry is needed")
    return Problem(torch.where(missing, torch.zeros((), dtype=dtype, device=values.device), values), ~missing)


def _as_tensor(name: str, Y: Any) -> Tensor:
    if isinstance(Y, Tensor):
        if Y.is_complex():
            raise TypeError(f"{name}: dtype {Y.dtype}; real numbers are accepted")
        return Y
    array = np.asarray(in_numpy(Y))
    if array.dtype.kind == "O":
        # Tables with missing integers or mixed number types arrive as objects.
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{name}: holds objects that are not numbers ({error}); real numbers are accepted"
            ) from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: dtype {array.dtype}; real numbers are accepted")
    if array.dtype.kind in "ub" or array.dtype.itemsize > 8 or not array.dtype.isnative:
        array = array.astype(np.float64)
    # A copy where torch cannot share the memory: negative strides, read-only arrays.
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


def check_options(
    shape: tuple[int, int],
    *,
    n_components: int | None,
    alpha: float | None,
    method: str,
    symmetric: bool,
    start_scale: float | None,
    tol: float,
    max_iter: int,
) -> None:
    """Check robust_pca's options against each other and the data's shape.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, its value and what is accepted.
    """
    m, n = shape
    if n_components is not None and not (_is_integer(n_components) and 0 <= n_components <= min(m, n)):
        raise ValueError(f"n_components={n_components!r}: None or an integer from 0 to {min(m, n)} is accepted")
    for name, value in (("alpha", alpha), ("start_scale", start_scale)):
        if value is not None and not _is_positive(value):
            raise ValueError(f"{name}={value!r}: None or a positive number is accepted")
    if method not in METHODS:
        raise ValueError(f"method={method!r}: accepted are {', '.join(map(repr, METHODS))}")
    if not _is_positive(tol) or tol >= 1:
        raise ValueError(f"tol={tol!r}: a number between 0 and 1 is accepted")
    if not _is_integer(max_iter) or max_iter < 1:
        raise ValueError(f"max_iter={max_iter!r}: a positive integer is accepted")
    if method == "three-act":
        if start_scale is not None:
            raise ValueError(f"start_scale={start_scale!r}: accepted with method='descent' only")
    else:
        if n_components is not None:
            raise ValueError(f"n_components={n_components!r}: method='descent' finds the rank; None is accepted")
    if symmetric and m != n:
        raise ValueError(f"symmetric=True: shape {(m, n)}; a square matrix is accepted")


def as_seed(random_state: Any) -> int:
    """A seed for a torch.Generator; None gives 0, so that results are reproducible by default.

    Raises
    ------
    ValueError
        If random_state is neither None, nor an integer of at least 0, nor a numpy RandomState or Generator.
    """
    if random_state is None:
        return 0
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if _is_integer(random_state) and 0 <= random_state < 2**63:
        return int(random_state)
    raise ValueError(
        f"random_state={random_state!r}: None, an integer of at least 0, or a numpy RandomState is accepted"
    )


def _is_integer(value: Any) -> TypeGuard[int]:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and float(value) > 0
