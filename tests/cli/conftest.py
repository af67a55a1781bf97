"""The real command, in this process, with presets small enough for tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from twofold.cli.app import run


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """stdout, which has to be exactly one JSON object without NaN or Infinity."""

        def refuse(word: str) -> None:
            raise AssertionError(f"{word} is not JSON")

        assert self.out.count("\n") == 1
        return json.loads(self.out, parse_constant=refuse)


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other cost far more than these tiny images and matrices do."""
    from twofold.devices import one_thread

    with one_thread():
        yield


@pytest.fixture
def twofold(capsys):
    """Call the command line with arguments."""

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture
def refused(twofold, tmp_path):
    """Call a command that has to be refused: status 2, one line, nothing written; the line."""

    def call(*arguments: object) -> str:
        before = snapshot(tmp_path)
        outcome = twofold(*arguments)
        assert outcome.status == 2, outcome
        assert outcome.out == ""
        assert outcome.err.count("\n") == 1, outcome.err
        assert outcome.err.startswith("twofold: error: ")
        assert "Traceback" not in outcome.err
        assert snapshot(tmp_path) == before
        return outcome.err

    return call


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


@pytest.fixture
def tiny_presets(monkeypatch):
    """Networks that take a blink: for what goes in and out, not for how well it is recovered."""
    from twofold.image import presets

    for name in tuple(presets.PRESETS):
        tiny = presets.Preset(name, width=16, skip=8, scales=2, n_in=8, identify_steps=30, polish_steps=15)
        monkeypatch.setitem(presets.PRESETS, name, tiny)


@pytest.fixture
def photo(tmp_path):
    """A small RGB picture with impulses."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:24, :32]
    pixels = np.stack([60 + 5 * rows, 40 + 4 * columns, 200 - 3 * rows - 2 * columns], axis=2).astype(np.uint8)
    struck = rng.random(pixels.shape) < 0.2
    pixels[struck] = rng.choice([0, 255], struck.sum())
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def table(tmp_path):
    """A small matrix of rank 2 with outliers and missing entries."""
    from twofold.datasets import low_rank_plus_sparse

    data = low_rank_plus_sparse((60, 40), 2, 0.05, missing_fraction=0.05, random_state=0)
    path = tmp_path / "table.npy"
    np.save(path, data.observed)
    return path
