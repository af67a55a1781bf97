"""Reading images into arrays, with the depth they have in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twofold.io.errors import FileError, check_input
from twofold.io.pillow import ACCEPTED, Picture, read_with_pillow
from twofold.io.tiff import read_tiff

DEFAULT_MAX_PIXELS = 50_000_000


def read_image(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Read an image file.

    Parameters
    ----------
    path : Path
        PNG, JPEG, TIFF, BMP, WebP, PPM or a still GIF; told by content, not by name. EXIF orientation is
        applied. Palette and 1-bit images are converted, which ``notes`` says.
    max_pixels : int
        Larger images are refused by their header, before anything is decoded.

    Returns
    -------
    Picture

    Raises
    ------
    FileError
        For a file that is missing, empty, damaged, of another kind, animated, CMYK or too large.
    """
    check_input(path, ACCEPTED)
    with path.open("rb") as file:
        header = file.read(26)
    if header[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        picture = read_tiff(path, max_pixels)
    else:
        picture = read_with_pillow(path, header, max_pixels)
    if picture.pixels.dtype.kind == "f" and not np.isfinite(picture.pixels).all():
        raise FileError(path, "contains nan or inf", "finite pixel values are accepted")
    return picture


def read_mask(path: Path, shape: tuple[int, int], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> NDArray[np.bool_]:
    """Read a mask of known-bad pixels: True where any colour channel is not zero.

    Raises
    ------
    FileError
        If the file cannot be read, is JPEG, or its size is not ``shape`` (H, W).
    """
    picture = read_image(path, max_pixels=max_pixels)
    if picture.lossy:
        raise FileError(path, "JPEG smears the edges of a mask", "a mask in PNG, TIFF or BMP is accepted")
    pixels = picture.pixels[..., :3] if picture.pixels.ndim == 3 else picture.pixels
    mask = pixels != 0 if pixels.ndim == 2 else (pixels != 0).any(axis=2)
    if mask.shape != shape:
        has, wants = (f"{size[1]}×{size[0]}" for size in (mask.shape, shape))
        raise FileError(path, f"the mask is {has} pixels", f"{wants} as the image is accepted")
    return mask
