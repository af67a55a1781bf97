"""Help, version, progress, defects."""

from __future__ import annotations

import pytest

import twofold as package
from twofold.cli.terminal import finite


def test_version_and_help(twofold):
    assert twofold("--version").out == f"twofold {package.__version__}\n"
    for command in ("demo", "image", "matrix", "video"):
        assert command in twofold("--help").out
        outcome = twofold(command, "--help")
        assert outcome.status == 0
        assert "--device" in outcome.out


def test_no_arguments_show_the_help(twofold):
    outcome = twofold()
    assert outcome.status == 2
    assert "Commands:" in outcome.out


def test_progress_appears_on_a_terminal_only(twofold, table, tmp_path, monkeypatch):
    assert twofold("matrix", table).err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    outcome = twofold("matrix", table, "--force")
    assert "table.npy: " in outcome.err
    assert "residual" in outcome.err
    assert "left" in outcome.err


def test_a_defect_is_one_line_too_and_the_traceback_is_to_be_had(twofold, table, monkeypatch):
    def broken(*arguments, **options):
        raise LookupError("42")

    monkeypatch.setattr("twofold.matrix.recover.robust_pca", broken)
    outcome = twofold("matrix", table)
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert "LookupError: 42" in outcome.err
    monkeypatch.setenv("TWOFOLD_TRACEBACK", "1")
    with pytest.raises(LookupError):
        twofold("matrix", table)


def test_running_out_of_memory_is_said(twofold, table, monkeypatch):
    def greedy(*arguments, **options):
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes.")

    monkeypatch.setattr("twofold.matrix.recover.robust_pca", greedy)
    outcome = twofold("matrix", table)
    assert outcome.status == 2
    assert "table.npy: there is not enough memory" in outcome.err


def test_json_has_no_nan():
    assert finite({"a": [float("nan"), 1.5, (float("-inf"), "x", True, None)]}) == {
        "a": [None, 1.5, [None, "x", True, None]]
    }
