"""A network's two passes as CUDA graphs.

A step of an hourglass network is hundreds of kernels, most of which take less time than launching them. Recorded once
and replayed, they are launched together.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

WARM_UP = 3
"""Passes in which PyTorch and cuDNN set themselves up, which cannot be recorded."""


class Recorded:
    """x = f(theta; z), and the gradient of ⟨x, pull⟩ by theta, at the parameters' present values.

    Parameters
    ----------
    network : nn.Module on a CUDA device
        Its parameters get gradients that each ``backward`` writes over. They may be changed in place, not replaced.
    z : Tensor
        Input of the shape and layout that ``forward`` will be given.
    precision : context manager
        That of an automatic mixed precision without a cache.
    """

    def __init__(self, network: nn.Module, z: Tensor, precision: AbstractContextManager[object]) -> None:
        parameters = list(network.parameters())
        self.z = z.clone()
        self._forward, self._backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        into = [torch.zeros_like(parameter) for parameter in parameters]
        for parameter, gradient in zip(parameters, into, strict=True):
            parameter.grad = gradient
        cudnn = torch.backends.cudnn.flags(
            enabled=True, deterministic=True, allow_tf32=torch.backends.cudnn.allow_tf32
        )
        with torch.cuda.device(z.device), cudnn, precision:
            here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
            aside.wait_stream(here)
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP):
                    x = network(self.z)
                    torch.autograd.grad(x, parameters, torch.zeros_like(x))
                del x  # and with it what autograd remembers of this stream
            here.wait_stream(aside)
            with torch.cuda.graph(self._forward, stream=aside):
                self.x = network(self.z)
            self.pull = torch.zeros_like(self.x)
            with torch.cuda.graph(self._backward, pool=self._forward.pool(), stream=aside):
                gradients = torch.autograd.grad(self.x, parameters, self.pull)
                torch._foreach_copy_(into, list(gradients))

    def forward(self, z: Tensor) -> Tensor:
        """x, in memory of its own."""
        self.z.copy_(z)
        self._forward.replay()
        return self.x.detach().clone()

    def backward(self, pull: Tensor) -> None:
        """Write the gradients, for the parameters and the input of the last ``forward``.

        ``pull`` has the shape (C, H, W) of a part of x, up to its last rows and columns.
        """
        _, height, width = pull.shape
        self.pull[0, :, :height, :width] = pull  # and 0 elsewhere, as from the beginning
        self._backward.replay()
