"""The image benchmark: its cases, its noise, how an image is judged, its figure."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from twofold import baselines
from twofold.benchmarks.cases import Answer, Choice
from twofold.benchmarks.image import BENCHMARK
from twofold.benchmarks.image.changes import COMPILED
from twofold.benchmarks.image.datasets import FOUR, NOISES, SEEN, corrupted
from twofold.benchmarks.image.objective import Picture, judge, judge_clean
from twofold.benchmarks.image.solvers import BALANCED, CHANGED, CLASSICS, CUBIC, FAST, TWO_STAGES
from twofold.image import run
from twofold.metrics import psnr
from twofold.models import network

ROWS, COLUMNS = np.mgrid[:48, :48]
CLEAN = np.stack([90 + 2 * ROWS, 200 - 3 * COLUMNS, 60 + ROWS + COLUMNS], axis=2).astype(np.uint8)


@pytest.mark.parametrize("quick", [False, True])
def test_cases_have_names_of_their_own_and_settings_in_json(quick):
    cases, cells = BENCHMARK.plan(Choice(tuple(BENCHMARK.groups), quick=quick))
    assert cells == []
    names = [(case.group, case.name) for case in cases]
    assert len(set(names)) == len(names)
    assert {case.group for case in cases} == set(BENCHMARK.groups)
    for case in cases:
        assert json.loads(json.dumps(case.settings)) == case.settings
        assert case.solvers[0].name.startswith("twofold")
        assert case.solvers[0].refuses(case) == ""
    if quick:
        assert not any(case.absent for case in cases)  # no picture that is not installed


def test_a_case_on_another_device_is_another_case():
    [here], [there] = (BENCHMARK.plan(Choice(("speed",), quick=True, device=device))[0] for device in (None, "cpu"))
    assert there.name == f"{here.name}, on cpu"
    assert there.settings == {**here.settings, "device": "cpu"}
    assert (here.make().device, there.make().device) == (None, "cpu")


def test_the_cells_of_the_protocol_are_there(tmp_path):
    cases = BENCHMARK.plan(Choice(("salt", "random"), data=tmp_path))[0]
    cells = {(case.settings["image"], case.settings["noise"], case.settings["level"]) for case in cases}
    salt = {(name, "salt and pepper", level) for name in FOUR for level in (0.1, 0.3, 0.5, 0.7)}
    assert cells == salt | {(name, "random values", level) for name in FOUR for level in (0.1, 0.3, 0.5)}
    assert cases[0].absent == f"no images/F16.png in --data {tmp_path}"
    assert BENCHMARK.plan(Choice(("salt",)))[0][0].absent == "no --data DIR with images/F16.png"
    detector = {case.settings["noise"]: CUBIC.refuses(case) for case in cases}
    assert detector == {"salt and pepper": "", "random values": "looks for black and white only"}


def test_noise_is_that_of_scikit_image_on_channels_first():
    from skimage.util import random_noise

    picture = corrupted(CLEAN, "salt and pepper", 0.3, 5)
    expected = random_noise(CLEAN.transpose(2, 0, 1) / 255, "s&p", amount=0.3, rng=5)
    np.testing.assert_array_equal(picture.noisy, np.rint(255 * expected).astype(np.uint8).transpose(1, 2, 0))
    grey = corrupted(CLEAN[..., 0], "random values", 0.3, 0)
    assert grey.noisy.shape == (48, 48)
    assert (grey.noisy != CLEAN[..., 0]).mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("noise", NOISES)
def test_every_kind_of_noise_leaves_most_entries_alone(noise):
    picture = corrupted(CLEAN, noise, 0.1, 0)
    again = corrupted(CLEAN, noise, 0.1, 0)
    np.testing.assert_array_equal(picture.noisy, again.noisy)
    assert picture.noisy.dtype == np.uint8
    struck = picture.noisy != CLEAN if picture.struck is None else picture.struck
    assert 0.03 < struck.mean() < 0.6
    others = picture.noisy[~struck].astype(float) - CLEAN[~struck]
    assert np.abs(others).max() == 0 or others.std() == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("noise", NOISES)
def test_every_kind_of_noise_takes_grey_pictures(noise):
    assert corrupted(CLEAN[..., 0], noise, 0.1, 0).noisy.shape == (48, 48)


def test_every_solver_improves_a_small_picture():
    picture = corrupted(CLEAN, "salt and pepper", 0.2, 0)
    for solver in (BALANCED, FAST, *CLASSICS):
        facts, failure = judge(picture, solver.prepare(picture)())
        assert failure == "", solver.name
        assert facts["psnr"] > psnr(CLEAN, picture.noisy) + 8


MAY_BE_THE_SAME = (
    "one thread", "channels not last", "half resolution", "act 1 not ended", "no total variation",
    *(() if network._bf16_helps(torch.device("cpu")) else ("float32 throughout",)),
)  # fmt: skip
"""At 48×48 pixels, where the network works at full resolution and without smoothing anyway; on this processor."""


def test_one_thing_is_changed_for_the_time_of_a_run():
    picture = corrupted(CLEAN, "salt and pepper", 0.2, 0)
    unchanged = CHANGED[0].prepare(picture)().value.outlier_probability  # finer than the grey levels of the image
    before = network.Adam, torch.channels_last, torch.get_num_threads(), network._bf16_helps, run.shared_steps
    for solver in CHANGED:
        if COMPILED in solver.name:
            continue  # takes a minute
        answer = solver.prepare(picture)()
        facts, failure = judge(picture, answer)
        assert failure == "", solver.name
        assert facts["psnr"] > 40, solver.name
        if solver is not CHANGED[0] and not any(name in solver.name for name in MAY_BE_THE_SAME):
            assert not np.array_equal(answer.value.outlier_probability, unchanged), solver.name
    after = network.Adam, torch.channels_last, torch.get_num_threads(), network._bf16_helps, run.shared_steps
    assert before == after


def test_instruments_are_undone_and_judged_on_what_they_measured():
    for seen in SEEN:
        picture = corrupted(CLEAN, seen, 0.2, 0)
        measured = picture.instrument.measure(CLEAN)
        assert measured.dtype == np.uint8
        np.testing.assert_array_equal(picture.noisy != measured, picture.struck)
        assert picture.struck.mean() == pytest.approx(0.2, abs=0.02)
        # A smooth picture comes back from what was measured of it, and two stages beat doing nothing.
        assert max(psnr(CLEAN, image) for image in picture.instrument.undone(measured, CLEAN.shape)) > 38
        facts, failure = judge(picture, TWO_STAGES[1].prepare(picture)())
        assert failure == ""
        assert facts["psnr"] > 25
    answer = TWO_STAGES[-1].prepare(picture)()
    assert answer.value[0].image.shape == CLEAN.shape
    assert judge(picture, answer)[0]["recall"] == 1.0


def test_twofold_sees_through_an_instrument():
    picture = corrupted(CLEAN, "half the size, salt and pepper", 0.2, 0)
    facts, failure = judge(picture, FAST.prepare(picture)())
    assert failure == ""
    assert facts["psnr"] > 30


def test_the_best_of_several_is_judged_and_outliers_are_counted():
    picture = corrupted(CLEAN, "salt and pepper", 0.2, 0)
    medians = [baselines.median(picture.noisy, size=size) for size in (9, 3)]
    facts, _ = judge(picture, Answer(medians))
    assert facts["psnr"] == max(psnr(CLEAN, solution.image) for solution in medians)
    assert facts["which"] == int(np.argmax([psnr(CLEAN, solution.image) for solution in medians]))
    assert "recall" not in facts  # a median takes nobody for an outlier
    found = judge(picture, CUBIC.prepare(picture)())[0]
    assert (found["recall"], found["false positives"]) == (1.0, 0.0)
    facts, failure = judge_clean(Picture(CLEAN, CLEAN), Answer(baselines.detect_and_interpolate(CLEAN)))
    assert (facts["psnr"], facts["false positives"], failure) == (99.0, 0.0, "")


def test_calibration_is_measured_where_enough_entries_have_a_probability_near_0_9():
    picture = corrupted(CLEAN, "salt and pepper", 0.2, 0)
    struck = picture.noisy != CLEAN
    unsure = np.zeros(CLEAN.shape, bool)
    unsure.flat[np.r_[np.flatnonzero(struck)[:150], np.flatnonzero(~struck)[:50]]] = True
    solution = baselines.median(picture.noisy)
    given = replace(solution, outlier_probability=np.where(unsure, 0.92, struck).astype(np.float32))
    assert judge(picture, Answer(given))[0]["at 0.9"] == 0.75
    assert "at 0.9" not in judge(picture, Answer(solution))[0]


def test_no_better_than_the_input_is_a_failure():
    picture = corrupted(CLEAN, "salt and pepper", 0.2, 0)
    same = replace(baselines.median(picture.noisy), image=picture.noisy)
    assert judge(picture, Answer(same))[1].startswith("no better than the input")


def test_figure_is_drawn_of_what_there_is():
    assert BENCHMARK.figures["salt"]([], []) is None
    rows = [{"solver": "twofold, balanced", "facts": {"psnr": 36.0}}, {"solver": "median", "facts": {}}]
    settings = {"image": "F16", "level": 0.5}
    figure = BENCHMARK.figures["salt"]([{"group": "salt", "settings": settings, "rows": rows}], [])
    assert [axes.get_title() for axes in figure.axes] == ["F16"]
    assert len(figure.axes[0].get_lines()) == 1
