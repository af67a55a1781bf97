"""``twofold image``: outliers out of photographs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from twofold.cli import options
from twofold.cli.options import Device, Figure, Force, Json, MaxPixels, Seed
from twofold.cli.terminal import CommandError, complain, errors_name, say, say_json
from twofold.io.errors import FileError

if TYPE_CHECKING:
    from twofold.io.pillow import Picture

Preset = Literal["fast", "balanced", "best", "paper"]
Polarity = Literal["both", "bright", "dark"]
Group = Literal["entry", "pixel"]


@dataclass(frozen=True)
class _Run:
    """What is asked, the same for every input."""

    preset: Preset
    polarity: Polarity
    group: Group
    seed: int
    device: str | None
    mask: Path | None
    outliers: Path | None
    figure: Path | None
    max_pixels: int
    checkpoint: Path | None
    time_limit: float | None
    force: bool


def image(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN", help="PNG, JPEG, TIFF, BMP, WebP.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            show_default=False,
            help="Output file; a folder for several inputs. Default: NAME_clean beside each input.",
        ),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="How much work.")] = "balanced",
    polarity: Annotated[Polarity, typer.Option(help="Which outliers there are.")] = "both",
    group: Annotated[Group, typer.Option(help="Outliers strike single channels or pixels.")] = "entry",
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="M", help="Image that is not zero where a pixel is known to be bad.", show_default=False
        ),
    ] = None,
    outliers: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write how likely each entry is an outlier: 0 to 255.",
            show_default=False,
        ),
    ] = None,
    figure: Figure = None,
    seed: Seed = 0,
    device: Device = None,
    max_pixels: MaxPixels = 50_000_000,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the run stands, written every minute: the same command goes on from there after a kill. "
            "Removed once the result is written.",
            show_default=False,
        ),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="For each input: fewer steps where it has to be.", show_default=False),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write nothing: tell how long it would take, and how much memory.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Recover images from gross outliers: salt and pepper, impulses, scratches, dead pixels.

    Depth, size and transparency stay as they are. Without -o the result lies beside its input as NAME_clean. Images
    of more than 768×768 pixels are recovered in overlapping tiles, in memory that does not grow with them.
    """
    run = _Run(
        preset, polarity, group, seed, device, mask, outliers, figure, max_pixels, checkpoint, time_limit, force
    )
    outputs = _check(run, inputs, output)
    work = _foretell if dry_run else _recover
    show = _foretold if dry_run else _summary
    results: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for source, target in zip(inputs, outputs, strict=True):
        try:
            results.append(work(run, source, target))
        except FileError as error:
            complain(str(error))
            failed.append({"input": str(source), "error": str(error)})
            continue
        if not as_json:
            say(show(results[-1]))
    if as_json and len(inputs) > 1:
        say_json({"results": results, "failed": failed})
    elif as_json and results:
        say_json(results[0])
    if not results:
        raise typer.Exit(2)
    if failed or not all(result.get("success", True) for result in results):
        raise typer.Exit(1)


def _check(run: _Run, inputs: list[Path], output: Path | None) -> list[Path]:
    """All checks that need no pixels; the output for each input."""
    from twofold.io.files import plan
    from twofold.io.image_writing import check_suffix

    options.check_figure(run.figure)
    if run.time_limit is not None and run.checkpoint is not None:
        raise CommandError("--time-limit, --checkpoint: one of them is accepted")
    if run.time_limit is not None and not run.time_limit > 0:
        raise CommandError(f"--time-limit {run.time_limit:g}: a positive number of seconds is accepted")
    extra = [path for path in (run.outliers, run.figure, run.checkpoint) if path is not None]
    if len(inputs) > 1 and extra:
        raise CommandError(f"{extra[0]}: one file for {len(inputs)} inputs; a single input is accepted here")
    if run.outliers is not None:
        check_suffix(run.outliers)
    outputs = _name_outputs(inputs, output)
    if run.checkpoint is not None:
        others = [*inputs, *outputs, *(path for path in (run.mask, run.outliers, run.figure) if path is not None)]
        if run.checkpoint.resolve() in [path.resolve() for path in others]:
            raise CommandError(
                f"--checkpoint {run.checkpoint}: an input or output as well; a file of its own is accepted"
            )
    options.check_device(run.device)
    plan(
        [*outputs, *(path for path in extra if path != run.checkpoint)],
        inputs=[*inputs, *([run.mask] if run.mask else [])],
        force=run.force,
        new_folder=output if len(inputs) > 1 else None,
    )
    return outputs


def _name_outputs(inputs: list[Path], output: Path | None) -> list[Path]:
    from twofold.io.files import beside
    from twofold.io.image_writing import SUFFIXES, check_suffix

    # Formats that are read and not written (GIF, PPM) become PNG.
    names = [beside(path, suffix=None if path.suffix.lower() in SUFFIXES else ".png") for path in inputs]
    if output is None:
        return names
    if len(inputs) > 1 and output.exists() and not output.is_dir():
        raise CommandError(f"{output}: is a file; a folder is accepted for {len(inputs)} inputs")
    if len(inputs) > 1 or output.is_dir():
        return [output / path.name for path in names]
    check_suffix(output)
    return [output]


