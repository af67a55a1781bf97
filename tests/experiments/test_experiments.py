"""The experiments: their parts, the runner, and the checks of those with images and labels, which can fail."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from tests.experiments.records import record, verdicts
from twofold.benchmarks.cases import Cell
from twofold.benchmarks.results import Results
from twofold.experiments import (
    NAMES,
    image_overfitting,
    images,
    labels,
    load,
    pictures,
)
from twofold.experiments.experiment import Choice
from twofold.experiments.runner import checks_of, records_of, run


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
