"""A run that was cut off goes on to the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.cut_off import cut_off_after
from twofold.datasets import salt_and_pepper
from twofold.image import checkpoint as module
from twofold.image.recover import recover_image

ROWS, COLUMNS = np.mgrid[:40, :36]
CLEAN = np.stack([90 + 2 * ROWS, 200 - 3 * COLUMNS, 60 + ROWS + COLUMNS], axis=2).astype(np.uint8)
NOISY = salt_and_pepper(CLEAN, 0.3, random_state=0)
OPTIONS: dict[str, Any] = {"preset": "best", "steps": 60}


@pytest.fixture
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write every state rather than one a minute."""
    monkeypatch.setattr(module.Checkpoint, "is_due", True)


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize("n_steps", [0, 1, 4, 9, 10, 15, 21, 30, 44, 62])
def test_same_bits_wherever_it_was_cut_off(n_steps: int, tmp_path: Path) -> None:
    whole = recover_image(NOISY, **OPTIONS)
    cut_off_after(n_steps, NOISY, tmp_path / "run.safetensors", **OPTIONS)
    again = recover_image(NOISY, checkpoint=tmp_path / "run.safetensors", **OPTIONS)
    np.testing.assert_array_equal(again.image, whole.image)
    np.testing.assert_array_equal(again.outlier_probability, whole.outlier_probability)
    records = [[(r.act, r.step, r.residual) for r in run.history] for run in (again, whole)]
    assert records[0] == records[1]
    assert again.n_steps == whole.n_steps
    assert list(tmp_path.iterdir()) == [tmp_path / "run.safetensors"]


@pytest.mark.usefixtures("always_due")
def test_cut_off_twice(tmp_path: Path) -> None:
    whole = recover_image(NOISY, **OPTIONS)
    cut_off_after(7, NOISY, tmp_path / "run", **OPTIONS)
    cut_off_after(7, NOISY, tmp_path / "run", **OPTIONS)
    again = recover_image(NOISY, checkpoint=tmp_path / "run", **OPTIONS)
    np.testing.assert_array_equal(again.image, whole.image)


@pytest.mark.usefixtures("always_due")
def test_what_is_restored_is_laid_out_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over a layout of another kind have other bits. The network has its own layout, and restores into it."""
    written: list[dict[str, torch.Tensor]] = []
    monkeypatch.setattr(module.Checkpoint, "write", lambda _, state: written.append(state))
    recover_image(NOISY, checkpoint=tmp_path / "run", preset="fast")
    assert {name.split("/")[1] for state in written for name in state if "/" in name} >= {"decided", "dual", "signal"}
    for state in written:
        others = {name: tensor for name, tensor in state.items() if not name.startswith("fit/signal/")}
        assert [name for name, tensor in others.items() if not tensor.is_contiguous()] == []


def test_a_process_that_is_killed_leaves_a_whole_file(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from twofold.image import checkpoint; from twofold import recover_image\n"
        "checkpoint.Checkpoint.is_due = True\n"
        "recover_image(np.load(sys.argv[1]), preset='best', steps=60, checkpoint=sys.argv[2],\n"
        "              observer=lambda record: print(record.step, flush=True))"
    )
    np.save(tmp_path / "noisy.npy", NOISY)
    command = [sys.executable, "-c", code, str(tmp_path / "noisy.npy"), str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(12):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    again = recover_image(NOISY, checkpoint=tmp_path / "run", **OPTIONS)
    assert len(again.history) > 12
    np.testing.assert_array_equal(again.image, recover_image(NOISY, **OPTIONS).image)


def test_written_once_a_minute(tmp_path: Path) -> None:
    recover_image(NOISY, checkpoint=tmp_path / "run", **OPTIONS)
    assert list(tmp_path.iterdir()) == []  # over before the first minute was


@pytest.mark.usefixtures("always_due")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"preset": "balanced"}, "name best there, balanced here"),
        ({"steps": 61}, "steps 60 there, 61 here"),
        ({"group": "pixel"}, "group entry there, pixel here"),
    ],
)
def test_the_file_of_another_run_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    cut_off_after(2, NOISY, tmp_path / "run", **OPTIONS)
    before = (tmp_path / "run").read_bytes()
    with pytest.raises(ValueError, match="belongs to another run") as caught:
        recover_image(NOISY, checkpoint=tmp_path / "run", **{**OPTIONS, **change})
    assert words in str(caught.value)
    with pytest.raises(ValueError, match=r"another run \(.*image [0-9a-f]+ there"):
        recover_image(CLEAN, checkpoint=tmp_path / "run", **OPTIONS)
    assert (tmp_path / "run").read_bytes() == before


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    save_file({}, tmp_path / "other.safetensors")
    for name in ("text", "other.safetensors"):
        with pytest.raises(ValueError, match="is no checkpoint of twofold"):
            recover_image(NOISY, checkpoint=tmp_path / name, **OPTIONS)
    with pytest.raises(ValueError, match="is a folder"):
        recover_image(NOISY, checkpoint=tmp_path, **OPTIONS)
    with pytest.raises(ValueError, match="its folder is not there"):
        recover_image(NOISY, checkpoint=tmp_path / "no" / "run", **OPTIONS)
