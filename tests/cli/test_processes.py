"""The command as a process: signals, a full disk, a reader that goes away."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

COMMAND = [sys.executable, "-m", "twofold"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_stop_within_two_seconds_and_leave_nothing(tmp_path, number, status):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)).save(tmp_path / "big.png")
    process = subprocess.Popen(
        [*COMMAND, "image", str(tmp_path / "big.png"), "--preset", "best"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(6)  # PyTorch is loaded and the descent runs
    assert process.poll() is None
    started = time.perf_counter()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert time.perf_counter() - started < 2
    assert process.returncode == status
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("twofold: stopped: ")
    assert names(tmp_path) == ["big.png"]


def test_a_long_call_into_a_library_is_left_too(tmp_path):
    # pbkdf2 stays in C for minutes: Python runs no signal handler before it returns.
    code = (
        "import hashlib\n"
        "from twofold.cli.signals import stoppable\n"
        "from twofold.io import files\n"
        "def write(file):\n"
        "    print('ready', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
        "with stoppable():\n"
        f"    files.write_together([(files.Path({str(tmp_path / 'out')!r}), write)])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert len(names(tmp_path)) == 1
    time.sleep(1)  # until the call has begun
    started = time.perf_counter()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.perf_counter() - started < 2
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_command(tmp_path, number):
    process = subprocess.Popen(
        [*COMMAND, "reproduce", "phase", "--quick", "--jobs", "2", "--out", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    stored = tmp_path / "phase.json"
    while not (stored.exists() and json.loads(stored.read_text())["cells"]):
        assert process.poll() is None
        time.sleep(0.1)
    if number == signal.SIGKILL:
        process.kill()
    else:
        for _ in range(2):  # as a terminal does it: to the workers too; and again, for they seem to be slow
            os.killpg(process.pid, number)
            time.sleep(0.05)
    started = time.perf_counter()
    out, err = process.communicate(timeout=20)  # ends when the last worker has closed its end
    assert time.perf_counter() - started < 3
    assert out == ""
    kept = json.loads(stored.read_text())["cells"]
    assert kept
    if number == signal.SIGKILL:
        return  # Python itself may name semaphores that it cleaned up
    assert process.returncode == 130
    note, stopped = err.splitlines()
    assert note.endswith(f"{len(kept)} finished parts are kept; the same command goes on from there")
    assert stopped.startswith("twofold: stopped: by Ctrl-C")


def test_full_disk(table):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    process = subprocess.run(
        [*COMMAND, "matrix", str(table)], capture_output=True, text=True, preexec_fn=small_files, check=False
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.count("\n") == 1
    assert "table_clean.npz: cannot be written" in process.stderr
    assert names(table.parent) == ["table.npy"]


def test_a_reader_that_goes_away(table):
    process = subprocess.Popen(
        [*COMMAND, "matrix", str(table), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(timeout=60) == 0
    assert err == ""
    assert "table_clean.npz" in names(table.parent)


def test_usage_errors_are_one_line():
    for arguments in (["matrix"], ["matrix", "a.npy", "--no"], ["nothing"]):
        process = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
        assert process.returncode == 2
        assert process.stderr.startswith("twofold: error: ")
        assert process.stderr.count("\n") == 1
