"""Matrices to recover: synthetic ones with a known answer, new rows, and videos of a camera at rest.

Synthetic, unless said otherwise: X = UVᵀ with N(0, 1) factors; outliers uniform up to twice the mean magnitude of X
on a share p of the entries; seed 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twofold.benchmarks.cases import Case, Choice
from twofold.benchmarks.matrix import sensing
from twofold.benchmarks.matrix.objective import TARGET, Matrix, NewRows, judge_matrix, judge_rows
from twofold.benchmarks.matrix.solvers import MATRIX_SOLVERS, NOISE_SOLVERS, ROW_SOLVERS, VIDEO_SOLVERS
from twofold.datasets import low_rank_plus_sparse, moving_blobs

NOISE = 1e-3
"""Dense noise, relative to the root mean square of X's entries."""

VIDEOS = (("shop", 144 * 192, 157), ("highway", 240 * 320, 300))
"""File in DIR/video, its pixels, and how many of its frames are taken."""


def cases(choice: Choice) -> list[Case]:
    """The cases of the groups chosen, in the groups' own order."""
    groups: dict[str, Callable[[Choice], Iterator[Case]]] = {
        "headline": _headline,
        "grid": _grid,
        "hard": _hard,
        "noise": _noise,
        "missing": _missing,
        "rows": _rows,
        "sensing": sensing.cases,
        "video": _video,
    }
    return [case for name, make in groups.items() if name in choice.groups for case in make(choice)]


def synthetic(
    group: str,
    shape: int | tuple[int, int],
    rank: int,
    outliers: float,
    *,
    missing: float = 0.0,
    noise: float = 0.0,
    condition: int | None = None,
    dtype: str = "float64",
    weigh: bool = False,
) -> Case:
    """A case of :func:`twofold.datasets.low_rank_plus_sparse`; its name tells what is not as usual.

    Parameters
    ----------
    noise : float
        Relative to the root mean square of X's entries.
    weigh : bool
        Whether to measure memory.
    """
    m, n = (shape, shape) if isinstance(shape, int) else shape
    settings = {
        "m": m, "n": n, "rank": rank, "outliers": outliers, "missing": missing, "noise": noise,
        "condition": condition, "dtype": dtype, "seed": 0,
    }  # fmt: skip
    name = (f"n={n}" if m == n else f"{m}×{n}") + f" r={rank} p={outliers}"
    name += f" missing={missing}" if missing else ""
    name += f" noise={noise:g}" if noise else ""
    name += f" condition={condition}" if condition else ""
    name += f" {dtype}" if dtype != "float64" else ""
    solvers = NOISE_SOLVERS if noise else MATRIX_SOLVERS
    return Case(
        group, name, settings, partial(_make_synthetic, settings), solvers, judge_matrix, _bytes if weigh else None
    )


def _make_synthetic(settings: dict[str, Any]) -> Matrix:
    noise = settings["noise"] * math.sqrt(settings["rank"])  # the root mean square of X's entries is sqrt(rank)
    data = low_rank_plus_sparse(
        (settings["m"], settings["n"]),
        settings["rank"],
        settings["outliers"],
        missing_fraction=settings["missing"],
        noise=noise,
        condition=settings["condition"],
        dtype=settings["dtype"],
        random_state=settings["seed"],
    )
    # No X is better than the noise allows: what is asked then is to be nearer to the truth than clean entries are.
    target = settings["noise"] or TARGET
    return Matrix(data.observed, data.rank, data.low_rank, data.outliers != 0, target, noise)


def _headline(choice: Choice) -> Iterator[Case]:
    make = partial(synthetic, "headline")
    if choice.quick:
        yield make(200, 10, 0.1)
        yield make(150, 3, 0.3, missing=0.2)
        yield make(250, 2, 0.1, weigh=True)
        return
    yield make(1000, 50, 0.1)
    yield make(500, 10, 0.3)
    yield make(500, 10, 0.3, missing=0.2)
    yield make(2000, 20, 0.2)
    yield make(5000, 50, 0.1, weigh=True)


def _grid(choice: Choice) -> Iterator[Case]:
    # Small ones for solvers that take small problems only.
    yield synthetic("grid", 100, 1, 0.1)
    if choice.quick:
        yield synthetic("grid", 200, 2, 0.1)
        yield synthetic("grid", 200, 20, 0.3)
        return
    yield synthetic("grid", 100, 5, 0.1)
    for n in (500, 1000, 2000):
        for share in (0.01, 0.05, 0.1):
            for outliers in (0.05, 0.1, 0.2, 0.3):
                yield synthetic("grid", n, round(share * n), outliers)


