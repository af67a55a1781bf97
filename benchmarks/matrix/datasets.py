"""Matrices to recover: synthetic ones with a known answer, and videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twofold.datasets import low_rank_plus_sparse
from twofold.io.videos import read_video


@dataclass(frozen=True)
class Case:
    """Y with NaN where missing; the truth where it is known."""

    name: str
    Y: np.ndarray
    X: np.ndarray | None
    rank: int | None


def synthetic(n: int, rank: int, outliers: float, *, missing: float = 0.0, seed: int = 0) -> Case:
    """n × n, Gaussian factors, outliers uniform up to twice the mean magnitude of X."""
    data = low_rank_plus_sparse((n, n), rank, outliers, missing_fraction=missing, random_state=seed)
    name = f"n={n} r={rank} p={outliers}" + (f" missing={missing}" if missing else "")
    return Case(name, data.observed, data.low_rank, rank)


def video(path: Path, frames: int) -> Case:
    """Pixels × frames, grey, float32."""
    clip = read_video(path, max_frames=frames)
    grey = clip.frames[:, : clip.height]
    return Case(f"{path.stem} {len(grey)} frames", grey.reshape(len(grey), -1).T.astype(np.float32), None, None)
