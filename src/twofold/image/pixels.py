"""Pixels in and out: check an image, bring it to float32 (C, H, W) in [0, 1], and back to what it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from torch import Tensor

Image = NDArray[Any]
_DTYPES = ("uint8", "uint16", "float32", "float64")
_REACH = 1.0  # values beyond the span of the median-filtered image by more than this many spans are cut off inside


SHAPES = "(H, W) and (H, W, channels)"


def check_image(
    image: object, mask: object = None, has_alpha: bool | None = None
) -> tuple[Image, NDArray[np.bool_] | None, int]:
    """The image and the mask as arrays, if they can be worked on.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, channels), dtype uint8, uint16, float32 or float64
    mask : bool array of shape (H, W) or the image's shape, with or without alpha; optional
        True where a pixel is known to be bad. A float image may be nan or infinite there.
    has_alpha : bool, optional
        Whether the last channel is one of transparency. None: where there are four.

    Returns
    -------
    image : ndarray
    mask : bool ndarray of the image's shape without alpha, or None
    n_colours : int
        Channels without alpha; 1 for a grey image.

    Raises
    ------
    TypeError
        If the dtype of the image or the mask is another one.
    ValueError
        If a shape does not fit, the image is empty, everything is masked, or an unmasked value is nan or infinite.
    """
    if isinstance(image, Tensor):
        raise TypeError(f"image: a torch tensor; a NumPy array {SHAPES} is accepted")
    pixels = np.asarray(image)
    if pixels.dtype.name not in _DTYPES:
        raise TypeError(f"image: dtype {pixels.dtype}; accepted are {', '.join(_DTYPES)}")
    if pixels.ndim not in (2, 3):
        raise ValueError(f"image: shape {pixels.shape}; accepted are {SHAPES}")
    if pixels.size == 0:
        raise ValueError(f"image: shape {pixels.shape} is empty; at least one pixel is needed")
    n_channels = pixels.shape[2] if pixels.ndim == 3 else 1
    has_alpha = n_channels == 4 if has_alpha is None else has_alpha
    if has_alpha and n_channels < 2:
        raise ValueError(f"has_alpha=True: shape {pixels.shape}; two channels or more are accepted")
    n_colours = n_channels - 1 if has_alpha else n_channels
    bad = None if mask is None else _check_mask(mask, pixels.shape, n_colours)
    colours = pixels[..., :n_colours] if pixels.ndim == 3 else pixels
    finite = np.isfinite(colours)
    if not (finite if bad is None else finite | bad).all():
        count = int((~finite).sum())
        raise ValueError(
            f"image: {count} values are nan or infinite; finite values are accepted, "
            "and others only where `mask` says that the pixel is bad (mask=~np.isfinite(image))"
        )
    return pixels, bad, n_colours


def _check_mask(mask: object, shape: tuple[int, ...], n_colours: int) -> NDArray[np.bool_]:
    bad = np.asarray(mask)
    if bad.dtype != np.bool_:
        raise TypeError(f"mask: dtype {bad.dtype}; bool is accepted, True where a pixel is known to be bad")
    if bad.shape != shape[:2] and bad.shape not in (shape, (*shape[:2], n_colours)):
        raise ValueError(f"mask: shape {bad.shape}; accepted are {shape[:2]} and {shape}")
    if len(shape) == 3:
        bad = bad[..., :n_colours] if bad.ndim == 3 else np.repeat(bad[..., None], n_colours, axis=2)
    if bad.all():
        raise ValueError("mask: every pixel is marked as bad; at least one good one is needed")
    return bad


@dataclass(frozen=True)
class Pixels:
    """An image as the engine sees it, and how to go back.

    Attributes
    ----------
    values : float32 Tensor of shape (C, H, W), in [0, 1]
        0 at the range's lower end, 1 at its upper end; 0 where not observed.
    observed : bool Tensor of shape (C, H, W) or None
    low, high : float
        The values of the input that became 0 and 1. They follow from the data, so that the result does not depend
        on the unit: the least and the greatest value, or less if single values lie far outside the median-filtered
        image.
    """

    source: Image
    values: Tensor
    observed: Tensor | None
    low: float
    high: float

    @classmethod
    def of(cls, image: Image, mask: NDArray[np.bool_] | None, n_colours: int, device: torch.device) -> Pixels:
        """From what :func:`check_image` returned."""
        colours = np.atleast_3d(image)[..., :n_colours].astype(np.float64)
        good = None if mask is None else ~np.atleast_3d(mask)
        low, high = _range(colours, good)
        values = np.clip((colours - low) / (high - low if high > low else 1.0), 0, 1)
        if good is not None:
            values = np.where(good, values, 0.0)
        y = _tensor(values.astype(np.float32), device)
        return cls(image, y, None if good is None else _tensor(good, device), low, high)

    @property
    def colours(self) -> Image:
        """The source without alpha, (H, W, colours)."""
        return np.atleast_3d(self.source)[..., : len(self.values)]

    def image_from(self, x: Tensor) -> Image:
        """An image like the source from x in [0, 1]; entries that equal ``values`` come back bit for bit."""
        colours = self.colours
        fresh = _array(x).astype(np.float64) * (self.high - self.low) + self.low
        if self.source.dtype.kind == "u":
            fresh = np.clip(np.rint(fresh), 0, np.iinfo(self.source.dtype).max)
        kept = _array(x == self.values)
        if self.observed is not None:
            kept &= _array(self.observed)
        colours = np.where(kept, colours, fresh.astype(self.source.dtype))
        if self.source.ndim == 2:
            return colours[..., 0]
        return np.concatenate([colours, self.source[..., colours.shape[2] :]], axis=2)

    def outliers_from(self, image: Image, outlier: Tensor) -> NDArray[np.float32]:
        """Source minus ``image`` where ``outlier`` is True, 0 elsewhere and where the source is not finite."""
        n = len(self.values)
        source, clean = (np.atleast_3d(v)[..., :n].astype(np.float64) for v in (self.source, image))
        difference = np.where(_array(outlier) & np.isfinite(source), source - clean, 0.0)
        return self.like_colours(difference.astype(np.float32))

    def map_from(self, x: Tensor) -> NDArray[np.float32]:
        """A float32 array of the source's shape without alpha."""
        return self.like_colours(_array(x).astype(np.float32))

    def like_colours(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) if the source is, else (H, W, colours)."""
        return array[..., 0] if self.source.ndim == 2 else array


def _range(colours: NDArray[np.float64], good: NDArray[np.bool_] | None) -> tuple[float, float]:
    """The values to call 0 and 1."""
    values = colours if good is None else np.where(good, colours, np.median(colours[good]))
    known = values if good is None else colours[good]
    least, greatest = float(known.min()), float(known.max())
    smooth = median_filter(values, size=(5, 5, 1), mode="nearest")
    low, high = (float(v) for v in np.quantile(smooth, [0.01, 0.99]))
    reach = _REACH * (high - low)
    if reach == 0:
        return least, greatest
    return max(least, low - reach), min(greatest, high + reach)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).to(device)


def _array(x: Tensor) -> NDArray[Any]:
    return x.detach().cpu().numpy().transpose(1, 2, 0)
