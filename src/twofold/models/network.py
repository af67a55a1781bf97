"""Untrained networks as signal models: x = f(theta), an hourglass with skip branches fed with fixed noise.

The architecture is that of the deep image prior: at each scale a stride-2 convolution goes down, bilinear
interpolation comes back up, and a thin branch (1×1 convolution) carries detail across. Convolutions see a local
neighbourhood at every scale, which is what makes smooth and self-similar images easy to fit and impulses hard.

Departures from Ulyanov et al.: one convolution less at the top of each scale's input normalization (no batch norm
after the concatenation), zero padding in :class:`NetworkSignal` (a fifth quicker, and better on one picture and worse
on another of the two that were compared), weights drawn from a generator of their own, any image size, and an
optional reduced resolution with a pixel shuffle at the end.

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

from twofold.models.differences import variation_gradient
from twofold.models.recorded import Recorded

Padding = Literal["zeros", "reflect"]
_MARGIN = 0.1  # of the output's range beyond [0, 1]
_SLOPE = 0.2  # of the leaky ReLU
_MIN_CANVAS = 8  # pixels of the smallest canvas; smaller images are fitted in a corner of it
_MIN_COARSE = 4  # pixels along the shorter side of the coarsest scale


class _Convolution(nn.Module):
    """Convolution, batch norm, leaky ReLU."""

    def __init__(self, n_in: int, n_out: int, size: int, stride: int = 1, padding: Padding = "zeros") -> None:
        super().__init__()
        reflected = size // 2 if padding == "reflect" else 0
        self.pad = _Reflect() if reflected else nn.Identity()
        self.conv = nn.utils.skip_init(
            nn.Conv2d, n_in, n_out, size, stride=stride, padding=size // 2 - reflected, bias=False
        )
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
            return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
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
        self.head = nn.utils.skip_init(nn.Conv2d, width, n_out * shrink**2, 1)
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


def _bf16_helps(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class NetworkSignal:
    """The signal model x = f(theta) of an untrained network with a fixed random input.

    Parameters
    ----------
    shape : tuple (C, H, W)
        Of the image; any size.
    width, skip, scales, shrink, padding : as in :class:`SkipNetwork`
        ``scales`` is an upper bound: small images take fewer.
    n_in : int, default 32
        Channels of the input, uniform in [0, 0.1].
    input_noise : float, default 0
        Standard deviation of fresh noise added to the input at each step.
    smoothing : float, default 0
        Weight of the image's total variation, which ``descend`` lowers beside what it is told: where nothing is
        measured, nothing else keeps the network from inventing texture.
    adaptive : bool, default True
        Take Adam steps, whose size is the learning rate whatever the loss is multiplied with. False: plain
        gradient steps.
    mixed_precision : bool, default True
        Run the convolutions in bfloat16 where the processor has instructions for it; weights and the image stay in
        float32.
    seed : int, default 0
    device : torch.device, optional

    Examples
    --------
    >>> signal = NetworkSignal((3, 7, 5), width=8, skip=4)
    >>> target = torch.full((3, 7, 5), 0.25)
    >>> for _ in range(30):
    ...     signal.descend(target - signal.value().detach(), rate=0.02)
    >>> bool((signal.value() - target).abs().mean() < 0.1)
    True
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        *,
        width: int = 32,
        skip: int = 16,
        scales: int = 5,
        shrink: int = 1,
        padding: Padding = "zeros",
        n_in: int = 32,
        input_noise: float = 0.0,
        smoothing: float = 0.0,
        adaptive: bool = True,
        mixed_precision: bool = True,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.shape = shape
        device = torch.device(device)
        generator = torch.Generator().manual_seed(seed)
        h, w = (max(_MIN_CANVAS, math.ceil(length / shrink)) for length in shape[1:])
        network = SkipNetwork(
            n_in, shape[0], width=width, skip=skip, scales=scales_for(h, w, scales), shrink=shrink, padding=padding,
            generator=generator,
        )  # fmt: skip
        # The layout in which convolutions with few channels are quickest.
        self.network = network.to(device)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        z = 0.1 * torch.rand(1, n_in, h, w, generator=generator)
        self.input = z.to(device=device, memory_format=torch.channels_last)
        self._bf16 = mixed_precision and _bf16_helps(device)
        self._recorded: Recorded | None = None
        if device.type == "cuda":
            generator = torch.Generator(device).manual_seed(seed)
            self._recorded = Recorded(network, self.input, self._precision())
        self.input_noise = input_noise
        self.smoothing = smoothing
        self.optimizer: torch.optim.Optimizer
        if adaptive:
            self.optimizer = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99), fused=device.type == "cuda")
        else:
            self.optimizer = torch.optim.SGD(network.parameters())
        self._generator = generator
        self._image: Tensor | None = None
        self._is_new = False  # whether no step was taken from it yet

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.input.device.type, torch.bfloat16, enabled=self._bf16, cache_enabled=False)

    def value(self) -> Tensor:
        """x = f(theta), shape (C, H, W); the next ``descend`` goes back from it."""
        z = self.input
        if self.input_noise:
            noise = torch.randn(z.shape, generator=self._generator, device=z.device)
            z = z + self.input_noise * noise
        if self._recorded is not None:
            x = self._recorded.forward(z)
        else:
            with self._precision():
                x = self.network(z)
        self._image = x[0, :, : self.shape[1], : self.shape[2]]
        self._is_new = True
        return self._image

    @property
    def last(self) -> Tensor:
        """The image that ``value`` gave last, without its graph."""
        return (self._image if self._image is not None else self.value()).detach()

    def descend(self, pull: Tensor, rate: float) -> None:
        """One optimizer step at the learning rate ``rate`` along Jᵀ·(pull − smoothing·∇TV)."""
        x = self._image if self._image is not None and self._is_new else self.value()
        self._image, self._is_new = x.detach(), False
        if self.smoothing:
            pull = pull - self.smoothing * variation_gradient(self._image)
        if self._recorded is not None:
            self._recorded.backward(-pull)
        else:
            self.optimizer.zero_grad(set_to_none=True)
            x.backward(-pull)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """What the next steps depend on: weights, Adam's averages, and where random numbers come from."""
        found = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for i, parameter in enumerate(self.network.parameters()):
            for name, value in self.optimizer.state[parameter].items():
                found[f"optimizer.{i}.{name}"] = torch.as_tensor(value)
        return {**found, "generator": self._generator.get_state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up a state."""
        start = "network."
        self.network.load_state_dict(
            {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
        )
        for i, parameter in enumerate(self.network.parameters()):
            start = f"optimizer.{i}."
            averages = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
            for name, value in averages.items():
                # An average has its parameter's layout in memory; beside averages there is the number of steps.
                like = parameter.detach() if value.shape == parameter.shape else value.to(parameter.device)
                self.optimizer.state[parameter][name] = torch.empty_like(like).copy_(value)
        self._generator.set_state(state["generator"].cpu())
        self._image = None
