"""What a recovery returns: the answer, how it ended, and every constant that determined it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from twofold.history import History
from twofold.matrix.certificate import Certificate
from twofold.status import Status

Settings = Mapping[str, float | int | str | bool | None]


@dataclass(frozen=True)
class LowRankSolution:
    """Y = low_rank + outliers (+ dense noise, where there is some).

    Attributes
    ----------
    low_rank, outliers : ndarray or Tensor of shape (m, n), whichever kind the input was
        Missing entries are filled in ``low_rank`` and zero in ``outliers``.
    rank : int
    factors : tuple (U, singular_values, Vt)
        The thin singular value decomposition of ``low_rank``; shapes (m, rank), (rank,), (rank, n).
    status : Status
    n_iter : int
        Steps of all acts.
    noise : float
        Standard deviation of the dense noise that low rank plus outliers leave over; 0 where they explain everything.
    error_estimate : float or None
        Where there is dense noise: the relative error ‖low_rank − X‖_F/‖X‖_F to expect from it. None elsewhere.
    history : History
    certificate : Certificate or None
        None where ``certify=False``.
    settings : mapping
        Every constant that determined the answer: alpha, seed, start scales, step sizes, thresholds, dtype, device.
    """

    low_rank: Any
    outliers: Any
    rank: int
    factors: tuple[Any, Any, Any]
    status: Status
    n_iter: int
    noise: float
    error_estimate: float | None
    history: History = field(repr=False)
    certificate: Certificate | None
    settings: Settings = field(repr=False)

    @property
    def outlier_fraction(self) -> float:
        """Share of the entries with a non-zero outlier, in [0, 1]."""
        return float((self.outliers != 0).sum()) / max(math.prod(self.outliers.shape), 1)


@dataclass(frozen=True)
class ImageSolution:
    """A recovered image.

    Attributes
    ----------
    image : ndarray
        Same shape, dtype and value range as the input. An alpha channel is the input's, untouched.
    outliers : float32 ndarray, shape of the input without alpha
        Input minus recovered image in units of the input where an entry was taken for an outlier, zero elsewhere.
    outlier_probability : float32 ndarray, shape of ``outliers``
        In [0, 1]: how likely each entry is an outlier. 1 where the mask says so.
    expected_error : float32 ndarray, shape of ``outliers``, or None
        The error to expect of each entry of ``image``, root mean square, in units of the input: P·e² + P(1−P)·(y−x̂)²,
        e the error at entries that were withheld from the method (:mod:`twofold.image.withheld`), and in holes that
        are wider than strokes what pixels around them differ by (:mod:`twofold.image.holes`). None behind an
        operator, for images of less than 64×64 pixels, and for baselines.
    noise : float
        Standard deviation of dense noise that was found beside the outliers and smoothed, in units of the input; 0
        where none stands out, and then entries that are no outliers are the input's.
    status : Status
    history : History
    seconds : float
    n_steps : int
        Steps of all acts.
    settings : mapping
        Every constant that determined the answer.
    """

    image: Any
    outliers: Any
    outlier_probability: Any
    expected_error: Any
    noise: float
    status: Status
    history: History = field(repr=False)
    seconds: float
    n_steps: int
    settings: Settings = field(repr=False)

    @property
    def outlier_fraction(self) -> float:
        """Share of the entries taken for outliers (probability over one half), in [0, 1]."""
        return float((self.outlier_probability > 0.5).mean())

    @property
    def expected_psnr(self) -> float | None:
        """PSNR in dB to expect of ``image``, told without the truth; infinite where nothing was replaced.

        10·log10(peak²/mean(expected_error²)); the peak is 255 for uint8, 65535 for uint16, 1 for floats in [0, 1],
        and the range of other floats.
        """
        if self.expected_error is None:
            return None
        peak = _peak(self.image)
        mse = float(np.square(self.expected_error, dtype=np.float64).mean())
        return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)


def _peak(image: Any) -> float:
    if image.dtype.kind == "u":
        return float(np.iinfo(image.dtype).max)
    least, greatest = float(np.nanmin(image)), float(np.nanmax(image))
    return 1.0 if least >= 0 and greatest <= 1 else greatest - least
