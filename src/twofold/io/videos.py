"""Videos as arrays of frames, read and written by FFmpeg (PyAV).

Colour is kept as the file has it: a plane of luma at full size and two of chroma at half size (yuv420p, the
coding of nearly every video). This is half the numbers of RGB, and no conversion is lost on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from twofold.io.errors import FileError, check_input
from twofold.io.files import Writer

ACCEPTED = "AVI, MP4, MKV, MOV, WebM and GIF"
_NEUTRAL = 128  # chroma of grey


@dataclass(frozen=True)
class Video:
    """Frames of a video.

    Attributes
    ----------
    frames : uint8 ndarray of shape (n_frames, rows, W)
        rows is H for grey. For colour it is H·3/2: the luma, and below it the chroma planes, in
        FFmpeg's packing of yuv420p.
    height, width : int
        H and W, both even (a row or column is repeated where the file's is odd).
    rate : Fraction
        Frames a second.
    """

    frames: NDArray[np.uint8]
    height: int
    width: int
    rate: Fraction

    @property
    def is_colour(self) -> bool:
        """Whether there is chroma."""
        return self.frames.shape[1] != self.height

    def luma(self, index: int) -> NDArray[np.uint8]:
        """Brightness of one frame, (H, W)."""
        return self.frames[index, : self.height]


def read_video(path: Path, *, start: int = 0, max_frames: int | None = None, max_bytes: float | None = None) -> Video:
    """Read frames of a video.

    Parameters
    ----------
    path : Path
        Anything that FFmpeg decodes.
    start : int
        The first frame to take, from 0.
    max_frames : int, optional
        The most frames to take. None: all.
    max_bytes : float, optional
        The most bytes that the frames may fill; more is refused as soon as it is noticed.

    Returns
    -------
    Video

    Raises
    ------
    FileError
        For a file that is missing, empty, damaged, or no video; that has fewer than two frames from ``start``
        on; or whose frames fill more than ``max_bytes``.
    """
    check_input(path, ACCEPTED)
    av = _import_av(path)
    frames: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise FileError(path, "holds no video", f"{ACCEPTED} are accepted")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            for frame in _wanted(container.decode(stream), start, max_frames):
                frames.append(_to_planes(frame))
                if frames[-1].shape != frames[0].shape:
                    raise FileError(path, "the size changes within the video", "frames of one size are accepted")
                if max_bytes is not None and len(frames) * frames[0].size > max_bytes:
                    raise FileError(
                        path,
                        f"{len(frames)} frames of {frame.width}×{frame.height} do not fit into the memory",
                        "--max-frames N takes fewer",
                    )
    except av.error.FFmpegError as error:
        if len(frames) < 2:
            what = error.strerror or str(error)
            raise FileError(path, f"is not a video that can be read ({what})", f"{ACCEPTED} are accepted") from error
        # A recording that was cut off: the frames before the cut are good.
    if len(frames) < 2:
        raise FileError(path, f"{len(frames)} frames from frame {start} on", "at least 2 are accepted")
    stacked = np.stack(frames)
    width = stacked.shape[2]
    height = stacked.shape[1] * 2 // 3
    # Average rates of some files are ratios of huge numbers, which containers do not hold.
    rate = Fraction(rate).limit_denominator(1001)
    if np.ptp(stacked[:, height:]) == 0:
        stacked = np.ascontiguousarray(stacked[:, :height])
    return Video(stacked, height, width, rate if rate > 0 else Fraction(25))


def _wanted(frames: Iterator[Any], start: int, max_frames: int | None) -> Iterator[Any]:
    for index, frame in enumerate(frames):
        if max_frames is not None and index >= start + max_frames:
            return
        if index >= start:
            yield frame


def _to_planes(frame: Any) -> NDArray[np.uint8]:
    """Luma over chroma, (H·3/2, W), with H and W made even."""
    if frame.height % 2 or frame.width % 2:
        import av

        rgb = frame.to_ndarray(format="rgb24")
        rgb = np.pad(rgb, ((0, frame.height % 2), (0, frame.width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return np.asarray(frame.to_ndarray(format="yuv420p"), dtype=np.uint8)


def chroma(planes: NDArray[Any], height: int) -> list[NDArray[Any]]:
    """The two chroma planes of frames packed as luma over chroma, (n, H/2, W/2) each; none for grey."""
    n_frames, rows, width = planes.shape
    if rows == height:
        return []
    packed = planes[:, height:].reshape(n_frames, 2, height // 2, width // 2)
    return [packed[:, 0], packed[:, 1]]


def to_rgb(planes: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """One packed frame as RGB, (H, W, 3)."""
    import av

    if planes.shape[0] == height:
        return np.repeat(planes[..., None], 3, axis=2)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), format="yuv420p")
    return np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)


def mp4_writer(frames: NDArray[np.uint8], height: int, rate: Fraction, path: Path) -> Writer:
    """A writer of an MP4 file: H.264, yuv420p, at a quality that the eye takes for the original.

    Parameters
    ----------
    frames : uint8 ndarray of shape (n_frames, H, W) or (n_frames, H·3/2, W)
        Grey, or luma over chroma. H and W even.
    height : int
        H.
    rate : Fraction
        Frames a second.
    path : Path
        Named in errors.
    """
    av = _import_av(path)
    width = frames.shape[2]
    neutral = np.full((height // 2, width), _NEUTRAL, np.uint8)

    def write(file: BinaryIO) -> None:
        try:
            with av.open(file, "w", format="mp4") as container:
                stream = _add_stream(av, container, rate)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                for index, planes in enumerate(frames):
                    full = planes if planes.shape[0] != height else np.concatenate([planes, neutral])
                    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(full), format="yuv420p")
                    frame.pts = index
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        except av.error.FFmpegError as error:
            raise OSError(error.errno or 0, error.strerror or str(error)) from error

    return write


def _add_stream(av: Any, container: Any, rate: Fraction) -> Any:
    if "libx264" in av.codecs_available:
        return container.add_stream("libx264", rate=rate, options={"crf": "14", "preset": "veryfast"})
    stream = container.add_stream("mpeg4", rate=rate)  # builds of FFmpeg without GPL parts
    stream.bit_rate = 8_000_000
    return stream


def _import_av(path: Path) -> Any:
    try:
        import av
    except ImportError as error:
        raise FileError(path, "videos need PyAV", "pip install twofold[video]") from error
    av.logging.set_level(None)  # FFmpeg's remarks would mix with our own lines
    return av
