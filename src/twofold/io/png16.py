"""PNG with 16 bits a channel in colour: Pillow cuts these to 8 bits, FFmpeg's coder (PyAV) keeps them."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twofold.io.errors import FileError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DEEP_COLOUR = {2: "rgb48be", 6: "rgba64be"}  # colour type in the header: FFmpeg's name


def deep_colour_format(header: bytes) -> str | None:
    """FFmpeg's pixel format for a 16-bit RGB or RGBA PNG, from the first 26 bytes; None for any other file.

    Grey with alpha at 16 bits is read as RGBA, which loses nothing.
    """
    if len(header) < 26 or not header.startswith(_SIGNATURE) or header[24] != 16:
        return None
    return "rgba64be" if header[25] == 4 else _DEEP_COLOUR.get(header[25])


def decode(data: bytes, pixel_format: str, path: Path) -> NDArray[np.uint16]:
    """Pixels of shape (H, W, 3) or (H, W, 4) of a whole 16-bit PNG file.

    Raises
    ------
    FileError
        If PyAV is missing or cannot decode the data.
    """
    av = _import_av(path)
    try:
        coder = av.CodecContext.create("png", "r")
        frames = [*coder.decode(av.Packet(data)), *coder.decode(None)]
        frame = frames[0]
        if frame.format.name != pixel_format:
            frame = frame.reformat(format=pixel_format)
        return np.ascontiguousarray(frame.to_ndarray(), dtype=np.uint16)
    except (av.error.FFmpegError, IndexError, ValueError) as error:
        raise FileError(path, f"damaged PNG ({error})") from error


def encode(pixels: NDArray[np.uint16], path: Path, *, extra: bytes = b"") -> bytes:
    """A PNG file for pixels of shape (H, W, 3) or (H, W, 4); ``extra`` holds chunks made by :func:`chunk`."""
    av = _import_av(path)
    name = "rgb48be" if pixels.shape[2] == 3 else "rgba64be"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=name)
    coder = av.CodecContext.create("png", "w")
    coder.width, coder.height, coder.pix_fmt = frame.width, frame.height, name
    coder.time_base = Fraction(1, 25)
    data = b"".join(bytes(packet) for packet in [*coder.encode(frame), *coder.encode(None)])
    return _keep_essential_chunks(data, extra)


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk: length, type, data, checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def metadata_chunks(icc_profile: bytes | None, dpi: tuple[float, float] | None) -> bytes:
    """Chunks that hold a colour profile and a resolution."""
    chunks = b""
    if icc_profile:
        chunks += chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc_profile))
    if dpi:
        per_metre = [round(value / 0.0254) for value in dpi]
        chunks += chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))
    return chunks


def _keep_essential_chunks(data: bytes, extra: bytes) -> bytes:
    """The picture alone, with ``extra`` after the header: FFmpeg adds an aspect ratio of 0:1 and the like."""
    kept, at = [_SIGNATURE], len(_SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            kept.append(data[at : at + 12 + length])
        if kind == b"IHDR":
            kept.append(extra)
        at += 12 + length
    return b"".join(kept)


def _import_av(path: Path):  # type: ignore[no-untyped-def]  # PyAV's types are not among our checks
    try:
        import av
    except ImportError as error:
        raise FileError(path, "16-bit colour PNG needs PyAV", "pip install av, or use TIFF") from error
    return av
