"""``twofold video``: a still background and what moves in front of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli import options
from twofold.cli.options import Device, Figure, Force, Json, Seed
from twofold.cli.terminal import complain, errors_name, say, say_json

if TYPE_CHECKING:
    from twofold.io.videos import Video

# Matrices of float32 that are alive at once during a recovery, in multiples of the frames' own bytes.
_BYTES_PER_PIXEL = 4 * 8


def video(
    source: Annotated[Path, typer.Argument(metavar="IN", help="AVI, MP4, MKV, MOV, WebM, GIF; a camera at rest.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PREFIX",
            help="Start of the outputs' names; default: IN without its suffix.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[int, typer.Option(metavar="N", min=0, help="First frame to take.")] = 0,
    max_frames: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Most frames to take; default: all.", show_default=False),
    ] = None,
    rank: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="1: light is steady; more: it changes; 0: found, takes longer."),
    ] = 1,
    figure: Figure = None,
    seed: Seed = 0,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Separate a video of a camera at rest into background and foreground.

    The background is a picture at rest, brighter or darker as a whole from frame to frame (rank 1).
    Writes PREFIX_background.mp4 and PREFIX_foreground.mp4. The foreground shows how far each pixel is from
    the background, grey on black, doubled so that faint things show.
    """
    from twofold.io.files import plan

    prefix = source.with_suffix("") if output is None else output
    targets = [prefix.with_name(f"{prefix.name}_{part}.mp4") for part in ("background", "foreground")]
    options.check_figure(figure)
    plan([*targets, *([figure] if figure else [])], inputs=[source], force=force)
    options.check_device(device)
    clip = _read(source, start, max_frames)
    background, foreground, facts = _separate(source, clip, rank=rank, seed=seed, device=device)
    _write(targets, figure, clip, background, foreground, force)
    facts = {
        "input": str(source),
        "background": str(targets[0]),
        "foreground": str(targets[1]),
        "figure": None if figure is None else str(figure),
        **facts,
    }
    if as_json:
        say_json(facts)
    else:
        say(_summary(facts))
    if not facts["success"]:
        raise typer.Exit(1)


def _read(source: Path, start: int, max_frames: int | None) -> Video:
    from twofold.io.memory import available_memory
    from twofold.io.videos import read_video

    return read_video(source, start=start, max_frames=max_frames, max_bytes=available_memory() / _BYTES_PER_PIXEL)


def _separate(
    source: Path, clip: Video, *, rank: int, seed: int, device: str | None
) -> tuple[Any, Any, dict[str, Any]]:
    """Background like ``clip.frames``, foreground (n, H, W), both uint8, and the facts for the user."""
    from time import perf_counter

    import numpy as np

    from twofold.cli.progress import ProgressBar
    from twofold.matrix.recover import robust_pca

    started = perf_counter()
    n_frames = len(clip.frames)
    # One row for each pixel, one column for each frame: a background at rest makes all columns alike.
    pixels = np.ascontiguousarray(clip.frames.reshape(n_frames, -1).T, dtype=np.float32)
    with errors_name(source, "a video"), ProgressBar(source.name) as progress:
        # The certificate of a matrix of this size takes longer than its recovery.
        solution = robust_pca(
            pixels,
            n_components=rank or None,
            certify=False,
            random_state=seed,
            device=device,
            observer=progress,
        )
    if not solution.status.success:
        complain(f"{source}: {solution.status}")
    low_rank = np.asarray(solution.low_rank).T.reshape(clip.frames.shape)
    background = np.clip(np.rint(low_rank), 0, 255).astype(np.uint8)
    facts = {
        "frames": n_frames,
        "size": [clip.width, clip.height],
        "colour": clip.is_colour,
        "rank": solution.rank,
        "outlier_fraction": solution.outlier_fraction,
        "status": solution.status.code,
        "success": solution.status.success,
        "cause": solution.status.cause,
        "seconds": perf_counter() - started,
    }
    return background, _foreground(clip, background), facts


def _foreground(clip: Video, background: Any) -> Any:
    """Twice the distance from the background, the largest of luma and chroma, on black."""
    import numpy as np

    from twofold.io.videos import chroma

    distance = np.abs(clip.frames.astype(np.int16) - background)
    shown = distance[:, : clip.height]
    for plane in chroma(distance, clip.height):
        shown = np.maximum(shown, plane.repeat(2, axis=1).repeat(2, axis=2))
    return np.clip(2 * shown, 0, 255).astype(np.uint8)


def _write(
    targets: list[Path], figure: Path | None, clip: Video, background: Any, foreground: Any, force: bool
) -> None:
    from twofold.io.files import write_together
    from twofold.io.videos import mp4_writer

    jobs = [
        (target, mp4_writer(frames, clip.height, clip.rate, target))
        for target, frames in zip(targets, (background, foreground), strict=True)
    ]
    if figure is not None:
        from twofold.plots import figure_writer, video_figure

        drawn = video_figure(clip, replace(clip, frames=background), foreground)
        jobs.append((figure, figure_writer(drawn, figure)))
    write_together(jobs, force=force)


def _summary(facts: dict[str, Any]) -> str:
    width, height = facts["size"]
    return "\n".join(
        [
            f"{facts['background']}",
            f"{facts['foreground']}",
            f"  {facts['frames']} frames of {width}×{height}, background of rank {facts['rank']}, "
            f"{100 * facts['outlier_fraction']:.1f}% foreground, {facts['seconds']:.1f} s",
            f"  {facts['status']}: {facts['cause']}",
        ]
    )
