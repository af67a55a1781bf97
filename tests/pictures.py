"""Pictures with known outliers, made here with NumPy alone, so that tests do not lean on the package's generators."""

from __future__ import annotations

from typing import Any

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray

Array = NDArray[Any]


def picture(name: str, side: int) -> Array:
    """The middle of a picture of scikit-image, at most so many pixels each way."""
    image = getattr(skimage.data, name)()
    top, left = (max((n - side) // 2, 0) for n in image.shape[:2])
    return np.ascontiguousarray(image[top : top + side, left : left + side])


def tensor(image: Array) -> torch.Tensor:
    """A uint8 image as (C, H, W) in [0, 1]."""
    return torch.from_numpy(np.atleast_3d(image) / 255).float().permute(2, 0, 1)


def salted(image: Array, fraction: float, seed: int = 0) -> tuple[Array, Array]:
    """Black and white entries among those of a uint8 image, and where they are."""
    rng = np.random.default_rng(seed)
    bad = rng.random(image.shape) < fraction
    return np.where(bad, np.where(rng.random(image.shape) < 0.5, 0, 255), image).astype(np.uint8), bad


def added(image: Array, fraction: float, size: int, seed: int = 0) -> tuple[Array, Array]:
    """Entries of a uint8 image made brighter or darker by ``size`` levels, and where they are."""
    rng = np.random.default_rng(seed)
    bad = rng.random(image.shape) < fraction
    signs = np.where(rng.random(image.shape) < 0.5, -size, size)
    noisy = np.clip(image + np.where(bad, signs, 0), 0, 255).astype(np.uint8)
    return noisy, noisy != image
