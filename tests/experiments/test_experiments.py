"""The experiments: their parts, their checks (which can fail), and the convex programs that they compare with."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from twofold import devices
from twofold.benchmarks.cases import Cell
from twofold.benchmarks.results import Results
from twofold.experiments import (
    NAMES,
    alpha,
    image_overfitting,
    images,
    labels,
    load,
    overfitting,
    phase,
    pictures,
    starts,
    theorem,
)
from twofold.experiments.experiment import Choice
from twofold.experiments.runner import checks_of, records_of, run


@pytest.fixture(autouse=True)
def one_thread():
    """As the runner computes parts."""
    with devices.one_thread():
        yield


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quick", [False, True])
def test_parts_have_names_of_their_own_and_settings_in_json_without_paths(name, quick, tmp_path):
    experiment = load(name)
    assert experiment.name == name
    cells = experiment.cells(Choice(quick, None, tmp_path / "pictures"))
    assert len({cell.name for cell in cells}) == len(cells) > 1
    for cell in cells:
        assert cell.group == name
        assert json.loads(json.dumps(cell.settings)) == cell.settings
        assert str(tmp_path) not in json.dumps(cell.settings)


def test_the_quick_sizes_are_small_and_the_full_ones_have_more():
    for name in NAMES:
        experiment = load(name)
        quick, full = (experiment.cells(Choice(quick, None, Path())) for quick in (True, False))
        assert len(quick) <= len(full)


def test_an_unknown_experiment_is_refused():
    with pytest.raises(ValueError, match=r"'nothing': no such experiment; accepted are overfitting"):
        load("nothing")


# Records are made by hand or by tiny computations; each check is turned by spoiling what it is about.


def record(name: str, settings: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "settings": settings, "facts": facts}


def verdicts(checks) -> list[bool | None]:
    return [check.holds for check in checks]


def overfitting_records() -> list[dict[str, Any]]:
    curves = {
        "l2, exact rank": [1.0, 0.8], "l1, exact rank": [1.0, 1e-4], "Huber, exact rank": [1.0, 0.03],
        "l2, over-parameterized": [1.0, 3.0], "l1, over-parameterized": [0.05, 2.0],
        "Huber, over-parameterized": [0.05, 2.0], overfitting.DOUBLE: [0.02, 0.005],
    }  # fmt: skip
    made = [
        record(name, {}, {"steps": [1, 10], "error": errors, "loss": [0.1, 0.01]}) for name, errors in curves.items()
    ]
    acts = {"steps": [60], "error": [1e-9], "rank": 2, "status": "certified"}
    return [*made, record(overfitting.ACTS, {}, acts)]


def test_overfitting_checks_turn_with_what_is_found():
    good = overfitting_records()
    assert verdicts(overfitting.checks(good)) == [True] * 6
    assert isinstance(overfitting.figure(good, Path()), Figure)
    assert "steps to the power -0.60" in overfitting.remarks(good)[0]
    for index, (name, errors) in enumerate(
        [
            ("l1, exact rank", [1.0, 0.1]), ("l2, exact rank", [1.0, 0.01]), ("l1, over-parameterized", [1.0, 0.05]),
            ("Huber, over-parameterized", [0.5, 2.0]), (overfitting.DOUBLE, [0.004, 0.009]),
            (overfitting.ACTS, [1e-3]),
        ]
    ):  # fmt: skip
        bad = copy.deepcopy(good)
        next(r for r in bad if r["name"] == name)["facts"]["error"] = errors
        assert verdicts(overfitting.checks(bad)) == [i != index for i in range(6)], name


def test_overfitting_on_a_small_instance():
    settings = {"n": 12, "rank": 1, "measurements": 60, "outliers": 0.1, "seed": 0, "steps": 4000}
    exact = overfitting.compute({**settings, "method": "l1, exact rank"})
    over = overfitting.compute({**settings, "method": "l1, over-parameterized"})
    double = overfitting.compute({**settings, "method": overfitting.DOUBLE})
    acts = overfitting.compute({**settings, "method": overfitting.ACTS})
    assert exact["error"][-1] < 1e-2 < 0.5 < over["error"][-1]
    assert over["loss"][-1] < exact["loss"][-1]  # it fits better, and is wrong
    assert double["error"][-1] == min(double["error"]) < 0.1
    assert acts["error"][-1] < 1e-6
    assert exact["steps"] == over["steps"] == double["steps"]


@pytest.mark.parametrize("seed", [0, 4])
def test_convex_programs_of_the_theorem_are_those_of_a_general_solver(seed):
    for kind in (theorem.OTHER, theorem.GENERAL):
        A, _, _, y = theorem.instance(kind, seed)
        X, s = cp.Variable((8, 8), PSD=True), cp.Variable(len(y))
        program = cp.Problem(
            cp.Minimize(cp.trace(X) + cp.norm1(s) / 0.7),
            [cp.trace(A[i] @ X) + s[i] == y[i] for i in range(len(y))],
        )
        program.solve(solver=cp.CLARABEL)
        solve = theorem.semidefinite_program if kind == theorem.GENERAL else theorem.linear_program
        found_X, found_s, objective = solve(A, y, 0.7)
        assert objective == pytest.approx(program.value, rel=1e-6)
        np.testing.assert_allclose(found_X, X.value, atol=1e-4)
        np.testing.assert_allclose(found_s, s.value, atol=1e-4)


def test_the_theorem_does_not_depend_on_the_common_basis():
    """Diagonal A_i and the same ones turned by an orthogonal Q have the same limit, turned by Q."""
    from twofold.experiments.dynamics import follow
    from twofold.models.factored import SymmetricFactors
    from twofold.operators import LinearMap
    from twofold.outliers import HadamardOutliers
    from twofold.problem import Problem

    A, _, _, y = theorem.instance(theorem.OTHER, 0)
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    limits = []
    for basis in (np.eye(8), Q):
        turned = np.einsum("ij,mjk,lk->mil", basis, A, basis)
        operator = LinearMap.from_matrix(torch.from_numpy(turned.reshape(len(y), 64)), (8, 8))
        signal = SymmetricFactors.identity(8, 1e-3, dtype=torch.float64, device=torch.device("cpu"))
        outliers = HadamardOutliers(y.shape, start_scale=1e-3, dtype=torch.float64)
        problem = Problem(torch.from_numpy(y), None, operator)
        follow(problem, signal, outliers, tau=5e-3, alpha=1.0, n_steps=8000, look=lambda residual: {})
        limits.append(basis.T @ signal.value().numpy() @ basis)
    np.testing.assert_allclose(limits[1], limits[0], atol=1e-6)


def theorem_record(sweep: str, kind: str, seed: int, power: int, **facts: Any) -> dict[str, Any]:
    settings = {"sweep": sweep, "kind": kind, "seed": seed, "alpha": 1.0, "power": power}
    given = {"residual": 1e-10, "stop": "terminated", "truth": kind == theorem.TRUTH, "complementarity": 0.3}
    return record(f"{sweep} {kind} {seed} {power}", settings, {**given, **facts})


def theorem_records() -> list[dict[str, Any]]:
    made = []
    for kind in (theorem.OTHER, theorem.TRUTH):
        for power, distance in ((2, 0.1), (8, 1e-3), (16, 1e-5)):
            made.append(theorem_record("start", kind, 0, power, distance=distance, excess=distance / 10))
    made.append(theorem_record("alpha", theorem.OTHER, 0, 16, distance=1e-5, excess=1e-6))
    made += [theorem_record("step", theorem.OTHER, 0, 4, distance=d, excess=0.0) for d in (0.012, 0.0105, 0.0101)]
    return [*made, theorem_record("general", theorem.GENERAL, 0, 4, distance=0.6, excess=0.1)]


def test_theorem_checks_turn_with_what_is_found():
    good = theorem_records()
    assert verdicts(theorem.checks(good)) == [True] * 7
    assert isinstance(theorem.figure(good, Path()), Figure)
    assert "start 1e-4: 0.6" in theorem.remarks(good)[-1]

    def spoilt(index: int, **facts: Any) -> list[bool | None]:
        bad = copy.deepcopy(good)
        bad[index]["facts"].update(facts)
        return verdicts(theorem.checks(bad))

    assert spoilt(2, excess=2e-4)[0] is False
    assert spoilt(2, distance=2e-3)[1] is False
    assert spoilt(1, distance=0.2)[2] is False  # rises on the way
    assert spoilt(2, excess=5e-4)[3] is False  # larger than before
    assert spoilt(2, truth=True)[4] is False  # no instance of the other kind
    assert spoilt(6, excess=1e-3)[5] is False
    assert spoilt(9, distance=0.009)[6] is False
    # An instance without strict complementarity is not asked for, but told of.
    slow = copy.deepcopy(good)
    slow[2]["facts"].update(distance=0.1, excess=1e-3, complementarity=0.01)
    assert verdicts(theorem.checks(slow))[:2] == [True, True]
    assert theorem.remarks(slow)[0].startswith("Slow in the start: convex solution is not the truth, seed 0")


def test_theorem_on_one_instance():
    """A quarter of the quick start sweep of one instance, with nothing made smaller."""
    wanted = [
        cell
        for cell in theorem.cells(Choice(True, None, Path()))
        if (cell.settings["sweep"], cell.settings["kind"], cell.settings["seed"]) == ("start", theorem.OTHER, 4)
        and cell.settings["power"] in (2, 8, 30)
    ]
    facts = [theorem.compute(cell.settings) for cell in wanted]
    distances = [fact["distance"] for fact in facts]
    assert distances[0] > 10 * distances[1] > 100 * distances[2]
    assert distances[2] <= 1e-3
    assert abs(facts[2]["excess"]) <= 1e-4
    assert not facts[2]["truth"]  # it follows the program, not the truth


def test_alpha_on_a_small_matrix_and_its_checks():
    base = {"n": 50, "rank": 1, "outliers": 0.05, "seed": 0, "steps": 2000}
    at = {
        m: alpha.compute({**base, "method": m, "ratio": 1.0})["error"]
        for m in (alpha.ACTS, alpha.DESCENT, alpha.PROGRAM)
    }
    assert at[alpha.ACTS] < 1e-8
    assert at[alpha.PROGRAM] < 1e-6
    assert at[alpha.DESCENT] < 1e-2
    assert alpha.compute({**base, "method": alpha.PROGRAM, "ratio": 4.0})["error"] > 0.1
    records = [
        record(f"{method} {ratio}", {"n": n, "method": method, "ratio": ratio}, {"error": error})
        for n in (50, 100)
        for method in (alpha.ACTS, alpha.DESCENT, alpha.PROGRAM)
        for ratio, error in ((0.25, 0.1), (0.5, 5e-4), (1.0, 1e-4), (2.0, 5e-4), (4.0, 0.1))
    ]
    assert verdicts(alpha.checks(records)) == [True] * 4
    assert isinstance(alpha.figure(records, Path()), Figure)
    assert "from 0.5 to 2" in alpha.remarks(records)[0]
    worse = [replace_error(r, 0.1) if r["settings"]["ratio"] in (0.5, 1.0) else r for r in records]
    assert verdicts(alpha.checks(worse))[:3] == [False, False, False]
    moved = [replace_error(r, 1e-6) if r["settings"]["ratio"] == 4.0 else r for r in records]
    assert verdicts(alpha.checks(moved))[3] is False


def replace_error(given: dict[str, Any], error: float) -> dict[str, Any]:
    return {**given, "facts": {"error": error}}


def test_phase_on_one_cell_of_each_kind_and_its_checks():
    settings = {"kind": "outliers", "n": 40, "rank": 1, "outliers": 0.05, "trials": 1}
    facts = phase.compute(settings)
    easy, worst = facts["recovered"], facts["worst"]
    assert worst[phase.ACTS] < 1e-9 < worst[phase.PROGRAM] < phase.TARGET < worst[phase.TWICE]
    assert easy[phase.ACTS] == easy[phase.PROGRAM] == easy[phase.EXACT] == 1
    assert easy[phase.TWICE] == 0
    sensed = phase.compute({"kind": "measurements", "n": 20, "rank": 1, "m": 200, "trials": 1})["recovered"]
    assert sensed == {phase.ACTS: 1, phase.PROGRAM: 1}
    full = {phase.ACTS: 2, phase.PROGRAM: 1, phase.DESCENT: 1, phase.EXACT: 2, phase.TWICE: 0, phase.LARGE: 1}
    base = {"n": 40, "trials": 2, "rank": 1}
    records = [
        record("a", {**base, "kind": "outliers", "outliers": 0.1}, {"recovered": full}),
        record("b", {**base, "kind": "measurements", "m": 80}, {"recovered": {phase.ACTS: 2, phase.PROGRAM: 2}}),
    ]
    assert verdicts(phase.checks(records)) == [True] * 4
    assert isinstance(phase.figure(records, Path()), Figure)
    assert "50% of the trials (0% with the smaller one)" in phase.remarks(records)[0]
    tried = {**base, "kind": "again", "outliers": 0.2, "trials": 1, "start": 1e-9, "steps": 2000}
    facts = phase.compute(tried)
    assert set(facts["worst"]) == {phase.DESCENT}
    assert facts["worst"][phase.DESCENT] > phase.compute({**tried, "outliers": 0.02})["worst"][phase.DESCENT]
    records.append(record("c", tried, {"worst": {phase.DESCENT: 0.02}}))
    assert "start 1e-09, 2000 steps: 2.0e-02. Neither a smaller start nor" in phase.remarks(records)[1]
    lost = copy.deepcopy(records)
    lost[0]["facts"]["recovered"] = {**full, phase.PROGRAM: 2, phase.ACTS: 1, phase.TWICE: 2, phase.DESCENT: 0}
    lost[0]["facts"]["worst"] = {phase.DESCENT: 0.025, phase.TWICE: 0.5}
    assert phase.remarks(lost)[0].endswith(
        "an error of 2.5e-02 in the median, 2.5e-02 at most, of 1e-2 or less in 0; "
        "the l1 loss told twice the rank with 5.0e-01 in the median."
    )
    lost[1]["facts"]["recovered"][phase.ACTS] = 1
    checks = phase.checks(lost)
    assert verdicts(checks) == [False] * 4
    assert "lost: a" in checks[0].found


def test_starts_on_a_small_matrix_and_its_checks():
    base = {"n": 50, "rank": 1, "outliers": 0.05, "seed": 0, "steps": 3000, "sweep": "start", "width": 50}
    errors = [starts.compute({**base, "start": start})["error"][-1] for start in (1e-1, 1e-3, 1e-5)]
    assert errors[0] > 5 * errors[1] > 10 * errors[2]
    narrow = starts.compute({**base, "sweep": "width", "width": 1, "start": 1e-5})["error"][-1]
    assert narrow < 10 * errors[2]
    last = {1e-2: 0.1, 1e-4: 1e-2, 1e-6: 5e-4, 1e-8: 2e-4}
    records = [
        record(f"{s}", {"sweep": "start", "start": s, "width": 50}, {"steps": [0, 1, 9], "error": [1, 0.5, e]})
        for s, e in last.items()
    ] + [
        record(f"{w}", {"sweep": "width", "start": 1e-6, "width": w}, {"steps": [0, 1, 9], "error": [1, 0.5, e]})
        for w, e in ((2, 1e-3), (50, 5e-4))
    ]
    assert verdicts(starts.checks(records)) == [True] * 4
    assert isinstance(starts.figure(records, Path()), Figure)
    bad = copy.deepcopy(records)
    bad[1]["facts"]["error"][-1] = 0.2
    bad[2]["facts"]["error"][1:] = [1e-3, 2e-3]
    bad[4]["facts"]["error"][-1] = 0.1
    assert verdicts(starts.checks(bad)) == [False] * 4


def test_images_leave_pictures_and_numbers(tmp_path):
    settings = {"image": "astronaut", "level": 0.3, "seed": 0, "crop": 48, "preset": "fast"}
    facts = images.compute(settings, data=None, folder=tmp_path / "pictures")
    records = [record("astronaut, 30%", settings, facts)]
    assert facts["psnr"]["twofold"] > facts["psnr"]["noisy"] + 8
    assert (
        pictures.kept(tmp_path / "pictures", facts["pictures"]["truth"]) == pictures.clean("astronaut", None, 48)
    ).all()
    assert isinstance(images.figure(records, tmp_path / "pictures"), Figure)
    assert images.figure(records, tmp_path) is None  # the pictures are gone
    assert "twofold" in images.remarks(records)[0]
    scores = {"noisy": 10, "twofold": 30, "best median": 25, "detect and cubic": 29}
    assert verdicts(images.checks([record("a", settings, {"psnr": scores})])) == [True, True]
    scores["detect and cubic"] = 31
    assert verdicts(images.checks([record("a", settings, {"psnr": scores})])) == [True, False]


def test_image_overfitting_in_a_few_steps_and_its_checks(tmp_path):
    # The paper's 150,000 steps of rate 1 with alpha = 500 and a mean over 3·512² entries, whatever the size here.
    for quick in (True, False):
        settings = image_overfitting.cells(Choice(quick, None, tmp_path))[-1].settings
        moved = settings["ratio"] * 0.01 * settings["steps"]
        assert moved == pytest.approx(150_000 * 500 * 2 / (3 * 512**2), rel=1e-4)
    settings = {"image": "astronaut", "crop": 32, "level": 0.5, "seed": 0, "width": 8, "steps": 20, "ratio": 6.3}
    records = []
    for method in ("l1", image_overfitting.DOUBLE):
        facts = image_overfitting.compute({**settings, "method": method}, data=None, folder=tmp_path)
        records.append(record(f"{method}, width 8", {**settings, "method": method}, facts))
    # Until outliers have grown from 1e-5, both see the same residual and differ by the loss alone.
    assert records[0]["facts"]["psnr"][0] == records[1]["facts"]["psnr"][0]
    assert isinstance(image_overfitting.figure(records, tmp_path), Figure)
    assert isinstance(image_overfitting.pictures(records, tmp_path), Figure)
    for record_, psnr in zip(records, ([10, 22, 12], [10, 25, 25.5]), strict=True):
        record_["facts"]["psnr"] = psnr
    assert verdicts(image_overfitting.checks(records)) == [True] * 3
    for record_, psnr in zip(records, ([10, 22, 21], [10, 22, 20]), strict=True):
        record_["facts"]["psnr"] = psnr
    assert verdicts(image_overfitting.checks(records)) == [False] * 3


def test_image_alpha_checks_turn_with_what_is_found(tmp_path):
    experiment = load("image-alpha")
    records = [
        record(f"{a}", {"image": "a", "width": 32, "alpha": a}, {"psnr": p})
        for a, p in ((50.0, 20.0), (250.0, 29.8), (500.0, 30.0), (1000.0, 29.7), (5000.0, 25.0))
    ]
    assert verdicts(experiment.checks(records)) == [True, True]
    assert isinstance(experiment.figures["psnr"].draw(records, tmp_path), Figure)
    records[0]["facts"]["psnr"], records[1]["facts"]["psnr"] = 31.0, 29.0
    assert verdicts(experiment.checks(records)) == [False, False]


def test_label_checks_turn_with_what_is_found():
    test = {labels.PLAIN: [0.97, 0.85, 0.65, 0.45], labels.OURS: [0.97, 0.97, 0.95, 0.92], labels.RIGHT: [0.97] * 4}
    kept = {labels.PLAIN: 1.0, labels.OURS: None, labels.RIGHT: 1.0}
    records = [
        record(
            f"{share} {method}",
            {"share": share, "method": method, "seed": 0},
            {"test": accuracy, "agreement": [0.5, 1 - share if kept[method] is None else kept[method]], "found": 0.9}
            | {"false alarms": 0.01},
        )
        for method, accuracies in test.items()
        for share, accuracy in zip(labels.SHARES, accuracies, strict=True)
    ]
    assert verdicts(labels.checks(records)) == [True] * 4
    assert isinstance(labels.figure(records, Path()), Figure)
    assert "40% wrong: cross entropy 65.0%" in labels.remarks(records)[0]
    bad = copy.deepcopy(records)
    for r in bad:
        if r["settings"]["method"] == labels.OURS:
            r["facts"]["test"], r["facts"]["agreement"] = 0.9, [1.0]
        if r["settings"]["method"] == labels.PLAIN:
            r["facts"]["test"] = 0.97
    assert verdicts(labels.checks(bad)) == [False] * 4


# The runner.


def squared(settings):
    """Module level: it goes to other processes."""
    if settings["x"] == 3:
        raise ArithmeticError("three\nis not liked")
    return {"square": settings["x"] ** 2}


def cells_of(numbers) -> list[Cell]:
    return [Cell("overfitting", f"x={x}", {"x": x}, squared) for x in numbers]


def test_what_is_there_is_kept_and_an_exception_spoils_one_part_only(tmp_path):
    results = Results(tmp_path / "a.json", {"benchmark": "a"})
    seen = []
    outcome = run(cells_of([1, 2, 3]), results, jobs=1, observer=lambda step: seen.append((step.done, step.total)))
    assert (outcome.computed, outcome.kept) == (2, 0)
    assert outcome.broken == ["overfitting, x=3: ArithmeticError: three is not liked"]
    assert seen == [(0, 3), (1, 3), (2, 3)]
    again = run(cells_of([1, 2, 4]), results, jobs=1)
    assert (again.computed, again.kept, again.broken) == (1, 2, [])
    records = records_of(cells_of([4, 1]), results)
    assert [r["facts"]["square"] for r in records] == [16, 1]
    experiment = replace(load("overfitting"), checks=lambda records: [])
    missing = checks_of(experiment, cells_of([1, 3]), results)
    assert [(check.found, check.holds) for check in missing] == [("1 of 2 are", None)]
    assert checks_of(experiment, cells_of([1]), results) == []
