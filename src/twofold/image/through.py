"""Images seen through an operator: y = A(x) + s for blur, down-sampling, inpainting, projections.

Inside, x and y are (C, H, W) with x in [0, 1]; measurements without a picture's shape are a picture of one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from twofold.adapters import as_linear_map, check_adjoint
from twofold.conjugate import conjugate_gradients
from twofold.operators import LinearMap

Array = NDArray[Any]

_KEEPS_LEVEL = 0.02  # |A(1) − 1| up to which measurements are taken to be in the units of the image
_HEADROOM = 0.25  # of the measurements' range on both sides: A may lower the contrast
_STEPS, _TOL = 20, 1e-5  # conjugate-gradient steps of the last correction
_RIDGE = 1e-2  # relative to ‖A‖²


@dataclass(frozen=True)
class Measured:
    """Measurements as the engine sees them, and how to go back; the counterpart of
    :class:`twofold.image.pixels.Pixels`.

    Attributes
    ----------
    source : ndarray
        y as it was given.
    values : float32 Tensor of shape (C', h, w)
        (y − low·A(1))/(high − low)/gain, zero where not observed.
    observed : bool Tensor shaped like ``values``, or None
    operator : LinearMap
        A/gain, from (C, H, W) to the shape of ``values``.
    shape : tuple
        Of the image, as users see it: (H, W) or (H, W, C).
    low, high : float
        Values of the image that became 0 and 1.
    gain : float
        Size of the measurements of images in [0, 1].
    """

    source: Array
    values: Tensor
    observed: Tensor | None
    operator: LinearMap
    shape: tuple[int, ...]
    low: float
    high: float
    gain: float

    @property
    def signal_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return _inner(self.shape)

    def image_from(self, x: Tensor) -> Array:
        """The image in the measurements' dtype."""
        fresh = _outer(x, self.shape).astype(np.float64) * (self.high - self.low) + self.low
        if self.source.dtype.kind == "u":
            fresh = np.clip(np.rint(fresh), 0, np.iinfo(self.source.dtype).max)
        return fresh.astype(self.source.dtype)

    def outliers_from(self, x: Tensor, outlier: Tensor) -> Array:
        """y − A(x) where ``outlier`` is True and measured, 0 elsewhere; in the measurements' units and shape."""
        residual = (self.values - self.operator.forward(x)) * outlier
        residual = residual * (self.gain * (self.high - self.low))
        if self.observed is not None:
            residual = residual * self.observed
        return _outer(residual, self.source.shape).astype(np.float32)

    def map_from(self, probability: Tensor) -> Array:
        """A float32 array of the measurements' shape."""
        return _outer(probability, self.source.shape).astype(np.float32)


def measured(
    y: Any, mask: Any, operator: Any, shape: Any, data_range: tuple[float, float] | None, device: torch.device
) -> Measured:
    """Check measurements and their operator.

    Parameters
    ----------
    y : array of one to three dimensions, uint8, uint16, float32 or float64
    mask : bool array of y's shape, optional
        True where a measurement is known to be bad.
    operator : object
        See :func:`twofold.recover_image`.
    shape : tuple (H, W) or (H, W, C), optional
        Of the image. None: y's own.
    data_range : (low, high), optional
        Of the image. None: y's, where A keeps the level of a constant image.
    device : torch.device

    Raises
    ------
    TypeError, ValueError
        Naming the argument, its value and what is accepted.
    """
    source = np.asarray(y)
    if source.dtype.name not in ("uint8", "uint16", "float32", "float64"):
        raise TypeError(f"image: dtype {source.dtype}; accepted are uint8, uint16, float32, float64")
    if source.ndim not in (1, 2, 3) or source.size == 0:
        raise ValueError(f"image: shape {source.shape}; with an operator one to three dimensions are accepted")
    good = _good(source, mask)
    shape = _image_shape(source.shape if shape is None else shape)
    like = torch.zeros(_inner(source.shape), dtype=torch.float32, device=device)
    A = _as_picture_map(operator, shape, source.shape, like)
    check_adjoint(A, _inner(shape), like)
    level = A.forward(torch.ones(_inner(shape), dtype=torch.float32, device=device))
    low, high = _range(source, good, level, data_range)
    signs = torch.randn(_inner(shape), generator=torch.Generator().manual_seed(0)).sign().to(device)
    gain = max(float(image.square().mean().sqrt()) for image in (level, A.forward(signs)))
    if gain == 0.0:
        raise ValueError("operator: maps every image to zero; one that measures something is accepted")
    gain = 1.0 if abs(gain - 1) < _KEEPS_LEVEL else gain
    values = torch.from_numpy(np.where(good, source, 0).astype(np.float64)).to(device)
    scaled = ((_inner_tensor(values) - low * level.double()) / (high - low) / gain).float()
    observed = _inner_tensor(torch.from_numpy(good)).to(device)
    is_whole = bool(observed.all())
    scaled = scaled if is_whole else torch.where(observed, scaled, 0.0)
    return Measured(source, scaled, None if is_whole else observed, A.scaled(1 / gain), shape, low, high, gain)


def corrected(x: Tensor, y: Tensor, trust: Tensor, operator: LinearMap) -> Tensor:
    """x + δ with δ = argmin ‖√w∘(y − A(x + δ))‖² + ridge·‖δ‖²: what the trusted measurements still tell.

    Where A picks pixels these become the measured ones; what A hardly sees stays the network's.
    """

    def normal(d: Tensor) -> Tensor:
        return operator.adjoint(trust * operator.forward(d)) + ridge * d

    direction = operator.adjoint(trust * (y - operator.forward(x)))
    norm = float(torch.linalg.vector_norm(operator.adjoint(operator.forward(direction))))
    size = float(torch.linalg.vector_norm(direction))
    if size == 0.0:
        return x
    ridge = _RIDGE * norm / size
    return x + conjugate_gradients(normal, direction, tol=_TOL, max_steps=_STEPS)[0]


def _good(source: Array, mask: Any) -> NDArray[np.bool_]:
    finite = np.isfinite(source)
    if mask is None:
        bad = np.zeros(source.shape, dtype=bool)
    else:
        bad = np.asarray(mask)
        if bad.dtype != np.bool_:
            raise TypeError(f"mask: dtype {bad.dtype}; bool is accepted, True where a measurement is known to be bad")
        if bad.shape != source.shape:
            raise ValueError(f"mask: shape {bad.shape}; accepted is the measurements' shape, {source.shape}")
        if bad.all():
            raise ValueError("mask: every measurement is marked as bad; at least one good one is needed")
    if not (finite | bad).all():
        count = int((~finite & ~bad).sum())
        raise ValueError(f"image: {count} values are nan or infinite; finite values are accepted where mask is False")
    return ~bad


def _image_shape(shape: Any) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, tuple | list) else ()
    is_whole = all(isinstance(size, int | np.integer) and not isinstance(size, bool) and size > 0 for size in sizes)
    if len(sizes) not in (2, 3) or not is_whole:
        raise ValueError(f"shape={shape!r}: (H, W) or (H, W, channels) of the image is accepted")
    return tuple(int(size) for size in sizes)


