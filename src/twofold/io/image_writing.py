"""Encoding images for their files, in the depth they came in."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.io import png16
from twofold.io.errors import FileError
from twofold.io.pillow import Picture

# Per suffix: Pillow's name and options, the dtypes, and whether transparency can be kept.
_ENCODERS: dict[str, tuple[str, dict[str, Any], tuple[str, ...], bool]] = {
    ".png": ("PNG", {}, ("uint8", "uint16"), True),
    ".jpg": ("JPEG", {"quality": 96, "subsampling": 0}, ("uint8",), False),
    ".jpeg": ("JPEG", {"quality": 96, "subsampling": 0}, ("uint8",), False),
    ".tif": ("TIFF", {}, ("uint8", "uint16", "float32", "float64"), True),
    ".tiff": ("TIFF", {}, ("uint8", "uint16", "float32", "float64"), True),
    ".bmp": ("BMP", {}, ("uint8",), False),
    ".webp": ("WEBP", {"lossless": True, "exact": True}, ("uint8",), True),
}
SUFFIXES = tuple(_ENCODERS)


def check_suffix(path: Path) -> None:
    """Refuse an output name whose suffix names no image format that is written.

    Raises
    ------
    FileError
    """
    if path.suffix.lower() not in _ENCODERS:
        wrong = f"images are not written as {path.suffix!r}" if path.suffix else "the suffix is missing"
        raise FileError(path, wrong, f"accepted are {' '.join(SUFFIXES)}")


def check_encodable(path: Path, picture: Picture) -> None:
    """Refuse an output format that would lose the depth or the transparency of the picture.

    Raises
    ------
    FileError
    """
    check_suffix(path)
    name, _, dtypes, alpha = _ENCODERS[path.suffix.lower()]
    kept = [suffix for suffix, entry in _ENCODERS.items() if picture.pixels.dtype.name in entry[2]]
    if picture.pixels.dtype.name not in dtypes:
        raise FileError(path, f"{name} cannot hold {picture.pixels.dtype} pixels", f"accepted are {' '.join(kept)}")
    if not alpha and (picture.alpha is not None or picture.pixels.shape[2:] == (4,)):
        raise FileError(path, f"{name} cannot hold transparency", "accepted are .png .tif .webp")


def encode_image(path: Path, picture: Picture) -> bytes:
    """The bytes of an image file in the format that the suffix of ``path`` names.

    The colour profile and the resolution of the picture are kept where the format has room. JPEG is written
    with quality 96 and full colour resolution, WebP without loss, TIFF with Deflate.

    Raises
    ------
    FileError
        If the format cannot hold the picture.
    """
    check_encodable(path, picture)
    pixels = picture.pixels
    name, options, _, _ = _ENCODERS[path.suffix.lower()]
    if picture.alpha is not None:
        pixels = np.dstack([pixels, picture.alpha])
    if name == "TIFF":
        return _encode_tiff(pixels, picture)
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        if pixels.shape[2] == 2:  # grey with alpha has no 16-bit encoder here: as RGBA nothing is lost
            pixels = pixels[..., [0, 0, 0, 1]]
        return png16.encode(pixels, path, extra=png16.metadata_chunks(picture.icc_profile, picture.dpi))
    from PIL import Image

    if picture.icc_profile and name != "BMP":
        options = {**options, "icc_profile": picture.icc_profile}
    if picture.dpi and name != "WEBP":
        options = {**options, "dpi": picture.dpi}
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format=name, **options)
    return buffer.getvalue()


def _encode_tiff(pixels: NDArray[Any], picture: Picture) -> bytes:
    import tifffile

    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    buffer = BytesIO()
    tifffile.imwrite(
        buffer,
        np.ascontiguousarray(pixels),
        photometric="minisblack" if channels < 3 else "rgb",
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        planarconfig="contig" if channels > 1 else None,
        compression="zlib",
        iccprofile=picture.icc_profile,
        resolution=picture.dpi,
        resolutionunit=2 if picture.dpi else None,
        metadata=None,
    )
    return buffer.getvalue()
