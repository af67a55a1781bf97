"""The runner: what is timed, in which order, what becomes of failures, and how it goes on after a stop."""

from __future__ import annotations

import json
import os
import signal
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import torch

from twofold.benchmarks.cases import Cell, Choice, Solver
from twofold.benchmarks.matrix.objective import Matrix
from twofold.benchmarks.matrix.solvers import accaltproj, randomized_svd
from twofold.benchmarks.memory import peak_growth
from twofold.benchmarks.results import Results, open_results
from twofold.benchmarks.runner import PATIENCE, measure, run
from twofold.benchmarks.workers import WorkerLost, count

BOTH = Choice(("a", "b"))


def test_the_median_of_the_runs_counts_and_nothing_but_the_run_is_timed(workshop):
    first = workshop.solver("first", 3, 1, 2)
    second = workshop.solver("second", 10, 30, 20)
    rows = measure(workshop.case("x", first, second), 3)
    assert [row["seconds"] for row in rows] == [2, 20]  # data, preparing and judging take a hundred each
    assert [row["ratio"] for row in rows] == [1, 10]
    assert rows[1]["runs"] == [{"seconds": s, "error": 0} for s in (10, 30, 20)]
    assert [row["outcome"] for row in rows] == ["ok", "ok"]


def test_solvers_take_turns_within_each_round(workshop):
    measure(workshop.case("x", workshop.solver("A", 1), workshop.solver("B", 1)), 3)
    assert workshop.calls == ["data of x", "A", "B", "A", "B", "A", "B"]


def test_what_takes_long_is_not_repeated(workshop):
    slow = workshop.solver("slow", 5, 2 * PATIENCE, facts={"rank": 3})
    rows = measure(workshop.case("x", workshop.solver("A", 1), slow), 5)
    assert workshop.calls.count("slow") == 2
    assert workshop.calls.count("A") == 5
    assert (rows[1]["facts"]["rank"], len(rows[1]["runs"])) == (3, 2)


def test_facts_are_asked_for_after_the_clock_has_stopped(workshop):
    def slow() -> int:
        workshop.clock.now += 1000
        return 7

    row = measure(workshop.case("x", workshop.solver("A", 5, facts={"rank": slow, "gap": 0.5})), 2)[0]
    assert row["seconds"] == 5
    assert row["facts"] == {"rank": 7, "gap": 0.5, "error": 0}


def test_failures_stay_in_the_table_with_their_reason(workshop):
    rows = measure(
        workshop.case(
            "x",
            workshop.solver("good", 1),
            workshop.solver("wrong", 2, value=41),
            workshop.solver("limited", 3, value=40, failure="9 steps were not enough"),
            workshop.solver("asked later", 3, failure=lambda: "the residual says no"),
            workshop.solver("broken", 1, error=ValueError("two\nlines")),
        ),
        2,
    )
    good, wrong, limited, asked_later, broken = rows
    assert good["outcome"] == "ok"
    assert (wrong["outcome"], wrong["reason"], wrong["ratio"]) == ("failed", "wrong answer: 41", 2)
    assert limited["reason"] == "9 steps were not enough; wrong answer: 40"
    assert (asked_later["outcome"], asked_later["reason"]) == ("failed", "the residual says no")
    assert (broken["outcome"], broken["reason"]) == ("error", "ValueError: two lines")
    assert (broken["seconds"], broken["ratio"], broken["runs"]) == (None, None, [])
    assert workshop.calls.count("broken") == 1  # it would break again
    assert workshop.calls.count("wrong") == 2


def test_without_a_first_time_there_is_no_ratio(workshop):
    broken = workshop.solver("first", 1, error=ZeroDivisionError())
    rows = measure(workshop.case("x", broken, workshop.solver("second", 4)), 1)
    assert (rows[1]["seconds"], rows[1]["ratio"]) == (4, None)


