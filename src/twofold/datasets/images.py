"""Images corrupted in the ways that images are: impulses, text, scratches, dead lines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.datasets.checks import RandomState, check_fraction, choose


def salt_and_pepper(
    image: Any, fraction: float, *, whole_pixels: bool = False, random_state: RandomState = None
) -> NDArray[Any]:
    """Replace entries of an image by black or white, with equal chance.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C)
        Integers (full range of their type) or floats in [0, 1]. Channels are struck independently.
    fraction : float in [0, 1]
        Chance of each entry to be struck.
    whole_pixels : bool
        All channels of a pixel are struck together, and turn black or white together.
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
    struck = rng.random(image.shape[:2] if whole_pixels else image.shape) < fraction
    values = np.where(rng.random(int(struck.sum())) < 0.5, low, high).astype(image.dtype)
    image[struck] = values[:, None] if whole_pixels and image.ndim == 3 else values
    return image


def random_valued_impulse(
    image: Any, fraction: float, *, whole_pixels: bool = False, random_state: RandomState = None
) -> NDArray[Any]:
    """Replace entries of an image by values uniform on the whole range (random-valued impulse noise, RVIN).

    With ``whole_pixels`` every channel of a struck pixel gets a value of its own. Parameters, result and errors are
    those of :func:`salt_and_pepper`.

    Examples
    --------
    >>> corrupted = random_valued_impulse(np.full((100, 100), 100, np.uint8), 0.3, random_state=0)
    >>> round(float((corrupted != 100).mean()), 2)
    0.3
    """
    image, low, high, rng = _prepare(image, fraction, random_state)
    struck = rng.random(image.shape[:2] if whole_pixels else image.shape) < fraction
    shape = image[struck].shape
    if image.dtype.kind == "f":
        image[struck] = rng.uniform(low, high, shape).astype(image.dtype)
    else:
        image[struck] = rng.integers(int(low), int(high), shape, dtype=image.dtype, endpoint=True)
    return image


def text_overlay(
    image: Any, *, size: int | None = None, colour: Any = None, random_state: RandomState = None
) -> NDArray[Any]:
    """Write lines of random words over an image, from edge to edge.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C)
        As in :func:`salt_and_pepper`.
    size : int, optional
        Height of the letters in pixels, at least 6. None: a sixteenth of the image's height, but at least 10.
    colour : number or sequence of C numbers, optional
        Of the letters. None: white.
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    ndarray
        A new array of the same shape and dtype, changed on the letters only (no blended edges).

    Raises
    ------
    ValueError, TypeError
        If an argument is not as said above.

    Examples
    --------
    >>> grey = np.full((64, 64), 100, np.uint8)
    >>> written = text_overlay(grey, random_state=0)
    >>> sorted(set(written.ravel().tolist())), bool(0.05 < (written != grey).mean() < 0.4)
    ([100, 255], True)
    """
    image, _, high, rng = _prepare(image, 0.0, random_state)
    height, width = image.shape[:2]
    size = max(height // 16, 10) if size is None else size
    if isinstance(size, bool) or not isinstance(size, int) or size < 6:
        raise ValueError(f"size={size!r}: None and an integer from 6 on are accepted")
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size)
    for top in range(0, height, round(1.6 * size)):
        words = ("".join(rng.choice(list("abcdefghiklmnoprstuvw"), rng.integers(2, 9))) for _ in range(width // size))
        draw.text((-float(rng.integers(0, size)), top), " ".join(words), fill=1, font=font)
    image[np.asarray(canvas)] = high if colour is None else colour
    return image


def scratches(image: Any, n: int = 20, *, width: int = 2, random_state: RandomState = None) -> NDArray[Any]:
    """Draw smooth curves across an image, each black, white or of a random grey.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C)
        As in :func:`salt_and_pepper`.
    n : int
        How many.
    width : int
        Of the widest in pixels; each has a width from 1 to this.
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    ndarray
        A new array of the same shape and dtype.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as said above.

    Examples
    --------
    >>> grey = np.full((64, 64), 100, np.uint8)
    >>> bool(0.02 < (scratches(grey, 8, random_state=0) != grey).mean() < 0.4)
    True
    """
    image, low, high, rng = _prepare(image, 0.0, random_state)
    for name, value, least in (("n", n, 0), ("width", width, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={value!r}: an integer from {least} on is accepted")
    from PIL import Image, ImageDraw

    rows, columns = image.shape[:2]
    t = np.linspace(0, 1, 4 * max(rows, columns))
    for _ in range(n):
        # A quadratic curve from one point to another, bent by a third.
        ends = rng.uniform(-0.1, 1.1, (3, 2)) * (columns, rows)
        curve = np.outer((1 - t) ** 2, ends[0]) + np.outer(2 * t * (1 - t), ends[1]) + np.outer(t**2, ends[2])
        canvas = Image.new("1", (columns, rows))
        ImageDraw.Draw(canvas).line([tuple(point) for point in curve], fill=1, width=int(rng.integers(1, width + 1)))
        grey = rng.choice([low, high, low + (high - low) * rng.random()])
        image[np.asarray(canvas)] = np.asarray(grey).astype(image.dtype)
    return image


def dead_lines(image: Any, fraction: float, *, random_state: RandomState = None) -> NDArray[Any]:
    """Set whole rows and whole columns to black (dead) or white (hot), as a sensor with broken lines does.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C)
        As in :func:`salt_and_pepper`.
    fraction : float in [0, 1]
        Share of the rows, and of the columns, rounded to whole ones.
    random_state : int, numpy.random.Generator or None

    Returns
    -------
    ndarray
        A new array of the same shape and dtype.

    Raises
    ------
    ValueError, TypeError
        If an argument is not as said above.

    Examples
    --------
    >>> grey = np.full((50, 40), 100, np.uint8)
    >>> broken = dead_lines(grey, 0.1, random_state=0)
    >>> int((broken[:, 0] != 100).sum()), int((broken[0] != 100).sum())
    (5, 4)
    """
    image, low, high, rng = _prepare(image, fraction, random_state)
    for axis in (0, 1):
        for line in choose(rng, image.shape[axis], fraction):
            image[(slice(None),) * axis + (line,)] = high if rng.random() < 0.5 else low
    return image


def _prepare(
    image: Any, fraction: float, random_state: RandomState
) -> tuple[NDArray[Any], float, float, np.random.Generator]:
    image = np.array(image)  # a copy
    if image.ndim not in (2, 3):
        raise ValueError(f"image: shape {image.shape}; (H, W) and (H, W, channels) are accepted")
    check_fraction("fraction", fraction)
    rng = np.random.default_rng(random_state)
    if image.dtype.kind in "ui":
        info = np.iinfo(image.dtype)
        return image, info.min, info.max, rng
    if image.dtype.kind != "f":
        raise TypeError(f"image: dtype {image.dtype}; integers and floats are accepted")
    return image, 0.0, 1.0, rng
