"""Optimizers that twofold does not use, to be measured beside the one that it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from twofold.descent import Descended
from twofold.image.polish import DecidedOutliers, polish
from twofold.models.network import NetworkSignal
from twofold.problem import Problem


class MuonOfFilters(torch.optim.Optimizer):
    """Muon for the filters, each a matrix with one row for each output channel, and Adam for all else.

    Its steps are as long as Adam's ("match_rms_adamw"), so that one learning rate is right for both.

    Examples
    --------
    >>> layer = torch.nn.Conv2d(2, 4, 3)
    >>> before = layer.weight.detach().clone()
    >>> optimizer = MuonOfFilters(layer.parameters(), lr=0.01)
    >>> layer(torch.ones(1, 2, 5, 5)).square().sum().backward()
    >>> optimizer.step()
    >>> bool((layer.weight != before).all())
    True
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        parameters = list(parameters)
        super().__init__(parameters, {"lr": lr})
        self._filters = [p for p in parameters if p.ndim == 4]
        self._matrices = [torch.nn.Parameter(_matrix(p.detach())) for p in self._filters]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(self._matrices, lr=lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
            torch.optim.Adam([p for p in parameters if p.ndim != 4], lr=lr, betas=(0.9, 0.99)),
        ]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of both; a closure is not called."""
        for matrix, p in zip(self._matrices, self._filters, strict=True):
            matrix.grad = None if p.grad is None else _matrix(p.grad)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
            part.step()


def _matrix(filters: Tensor) -> Tensor:
    """(n_out, n_in·height·width), a view; channels may be last in memory."""
    return (filters if filters.is_contiguous() else filters.permute(0, 2, 3, 1)).flatten(1)


def polish_to_the_end(
    problem: Problem, signal: NetworkSignal, outliers: DecidedOutliers, **options: Any
) -> tuple[Tensor, Descended]:
    """Act 2, and 30 steps of L-BFGS on what it minimizes, in single precision."""
    _, descended = polish(problem, signal, outliers, **options)
    y, trust, delta = problem.values, outliers.shown(), options["preset"].delta
    for p in signal.network.parameters():
        p.data = p.data.contiguous()  # L-BFGS strings them together
    bfgs = torch.optim.LBFGS(signal.network.parameters(), max_iter=30, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> float:
        bfgs.zero_grad()
        x = signal.network(signal.input)[0, :, : y.shape[1], : y.shape[2]]
        loss = (trust * torch.nn.functional.huber_loss(x, y, reduction="none", delta=delta)).sum()
        loss.backward()
        return loss.item()

    bfgs.step(closure)
    return signal.value().detach(), descended
