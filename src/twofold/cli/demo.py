"""``twofold demo``: the main job on data that comes along, with figures and a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.cli import options
from twofold.cli.options import Device
from twofold.cli.terminal import say

if TYPE_CHECKING:
    from twofold.io.files import Writer
    from twofold.report import Section

PRESET = "fast"
_SEED = 0
_NAMES = (
    "photograph_clean.png",
    "photograph_corrupted.png",
    "photograph_recovered.png",
    "photograph.png",
    "sensors_recovered.npz",
    "sensors.png",
    "report.html",
)


def demo(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for figures, results and the report.")
    ] = Path("twofold-demo"),
    device: Device = None,
) -> None:
    """Recover one photograph and one matrix of sensors; write figures and a report."""
    from twofold import report
    from twofold.io.files import plan, write_together

    options.check_device(device)
    targets = {name: out / name for name in _NAMES}
    # The demo's own files: a second run replaces them.
    plan(list(targets.values()), force=True, new_folder=out)
    started = perf_counter()
    say("One photograph and one matrix, spoiled by gross outliers. Nothing is told about how many or where.\n")
    parts = [_photograph(device), _sensors(device)]
    seconds = perf_counter() - started
    sections = [*(part.section for part in parts), _closing(seconds)]
    jobs = {name: writer for part in parts for name, writer in part.files.items()}
    jobs["report.html"] = report.report_writer("twofold: what it does", sections)
    write_together([(targets[name], writer) for name, writer in jobs.items()], force=True)
    say(f"\nDone in {seconds:.0f} s. Open the report: {targets['report.html']}")
    say(f"Figures: {targets['photograph.png']} and {targets['sensors.png']}")
    if not all(part.success for part in parts):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Part:
    """One half of the demo: its files, its section of the report, and whether the run succeeded."""

    files: dict[str, Writer]
    section: Section
    success: bool


def _photograph(device: str | None) -> _Part:
    from skimage import data

    from twofold.cli.progress import ProgressBar
    from twofold.datasets import salt_and_pepper
    from twofold.image.recover import recover_image
    from twofold.metrics import psnr
    from twofold.plots import image_figure
    from twofold.report import Section

    clean = data.astronaut()[:384, 64:448]  # small enough for two minutes on two cores
    corrupted = salt_and_pepper(clean, 0.5, random_state=_SEED)
    height, width = clean.shape[:2]
    what = f"{width}×{height} pixels, half of all values replaced by black or white"
    say(f"Photograph: {what}; preset {PRESET}")
    with ProgressBar("photograph") as progress:
        solution = recover_image(corrupted, preset=PRESET, seed=_SEED, device=device, observer=progress)
    median, window = _best_median(clean, corrupted)
    expected = solution.expected_psnr
    facts = [
        ("PSNR of the corrupted photograph", f"{psnr(clean, corrupted):.1f} dB"),
        (f"PSNR of the best median filter ({window}×{window}, chosen knowing the truth)", f"{median:.1f} dB"),
        ("PSNR of twofold, told nothing", f"{psnr(clean, solution.image):.1f} dB"),
        *([] if expected is None else [("PSNR that twofold expects, told nothing", f"{expected:.1f} dB")]),
        ("entries taken for outliers", _share(solution.outlier_fraction, float((clean != corrupted).mean()))),
        ("time", f"{solution.seconds:.0f} s, {solution.n_steps} steps"),
        ("status", str(solution.status)),
    ]
    _say_table(facts)
    figure = image_figure(corrupted, solution.image, solution.outlier_probability, truth=clean)
    section = Section(
        "A photograph",
        [
            f"A photograph of {what}, each colour channel on its own. An untrained network and a model of "
            "the outliers were fitted to this one image together; no other image was used.",
        ],
        [(figure, "The corrupted photograph, what twofold made of it, the truth, and the outliers that it found.")],
        facts,
    )
    files = {
        "photograph_clean.png": _png(clean),
        "photograph_corrupted.png": _png(corrupted),
        "photograph_recovered.png": _png(solution.image),
        "photograph.png": _figure(figure),
    }
    return _Part(files, section, solution.status.success)


def _sensors(device: str | None) -> _Part:
    from twofold.cli.matrix import result_arrays
    from twofold.cli.progress import ProgressBar
    from twofold.datasets import sensor_matrix
    from twofold.io.matrices import npz_writer
    from twofold.matrix.recover import robust_pca
    from twofold.plots import matrix_figure
    from twofold.report import Section

    log = sensor_matrix(random_state=_SEED)
    n_times, n_sensors = log.observed.shape
    what = f"{n_times} readings of {n_sensors} temperature sensors, some dropped out, some spiking, some missing"
    say(f"\nMatrix: {what}")
    started = perf_counter()
    with ProgressBar("sensors") as progress:
        solution = robust_pca(log.observed, random_state=_SEED, device=device, observer=progress)
    facts = _sensor_facts(log, solution, perf_counter() - started)
    _say_table(facts)
    figure = matrix_figure(log.observed, solution, unit="°C", names=("reading", "sensor"))
    section = Section(
        "A matrix of sensors",
        [
            f"{what[:1].upper()}{what[1:]}. Behind them are a few common causes: the matrix without "
            "its faults has a low rank, which was found, not given.",
            "The duality gap compares the answer with a lower bound for the convex program; anyone can check it "
            "from the dual variable in the result file.",
        ],
        [(figure, "What was logged, its low-rank part, the outliers, and the singular values of both.")],
        facts,
    )
    files = {"sensors_recovered.npz": npz_writer(result_arrays(solution)), "sensors.png": _figure(figure)}
    return _Part(files, section, solution.status.success)


def _sensor_facts(log: Any, solution: Any, seconds: float) -> list[tuple[str, str]]:
    import numpy as np

    from twofold.metrics import relative_error

    found = np.asarray(solution.outliers) != 0
    recall = float(found[log.faulty].mean())
    seen = ~np.isnan(log.observed)
    false_alarms = float(found[seen & ~log.faulty].mean())
    missing = np.isnan(log.observed)
    worst = float(np.abs(solution.low_rank - log.clean)[missing | log.faulty].max())
    gap = None if solution.certificate is None else solution.certificate.gap
    return [
        ("rank", f"{solution.rank} found, {log.rank} true"),
        ("relative error", f"{relative_error(log.clean, solution.low_rank):.1e}"),
        ("largest error where a reading was false or missing", f"{worst:.1e} °C"),
        ("false readings found", f"{recall:.1%} of {int(log.faulty.sum())}; false alarms {false_alarms:.1%}"),
        ("duality gap", "not certified" if gap is None else f"{gap:.1e}"),
        ("time", f"{seconds:.1f} s, {solution.n_iter} steps"),
        ("status", str(solution.status)),
    ]


def _closing(seconds: float) -> Section:
    import torch

    from twofold import __version__
    from twofold.report import Section

    return Section(
        "On your own data",
        [f"Made by twofold {__version__} with PyTorch {torch.__version__} in {seconds:.0f} s, seed {_SEED}."],
        code=[
            "twofold image photo.png --figure photo_figure.png",
            "twofold matrix table.csv --figure table.png",
        ],
    )


def _best_median(clean: Any, corrupted: Any) -> tuple[float, int]:
    from scipy.ndimage import median_filter

    from twofold.metrics import psnr

    windows = (3, 5, 7, 9)
    return max((psnr(clean, median_filter(corrupted, size=(w, w, 1), mode="reflect")), w) for w in windows)


def _share(found: float, true: float) -> str:
    return f"{found:.1%} found, {true:.1%} true"


def _say_table(facts: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        say(f"  {name:<{width}}  {value}")


def _png(pixels: Any) -> Writer:
    from twofold.io.files import bytes_writer
    from twofold.io.image_writing import encode_image
    from twofold.io.pillow import Picture

    return bytes_writer(encode_image(Path("image.png"), Picture(pixels)))


def _figure(figure: Any) -> Writer:
    from twofold.plots import figure_writer

    return figure_writer(figure, Path("figure.png"))