def _read(run: _Run, source: Path, target: Path) -> tuple[Picture, Any]:
    """The picture and the mask, with notes for the user. Raises FileError."""
    from twofold.io.image_writing import SUFFIXES, check_encodable
    from twofold.io.images import read_image, read_mask

    picture = read_image(source, max_pixels=run.max_pixels)
    for note in picture.notes:
        complain(f"{source}: {note}", kind="note")
    check_encodable(target, picture)
    if source.suffix.lower() not in SUFFIXES:
        complain(f"{source}: the result is written as {target.suffix}", kind="note")
    height, width = picture.pixels.shape[:2]
    return picture, None if run.mask is None else read_mask(run.mask, (height, width), max_pixels=run.max_pixels)


def _recover(run: _Run, source: Path, target: Path) -> dict[str, Any]:
    """Read, recover, write; the facts for the user. Raises FileError."""
    from twofold.cli.progress import ProgressBar

    picture, mask = _read(run, source, target)

    from twofold.image.recover import recover_image

    with errors_name(source, "an image"), ProgressBar(source.name) as progress:
        solution = recover_image(
            picture.pixels,
            mask=mask,
            preset=run.preset,
            polarity=run.polarity,
            group=run.group,
            seed=run.seed,
            device=run.device,
            observer=progress,
            checkpoint=run.checkpoint,
            time_limit=run.time_limit,
        )
    if not solution.status.success:
        complain(f"{source}: {solution.status}")
    _write(run, target, picture, solution)
    if run.checkpoint is not None:
        run.checkpoint.unlink(missing_ok=True)
    return _facts(run, source, target, solution)


def _foretell(run: _Run, source: Path, target: Path) -> dict[str, Any]:
    """How long an input would take, and how much memory. Raises FileError."""
    from twofold.image.recover import foretell
    from twofold.io.memory import peak_memory

    picture, mask = _read(run, source, target)
    with errors_name(source, "an image"):
        seconds, n_tiles, extra = foretell(picture.pixels, mask=mask, preset=run.preset, device=run.device)
    # The steps that were tried have used as much as all of them would.
    used = peak_memory()
    return {
        "input": str(source),
        "output": str(target),
        "preset": run.preset,
        "shape": list(picture.pixels.shape),
        "tiles": n_tiles,
        "seconds": seconds,
        "memory": None if used is None else used + extra,
    }


def _foretold(facts: dict[str, Any]) -> str:
    memory = "" if facts["memory"] is None else f", about {facts['memory'] / 2**30:.1f} GiB of memory"
    tiles = "" if facts["tiles"] == 1 else f", {facts['tiles']} tiles"
    return f"{facts['output']}\n  preset {facts['preset']}{tiles}: about {_duration(facts['seconds'])}{memory}"


def _duration(seconds: float) -> str:
    """
    >>> _duration(42.3), _duration(400), _duration(9000)
    ('42 s', '7 minutes', '2.5 hours')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _write(run: _Run, target: Path, picture: Picture, solution: Any) -> None:
    from dataclasses import replace

    import numpy as np

    from twofold.io.files import bytes_writer, write_together
    from twofold.io.image_writing import encode_image

    jobs = [(target, bytes_writer(encode_image(target, replace(picture, pixels=np.asarray(solution.image)))))]
    if run.outliers is not None:
        shown = np.round(255 * np.clip(solution.outlier_probability, 0, 1)).astype(np.uint8)
        jobs.append((run.outliers, bytes_writer(encode_image(run.outliers, type(picture)(shown)))))
    if run.figure is not None:
        from twofold.plots import figure_writer, image_figure

        drawn = image_figure(picture.pixels, solution.image, solution.outlier_probability)
        jobs.append((run.figure, figure_writer(drawn, run.figure)))
    write_together(jobs, force=run.force)


def _facts(run: _Run, source: Path, target: Path, solution: Any) -> dict[str, Any]:
    expected = solution.expected_psnr
    return {
        "input": str(source),
        "output": str(target),
        "outliers": None if run.outliers is None else str(run.outliers),
        "figure": None if run.figure is None else str(run.figure),
        "preset": run.preset,
        "seed": run.seed,
        "shape": list(solution.image.shape),
        "dtype": str(solution.image.dtype),
        "outlier_fraction": solution.outlier_fraction,
        "expected_psnr": None if expected == math.inf else expected,  # JSON knows no infinity
        "noise": solution.noise,
        "status": solution.status.code,
        "success": solution.status.success,
        "cause": solution.status.cause,
        "steps": solution.n_steps,
        "seconds": solution.seconds,
    }


def _summary(facts: dict[str, Any]) -> str:
    lines = [
        f"{facts['output']}",
        f"  {100 * facts['outlier_fraction']:.1f}% of the entries taken for outliers, "
        f"preset {facts['preset']}, {facts['seconds']:.1f} s",
        f"  {facts['status']}: {facts['cause']}",
    ]
    if facts["expected_psnr"] is not None:
        lines.insert(2, f"  expected PSNR {facts['expected_psnr']:.1f} dB, by entries that were withheld")
    if facts["noise"] > 0:
        lines.insert(2, f"  dense noise of standard deviation {facts['noise']:.3g} besides, smoothed")
    return "\n".join(lines)
