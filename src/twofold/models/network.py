"""Untrained networks as signal models: x = f(theta), an hourglass fed with fixed noise.

Departures from Ulyanov et al., beside those of :mod:`twofold.models.hourglass`: zero padding (a fifth quicker, and
better on one picture and worse on another of the two that were compared), and Adam with a short memory.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from twofold.models.adam import Adam
from twofold.models.differences import variation_gradient
from twofold.models.hourglass import Padding, SkipNetwork, scales_for
from twofold.models.recorded import Recorded

_MIN_CANVAS = 8  # pixels of the smallest canvas; smaller images are fitted in a corner of it


def _bf16_helps(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16; where oneDNN only imitates it, it takes twice as long as float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    instructions = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(known is not None and known() for known in instructions)


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
    optimizer : callable, optional
        Makes the optimizer from the parameters: ``torch.optim.SGD`` for plain gradient steps. By default Adam, whose
        steps have the size of the learning rate whatever the loss is multiplied with.
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
        optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer] | None = None,
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
        self.optimizer: torch.optim.Optimizer | Adam
        if optimizer is None:
            self.optimizer = Adam(network.parameters(), betas=(0.9, 0.99), fused=device.type == "cuda")
        else:
            self.optimizer = optimizer(network.parameters())
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
        # Laid out like an image from a file: sums over what it was taken from would have other bits after a restart.
        self._image = x[0, :, : self.shape[1], : self.shape[2]].contiguous()
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
            self.optimizer.zero_grad()
            # As an argument of ``backward`` the gradient would make PyTorch import SymPy: a second.
            (x * -pull).sum().backward()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        """What the next steps depend on: weights, the optimizer's averages, and where random numbers come from."""
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
        self._generator.set_state(state["generator"])
        self._image = None
