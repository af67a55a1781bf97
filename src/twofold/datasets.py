"""Data with known answers: matrices of low rank with outliers, a sensor log, corrupted images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
RandomState = int | np.random.Generator | None


@dataclass(frozen=True)
class LowRankPlusSparse:
    """observed = low_rank + outliers, NaN where missing.

    Attributes
    ----------
    observed, low_rank, outliers : float64 ndarray of shape (m, n)
    rank : int
    """

    observed: Matrix
    low_rank: Matrix
    outliers: Matrix
    rank: int


def low_rank_plus_sparse(
    shape: int | tuple[int, int],
    rank: int,
    outlier_fraction: float,
    *,
    missing_fraction: float = 0.0,
    noise: float = 0.0,
    random_state: RandomState = None,
) -> LowRankPlusSparse:
    """Make a random low-rank matrix with gross outliers.

    X = UVᵀ with standard normal factors; the outliers are uniform in ±2·mean|X| on a random set of entries.

    Parameters
    ----------
    shape : int or (int, int)
        n for an n×n matrix, or (m, n).
    rank : int
        0 to min(m, n).
    outlier_fraction : float in [0, 1]
        Share of all entries with an outlier, rounded to whole entries.
    missing_fraction : float in [0, 1), default 0
        Share of all entries that are NaN in ``observed``, chosen independently of the outliers.
    noise : float, default 0
        Standard deviation of dense normal noise on ``observed``.
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    LowRankPlusSparse

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> data = low_rank_plus_sparse((40, 30), rank=2, outlier_fraction=0.1, random_state=0)
    >>> int(np.linalg.matrix_rank(data.low_rank)), float((data.outliers != 0).mean())
    (2, 0.1)
    """
    m, n = (shape, shape) if isinstance(shape, int) else shape
    if min(m, n) < 1:
        raise ValueError(f"shape={shape!r}: positive sizes are accepted")
    if not 0 <= rank <= min(m, n):
        raise ValueError(f"rank={rank!r}: 0 to {min(m, n)} are accepted for shape {(m, n)}")
    _check_fraction("outlier_fraction", outlier_fraction)
    _check_fraction("missing_fraction", missing_fraction)
    if missing_fraction == 1:
        raise ValueError("missing_fraction=1: less than 1 is accepted")
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise={noise!r}: a number from 0 on is accepted")
    rng = np.random.default_rng(random_state)
    low_rank = rng.standard_normal((m, rank)) @ rng.standard_normal((rank, n))
    # An all-zero X of rank 0 has no magnitude to follow: outliers of size up to 1 then.
    limit = 2 * float(np.abs(low_rank).mean()) or 1.0
    outliers = np.zeros((m, n))
    struck = _choose(rng, m * n, outlier_fraction)
    outliers.reshape(-1)[struck] = rng.uniform(-limit, limit, struck.size)
    observed = low_rank + outliers
    if noise:
        observed += noise * rng.standard_normal((m, n))
    observed.reshape(-1)[_choose(rng, m * n, missing_fraction)] = np.nan
    return LowRankPlusSparse(observed, low_rank, outliers, rank)


@dataclass(frozen=True)
class SensorMatrix:
    """A log of sensors with faults.

    Attributes
    ----------
    observed : float64 ndarray of shape (n_times, n_sensors)
        Degrees Celsius, NaN where nothing was logged.
    clean : float64 ndarray of the same shape
        Of rank ``rank``.
    faulty : bool ndarray of the same shape
        True where the logged value is false: a spike, or the 0 of a sensor that dropped out.
    rank : int
    """

    observed: Matrix
    clean: Matrix
    faulty: NDArray[np.bool_]
    rank: int


def sensor_matrix(
    n_times: int = 480,
    n_sensors: int = 120,
    *,
    spike_fraction: float = 0.05,
    dropout_fraction: float = 0.03,
    missing_fraction: float = 0.05,
    random_state: RandomState = None,
) -> SensorMatrix:
    """Make a log of temperature sensors in and around a building: a few common drifts, seen by each with its own
    weight.

    The clean log has rank 4: an offset for each sensor, the daily cycle with its lag, and a slow drift of the
    weather. Single readings spike by 5 to 40 degrees; sensors drop out for a while and then log 0; some
    readings are missing.

    Parameters
    ----------
    n_times, n_sensors : int
        At least 8 each. A reading every quarter of an hour.
    spike_fraction, dropout_fraction, missing_fraction : float in [0, 0.5]
        Shares of all readings (approximate for dropouts, which come in stretches of 10 to 40).
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    SensorMatrix

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> log = sensor_matrix(random_state=0)
    >>> log.observed.shape, int(np.linalg.matrix_rank(log.clean)), bool(0.06 < log.faulty.mean() < 0.09)
    ((480, 120), 4, True)
    """
    for name, size in (("n_times", n_times), ("n_sensors", n_sensors)):
        if size < 8:
            raise ValueError(f"{name}={size!r}: 8 or more are accepted")
    shares = {"spike_fraction": spike_fraction, "dropout_fraction": dropout_fraction}
    for name, share in {**shares, "missing_fraction": missing_fraction}.items():
        _check_fraction(name, share, largest=0.5)
    rng = np.random.default_rng(random_state)
    clean = _building(rng, n_times, n_sensors)
    observed, faulty = clean.copy(), np.zeros(clean.shape, dtype=bool)
    dropped = _dropouts(rng, clean.shape, dropout_fraction)
    observed[dropped] = 0.0
    spikes = np.zeros(clean.shape, dtype=bool)
    spikes.reshape(-1)[_choose(rng, clean.size, spike_fraction)] = True
    spikes &= ~dropped
    n_spikes = int(spikes.sum())
    observed[spikes] += rng.choice([-1.0, 1.0], n_spikes) * rng.uniform(5, 40, n_spikes)
    faulty = spikes | dropped
    missing = _choose(rng, clean.size, missing_fraction)
    observed.reshape(-1)[missing] = np.nan
    faulty.reshape(-1)[missing] = False
    return SensorMatrix(observed, clean, faulty, rank=4)


def _building(rng: np.random.Generator, n_times: int, n_sensors: int) -> Matrix:
    hours = np.arange(n_times) / 4
    weather = np.cumsum(rng.standard_normal(n_times))
    weather = np.convolve(weather, np.ones(16) / 16, mode="same")
    weather = (weather - weather.mean()) / max(float(weather.std()), 1e-12)
    day = 2 * np.pi * hours / 24
    courses = np.stack([np.ones(n_times), np.sin(day), np.cos(day), weather], axis=1)
    weights = np.stack(
        [
            rng.uniform(17, 24, n_sensors),
            rng.uniform(0.5, 6, n_sensors),
            rng.normal(0, 2, n_sensors),
            rng.uniform(0.5, 6, n_sensors),
        ]
    )
    return courses @ weights


def _dropouts(rng: np.random.Generator, shape: tuple[int, ...], fraction: float) -> NDArray[np.bool_]:
    dropped = np.zeros(shape, dtype=bool)
    while dropped.mean() < fraction:
        length = int(rng.integers(10, 41))
        start, sensor = int(rng.integers(0, shape[0])), int(rng.integers(0, shape[1]))
        dropped[start : start + length, sensor] = True
    return dropped


def salt_and_pepper(image: Any, fraction: float, *, random_state: RandomState = None) -> NDArray[Any]:
    """Replace entries of an image by black or white, with equal chance.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C)
        Integers (full range of their type) or floats in [0, 1]. Channels are struck independently.
    fraction : float in [0, 1]
        Chance of each entry to be struck.
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    ndarray
        A new array of the same shape and dtype.

    Raises
    ------
    ValueError, TypeError
        If the fraction or the image is not as said above.

    Examples
    --------
    >>> salt_and_pepper(np.full((2, 4), 100, np.uint8), 1.0, random_state=0)
    array([[255, 255, 255,   0],
           [255,   0, 255,   0]], dtype=uint8)
    """
    image, low, high, rng = _prepare(image, fraction, random_state)
    struck = rng.random(image.shape) < fraction
    image[struck] = np.where(rng.random(int(struck.sum())) < 0.5, low, high).astype(image.dtype)
    return image


def random_valued_impulse(image: Any, fraction: float, *, random_state: RandomState = None) -> NDArray[Any]:
    """Replace entries of an image by values uniform on the whole range (random-valued impulse noise, RVIN).

    Parameters, result and errors are those of :func:`salt_and_pepper`.

    Examples
    --------
    >>> corrupted = random_valued_impulse(np.full((100, 100), 100, np.uint8), 0.3, random_state=0)
    >>> round(float((corrupted != 100).mean()), 2)
    0.3
    """
    image, low, high, rng = _prepare(image, fraction, random_state)
    struck = rng.random(image.shape) < fraction
    n_struck = int(struck.sum())
    if image.dtype.kind == "f":
        image[struck] = rng.uniform(low, high, n_struck).astype(image.dtype)
    else:
        image[struck] = rng.integers(int(low), int(high), n_struck, dtype=image.dtype, endpoint=True)
    return image


def _prepare(
    image: Any, fraction: float, random_state: RandomState
) -> tuple[NDArray[Any], float, float, np.random.Generator]:
    image = np.array(image)  # a copy
    if image.ndim not in (2, 3):
        raise ValueError(f"image: shape {image.shape}; (H, W) and (H, W, channels) are accepted")
    _check_fraction("fraction", fraction)
    rng = np.random.default_rng(random_state)
    if image.dtype.kind in "ui":
        info = np.iinfo(image.dtype)
        return image, info.min, info.max, rng
    if image.dtype.kind != "f":
        raise TypeError(f"image: dtype {image.dtype}; integers and floats are accepted")
    return image, 0.0, 1.0, rng


def _choose(rng: np.random.Generator, size: int, fraction: float) -> NDArray[np.intp]:
    return rng.choice(size, round(fraction * size), replace=False)


def _check_fraction(name: str, value: float, largest: float = 1.0) -> None:
    if not 0 <= value <= largest:
        raise ValueError(f"{name}={value!r}: 0 to {largest:g} is accepted")
