"""The matrix benchmark: its cases, its solvers on small matrices, its phase transition, its figures."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest

from twofold.benchmarks import GROUPS, NAMES, load
from twofold.benchmarks.cases import Answer, Choice
from twofold.benchmarks.matrix import BENCHMARK, phase
from twofold.benchmarks.matrix.datasets import synthetic
from twofold.benchmarks.matrix.objective import Matrix, judge_matrix, judge_rows
from twofold.benchmarks.matrix.sensing import judge_measurements
from twofold.benchmarks.matrix.solvers import MATRIX_SOLVERS, NOISE_SOLVERS, ROW_SOLVERS, VIDEO_SOLVERS
from twofold.datasets import low_rank_plus_sparse

FULL = Choice(tuple(BENCHMARK.groups))
QUICK = Choice(tuple(BENCHMARK.groups), quick=True)
SOLVERS = {solver.name: solver for solver in (*MATRIX_SOLVERS, *NOISE_SOLVERS, *VIDEO_SOLVERS)}
NOT_ROBUST = {name for name in SOLVERS if "not robust" in name}
NOISY = {"stable PCP, told the noise level"}  # without noise its program is PCP, which it solves slowly
BREAKS = {"AccAltProj (rpca), told the rank"}  # it subtracts column means that outliers have moved


def matrix(n: int = 60, rank: int = 2, outliers: float = 0.05, **options: float) -> Matrix:
    """A small one that everybody robust recovers."""
    data = low_rank_plus_sparse(n, rank, outliers, random_state=0, **options)
    return Matrix(data.observed, rank, data.low_rank, data.outliers != 0, noise=options.get("noise", 0.0))


def solved(name: str, data: Matrix) -> Answer:
    """The answer of a solver, or a skipped test without its package."""
    solver = SOLVERS[name]
    if solver.needs:
        pytest.importorskip(solver.needs)
    return solver.prepare(data)()


@pytest.mark.parametrize("choice", [FULL, QUICK], ids=["full", "quick"])
def test_cases_have_names_of_their_own_settings_in_json_and_solvers_that_take_them(choice):
    cases, cells = BENCHMARK.plan(choice)
    names = [(part.group, part.name) for part in (*cases, *cells)]
    assert len(set(names)) == len(names)
    assert {group for group, _ in names} == set(BENCHMARK.groups)
    for case in cases:
        assert json.loads(json.dumps(case.settings)) == case.settings
        assert not case.solvers[0].refuses(case)  # times are multiples of the first one's
        assert case.solvers[0].name.startswith("twofold")
        assert len({solver.name for solver in case.solvers}) == len(case.solvers)


def test_the_cases_of_the_protocol_are_there():
    cases, cells = BENCHMARK.plan(FULL)
    settings = [case.settings for case in cases if case.group in ("headline", "grid")]
    shapes = {(s["n"], s["rank"], s["outliers"], s["missing"]) for s in settings}
    headline = {(1000, 50, 0.1, 0), (500, 10, 0.3, 0), (500, 10, 0.3, 0.2), (2000, 20, 0.2, 0), (5000, 50, 0.1, 0)}
    sizes, percents, outliers = (500, 1000, 2000), (1, 5, 10), (0.05, 0.1, 0.2, 0.3)
    grid = {(n, n * percent // 100, p, 0) for n in sizes for percent in percents for p in outliers}
    assert headline | grid <= shapes
    assert {case.settings["condition"] for case in cases if case.group == "hard"} >= {1, 10, 100}
    assert len(cells) == 400
    assert cells[0].settings["trials"] == 10
    assert {cell.settings["rank"] for cell in cells} == set(range(5, 101, 5))
    assert [len(parts) for parts in BENCHMARK.plan(Choice(("rows",)))] == [1, 0]


def test_who_takes_what():
    def taken(case):
        return {solver.name: not solver.refuses(case) for solver in MATRIX_SOLVERS}

    missing = taken(synthetic("headline", 500, 10, 0.3, missing=0.2))
    assert [name for name, takes in missing.items() if takes] == [
        "twofold, with certificate",
        "twofold, certify=False",
        "robust_pca (tensorly), reg_E=2/√n, 500 steps",
    ]
    assert not taken(synthetic("grid", 2000, 100, 0.1))["pyrpca, rho=1.5 (its default)"]
    assert taken(synthetic("grid", 2000, 20, 0.1))["pyrpca, rho=1.5 (its default)"]  # in the time figure
    assert taken(synthetic("grid", 100, 5, 0.1))["PCP by SCS (cvxpy)"]
    refusal = MATRIX_SOLVERS[2].refuses(synthetic("headline", 5000, 50, 0.1))
    assert refusal == "more entries than 2000×2000, its limit here, to save time"


@pytest.mark.parametrize("name", sorted(set(SOLVERS) - NOT_ROBUST - NOISY - BREAKS))
def test_every_robust_solver_recovers_a_small_matrix(name):
    data = matrix()
    before = data.Y.copy()
    answer = solved(name, data)
    facts, failure = judge_matrix(data, answer)
    assert failure == ""
    assert facts["error"] < 1e-4
    rank = answer.facts["rank"]
    assert (rank() if callable(rank) else rank) == 2
    assert (answer.failure() if callable(answer.failure) else answer.failure) == ""
    np.testing.assert_array_equal(data.Y, before)


@pytest.mark.parametrize("name", sorted(NOT_ROBUST | BREAKS))
def test_who_is_not_robust_is_seen_to_fail(name):
    data = matrix()
    _, failure = judge_matrix(data, solved(name, data))
    assert failure.startswith("wrong answer: error ")
    assert failure.endswith(", above 1e-03")


@pytest.mark.parametrize("name", ["robust_pca (tensorly), reg_E=2/√n, 500 steps", "PCP by SCS (cvxpy)"])
def test_peers_that_take_missing_entries_fill_them(name):
    data = matrix(missing_fraction=0.1)
    assert judge_matrix(data, solved(name, data))[1] == ""


def test_a_limit_is_said(monkeypatch):
    module = pytest.importorskip("pyrpca")
    monkeypatch.setattr(module, "rpca_pcp_ialm", lambda Y, *arguments, **options: (0 * Y, Y / 2))
    failure = solved("pyrpca, rho=1.2", matrix()).failure
    assert failure() == "1000 steps were not enough (residual 5.0e-01)"


def test_the_oracle_reaches_what_the_noise_allows():
    n, rank, noise, outliers = 120, 3, 1e-3, 0.1
    data = matrix(n, rank, outliers, noise=noise * math.sqrt(rank))
    oracle = judge_matrix(data, solved("oracle least squares, told rank and support", data))[0]["error"]
    expected = noise * math.sqrt(2 * rank / (n * (1 - outliers)))  # the degrees of freedom among the clean entries
    assert oracle == pytest.approx(expected, rel=0.1)
    assert judge_matrix(data, solved("twofold, certify=False", data))[0]["error"] < 1.1 * oracle


def test_without_a_truth_the_residual_is_given():
    data = Matrix(np.array([[1.0, 2.0, 9.0, np.nan]]), 1)
    assert judge_matrix(data, Answer(np.ones((1, 4)))) == ({"median residual": 1.0}, "")


def test_measurements_of_each_kind_are_recovered_by_everybody_who_takes_them():
    """The quick cases beside SCS; the large ones by twofold alone, certified."""
    pytest.importorskip("cvxpy")
    for case in BENCHMARK.plan(Choice(("sensing",), quick=True))[0]:
        data = case.make()
        for solver in case.solvers:
            assert solver.refuses(case) == ""
            facts, failure = judge_measurements(data, solver.prepare(data)())
            assert failure == "", (case.name, solver.name)
            assert not solver.name.startswith("twofold") or facts["error"] < 1e-8
    full = BENCHMARK.plan(Choice(("sensing",)))[0]
    assert {case.settings["kind"] for case in full} == {"Gaussian", "quadratic", "random subset", "Fourier"}
    fourier = next(case for case in full if case.settings["kind"] == "Fourier")
    assert "its matrix would have more than" in fourier.solvers[2].refuses(fourier)
    data = fourier.make()
    assert data.y.shape == (6000,)
    answer = fourier.solvers[0].prepare(data)()
    assert judge_measurements(data, answer)[0]["error"] < 1e-8
    assert answer.facts["verified gap"]() < 1e-9


def test_stable_pcp_solves_its_program():
    cp = pytest.importorskip("cvxpy")
    data = matrix(20, 2, 0.1, noise=0.05)
    answer = solved("stable PCP, told the noise level", data)
    n, mu = 20, 0.05 * math.sqrt(2 * 20)
    X, S = cp.Variable((n, n)), cp.Variable((n, n))
    misfit = cp.sum_squares(data.Y - X - S) / (2 * mu)
    problem = cp.Problem(cp.Minimize(cp.normNuc(X) + cp.sum(cp.abs(S)) / math.sqrt(n) + misfit))
    problem.solve(solver=cp.CLARABEL)
    np.testing.assert_allclose(answer.value, X.value, atol=1e-3)
    assert answer.failure == ""


def test_new_rows_are_judged_by_what_their_scores_stand_for():
    [case] = BENCHMARK.plan(Choice(("rows",), quick=True))[0]
    data = case.make()
    assert (data.Y.shape, data.training.shape) == ((2000, 200), (200, 200))
    failures = {}
    for solver in ROW_SOLVERS:
        if solver.needs:
            pytest.importorskip(solver.needs)
        failures[solver.name] = judge_rows(data, solver.prepare(data)())[1]
    first, *others = failures.values()
    assert first == ""
    assert all(failure.startswith("wrong answer") for failure in others)


def test_videos_are_read_where_they_are_and_named_where_not(tmp_path):
    from twofold.io.videos import mp4_writer

    (tmp_path / "video").mkdir()
    path = tmp_path / "video" / "shop.avi"
    with path.open("wb") as file:
        mp4_writer(np.full((30, 16, 24), 90, np.uint8), 16, Fraction(10), path)(file)
    shop, highway, blobs = BENCHMARK.plan(Choice(("video",), quick=True, data=tmp_path))[0]
    assert shop.absent == ""
    assert highway.absent == f"no video/highway.avi in --data {tmp_path}"
    data = shop.make()
    assert (data.Y.shape, data.Y.dtype, data.X) == ((16 * 24, 20), np.float32, None)
    assert BENCHMARK.plan(Choice(("video",)))[0][0].absent == "no --data DIR with video/shop.avi"
    clip = blobs.make()
    assert clip.target == pytest.approx(1 / np.sqrt(np.mean(clip.X.astype(float) ** 2)))


def test_pursuit_agrees_with_cvxpy():
    cp = pytest.importorskip("cvxpy")
    Y = low_rank_plus_sparse(16, 2, 0.1, random_state=0).observed
    X, gap = phase.pursued(Y)
    assert gap <= phase.GAP
    variable = cp.Variable(Y.shape)
    weight = 1 / math.sqrt(16)
    problem = cp.Problem(cp.Minimize(cp.normNuc(variable) + weight * cp.sum(cp.abs(Y - variable))))
    problem.solve(solver=cp.CLARABEL)
    assert np.linalg.norm(X, "nuc") + weight * np.abs(Y - X).sum() == pytest.approx(problem.value, rel=1e-6)
    np.testing.assert_allclose(X, variable.value, atol=1e-3)


def test_a_cell_counts_its_trials():
    settings = {"n": 30, "rank": 1, "outliers": 0.05, "trials": 2, "descent trials": 1, "seed": [1, 1]}
    facts = phase.count(settings)
    assert facts["recovered"] == {"twofold": 2, "PCP": 2, "plain descent": 1}
    assert max(facts["errors"]["twofold"]) < 1e-8
    assert [len(errors) for errors in facts["errors"].values()] == [2, 2, 1]
    assert (facts["unfinished"], facts["broken"]) == (0, [])
    hopeless = phase.count({**settings, "rank": 20, "outliers": 0.5, "descent trials": 0})
    assert hopeless["recovered"] == {"twofold": 0, "PCP": 0, "plain descent": 0}


def test_a_trial_that_breaks_off_is_counted_as_lost_and_its_reason_kept(monkeypatch):
    def broken(Y):
        raise ArithmeticError("no way")

    monkeypatch.setattr(phase, "recovered_by_twofold", broken)
    facts = phase.count({"n": 20, "rank": 1, "outliers": 0.05, "trials": 1, "descent trials": 0, "seed": [1, 1]})
    assert facts["recovered"] == {"twofold": 0, "PCP": 1, "plain descent": 0}
    assert facts["errors"]["twofold"] == [None]
    assert facts["broken"] == ["twofold, trial 0: ArithmeticError: no way"]


def cell_records(*recovered: tuple[int, int], descent_trials: int = 0) -> list[dict]:
    """Records of a 2 × 2 grid with the trials that twofold and PCP recover of ten."""
    places = [(5, 0.25), (5, 0.5), (10, 0.25), (10, 0.5)]
    return [
        {
            "group": "phase",
            "name": f"n=20 r={rank} p={p}",
            "settings": {
                "n": 20,
                "steps": 2,
                "rank": rank,
                "outliers": p,
                "trials": 10,
                "seed": [1, 1],
                "descent trials": descent_trials,
            },
            "facts": {
                "recovered": {"twofold": ours, "PCP": theirs, "plain descent": 1},
                "unfinished": 0,
                "broken": [],
            },
        }
        for (rank, p), (ours, theirs) in zip(places, recovered, strict=False)
    ]


def test_areas_and_lost_cells_are_those_of_the_counts():
    records = cell_records((10, 10), (8, 9), (10, 1), (0, 0))
    assert phase.areas(records) == pytest.approx({"twofold": 0.7, "PCP": 0.5})
    assert [record["name"] for record in phase.lost(records)] == ["n=20 r=5 p=0.5"]
    ranks, outliers, rate = phase.rates(records)
    assert (ranks.tolist(), outliers.tolist()) == ([0.25, 0.5], [0.25, 0.5])
    np.testing.assert_array_equal(rate["PCP"], [[1, 0.9], [0.1, 0]])
    words = " ".join(phase.summary(records))
    assert "twofold 70.0% of the square" in words
    assert "twofold 1.40 times PCP's area" in words
    assert "n=20 r=5 p=0.5 (8 of 10, PCP 9)" in words
    assert "3 of 4 cells so far" in " ".join(phase.summary(records[:3]))
    assert "descent" not in words
    beside = cell_records((10, 10), descent_trials=2)
    assert phase.areas(beside)["plain descent"] == 0.5
    assert "on every fourth rank and share, trials each: 2; recovered 50.0%." in " ".join(phase.summary(beside))


def test_coarse_grids_come_first():
    cells = phase.cells(FULL)
    quarter = {(cell.settings["seed"][0] % 2, cell.settings["seed"][1] % 2) for cell in cells[:100]}
    assert quarter == {(0, 0)}
    assert phase.cells(Choice(("grid",))) == []


def time_record(n: int, *rows: tuple[str, float | None, float | None]) -> dict:
    case = synthetic("grid", n, n // 100, 0.1)
    return {
        "group": "grid",
        "name": case.name,
        "settings": {**case.settings, "runs": 1},
        "rows": [
            {"solver": name, "seconds": seconds, "outcome": "ok" if error else "failed", "facts": {"error": error}}
            for name, seconds, error in rows
        ],
    }


def test_figures_are_drawn_of_what_there_is():
    draw = BENCHMARK.figures
    assert draw["time"]([], []) is None
    assert draw["phase"]([], []) is None
    records = [
        time_record(200, ("twofold", 0.1, 1e-9), ("peer", 1.0, 1e-7), ("not installed", None, None)),
        time_record(400, ("twofold", 0.2, 2e-9), ("peer", 4.0, None)),
    ]
    figure = draw["time"](records, [])
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["twofold: error 1e-09 to 2e-09", "peer: error 1e-07"]
    cells = cell_records((10, 10), (8, 9), (10, 1), (0, 0))
    titles = [axes.get_title() for axes in draw["phase"]([], cells).axes]
    assert titles[:2] == ["twofold: 70.0% of the square", "PCP: 50.0% of the square"]
    both = cell_records((10, 10), (8, 9), (10, 1), (0, 0)), cell_records((10, 10), descent_trials=2)[:1]
    titles = [axes.get_title() for axes in draw["phase"]([], both[1] + both[0][1:]).axes]
    assert titles[2] == "plain descent: 50.0% of the square"
    assert "3 of 4 cells so far" in draw["phase"]([], cells[:3]).get_suptitle()


def test_benchmarks_are_found_by_name():
    assert [load(name).name for name in NAMES] == list(NAMES)
    assert {name: tuple(load(name).groups) for name in NAMES} == GROUPS
    with pytest.raises(ValueError, match=r"^'matrx': no such benchmark; accepted are matrix"):
        load("matrx")
