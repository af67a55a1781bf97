"""Gradient descent with discrepant learning rates: the one loop that serves matrices and images.

    r       = y − A(f(theta)) − s
    theta  <- theta + tau·J_fᵀ A*(ψ(r))
    (g, h) <- (g, h) + alpha·tau·(2·g∘ψ(r), −2·h∘ψ(r))

for the loss ½‖r‖², where ψ(r) = r, or a robust loss with influence function ψ. The loss is a *sum* over entries: a
mean would divide both rates by their number, and results would change with the size of the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from twofold.history import History
from twofold.problem import Problem


class SignalModel(Protocol):
    """x = f(theta) with a descent step of its own."""

    def value(self) -> Tensor:
        """x = f(theta)."""

    def descend(self, pull: Tensor, rate: float) -> None:
        """theta ← theta + rate·Jᵀ·pull, or a preconditioned form of it."""


class OutlierModel(Protocol):
    """s, with a descent step of its own."""

    def value(self) -> Tensor:
        """s."""

    def descend(self, residual: Tensor, rate: float) -> None:
        """Move the parameters of s along the residual."""


Stop = Literal["terminated", "max_steps", "diverged"]


@dataclass(frozen=True)
class Descended:
    """How a descent ended: after how many steps, why, and with which residual."""

    n_steps: int
    stop: Stop
    residual: Tensor


def _outlier_fraction(s: Tensor, residual: Tensor, sample: int = 10_000) -> float:
    """Share of the entries whose misfit y − A(x) is explained by s rather than left over, from a sample."""
    stride = max(s.numel() // sample, 1)
    s, residual = s.reshape(-1)[::stride], residual.reshape(-1)[::stride]
    return float((s.abs() > residual.abs()).float().mean()) if s.numel() else 0.0


def descend(
    problem: Problem,
    signal: SignalModel,
    outliers: OutlierModel,
    *,
    tau: Callable[[int], float],
    alpha: float,
    max_steps: int,
    influence: Callable[[Tensor], Tensor] | None = None,
    terminate: Callable[[int, Tensor], bool] | None = None,
    history: History,
    act: str = "descent",
    first_step: int = 0,
    before_step: Callable[[int], None] | None = None,
) -> Descended:
    """Run gradient descent with discrepant learning rates, in place on ``signal`` and ``outliers``.

    Parameters
    ----------
    problem : Problem
    signal, outliers : SignalModel, OutlierModel
        Changed in place; on return they hold the last finite iterate.
    tau : callable
        Learning rate of the signal at a step, counted from 0.
    alpha : float
        Ratio of the learning rates: outliers move at alpha·tau.
    max_steps : int
        The most updates to make; 0 evaluates the start only.
    influence : callable, optional
        ψ, the derivative of the loss by the residual. None: the square loss, ψ(r) = r.
    terminate : callable, optional
        Shown the number of updates done and the residual, before each update and after the last one.
    history : History
        Gets a record for each residual that was computed.
    first_step : int
        Updates that were made before: a descent that was cut off goes on from there.
    before_step : callable, optional
        Called with the number of updates done before anything of a step is computed.

    Returns
    -------
    Descended
    """
    scale = problem.norm or 1.0
    residual = torch.empty_like(problem.values)  # one buffer: fresh memory for every step costs as much as the step
    for step in range(first_step, max_steps + 1):
        if before_step is not None:
            before_step(step)
        s = outliers.value()
        residual = problem.residual(signal.value().detach(), s, out=residual)
        relative = float(torch.linalg.vector_norm(residual)) / scale
        history.add(act, step, max_steps, relative, _outlier_fraction(s, residual))
        if not math.isfinite(relative):
            return Descended(step, "diverged", residual)
        if terminate is not None and terminate(step, residual):
            return Descended(step, "terminated", residual)
        if step < max_steps:
            pull = residual if influence is None else influence(residual)
            signal.descend(problem.pull_back(pull), tau(step))
            outliers.descend(pull, alpha * tau(step))
    return Descended(max_steps, "max_steps", residual)
