"""`twofold video`: a moving square before a picture at rest, in grey and in colour."""

from __future__ import annotations

from fractions import Fraction

import av
import imageio.v3
import numpy as np
import pytest

from twofold.io.videos import mp4_writer, read_video

N_FRAMES, HEIGHT, WIDTH = 20, 32, 48


def _scene(colour: bool) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    still = np.stack([60 + 3 * rows, 90 + columns, 200 - 2 * rows], axis=2).astype(np.uint8)
    if not colour:
        still = np.repeat(still[..., :1], 3, axis=2)
    frames = np.repeat(still[None], N_FRAMES, axis=0)
    for index in range(N_FRAMES):
        frames[index, 10:18, 2 * index : 2 * index + 8] = 250
    return frames, still


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("suffix", [".avi", ".gif"])
def test_background_is_still_and_foreground_moves(twofold, tmp_path, colour, suffix):
    frames, still = _scene(colour)
    source = tmp_path / f"clip{suffix}"
    if suffix == ".gif":
        imageio.v3.imwrite(source, frames, duration=100, loop=0)
    else:
        with av.open(str(source), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    facts = twofold("video", source, "--json").json
    assert (facts["frames"], facts["size"]) == (N_FRAMES, [WIDTH, HEIGHT])
    background = imageio.v3.imread(tmp_path / "clip_background.mp4", plugin="pyav")
    foreground = imageio.v3.imread(tmp_path / "clip_foreground.mp4", plugin="pyav")
    assert background.shape == foreground.shape == frames.shape
    assert np.abs(background.astype(int) - still).mean() < 6  # chroma at half size, and H.264
    index = N_FRAMES // 2
    assert foreground[index, 11:17, 2 * index + 1 : 2 * index + 7].mean() > 100
    assert foreground[index, 22:].mean() < 10


def test_start_max_frames_and_figure(twofold, tmp_path):
    frames = np.full((12, 16, 16), 90, np.uint8)
    source = tmp_path / "clip.mp4"
    with source.open("wb") as file:
        mp4_writer(frames, 16, Fraction(10), source)(file)
    figure = tmp_path / "figure.png"
    arguments = ("--start", 2, "--max-frames", 5, "-o", tmp_path / "out", "--figure", figure, "--json")
    assert twofold("video", source, *arguments).json["frames"] == 5
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert len(read_video(tmp_path / "out_background.mp4").frames) == 5


def test_refusals(refused, tmp_path):
    assert "no such file" in refused("video", tmp_path / "no.avi")
    (tmp_path / "text.avi").write_text("no video " * 50)
    assert "text.avi: is not a video" in refused("video", tmp_path / "text.avi")
    (tmp_path / "empty.mp4").touch()
    assert "is empty" in refused("video", tmp_path / "empty.mp4")
    source = tmp_path / "clip.mp4"
    with source.open("wb") as file:
        mp4_writer(np.zeros((4, 16, 16), np.uint8), 16, Fraction(10), source)(file)
    assert "0 frames from frame 9 on" in refused("video", source, "--start", 9)
    assert "no such folder" in refused("video", source, "-o", tmp_path / "no" / "x")
    (tmp_path / "clip_foreground.mp4").write_text("mine")
    assert "--force" in refused("video", source)
    refused("video", source, "--max-frames", 1)
