"""Adam with a short memory: PyTorch's, without its class.

The first step of a :class:`torch.optim.Optimizer` imports PyTorch's compiler, which takes one to four seconds of a
recovery of twenty. What the class calls does not, and is public as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

_EPSILON = 1e-8


class Adam:
    """The steps of ``torch.optim.Adam``, to the bit, with as much of its interface as is used here.

    Parameters
    ----------
    parameters : iterable of Tensors
    betas : tuple (beta1, beta2)
        Memory of the averages of gradients and of their squares.
    fused : bool
        One kernel for all parameters.

    Attributes
    ----------
    param_groups : list of one dict
        ``"lr"`` is the learning rate.
    state : dict
        For each parameter, what the next steps depend on.

    References
    ----------
    Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> x = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = Adam([x], betas=(0.9, 0.99), fused=False)
    >>> optimizer.param_groups[0]["lr"] = 0.1
    >>> x.square().sum().backward()
    >>> optimizer.step()
    >>> x.detach()
    tensor([ 0.9000, -1.9000])
    """

    def __init__(self, parameters: Iterable[Tensor], betas: tuple[float, float], fused: bool) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), "lr": 1e-3}]
        self.betas, self.fused = betas, fused
        self.state: dict[Tensor, dict[str, Tensor]] = {p: {} for p in self.param_groups[0]["params"]}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.state:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step with the parameters' gradients."""
        told = [(p, p.grad) for p in self.state if p.grad is not None]
        for p, _ in told:
            if not self.state[p]:
                # Counted where the parameters are by the one kernel, and by the processor otherwise.
                self.state[p] = {
                    "step": torch.zeros((), device=p.device if self.fused else "cpu"),
                    "exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p),
                }  # fmt: skip
        steps, averages, squares = (
            [self.state[p][name] for p, _ in told] for name in ("step", "exp_avg", "exp_avg_sq")
        )
        adam(
            [p for p, _ in told], [grad for _, grad in told], averages, squares, [], steps, foreach=False,
            fused=self.fused, amsgrad=False, beta1=self.betas[0], beta2=self.betas[1],
            lr=self.param_groups[0]["lr"], weight_decay=0.0, eps=_EPSILON, maximize=False,
        )  # fmt: skip
