"""Instruments that see a picture through a linear operator, and how their pictures are undone classically.

y = A(x) + s: outliers strike what the instrument measures, not the picture. The usual way is in two stages: first the
outliers of y are corrected, then A is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]

_SPREAD = 1.5  # standard deviation of the blur in pixels
_REACH = 5  # pixels; the blur's weights beyond are below 0.4% of its largest
ITERATIONS = (5, 15, 40, 100)
"""Of Richardson and Lucy's deconvolution: the best is taken, with the truth at hand."""


@dataclass(frozen=True)
class Instrument:
    """What stands between the picture and its measurement.

    Attributes
    ----------
    forward : callable
        A: tensor (1, C, H, W) → tensor (1, C, h, w).
    undone : callable
        (corrected measurement, shape of the picture) → pictures, of which the truth chooses the best.
    """

    forward: Callable[[Tensor], Tensor]
    undone: Callable[[Array, tuple[int, ...]], Sequence[Array]]

    def measure(self, picture: Array) -> Array:
        """A(x) of a uint8 array (H, W, C), rounded to uint8."""
        import torch

        return _bytes(self.forward(torch.from_numpy(_first(picture)))[0].numpy())


def _first(picture: Array) -> Array:
    """uint8 (H, W, C) → float32 (1, C, H, W)."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32)


def _bytes(channels: Array) -> Array:
    """(C, H, W) → uint8 (H, W, C)."""
    return np.rint(channels).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)


def _means(x: Tensor, *, size: int) -> Tensor:
    from torch.nn.functional import avg_pool2d

    return avg_pool2d(x, size)


def _enlarged(measured: Array, shape: tuple[int, ...]) -> Sequence[Array]:
    """Bicubic, with pixels that are squares: half a pixel is accounted for."""
    import torch
    from torch.nn.functional import interpolate

    large = interpolate(torch.from_numpy(_first(measured)), shape[:2], mode="bicubic", align_corners=False)
    return [_bytes(large[0].numpy())]


def _weights() -> Array:
    weights = np.exp(-(np.arange(-_REACH, _REACH + 1.0) ** 2) / (2 * _SPREAD**2))
    return weights / weights.sum()


def _blurred(x: Tensor) -> Tensor:
    import torch
    from torch.nn.functional import conv2d, pad

    weights = torch.from_numpy(_weights()).to(x)
    channels = x.shape[1]
    x = pad(x, (_REACH,) * 4, mode="replicate")
    x = conv2d(x, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return conv2d(x, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def _deblurred(measured: Array, shape: tuple[int, ...]) -> Sequence[Array]:
    """Richardson and Lucy, of the picture continued at its borders as the blur does."""
    from skimage.restoration import richardson_lucy

    around = 2 * _REACH
    padded = np.pad(measured, ((around, around), (around, around), (0, 0)), mode="edge") / 255
    psf = np.outer(_weights(), _weights())
    inner = slice(around, -around)
    pictures = [measured]
    for rounds in ITERATIONS:
        channels = [richardson_lucy(channel, psf, num_iter=rounds) for channel in padded.transpose(2, 0, 1)]
        pictures.append(_bytes(255 * np.stack([channel[inner, inner] for channel in channels])))
    return pictures


INSTRUMENTS = {
    "half the size": Instrument(partial(_means, size=2), _enlarged),
    "a quarter of the size": Instrument(partial(_means, size=4), _enlarged),
    "blurred by 1.5 pixels": Instrument(_blurred, _deblurred),
}
"""Pixels that are means of 2×2 and 4×4; a normal blur whose borders are continued."""