def _inner(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W) of an array as users have it."""
    if len(shape) == 1:
        return (1, 1, shape[0])
    return (1, shape[0], shape[1]) if len(shape) == 2 else (shape[2], shape[0], shape[1])


def _inner_tensor(array: Tensor) -> Tensor:
    if array.ndim == 3:
        return array.permute(2, 0, 1).contiguous()
    return array.reshape(_inner(tuple(array.shape)))


def _outer(x: Tensor, shape: tuple[int, ...]) -> Array:
    array: Array = x.detach().cpu().numpy()
    return np.ascontiguousarray(array.transpose(1, 2, 0)).reshape(shape)


def _as_picture_map(
    operator: Any, shape: tuple[int, ...], measured_shape: tuple[int, ...], like: Tensor
) -> LinearMap:
    """The operator from (C, H, W) to ``like``'s shape."""
    is_physics = hasattr(operator, "A") and hasattr(operator, "A_adjoint")
    if is_physics or (callable(operator) and not isinstance(operator, LinearMap) and not hasattr(operator, "matvec")):
        batch = (1, *_inner(shape))
        forward = operator.A if is_physics else operator
        try:
            given = forward(like.new_zeros(batch))
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"operator: fails on a tensor of shape {batch}: {reason}") from error
        if not isinstance(given, Tensor) or given.numel() != like.numel():
            what = f"{given.numel()} numbers" if isinstance(given, Tensor) else f"a {type(given).__name__}"
            raise ValueError(f"operator: gives {what}; a tensor of {like.numel()} numbers is accepted")
        return LinearMap(
            partial(_forward_batch, forward, batch, tuple(like.shape)),
            partial(_adjoint_batch, forward, batch, tuple(given.shape)),
        )
    vector = like.reshape(-1)
    rows = as_linear_map(operator, shape, vector, arrays="torch")
    return LinearMap(
        partial(_forward_rows, rows.forward, shape, measured_shape),
        partial(_adjoint_rows, rows.adjoint, tuple(like.shape)),
    )


def _forward_batch(
    function: Callable[[Tensor], Tensor], batch: tuple[int, ...], shape: tuple[int, ...], x: Tensor
) -> Tensor:
    return function(x.reshape(batch)).detach().reshape(shape).to(x)


def _adjoint_batch(
    function: Callable[[Tensor], Tensor], batch: tuple[int, ...], given: tuple[int, ...], v: Tensor
) -> Tensor:
    """The adjoint of a linear function is its vector-Jacobian product, anywhere."""
    with torch.enable_grad():
        x = v.new_zeros(batch, requires_grad=True)
        (pulled,) = torch.autograd.grad(function(x), x, v.reshape(given))
    return pulled.reshape(batch[1:])


def _forward_rows(
    forward: Callable[[Tensor], Tensor], shape: tuple[int, ...], measured_shape: tuple[int, ...], x: Tensor
) -> Tensor:
    array = x.permute(1, 2, 0).reshape(shape)
    return _inner_tensor(forward(array).reshape(measured_shape))


def _adjoint_rows(adjoint: Callable[[Tensor], Tensor], measured_inner: tuple[int, ...], v: Tensor) -> Tensor:
    vector = v.permute(1, 2, 0).reshape(-1)
    return _inner_tensor(adjoint(vector))


def _range(
    source: Array, good: NDArray[np.bool_], level: Tensor, data_range: tuple[float, float] | None
) -> tuple[float, float]:
    """The values of the image to call 0 and 1."""
    if data_range is not None:
        low, high = (float(value) for value in data_range)
        if not (np.isfinite([low, high]).all() and low < high):
            raise ValueError(f"data_range={data_range!r}: two finite numbers (low, high), low < high, are accepted")
        return low, high
    if float((level - 1).abs().median()) > _KEEPS_LEVEL:
        raise ValueError(
            "data_range=None: the operator changes the level of a constant image, so that the measurements do not "
            "tell the image's range; (low, high) of the image is accepted"
        )
    if source.dtype.kind == "u":
        return 0.0, float(np.iinfo(source.dtype).max)
    # Outliers may lie far outside: the range is that of the bulk, with room for what A has lowered.
    low, high = (float(value) for value in np.quantile(source[good], [0.02, 0.98]))
    room = _HEADROOM * (high - low) or 0.5
    return low - room, high + room
