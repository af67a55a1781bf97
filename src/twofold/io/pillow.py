"""One picture in memory, and reading it through Pillow: the depth it has in the file, plain colour modes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.io import png16
from twofold.io.errors import FileError, explain

ACCEPTED = "PNG, JPEG, TIFF, BMP, WebP, PPM and still GIF"
_PILLOW_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF")


@dataclass(frozen=True)
class Picture:
    """An image file in memory.

    Attributes
    ----------
    pixels : ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        uint8, uint16, float32 or float64, as in the file.
    alpha : ndarray of shape (H, W), optional
        The second channel of a grey image with transparency. That of a colour image is in ``pixels``.
    notes : tuple of str
        What was converted on reading, to be said to the user.
    icc_profile, dpi
        Passed on to the output.
    lossy : bool
        Whether the file format changes pixel values (JPEG).
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    icc_profile: bytes | None = field(default=None, repr=False)
    dpi: tuple[float, float] | None = None
    lossy: bool = False


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuse an image by the size in its header.

    Raises
    ------
    FileError
    """
    if width * height > max_pixels:
        raise FileError(
            path,
            f"{width}×{height} is more than {max_pixels:,} pixels",
            "--max-pixels N accepts a larger image",
        )
    if width * height == 0:
        raise FileError(path, "has no pixels")


def read_with_pillow(path: Path, header: bytes, max_pixels: int) -> Picture:
    """Read a file by Pillow, 16-bit colour PNG by PyAV.

    Raises
    ------
    FileError
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with _pillow_limit_off(), Image.open(path, formats=_PILLOW_FORMATS) as image:
            check_size(path, *image.size, max_pixels)
            return _decode(path, image, png16.deep_colour_format(header))
    except UnidentifiedImageError as error:
        raise FileError(path, "is not an image that can be read", f"{ACCEPTED} are accepted") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        what = explain(error) if isinstance(error, OSError) else str(error)
        raise FileError(path, f"damaged image ({what})") from error


def _decode(path: Path, image: Any, deep: str | None) -> Picture:
    from PIL import ImageOps

    notes = _check_frames(path, image)
    meta = {
        "icc_profile": image.info.get("icc_profile"),
        "dpi": _dpi(image.info),
        "lossy": image.format in ("JPEG", "MPO"),
    }
    image.load()  # decodes all of it: a truncated file fails here
    if deep is not None:
        pixels = png16.decode(path.read_bytes(), deep, path)
        orientation = image.getexif().get(0x0112, 1)
        return Picture(orient(pixels, orientation), notes=tuple(notes), **meta)
    image = ImageOps.exif_transpose(image)
    image, note = _to_plain_mode(path, image)
    pixels = np.asarray(image)
    if image.mode == "I":
        if pixels.min() < 0 or pixels.max() > 65535:
            raise FileError(path, "has 32-bit integer pixels", "8 and 16 bits and floats are accepted")
        pixels = pixels.astype(np.uint16)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    notes += [note] if note else []
    if image.mode == "LA":
        return Picture(pixels[..., 0].copy(), pixels[..., 1].copy(), tuple(notes), **meta)
    return Picture(pixels, notes=tuple(notes), **meta)


def _check_frames(path: Path, image: Any) -> list[str]:
    frames = getattr(image, "n_frames", 1)
    if frames == 1:
        return []
    if image.format == "MPO":  # a phone's JPEG with a preview or a depth map behind the picture
        return [f"holds {frames} pictures: the first is used"]
    kind = "pages" if image.format == "TIFF" else "frames"
    raise FileError(path, f"is animated or has several pages ({frames} {kind})", "a single picture is accepted")


def _to_plain_mode(path: Path, image: Any) -> tuple[Any, str]:
    """The image in grey, grey+alpha, RGB or RGBA, and what was done to it."""
    transparent = "transparency" in image.info
    mode = image.mode
    if mode in ("P", "PA"):
        target = "RGBA" if transparent or mode == "PA" else "RGB"
        return image.convert(target), f"palette image: converted to {target}"
    if mode == "1":
        return image.convert("L"), "1-bit image: converted to 8-bit grey"
    if mode in ("L", "RGB") and transparent:
        target = "LA" if mode == "L" else "RGBA"
        return image.convert(target), "transparent colour: converted to an alpha channel"
    if mode in ("L", "LA", "RGB", "RGBA", "F", "I") or mode.startswith("I;16"):
        return image, ""
    if mode == "CMYK":
        raise FileError(path, "is a CMYK image, for print", "grey and RGB are accepted: convert it to RGB first")
    raise FileError(path, f"has the colour mode {mode}", "grey and RGB are accepted: convert it to RGB first")


def _dpi(info: dict[Any, Any]) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 1 < x < 1e5 and 1 < y < 1e5 else None


def orient(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation (1 to 8; anything else is taken for 1)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


@contextmanager
def _pillow_limit_off() -> Iterator[None]:
    """Pillow's own limit is fixed, ours is the user's."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of remarks on odd metadata
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
