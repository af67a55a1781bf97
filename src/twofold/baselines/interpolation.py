"""Outliers known by their value, replaced by interpolation of the others."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CloughTocher2DInterpolator, LinearNDInterpolator, NearestNDInterpolator

from twofold.baselines.frame import Frame
from twofold.solution import ImageSolution

Kind = Literal["linear", "cubic", "biharmonic"]


def detect_and_interpolate(image: Any, *, mask: Any = None, kind: Kind = "cubic") -> ImageSolution:
    """Take exactly black and exactly white entries for outliers and interpolate the others, each channel on its own.

    This is what to do where impulses are known to be black or white; of other outliers it finds none.

    Parameters
    ----------
    image, mask
        As in :func:`twofold.recover_image`. Black and white are the ends of an integer's range, 0 and 1 for floats.
    kind : {"linear", "cubic", "biharmonic"}
        Linear on a triangulation; cubic, Clough and Tocher's, on the same; biharmonic by scikit-image, which takes
        minutes where much is missing.

    Returns
    -------
    ImageSolution

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before any work.

    Examples
    --------
    >>> image = np.add.outer(np.arange(20, 29), np.arange(20, 29)).astype(np.uint8)
    >>> struck = image.copy()
    >>> struck[4, 4] = 255
    >>> np.array_equal(detect_and_interpolate(struck).image, image)
    True
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind={kind!r}: accepted are {', '.join(map(repr, get_args(Kind)))}")
    frame = Frame.of(image, mask)
    source = frame.pixels.colours.transpose(2, 0, 1)
    black, white = (0, np.iinfo(source.dtype).max) if source.dtype.kind == "u" else (0.0, 1.0)
    bad = (source == black) | (source == white)
    if frame.mask is not None:
        bad |= np.atleast_3d(frame.mask).transpose(2, 0, 1)
    x = frame.values
    for channel, missing in zip(x, bad, strict=True):
        if missing.any() and not missing.all():
            channel[missing] = _interpolated(channel, missing, kind)
    return frame.solution(x, {"method": "detect_and_interpolate", "kind": kind}, bad)


def _interpolated(channel: NDArray[Any], missing: NDArray[np.bool_], kind: Kind) -> NDArray[Any]:
    """Values at the missing places; beyond the hull of the others, the nearest one."""
    if kind == "biharmonic":
        from skimage.restoration import inpaint_biharmonic

        return np.asarray(inpaint_biharmonic(channel, missing)[missing])
    here, there = np.argwhere(~missing), np.argwhere(missing)
    values = channel[~missing]
    nearest = NearestNDInterpolator(here, values)(there)
    if len(here) < 3 or np.linalg.matrix_rank(here - here[0]) < 2:  # no triangle
        return np.asarray(nearest)
    interpolator = LinearNDInterpolator if kind == "linear" else CloughTocher2DInterpolator
    found = interpolator(here, values)(there)
    return np.where(np.isnan(found), nearest, found)