def test_a_peer_that_is_not_installed_is_said_and_not_called(workshop):
    missing = workshop.solver("peer", 1, needs="no_such_module")
    row = measure(workshop.case("x", workshop.solver("A", 1), missing), 2)[1]
    assert (row["outcome"], row["reason"]) == ("not installed", "pip install twofold[bench]")
    assert "peer" not in workshop.calls


def test_who_refuses_is_skipped_and_data_for_nobody_are_not_made(workshop):
    refusing = workshop.solver("small", 1, refuses=lambda case: f"{case.name} is too large")
    row = measure(workshop.case("x", refusing), 2)[0]
    assert (row["outcome"], row["reason"], row["seconds"]) == ("skipped", "x is too large", None)
    assert workshop.calls == []


def test_peers_that_print_and_warn_are_not_heard(workshop, capsys):
    def loud(data):
        def solve():
            sys.stdout.write("Tolerance condition met.")
            warnings.warn("deprecated", stacklevel=1)
            return workshop.solver("quiet", 1).prepare(data)()

        return solve

    measure(workshop.case("x", Solver("loud", loud)), 1)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


class Pulled(BaseException):
    """Somebody pulled the plug."""


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(workshop, results):
    cases = [workshop.case(name, workshop.solver("A", 1)) for name in "xyz"]

    def stop_at_y(step):
        if step.words.startswith("y"):
            raise Pulled

    with pytest.raises(Pulled):
        run(workshop.benchmark(*cases), BOTH, results, runs=2, observer=stop_at_y)
    again = open_results(results.path, results.header)
    assert [case["name"] for case in again.cases] == ["x"]
    workshop.calls.clear()
    outcome = run(workshop.benchmark(*cases), BOTH, again, runs=2)
    assert (outcome.measured, outcome.kept) == (2, 1)
    assert "data of x" not in workshop.calls
    assert [case["name"] for case in open_results(results.path, results.header).cases] == ["x", "y", "z"]
    outcome = run(workshop.benchmark(*cases), BOTH, again, runs=2)
    assert (outcome.measured, outcome.kept) == (0, 3)


def test_other_settings_are_measured_again_in_place_of_the_old(workshop, results):
    case = workshop.case("x", workshop.solver("A", 1))
    run(workshop.benchmark(case), BOTH, results, runs=1)
    assert run(workshop.benchmark(case), BOTH, results, runs=2).measured == 1
    more = workshop.case("x", workshop.solver("A", 1), workshop.solver("B", 1))
    assert run(workshop.benchmark(more), BOTH, results, runs=2).measured == 1
    assert [len(record["rows"]) for record in results.cases] == [2]


def test_only_the_groups_chosen_are_run_and_others_stay(workshop, results):
    a, b = (workshop.case(name, workshop.solver("A", 1), group=name) for name in "ab")
    run(workshop.benchmark(a, b), Choice(("b",)), results, runs=1)
    assert [case["name"] for case in results.cases] == ["b"]
    run(workshop.benchmark(a, b), Choice(("a",)), results, runs=1)
    assert {case["name"] for case in results.cases} == {"a", "b"}


def test_what_is_absent_is_told_and_not_stored(workshop, results):
    case = workshop.case("x", workshop.solver("A", 1), absent="no file")
    outcome = run(workshop.benchmark(case), BOTH, results, runs=1)
    assert (outcome.measured, outcome.kept, results.cases) == (0, 0, [])
    assert outcome.absent[0]["rows"][0]["reason"] == "no file"


def test_the_observer_counts_up(workshop, results):
    steps = []
    cases = [workshop.case(name, workshop.solver("A", 1)) for name in "xy"]
    cell = Cell("b", "cell", {"number": 3}, threads_of)
    run(workshop.benchmark(*cases, cell), BOTH, results, runs=1, observer=steps.append)
    assert [(step.done, step.total) for step in steps] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert steps[0].words == "x: A, run 1 of 1"


def threads_of(settings):
    """What a cell sees."""
    return {"threads": torch.get_num_threads(), "square": settings["number"] ** 2}


