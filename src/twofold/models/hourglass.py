"""The network of untrained signal models: an hourglass with skip branches.

The architecture is that of the deep image prior: at each scale a stride-2 convolution goes down, bilinear
interpolation comes back up, and a thin branch (1×1 convolution) carries detail across. Convolutions see a local
neighbourhood at every scale, which is what makes smooth and self-similar images easy to fit and impulses hard.

Departures from Ulyanov et al.: one convolution less at the top of each scale's input normalization (no batch norm
after the concatenation), weights drawn from a generator of their own, any image size, and an optional reduced
resolution with a pixel shuffle at the end.

On a CUDA device PyTorch's own kernels for the backward passes of interpolation and reflection add in any order, and
the same run twice gives other bits: there we interpolate by matrix products, and reflect by slices everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["zeros", "reflect"]
_MARGIN = 0.1  # of the output's range beyond [0, 1]
_SLOPE = 0.2  # of the leaky ReLU
_MIN_COARSE = 4  # pixels along the shorter side of the coarsest scale


class _Weights(nn.Conv2d):
    """A convolution whose weights are drawn later, not from PyTorch's global random state.

    (``nn.utils.skip_init`` does the same, and imports SymPy for it: a second.)
    """

    def reset_parameters(self) -> None:
        """Leave them as they are in memory."""


class _Convolution(nn.Module):
    """Convolution, batch norm, leaky ReLU."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int = 1, padding: Padding = "zeros") -> None:
        super().__init__()
        reflected = size // 2 if padding == "reflect" else 0
        self.pad = _Reflect() if reflected else nn.Identity()
        self.conv = _Weights(n_in, n_out, size, stride=stride, padding=size // 2 - reflected, bias=False)
        self.norm = nn.BatchNorm2d(n_out, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu_(self.norm(self.conv(self.pad(x))), _SLOPE)


class _Reflect(nn.Module):
    """One more row or column at each border: the last but one."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x[:, :, 1:2], x, x[:, :, -2:-1]], dim=2)
        return torch.cat([x[..., 1:2], x, x[..., -2:-1]], dim=3)


class _Enlarge(nn.Module):
    """Bilinear interpolation of (1, C, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[tuple[object, ...], Tensor] = {}

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        if x.device.type != "cuda":
            larger = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
            if larger.requires_grad:
                larger.register_hook(_channels_last)
            return larger
        rows, columns = (self._interpolation(n, to, x) for n, to in zip(x.shape[2:], size, strict=True))
        # As two products with the channels last in memory, of which neither copies anything.
        _, C, h, w = x.shape
        taller = rows @ x.permute(0, 2, 3, 1).reshape(h, w * C)
        return (columns @ taller.reshape(1, size[0], w, C)).permute(0, 3, 1, 2)

    def _interpolation(self, n: int, to: int, like: Tensor) -> Tensor:
        """The matrix (to, n) of linear interpolation."""
        key = (n, to, like.dtype, like.device)
        if key not in self._known:
            eye = torch.eye(n, dtype=like.dtype, device=like.device)
            self._known[key] = F.interpolate(eye[None], size=to, mode="linear", align_corners=False)[0].T.contiguous()
        return self._known[key]


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)


class _Scale(nn.Module):
    """One scale of the hourglass: down, the scales below, up again, joined with the skip branch."""

    def __init__(self, n_in: int, width: int, skip: int, scales: int, padding: Padding) -> None:
        super().__init__()
        self.skip = _Convolution(n_in, skip, 1)
        self.down = nn.Sequential(
            _Convolution(n_in, width, 3, stride=2, padding=padding), _Convolution(width, width, 3, padding=padding)
        )
        self.below = _Scale(width, width, skip, scales - 1, padding) if scales > 1 else nn.Identity()
        self.enlarge = _Enlarge()
        self.up = nn.Sequential(_Convolution(width + skip, width, 3, padding=padding), _Convolution(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        coarse = self.below(self.down(x))
        return self.up(torch.cat([self.skip(x), self.enlarge(coarse, x.shape[2:])], dim=1))


class SkipNetwork(nn.Module):
    """Hourglass network with skip branches: noise (1, n_in, h, w) to an image (1, n_out, h·shrink, w·shrink).

    Parameters
    ----------
    n_in, n_out : int
        Channels of the input noise and of the image.
    width : int, default 32
        Channels of the convolutions.
    skip : int, default 16
        Channels of the skip branches.
    scales : int, default 5
        How many times the resolution is halved.
    shrink : int, default 1
        The network works at 1/shrink of the image's resolution and ends in a pixel shuffle.
    padding : {"reflect", "zeros"}, default "reflect"
    generator : torch.Generator, optional
        Draws the weights (uniform, as PyTorch's convolutions do). None: a generator with seed 0. PyTorch's global
        random state is neither used nor changed.

    Raises
    ------
    ValueError
        If a size is not a positive integer.

    References
    ----------
    Ulyanov, Vedaldi, Lempitsky: Deep Image Prior, CVPR 2018.

    Examples
    --------
    >>> network = SkipNetwork(8, 3, width=8, skip=4, scales=2)
    >>> network(torch.rand(1, 8, 13, 10)).shape
    torch.Size([1, 3, 13, 10])
    """

    def __init__(
        self,
        n_in: int = 32,
        n_out: int = 3,
        *,
        width: int = 32,
        skip: int = 16,
        scales: int = 5,
        shrink: int = 1,
        padding: Padding = "reflect",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"n_in": n_in, "n_out": n_out, "width": width, "skip": skip, "scales": scales, "shrink": shrink}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"{name}={value!r}: a positive integer is accepted")
        self.body = _Scale(n_in, width, skip, scales, padding)
        self.head = _Weights(width, n_out * shrink**2, 1)
        self.shuffle = nn.PixelShuffle(shrink)
        self._draw_weights(generator or torch.Generator().manual_seed(0))

    def _draw_weights(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                bound = 1 / math.sqrt(module.weight[0].numel())
                for parameter in module.parameters():
                    nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, z: Tensor) -> Tensor:
        """The image, in (−0.1, 1.1): black and white are reached at a slope from which the fit can come back."""
        return (1 + 2 * _MARGIN) * torch.sigmoid(self.shuffle(self.head(self.body(z))).float()) - _MARGIN


def scales_for(height: int, width: int, most: int) -> int:
    """The number of scales that an image of this size can have, between 1 and ``most``.

    >>> scales_for(512, 512, 5), scales_for(8, 300, 5)
    (5, 1)
    """
    return max(1, min(most, int(math.log2(max(min(height, width), 1) / _MIN_COARSE))))
