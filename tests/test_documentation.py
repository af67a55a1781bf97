"""The documentation: examples run, numbers are those measured, and links inside the site lead somewhere."""

from __future__ import annotations

import importlib.util
import itertools
import json
import runpy
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from twofold.benchmarks.results import open_results
from twofold.experiments import load, pages
from twofold.experiments.experiment import Choice
from twofold.experiments.pictures import FOUR
from twofold.experiments.runner import checks_of

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_gallery_is_in_order() -> None:
    order = module("docs_order").ORDER
    assert sorted(order) == sorted(path.name for path in (DOCS / "examples").glob("plot_*.py"))


def test_the_matrix_page_finds_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(DOCS / "examples" / "plot_matrix.py"))
    assert names["solution"].rank == 4
    assert names["error"] < 1e-8
    assert "certified" in capsys.readouterr().out


def test_rank_and_outliers_rise_out_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = runpy.run_path(str(DOCS / "examples" / "plot_growth.py"))
    names["movie"]._draw_was_started = True  # matplotlib warns of films that nobody looks at
    values, sparse, wrong = names["values"][-1], np.abs(names["sparse"][-1]), names["wrong"]
    assert values[2] > 30 * values[3]
    assert np.median(sparse[wrong]) > 1e3 * np.median(sparse[~wrong])


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "one.html").write_text('<a href="two.html#here">.</a><a href="https://elsewhere.org/x">.</a>')
    (tmp_path / "two.html").write_text('<p id="here"><img src="no.png"><a href="one.html#gone">.</a></p>')
    assert module("check_links").broken(tmp_path) == ["two.html: no.png", "two.html: one.html#gone"]


KEPT = sorted((ROOT / "benchmarks" / "results" / "reproduce").glob("*.json"))


@pytest.mark.parametrize("path", KEPT, ids=[path.stem for path in KEPT])
def test_what_was_found_of_the_paper_is_what_the_results_say(path: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in FOUR:
        (tmp_path / "images" / f"{name}.png").touch()  # that they are there is all that is asked
    experiment, header = load(path.stem), json.loads(path.read_text())
    del header["cases"], header["cells"]
    assert not header["quick"]
    cells = experiment.cells(Choice(False, tmp_path, tmp_path))
    checks = checks_of(experiment, cells, open_results(path, header))
    assert None not in [check.holds for check in checks]  # all parts are there, with the settings of today
    page = (DOCS / "reproducing.md").read_text()
    for row in pages.lines(checks):
        assert f"| `{path.stem}` | {' | '.join(row)} |" in page


QUOTED_AS = {
    "values 0 and 1 detected, cubic interpolation¹": "black and white detected, cubic interpolation",
    "best median of 3, 5, 7²": "best median of 3, 5, 7 (chosen by the truth)",
    "total variation, best of four weights²": "total variation, l1 (best of four weights, chosen by the truth)",
}


def readme_table(header: str) -> tuple[list[str], list[list[str]]]:
    """Cells of README's table whose first line begins so, and of its other rows."""
    lines = iter((ROOT / "README.md").read_text().splitlines())
    first = next(line for line in lines if line.startswith(header))
    rows = [line for line in itertools.takewhile(lambda line: line.startswith("|"), lines) if "|---|" not in line]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in (first, *rows)]
    return cells[0], cells[1:]


def image_cases(*groups: str) -> list[dict[str, Any]]:
    cases = json.loads((ROOT / "benchmarks" / "results" / "image.json").read_text())["cases"]
    return [case for case in cases if case["group"] in groups]


def test_the_image_table_of_the_readme_is_what_was_measured() -> None:
    measured = {
        (case["settings"]["noise"], case["settings"]["level"], row["solver"], case["settings"]["image"]): row["facts"]
        for case in image_cases("salt", "random")
        for row in case["rows"]
    }
    (_, _, *images), rows = readme_table("| noise | method |")
    noise, n_quoted = "", 0
    for first, method, *numbers in rows:
        noise = first or noise
        kind, _, level = noise.rpartition(" ")
        solver = QUOTED_AS.get(method, method)
        for image, number in zip(images, numbers, strict=True):
            facts = measured[kind, float(level.rstrip("%")) / 100, solver, image]
            assert number.strip("*") == f"{facts['psnr']:.1f}", (noise, method, image)
            n_quoted += 1
    assert n_quoted == 80


def test_the_table_of_other_corruption_in_the_readme_is_what_was_measured() -> None:
    measured = {
        case["name"]: {row["solver"]: row["facts"]["psnr"] for row in case["rows"] if row["facts"]}
        for case in image_cases("kinds")
    }
    (_, *images), rows = readme_table("| other corruption |")
    quoted = set()
    for noise, *numbers in rows:
        for image, number in zip(images, numbers, strict=True):
            name = f"{image}, {noise}"
            quoted.add(name)
            others = dict(measured[name])
            ours = others.pop("twofold, balanced")
            assert number == f"**{ours:.1f}** ({max(others.values()):.1f})", name
            assert ours > max(others.values()), name
    assert quoted == set(measured)  # those where it does worse as well