def test_cells_have_one_thread_and_are_kept_one_by_one(workshop, results):
    cells = [Cell("a", f"cell {number}", {"number": number}, threads_of) for number in (1, 2, 3)]
    counted = count(cells, jobs=1)
    assert next(counted) == (cells[0], {"threads": 1, "square": 1})
    counted.close()
    benchmark = workshop.benchmark(*cells[:1])
    assert run(benchmark, BOTH, results, runs=1).measured == 1
    assert run(benchmark, BOTH, results, runs=5).kept == 1  # rounds do not matter to what is not timed
    [stored] = json.loads(results.path.read_text(encoding="utf-8"))["cells"]
    assert (stored["name"], stored["facts"]) == ("cell 1", {"threads": 1, "square": 1})


def test_cells_run_side_by_side():
    cells = [Cell("a", str(number), {"number": number}, partial(dict)) for number in range(4)]
    assert sorted(facts["number"] for _, facts in count(cells, jobs=2)) == [0, 1, 2, 3]


def ended_from_outside(settings):
    """As the system does where memory runs out."""
    if settings["number"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return settings


def test_a_lost_process_is_said():
    cells = [Cell("a", str(number), {"number": number}, ended_from_outside) for number in range(3)]
    counted = count(cells, jobs=1)
    assert next(counted) == (cells[0], {"number": 0})
    with pytest.raises(WorkerLost, match="is there memory"):
        next(counted)


def surroundings(settings):
    return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


def test_workers_are_born_with_one_thread_and_the_parent_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    cell = Cell("a", "a", {}, surroundings)
    assert list(count([cell])) == [(cell, {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_peak_memory_is_that_of_the_run_and_a_failure_says_why():
    data = Matrix(np.ones((1000, 1000)), rank=1)
    growth = peak_growth(randomized_svd, data) / data.Y.nbytes
    assert 0.9 < growth < 8  # at least the answer, which is as large as Y
    pytest.importorskip("rpca")
    with pytest.raises(RuntimeError, match="ValueError: Expected positive number of components"):
        peak_growth(partial(accaltproj, stacked=False), Matrix(np.ones((9, 9)), rank=0))


def test_memory_is_weighed_where_asked(workshop, monkeypatch):
    monkeypatch.setattr("twofold.benchmarks.runner.peak_growth", lambda prepare, data: 84)
    rows = measure(workshop.case("x", workshop.solver("A", 1), memory=lambda data: 42), 1)
    assert rows[0]["facts"]["memory"] == 2

    def fails(prepare, data):
        raise RuntimeError("killed")

    monkeypatch.setattr("twofold.benchmarks.runner.peak_growth", fails)
    rows = measure(workshop.case("x", workshop.solver("A", 1), memory=lambda data: 42), 1)
    assert (rows[0]["facts"]["memory"], rows[0]["facts"]["memory failure"]) == (None, "killed")
    assert rows[0]["outcome"] == "ok"


def test_results_survive_a_failing_write(workshop, results, monkeypatch):
    case = workshop.case("x", workshop.solver("A", 1))
    run(workshop.benchmark(case), BOTH, results, runs=1)
    before = results.path.read_bytes()

    def full(self):
        raise OSError("no space")

    monkeypatch.setattr(Results, "_text", full)
    with pytest.raises(OSError, match="no space"):
        run(workshop.benchmark(workshop.case("y", workshop.solver("A", 1))), BOTH, results, runs=1)
    assert results.path.read_bytes() == before
    assert [path.name for path in results.path.parent.iterdir()] == ["toy.json"]


def test_a_short_run_is_repeated_in_its_turn_and_its_median_counts(workshop):
    case = workshop.case("c", workshop.solver("short", 0.1, 0.4, 0.2, 0.3, 0.2, 0.9), workshop.solver("long", 0.6))
    short, long = measure(case, runs=2)
    assert [run["seconds"] for run in short["runs"]] == pytest.approx([0.2, 0.9])
    assert [run["seconds"] for run in long["runs"]] == pytest.approx([0.6, 0.6])
    assert workshop.calls == ["data of c", *["short"] * 5, "long", "short", "long"]
