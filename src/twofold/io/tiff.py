"""TIFF files: tifffile reads every depth, Pillow and FFmpeg the compressions that it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.io.errors import FileError
from twofold.io.pillow import Picture, check_size, orient, read_with_pillow

_DEPTHS = "8 and 16 bits and floats are accepted"


def read_tiff(path: Path, max_pixels: int) -> Picture:
    """Read a TIFF file of one page: grey, grey+alpha, RGB or RGBA; uint8, uint16, float32 or float64.

    Raises
    ------
    FileError
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.pages) != 1:
                raise FileError(path, f"has {len(tiff.pages)} pages", "a single picture is accepted")
            page: Any = tiff.pages[0]
            check_size(path, page.imagewidth, page.imagelength, max_pixels)
            colours = page.photometric.name
            if colours == "PALETTE" or page.bitspersample == 1:
                return read_with_pillow(path, b"", max_pixels)
            _check_kind(path, page, colours)
            pixels = _decode(path, page)
            if pixels is None:
                return read_with_pillow(path, b"", max_pixels)
            meta = {"icc_profile": page.iccprofile, "dpi": _dpi(page)}
            orientation = page.tags.get(274)
            return _to_picture(path, orient(pixels, orientation.value if orientation else 1), colours, meta)
    except (tifffile.TiffFileError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise FileError(path, f"damaged TIFF ({error})") from error


def _check_kind(path: Path, page: Any, colours: str) -> None:
    if colours == "SEPARATED":
        raise FileError(path, "is a CMYK image, for print", "grey and RGB are accepted: convert it to RGB first")
    if colours not in ("MINISBLACK", "MINISWHITE", "RGB", "YCBCR"):
        raise FileError(path, f"has the colours {colours}", "grey and RGB are accepted")
    if page.imagedepth != 1 or page.samplesperpixel > 4:
        raise FileError(
            path, f"has {page.samplesperpixel} channels", "grey and RGB, with or without alpha, are accepted"
        )
    if page.dtype is None or page.dtype.name not in ("uint8", "uint16", "float16", "float32", "float64"):
        raise FileError(path, f"has pixels of type {page.dtype}, {page.bitspersample} bits", _DEPTHS)


def _decode(path: Path, page: Any) -> NDArray[Any] | None:
    """Pixels (H, W) or (H, W, channels); None where Pillow should try."""
    try:
        if page.photometric.name != "YCBCR":
            pixels = np.asarray(page.asarray())
            return np.moveaxis(pixels, 0, -1) if page.planarconfig == 2 and pixels.ndim == 3 else pixels
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
    if page.dtype.name == "uint8" or page.samplesperpixel == 1:
        return None
    return _decode_by_ffmpeg(path, page)


def _decode_by_ffmpeg(path: Path, page: Any) -> NDArray[Any]:
    """16-bit colour under LZW and the like."""
    compression = page.compression.name
    if page.dtype.name != "uint16" or page.samplesperpixel not in (3, 4):
        raise FileError(path, f"is compressed by {compression}", "no compression, Deflate and LZW are accepted")
    try:
        import av
    except ImportError as error:
        raise FileError(path, f"is compressed by {compression}, which needs PyAV", "pip install av") from error
    name = "rgb48le" if page.samplesperpixel == 3 else "rgba64le"
    try:
        coder = av.CodecContext.create("tiff", "r")
        frame: Any = [*coder.decode(av.Packet(path.read_bytes())), *coder.decode(None)][0]
        if not frame.format.name.startswith(name[:-2]):
            raise FileError(path, f"is compressed by {compression}", "no compression, Deflate and LZW are accepted")
        return np.asarray(frame.reformat(format=name).to_ndarray())
    except (av.error.FFmpegError, IndexError) as error:
        raise FileError(path, f"is compressed by {compression}, which cannot be decoded ({error})") from error


def _to_picture(path: Path, pixels: NDArray[Any], colours: str, meta: dict[str, Any]) -> Picture:
    notes: tuple[str, ...] = ()
    pixels = pixels.astype(np.float32 if pixels.dtype == np.float16 else pixels.dtype.newbyteorder("="))
    if colours == "MINISWHITE":
        if pixels.dtype.kind != "u":
            raise FileError(path, "has inverted floats (white is zero)", "black is zero is accepted")
        pixels, notes = np.iinfo(pixels.dtype).max - pixels, ("white was zero: converted to black is zero",)
    if pixels.ndim == 2:
        return Picture(pixels, notes=notes, **meta)
    channels = pixels.shape[2]
    if channels == 1:
        return Picture(pixels[..., 0], notes=notes, **meta)
    if channels == 2:
        return Picture(pixels[..., 0].copy(), pixels[..., 1].copy(), notes, **meta)
    return Picture(pixels, notes=notes, **meta)


def _dpi(page: Any) -> tuple[float, float] | None:
    try:
        x, y = page.get_resolution(unit=2)  # per inch
        return (float(x), float(y)) if 1 < x < 1e5 and 1 < y < 1e5 else None
    except (ValueError, KeyError, TypeError, ZeroDivisionError):
        return None
