"""Matrices with known answers: low rank with outliers, the video of a camera at rest, a sensor log."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from twofold.datasets.checks import RandomState, check_fraction, check_noise, choose

Matrix = NDArray[Any]


@dataclass(frozen=True)
class LowRankPlusSparse:
    """observed = low_rank + outliers, NaN where missing.

    Attributes
    ----------
    observed, low_rank, outliers : ndarray of shape (m, n)
        float64 or float32, as asked for.
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
    condition: float | None = None,
    dtype: DTypeLike = np.float64,
    random_state: RandomState = None,
) -> LowRankPlusSparse:
    """Make a random low-rank matrix with gross outliers.

    X = UVᵀ with standard normal factors, or X = P·diag(σ)·Qᵀ with random orthonormal factors and σ falling
    geometrically by ``condition`` in all; the root mean square of its entries is sqrt(rank) either way. The outliers
    are uniform in ±2·mean|X| on a random set of entries.

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
    condition : float, optional
        Ratio of the largest to the smallest non-zero singular value of X, from 1 on. None: that of the normal
        factors, which is close to 1 where the rank is small beside m and n.
    dtype : numpy.float64 or numpy.float32
        Of all three matrices.
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    LowRankPlusSparse

    Raises
    ------
    ValueError
        If an argument is out of its range.
    TypeError
        For another dtype.

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
    check_fraction("outlier_fraction", outlier_fraction)
    check_fraction("missing_fraction", missing_fraction)
    if missing_fraction == 1:
        raise ValueError("missing_fraction=1: less than 1 is accepted")
    check_noise(noise)
    if condition is not None and not (math.isfinite(condition) and condition >= 1):
        raise ValueError(f"condition={condition!r}: None and a number from 1 on are accepted")
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise TypeError(f"dtype={np.dtype(dtype)}: float64 and float32 are accepted")
    rng = np.random.default_rng(random_state)
    left, right = rng.standard_normal((m, rank)), rng.standard_normal((rank, n))
    low_rank = left @ right if condition is None or rank == 0 else _conditioned(left, right, condition)
    # An all-zero X of rank 0 has no magnitude to follow: outliers of size up to 1 then.
    limit = 2 * float(np.abs(low_rank).mean()) or 1.0
    outliers = np.zeros((m, n))
    struck = choose(rng, m * n, outlier_fraction)
    outliers.reshape(-1)[struck] = rng.uniform(-limit, limit, struck.size)
    low_rank, outliers = low_rank.astype(dtype, copy=False), outliers.astype(dtype, copy=False)
    observed = low_rank + outliers
    if noise:
        observed += (noise * rng.standard_normal((m, n))).astype(dtype, copy=False)
    observed.reshape(-1)[choose(rng, m * n, missing_fraction)] = np.nan
    return LowRankPlusSparse(observed, low_rank, outliers, rank)


def _conditioned(left: Matrix, right: Matrix, condition: float) -> Matrix:
    """P·diag(σ)·Qᵀ with the ranges of the factors given, entries of root mean square sqrt(rank)."""
    (m, rank), n = left.shape, right.shape[1]
    sigma = np.geomspace(condition, 1.0, rank)
    sigma *= math.sqrt(m * n * rank) / np.linalg.norm(sigma)
    return (np.linalg.qr(left)[0] * sigma) @ np.linalg.qr(right.T)[0].T


def moving_blobs(
    height: int,
    width: int,
    n_frames: int,
    *,
    n_blobs: int = 6,
    noise: float = 0.0,
    dtype: DTypeLike = np.float32,
    random_state: RandomState = None,
) -> LowRankPlusSparse:
    """Make the video of a camera at rest: a still picture under slowly changing light, and blobs that move.

    A pixel × frame matrix of grey values in about [0, 255]. The background is the picture times the light of the
    frame, so of rank 1; where a blob covers a pixel, ``outliers`` is the blob's grey minus the background.

    Parameters
    ----------
    height, width : int
        Of a frame, at least 8 each; m = height·width.
    n_frames : int
        n, at least 2.
    n_blobs : int
        Discs with a radius of a sixteenth to an eighth of the shorter side, each with its own grey, path and speed.
    noise : float, default 0
        Standard deviation of dense normal noise on ``observed``, in grey levels. Cameras have about 1.
    dtype : numpy.float32 or numpy.float64
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    LowRankPlusSparse
        Of rank 1.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    TypeError
        For another dtype.

    Examples
    --------
    >>> clip = moving_blobs(24, 32, 20, random_state=0)
    >>> clip.observed.shape, bool(0.01 < (clip.outliers != 0).mean() < 0.2)
    ((768, 20), True)
    """
    for name, value, least in (
        ("height", height, 8), ("width", width, 8), ("n_frames", n_frames, 2), ("n_blobs", n_blobs, 0)
    ):  # fmt: skip
        if value < least:
            raise ValueError(f"{name}={value!r}: {least} or more are accepted")
    check_noise(noise)
    if np.dtype(dtype) not in (np.float64, np.float32):
        raise TypeError(f"dtype={np.dtype(dtype)}: float64 and float32 are accepted")
    rng = np.random.default_rng(random_state)
    rows, columns = np.mgrid[:height, :width]
    time = np.arange(n_frames)
    light = 1 + 0.15 * np.sin(2 * np.pi * (time / max(n_frames, 240) + rng.random()))
    low_rank = np.outer(_still_picture(rng, rows / height, columns / width), light).astype(dtype)
    outliers = np.zeros_like(low_rank)
    side = min(height, width)
    for _ in range(n_blobs):
        radius, grey = rng.uniform(side / 16, side / 8), rng.uniform(0, 255)
        start = rng.uniform(0, (height, width))
        speed = rng.uniform(-1, 1, 2) * side / 60
        for frame in time:
            # A blob that leaves on one side comes back on the other.
            y, x = (start + speed * frame) % (height, width)
            covered = ((rows - y) ** 2 + (columns - x) ** 2 < radius**2).reshape(-1)
            outliers[covered, frame] = grey - low_rank[covered, frame]
    observed = low_rank + outliers
    if noise:
        observed += (noise * rng.standard_normal(observed.shape)).astype(dtype, copy=False)
    return LowRankPlusSparse(observed, low_rank, outliers, 1)


def _still_picture(rng: np.random.Generator, y: Matrix, x: Matrix) -> Matrix:
    """Smooth shades between 40 and 200 with edges: a sum of waves and a few rectangles; flattened."""
    picture = np.zeros(y.shape)
    for _ in range(6):
        frequency, phase = rng.uniform(-4, 4, 2), rng.uniform(0, 2 * np.pi)
        picture += np.cos(2 * np.pi * (frequency[0] * y + frequency[1] * x) + phase)
    for _ in range(5):
        top, left = rng.uniform(0, 0.8, 2)
        picture[(y > top) & (y < top + 0.25) & (x > left) & (x < left + 0.2)] += rng.uniform(-3, 3)
    low, high = picture.min(), picture.max()
    return (40 + 160 * (picture - low) / max(high - low, 1e-12)).reshape(-1)


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
        check_fraction(name, share, largest=0.5)
    rng = np.random.default_rng(random_state)
    clean = _building(rng, n_times, n_sensors)
    observed, faulty = clean.copy(), np.zeros(clean.shape, dtype=bool)
    dropped = _dropouts(rng, clean.shape, dropout_fraction)
    observed[dropped] = 0.0
    spikes = np.zeros(clean.shape, dtype=bool)
    spikes.reshape(-1)[choose(rng, clean.size, spike_fraction)] = True
    spikes &= ~dropped
    n_spikes = int(spikes.sum())
    observed[spikes] += rng.choice([-1.0, 1.0], n_spikes) * rng.uniform(5, 40, n_spikes)
    faulty = spikes | dropped
    missing = choose(rng, clean.size, missing_fraction)
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
