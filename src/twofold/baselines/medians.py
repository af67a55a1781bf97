"""Median filters, each channel on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter, median_filter, minimum_filter

from twofold.baselines.frame import Frame, check_window
from twofold.solution import ImageSolution


def median(image: Any, *, mask: Any = None, size: int = 3) -> ImageSolution:
    """Replace every entry by the median of the window around it.

    Parameters
    ----------
    image, mask
        As in :func:`twofold.recover_image`; masked pixels get the value of the nearest good one first.
    size : int
        Side of the window in pixels, odd.

    Returns
    -------
    ImageSolution

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before any work.

    Examples
    --------
    >>> image = np.full((9, 9), 100, np.uint8)
    >>> image[4, 4] = 255
    >>> int(median(image).image.max())
    100
    """
    check_window(size=size)
    frame = Frame.of(image, mask)
    x = median_filter(frame.values, size=(1, size, size), mode="reflect")
    return frame.solution(x, {"method": "median", "size": size})


def adaptive_median(image: Any, *, mask: Any = None, max_size: int = 9) -> ImageSolution:
    """Replace an entry by a median only where it is the least or the greatest of its window.

    The window grows from 3 pixels until its median is neither its least nor its greatest value.

    Parameters
    ----------
    image, mask
        As in :func:`twofold.recover_image`.
    max_size : int
        Side of the largest window in pixels, odd.

    Returns
    -------
    ImageSolution

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before any work.

    References
    ----------
    Hwang, Haddad: Adaptive median filters: new algorithms and results, IEEE Transactions on Image Processing 1995.

    Examples
    --------
    >>> image = np.add.outer(np.arange(20, 29), np.arange(20, 29)).astype(np.uint8)
    >>> struck = image.copy()
    >>> struck[4, 4] = 255
    >>> bool((np.abs(adaptive_median(struck).image.astype(int) - image) <= 1).all())
    True
    """
    check_window(max_size=max_size)
    frame = Frame.of(image, mask)
    y = frame.values
    x, open_, replaced = y.copy(), np.ones(y.shape, dtype=bool), np.zeros(y.shape, dtype=bool)
    for size in range(3, max_size + 1, 2):
        window = {"size": (1, size, size), "mode": "reflect"}
        low, middle, high = (f(y, **window) for f in (minimum_filter, median_filter, maximum_filter))
        decided = open_ & (((low < middle) & (middle < high)) | (size + 2 > max_size))
        impulse = decided & ((y <= low) | (y >= high))
        x[impulse] = middle[impulse]
        replaced |= impulse
        open_ &= ~decided
    return frame.solution(x, {"method": "adaptive_median", "max_size": max_size}, replaced)
