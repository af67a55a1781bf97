"""What the experiments about matrices share: one descent, looked at along the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Record
from twofold.history import History

Array = NDArray[Any]


@dataclass(frozen=True)
class Curve:
    """Values at some steps of a descent.

    Attributes
    ----------
    steps : list of int
    values : dict
        Name → what was looked at, one value a step.
    stop : str
        As in :class:`twofold.descent.Descended`.
    """

    steps: list[int]
    values: dict[str, list[float]]
    stop: str


def looked_at(n_steps: int, n_looks: int = 60) -> set[int]:
    """Steps at which a descent is looked at: evenly spaced in their logarithm, the first and the last among them."""
    return {round(step) for step in np.geomspace(1, n_steps, n_looks)} | {0}


def follow(
    problem: Any,
    signal: Any,
    outliers: Any,
    *,
    tau: float | Callable[[int], float],
    alpha: float,
    n_steps: int,
    look: Callable[[Any], dict[str, float]],
    looks: set[int] | None = None,
    influence: Callable[[Any], Any] | None = None,
    enough: float = 0.0,
) -> Curve:
    """Run :func:`twofold.descent.descend` and look at it along the way.

    Parameters
    ----------
    problem, signal, outliers, alpha, influence
        As there.
    tau : float or callable
        A constant, or a rate for each step.
    look : callable
        Residual → values.
    looks : set of int, optional
        Steps at which to look. None: :func:`looked_at`.
    enough : float
        End where the residual is below this share of the data; that step is looked at too.

    Returns
    -------
    Curve
    """
    import torch

    from twofold.descent import descend

    looks = looked_at(n_steps) if looks is None else looks
    steps: list[int] = []
    values: dict[str, list[float]] = {}
    limit = enough * problem.norm

    def terminate(step: int, residual: Any) -> bool:
        done = enough > 0 and float(torch.linalg.vector_norm(residual)) <= limit
        if done or step in looks:
            steps.append(step)
            for name, value in look(residual).items():
                values.setdefault(name, []).append(value)
        return done

    ended = descend(
        problem, signal, outliers, tau=tau if callable(tau) else lambda step: tau, alpha=alpha, max_steps=n_steps,
        influence=influence, terminate=terminate, history=_Forgetful(),
    )  # fmt: skip
    return Curve(steps, values, ended.stop)


class _Forgetful(History):
    """A history without records: a million of them would fill the memory."""

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


def attempts(records: Sequence[Record], error: Callable[[Record], float]) -> str:
    """What a descent came to with other starts and numbers of steps, in words."""
    return "; ".join(
        f"start {r['settings']['start']:g}, {r['settings']['steps']} steps: {error(r):.1e}" for r in records
    )


def rounded(values: Sequence[float], digits: int = 4) -> list[float]:
    """Values for a result file."""
    return [float(f"{value:.{digits}g}") for value in values]