def _hard(choice: Choice) -> Iterator[Case]:
    make = partial(synthetic, "hard")
    if choice.quick:
        yield make(150, 5, 0.1, condition=100)
        yield make((500, 50), 2, 0.1)
        yield make(150, 5, 0.1, dtype="float32")
        return
    for n, rank, outliers in ((500, 25, 0.1), (500, 25, 0.2), (1000, 50, 0.1)):
        for condition in (1, 10, 100):
            yield make(n, rank, outliers, condition=condition)
    for rank, outliers in ((5, 0.1), (25, 0.1), (25, 0.2)):
        yield make((5000, 500), rank, outliers)
    for n, rank, outliers in ((1000, 50, 0.1), (500, 10, 0.3), (2000, 20, 0.2)):
        yield make(n, rank, outliers, dtype="float32")


def _noise(choice: Choice) -> Iterator[Case]:
    for n, rank in ((150, 5),) if choice.quick else ((500, 10), (500, 25), (1000, 50)):
        for outliers in (0.1,) if choice.quick else (0.1, 0.2):
            yield synthetic("noise", n, rank, outliers, noise=NOISE)


def _missing(choice: Choice) -> Iterator[Case]:
    for n in (100,) if choice.quick else (500, 1000, 2000):
        for rank in (n // 50,) if choice.quick else (n // 100, n // 20):
            for outliers in (0.1,) if choice.quick else (0.1, 0.2):
                yield synthetic("missing", n, rank, outliers, missing=0.3)


def _rows(choice: Choice) -> Iterator[Case]:
    n_rows, n_training = (2000, 200) if choice.quick else (100_000, 1000)
    settings = {"m": n_rows, "n": 200, "rank": 10, "outliers": 0.1, "training": n_training, "seed": 0}
    name = f"{n_rows} rows × 200 r=10 p=0.1, fitted on {n_training}"
    yield Case("rows", name, settings, partial(_make_rows, settings), ROW_SOLVERS, judge_rows)


def _make_rows(settings: dict[str, Any]) -> NewRows:
    k = settings["training"]
    shape = (k + settings["m"], settings["n"])
    data = low_rank_plus_sparse(shape, settings["rank"], settings["outliers"], random_state=settings["seed"])
    return NewRows(data.observed[:k].copy(), data.observed[k:].copy(), data.low_rank[k:].copy(), data.rank)


def _video(choice: Choice) -> Iterator[Case]:
    for name, n_pixels, n_frames in VIDEOS:
        yield _clip(name, n_pixels, 20 if choice.quick else n_frames, choice.data)
    height, width, n_frames = (48, 64, 60) if choice.quick else (240, 320, 1000)
    settings = {
        "m": height * width, "n": n_frames, "height": height, "width": width, "rank": 1, "noise": 1,
        "dtype": "float32", "seed": 0,
    }  # fmt: skip
    title = f"moving blobs {height * width}×{n_frames} float32"
    make = partial(_make_blobs, settings)
    yield Case("video", title, settings, make, VIDEO_SOLVERS, judge_matrix, _bytes)


def _make_blobs(settings: dict[str, Any]) -> Matrix:
    clip = moving_blobs(
        settings["height"], settings["width"], settings["n"], noise=settings["noise"], random_state=settings["seed"]
    )
    target = settings["noise"] / float(np.sqrt(np.mean(clip.low_rank.astype(np.float64) ** 2)))
    return Matrix(clip.observed, 1, clip.low_rank, target=target)


def _clip(name: str, n_pixels: int, n_frames: int, folder: Path | None) -> Case:
    path = None if folder is None else folder / "video" / f"{name}.avi"
    if path is None:
        absent = f"no --data DIR with video/{name}.avi"
    elif not path.is_file():
        absent = f"no video/{name}.avi in --data {folder}"
    else:
        absent = ""
    settings = {"video": name, "m": n_pixels, "n": n_frames, "rank": 1, "dtype": "float32"}
    make = partial(_make_clip, path or Path(), n_frames)
    title = f"{name}.avi {n_pixels}×{n_frames} float32"
    return Case("video", title, settings, make, VIDEO_SOLVERS, judge_matrix, absent=absent)


def _make_clip(path: Path, n_frames: int) -> Matrix:
    """Pixels × frames, grey, float32. The background of a camera at rest is of rank 1."""
    from twofold.io.videos import read_video

    clip = read_video(path, max_frames=n_frames)
    grey = clip.frames[:, : clip.height]
    return Matrix(np.ascontiguousarray(grey.reshape(len(grey), -1).T, dtype=np.float32), 1)


def _bytes(data: Matrix) -> int:
    return int(data.Y.nbytes)
