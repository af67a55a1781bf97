"""Random numbers and argument checks that all data sets share."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

RandomState = int | np.random.Generator | None


def choose(rng: np.random.Generator, size: int, fraction: float) -> NDArray[np.intp]:
    """A random share of range(size)."""
    return rng.choice(size, round(fraction * size), replace=False)


def check_fraction(name: str, value: float, largest: float = 1.0) -> None:
    """Refuse a share that is none.

    Raises
    ------
    ValueError
    """
    if not 0 <= value <= largest:
        raise ValueError(f"{name}={value!r}: 0 to {largest:g} is accepted")


def check_noise(noise: float) -> None:
    """Refuse a standard deviation that is none.

    Raises
    ------
    ValueError
    """
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise={noise!r}: a number from 0 on is accepted")
