"""The result file and what is made from it."""

from __future__ import annotations

import json

import pytest

from twofold.benchmarks.cases import Choice
from twofold.benchmarks.results import Results, describe, machine_line, open_results
from twofold.benchmarks.runner import PATIENCE, measure, run
from twofold.benchmarks.tables import plain, report, table
from twofold.io.errors import FileError

HEADER = {"benchmark": "toy", "quick": False, "machine": {"cpus": 2, "versions": {"numpy": "2.0"}}}


@pytest.fixture
def filled(workshop, tmp_path):
    """A file with a case of each group and all kinds of rows, and its benchmark."""
    a = workshop.case(
        "x",
        workshop.solver("A", 1),
        workshop.solver("B|C", 2, value=float("nan")),
        workshop.solver("D", 1, needs="no_such_module"),
        workshop.solver("E", 1, refuses=lambda case: "too large"),
        workshop.solver("F", 1, error=KeyError("k")),
    )
    b = workshop.case("y", workshop.solver("A", 1), group="b")
    benchmark = workshop.benchmark(a, b)
    results = open_results(tmp_path / "toy.json", HEADER)
    run(benchmark, Choice(("a", "b")), results, runs=2)
    return results, benchmark


def test_what_is_read_is_what_was_written_one_line_a_row(filled):
    results, _ = filled
    again = open_results(results.path, HEADER)
    assert again.cases == results.cases
    text = results.path.read_text(encoding="utf-8")
    assert sum('"solver":' in line for line in text.splitlines()) == 6
    rows = json.loads(text)["cases"][0]["rows"]
    assert rows[1]["facts"]["error"] is None  # JSON has no nan


def test_results_of_another_machine_or_version_are_not_mixed(filled):
    results, _ = filled
    other = {**HEADER, "machine": {"cpus": 4, "versions": {"numpy": "2.1", "torch": "2.9"}}}
    with pytest.raises(FileError, match=r"cpus 2 there, 4 here, numpy 2.0 there, 2.1 here, torch None there, 2"):
        open_results(results.path, other)
    with pytest.raises(FileError, match=r"quick False there, True here.*--force"):
        open_results(results.path, {**HEADER, "quick": True})
    assert open_results(results.path, other, force=True, groups=("a",)).cases == []


def test_results_of_another_machine_are_added_where_that_is_asked_for(filled, workshop):
    results, benchmark = filled
    other = {**HEADER, "machine": describe("toy", False, ("numpy",))["machine"]}
    with pytest.raises(FileError, match=r"not mixed unasked: .*--mixed adds"):
        open_results(results.path, other, mixed=False)
    with pytest.raises(FileError, match=r"quick False there, True here"):
        open_results(results.path, {**other, "quick": True}, mixed=True)
    more = open_results(results.path, other, mixed=True)
    new = workshop.case("z", workshop.solver("A", 1))
    run(workshop.benchmark(new), Choice(("a",)), more, runs=2)
    again = open_results(results.path, HEADER)  # still the file of the first machine
    assert [case.get("machine", HEADER["machine"]) for case in again.cases] == [
        HEADER["machine"], HEADER["machine"], other["machine"]
    ]  # fmt: skip
    first = {**HEADER, "machine": describe("toy", False, ())["machine"]}
    page, line = report(benchmark, first, again.cases, []), machine_line(other["machine"])
    assert page.count("On another machine") == 1
    assert f"- {line}: z\n" in page
    assert f"- {line}: z" in plain(benchmark, again.cases, [])


def test_force_forgets_what_was_chosen_only(filled):
    results, _ = filled
    assert [case["name"] for case in open_results(results.path, HEADER, force=True, groups=("a",)).cases] == ["y"]
    assert [case["name"] for case in open_results(results.path, HEADER).cases] == ["x", "y"]


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"rows": []}', '{"format": 1, "cases": [3], "cells": []}'])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "toy.json"
    path.write_text(text)
    with pytest.raises(FileError, match=r"toy.json: is no result file.*--force"):
        open_results(path, HEADER)
    assert open_results(path, HEADER, force=True).cases == []


def test_the_tables_show_every_row_and_say_who_was_skipped(filled):
    results, benchmark = filled
    header = {**HEADER, "machine": describe("toy", False, ("numpy", "no-such-package"))["machine"]}
    page = report(benchmark, header, results.cases, results.cells)
    assert "| case | solver | seconds | times | error | result |" in page
    assert "| x | A | 1 | 1× | 0.0 | ok |" in page
    assert "|  | B\\|C | 2 | 2× | None | failed: wrong answer: nan |" in page
    assert "|  | D |  |  |  | not installed: pip install twofold[bench] |" in page
    assert "|  | F |  |  |  | error: KeyError: 'k' |" in page
    assert "- E: too large (x)" in page
    assert "no-such-package not installed" in page
    assert "2 rounds" in page
    assert page.index("## a") < page.index("## b")
    text = plain(benchmark, results.cases, results.cells)
    assert "x     A       1        1×     0.0    ok" in text


def test_fewer_runs_than_asked_for_are_told(workshop):
    slow = workshop.solver("slow", 2 * PATIENCE)
    case = workshop.case("x", workshop.solver("A", 1), slow)
    record = {"group": "a", "name": "x", "settings": {"runs": 3}, "rows": measure(case, 3)}
    lines = table(workshop.benchmark(case), [record])[1]
    assert [line[2] for line in lines] == ["1", "200 (1 run)"]


def test_what_is_quick_is_not_to_be_quoted(filled):
    results, benchmark = filled
    header = {**describe("toy", True, ()), "quick": True}
    assert "not to be quoted" in report(benchmark, header, results.cases, [])


def test_the_machine_is_described():
    machine = describe("toy", False, ("numpy", "no-such-package"))["machine"]
    assert machine["versions"]["no-such-package"] is None
    assert machine["versions"]["numpy"]
    assert machine["cpus"] >= 1
    assert machine["threads"]["torch"] >= 1
    assert machine["processor"]
    assert "device" not in machine
    elsewhere = describe("toy", False, (), "cpu")["machine"]
    assert machine_line(elsewhere).startswith(f"cpu, {machine['processor']}")


def test_a_file_in_a_folder_that_went_away(tmp_path):
    results = Results(tmp_path / "gone" / "toy.json", HEADER)
    with pytest.raises(FileError, match=r"toy.json"):
        results.write()
