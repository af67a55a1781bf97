"""How close a result is to the truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.problem import in_numpy


def psnr(truth: Any, result: Any, *, data_range: float | None = None) -> float:
    """Peak signal-to-noise ratio, 10·log10(range² / mean square error).

    Parameters
    ----------
    truth, result : arrays of one shape
    data_range : float, optional
        Largest minus smallest possible value. None: that of the integer type of ``truth``;
        1 for floats, which then have to lie in [0, 1].

    Returns
    -------
    float
        In decibels; inf where the two are equal.

    Raises
    ------
    ValueError
        If the shapes differ, an entry is masked, or the range of floats is neither given nor [0, 1].

    Examples
    --------
    >>> psnr(np.zeros((4, 4)), np.full((4, 4), 0.1))
    20.0
    """
    truth, result = _pair(truth, result)
    scale = _range(truth, data_range)
    error = float(np.mean((truth.astype(np.float64) - result.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(scale**2 / error)


def ssim(truth: Any, result: Any, *, data_range: float | None = None) -> float:
    """Structural similarity, mean over the image and its channels, by scikit-image.

    Parameters
    ----------
    truth, result : arrays of shape (H, W) or (H, W, C)
        H, W ≥ 7.
    data_range : float, optional
        As in :func:`psnr`.

    Returns
    -------
    float
        In [-1, 1]; 1 where the two are equal.

    Raises
    ------
    ValueError
        As in :func:`psnr`, or if the images are smaller than the window of 7×7.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural similarity,
    IEEE Transactions on Image Processing 13(4), 2004.

    Examples
    --------
    >>> ssim(np.eye(16), np.eye(16))
    1.0
    """
    from skimage.metrics import structural_similarity

    truth, result = _pair(truth, result)
    if truth.ndim not in (2, 3) or min(truth.shape[:2]) < 7:
        raise ValueError(f"truth: shape {truth.shape}; images of 7×7 pixels and more are accepted")
    channel_axis = 2 if truth.ndim == 3 else None
    scale = _range(truth, data_range)
    truth, result = truth.astype(np.float64), result.astype(np.float64)
    return float(structural_similarity(truth, result, data_range=scale, channel_axis=channel_axis))


def relative_error(truth: Any, result: Any) -> float:
    """‖result − truth‖_F / ‖truth‖_F.

    Parameters
    ----------
    truth, result : arrays of one shape

    Returns
    -------
    float
        From 0 on. For an all-zero truth: 0 where the result is zero too, else inf.

    Raises
    ------
    ValueError
        If the shapes differ, or an entry is masked.

    Examples
    --------
    >>> relative_error([[3.0, 4.0]], [[3.0, 4.5]])
    0.1
    """
    truth, result = _pair(truth, result)
    size = float(np.linalg.norm(truth.astype(np.float64)))
    error = float(np.linalg.norm(result.astype(np.float64) - truth.astype(np.float64)))
    return error / size if size else (0.0 if error == 0 else math.inf)


def _pair(truth: Any, result: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    for name, array in (("truth", truth), ("result", result)):
        if np.ma.is_masked(array):
            raise ValueError(
                f"{name}: {np.ma.count_masked(array)} entries are masked; what is compared has to be there"
            )
    truth, result = (np.asarray(in_numpy(a)) for a in (truth, result))
    if truth.shape != result.shape:
        raise ValueError(f"result: shape {result.shape}; {truth.shape} as the truth is accepted")
    if truth.size == 0:
        raise ValueError("truth: is empty; at least one entry is accepted")
    return truth, result


def _range(truth: NDArray[Any], data_range: float | None) -> float:
    if data_range is not None:
        if not (math.isfinite(data_range) and data_range > 0):
            raise ValueError(f"data_range={data_range!r}: a positive number is accepted")
        return data_range
    if truth.dtype.kind in "ui":
        info = np.iinfo(truth.dtype)
        return float(info.max) - float(info.min)
    if truth.dtype.kind == "b":
        return 1.0
    if truth.min() < 0 or truth.max() > 1:
        raise ValueError("data_range=None: floats outside [0, 1] have no known range; a positive number is accepted")
    return 1.0
