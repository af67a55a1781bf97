"""`twofold benchmark`: a small run from end to end, what is kept, what is refused, how it ends."""

from __future__ import annotations

import importlib.util
import json

import pytest

from twofold.benchmarks import runner
from twofold.benchmarks.matrix import datasets
from twofold.cli.signals import Stopped

TINY = ("benchmark", "matrix", "--quick", "--runs", "1", "--only", "noise")


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    """The result must not depend on where the tests run."""
    monkeypatch.delenv("TWOFOLD_DATA", raising=False)


def test_a_small_run_from_end_to_end(twofold, tmp_path):
    out = tmp_path / "new" / "results"
    first = twofold(*TINY, "--out", out)
    assert first.status == 0
    assert first.err == ""  # progress is silent where stderr is no terminal
    assert "twofold, with certificate" in first.out
    assert "oracle least squares" in first.out
    assert sorted(path.name for path in out.iterdir()) == ["matrix.json", "matrix.md"]  # nothing to draw of noise
    assert "| twofold, with certificate |" in (out / "matrix.md").read_text(encoding="utf-8")
    stored = (out / "matrix.json").read_bytes()
    second = twofold(*TINY, "--out", out, "--json")
    assert second.status == 0
    assert "1 of 1 parts were there already and are kept" in second.err
    assert (out / "matrix.json").read_bytes() == stored
    said = second.json["matrix"]
    assert (said["measured"], said["kept"]) == (0, 1)
    assert said["cases"] == json.loads(stored)["cases"]
    assert said["files"] == [str(out / "matrix.json"), str(out / "matrix.md")]
    row = said["cases"][0]["rows"][0]
    assert {"solver", "outcome", "seconds", "ratio", "runs", "facts"} <= set(row)
    assert (row["outcome"], row["ratio"]) == ("ok", 1)
    assert 0 < row["facts"]["error"] < 1e-3
    third = twofold(*TINY, "--out", out, "--json", "--force")
    assert third.json["matrix"]["measured"] == 1


@pytest.fixture
def uninstall(monkeypatch):
    """Make modules look as if they were not installed."""
    real = importlib.util.find_spec

    def hide(*names: str) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name in names else real(name, *a))

    return hide


def test_figures_and_peers_that_are_not_installed(twofold, tmp_path, uninstall):
    uninstall("pyrpca", "rpca", "tensorly", "cvxpy")
    outcome = twofold("benchmark", "--quick", "--runs", "1", "--only", "grid", "--out", tmp_path / "out")
    assert outcome.status == 0
    assert outcome.out.count("not installed: pip install twofold[bench]") >= 4
    assert (tmp_path / "out" / "matrix_time.png").read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_there_are_tables(twofold, tmp_path, uninstall):
    uninstall("matplotlib")
    outcome = twofold(*TINY, "--out", tmp_path / "out")
    assert outcome.status == 0
    assert "no figures are drawn without Matplotlib" in outcome.err
    assert (tmp_path / "out" / "matrix.md").exists()


def test_absent_data_are_listed(twofold, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_video", lambda choice: iter([datasets._clip("shop", 9, 9, choice.data)]))
    outcome = twofold("benchmark", "--quick", "--only", "video", "--out", tmp_path / "out", "--data", tmp_path)
    assert outcome.status == 0
    assert f"no video/shop.avi in --data {tmp_path}" in outcome.out


def test_refusals_come_before_any_work(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run", None)  # whoever begins to work breaks
    out = ("--out", tmp_path / "out")
    assert "NAME 'matrx': no such benchmark; accepted are matrix, image" in refused("benchmark", "matrx", *out)
    line = refused("benchmark", "--only", "headline,gird", *out)
    assert "--only 'gird': no such group of matrix or image; accepted are headline, grid, hard, noise" in line
    assert "--only ''" in refused("benchmark", "--only", "", *out)
    assert "--runs" in refused("benchmark", "--runs", "0", *out)
    assert "--data" in refused("benchmark", "--data", tmp_path / "nowhere", *out)
    assert "--device cuda: the benchmark matrix is of the processor" in refused("benchmark", "--device", "cuda", *out)
    assert "--device='nowhere'" in refused("benchmark", "image", "--device", "nowhere", *out)
    (tmp_path / "file").write_text("x")
    assert "not a folder" in refused("benchmark", "--out", tmp_path / "file")
    (tmp_path / "matrix.json").write_text('{"rows": []}')
    line = refused("benchmark", "--out", tmp_path)
    assert "matrix.json: is no result file" in line
    assert "--force replaces it" in line


def test_results_of_a_full_and_a_quick_run_are_not_mixed(twofold, refused, tmp_path):
    assert twofold(*TINY, "--out", tmp_path).status == 0
    assert "quick True there, False here" in refused("benchmark", "--only", "noise", "--out", tmp_path)


def test_an_exception_out_of_twofold_is_status_1(twofold, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise ArithmeticError("no way")

    monkeypatch.setattr("twofold.matrix.recover.robust_pca", broken)
    outcome = twofold(*TINY, "--out", tmp_path / "out", "--json")
    assert outcome.status == 1
    rows = outcome.json["matrix"]["cases"][0]["rows"]
    assert [row["outcome"] for row in rows[:2]] == ["error", "error"]
    assert rows[0]["reason"] == "ArithmeticError: no way"
    assert rows[2]["ratio"] is None


def test_a_stop_keeps_what_is_finished(twofold, tmp_path, monkeypatch):
    def stopped(case, runs, **options):
        if case.group == "noise":
            raise Stopped(2)
        return []

    monkeypatch.setattr(runner, "measure", stopped)
    command = ("benchmark", "--quick", "--only", "hard,noise", "--out", tmp_path)
    outcome = twofold(*command)
    assert outcome.status == 130
    assert "3 finished parts are kept; the same command goes on from there" in outcome.err
    assert outcome.err.endswith("twofold: stopped: by Ctrl-C; nothing half-written is left\n")
    assert outcome.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.json"]
    monkeypatch.setattr(runner, "measure", lambda case, runs, **options: [])
    assert "3 of 4 parts were there already" in twofold(*command).err


def test_progress_names_the_case_and_the_solver(twofold, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    outcome = twofold(*TINY, "--out", tmp_path)
    assert "n=150 r=5 p=0.1" in outcome.err
    assert "matrix" in outcome.err
