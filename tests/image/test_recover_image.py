"""Image recovery: facts about its results on a real picture with known outliers."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from skimage.data import astronaut, camera

import twofold.image.confidence
import twofold.image.kriging
import twofold.image.presets
import twofold.image.recover
import twofold.image.windows
from tests.pictures import salted
from twofold import devices
from twofold.history import History
from twofold.image.fitting import NetworkFit, shared_steps
from twofold.image.presets import PRESETS
from twofold.image.recover import recover_image
from twofold.metrics import psnr
from twofold.models.differences import variation_gradient
from twofold.problem import Problem
from twofold.solution import ImageSolution

Image = NDArray[Any]


def crop(size: int = 64) -> Image:
    return astronaut()[100 : 100 + size, 190 : 190 + size]


def impulses(image: Image, fraction: float, seed: int = 0) -> Image:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(image.shape) < fraction, rng.integers(0, 256, image.shape), image).astype(np.uint8)


def best_median(truth: Image, noisy: Image) -> float:
    return max(psnr(truth, median_filter(noisy, (k, k, 1))) for k in (3, 5, 7))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Images this small are slower with more."""
    with devices.one_thread():
        yield


@cache
def recovered() -> ImageSolution:
    return recover_image(salted(crop(), 0.3)[0], preset="fast")


@pytest.mark.parametrize(
    "module",
    [
        twofold.image.confidence,
        twofold.image.kriging,
        twofold.image.presets,
        twofold.image.recover,
        twofold.image.windows,
    ],
    ids=lambda m: m.__name__,
)
def test_examples_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_salt_and_pepper_beats_the_best_median() -> None:
    truth, noisy = crop(), salted(crop(), 0.3)[0]
    solution = recovered()
    assert psnr(truth, solution.image) > best_median(truth, noisy) + 4
    found, bad = solution.outlier_probability > 0.5, noisy != truth
    assert found[bad].mean() > 0.98
    assert found[~bad].mean() < 0.03
    assert solution.status.success
    assert solution.history.acts == ["identify", "polish"]


def test_random_values_beat_the_best_median() -> None:
    truth, noisy = crop(), impulses(crop(), 0.2)
    solution = recover_image(noisy, preset="balanced")
    assert psnr(truth, solution.image) > best_median(truth, noisy) + 1


def test_three_times_the_steps_make_three_networks_whose_average_is_better_than_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("twofold.image.run.still_gains", lambda *of: True)  # no early finish
    truth, alone, together = crop(), [], []
    for draw in (0, 1, 2):  # the seed draws what is withheld as well: one picture of this size decides little
        noisy = salted(truth, 0.5, draw)[0]
        alone += [psnr(truth, recover_image(noisy, preset="fast", seed=seed).image) for seed in (0, 1000, 2000)]
        solution = recover_image(noisy, preset="fast", steps=240)
        assert solution.n_steps == 240
        together.append(psnr(truth, solution.image))
    assert np.mean(together) > np.mean(alone)


def test_a_small_image_gets_several_networks_and_a_tile_does_not() -> None:
    preset = replace(PRESETS["balanced"], identify_steps=8, polish_steps=4, n_small=3)
    noisy = salted(np.full((40, 36), 90, np.uint8), 0.2)[0]
    assert (
        recover_image(noisy, preset=preset).n_steps
        == 3 * recover_image(noisy, preset=replace(preset, n_small=1)).n_steps
    )
    assert shared_steps(PRESETS["balanced"], None, 128 * 128, 128 * 128) == (2, None)
    assert shared_steps(PRESETS["balanced"], None, 128 * 128, 1024 * 1024) == (1, None)


@pytest.mark.parametrize(("steps", "pace"), [(None, 50), (40, 25), (480, 50)])
def test_outliers_grow_at_the_presets_pace_or_faster(steps: int | None, pace: int) -> None:
    """However many steps one network takes, or it would follow the outliers in the meantime."""
    y = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    fit = NetworkFit(Problem(y), PRESETS["fast"], "both", False, 500.0, steps, 0, History())
    assert fit.pace == pace


def test_total_variation_is_lowered_by_its_gradient() -> None:
    x = torch.rand(2, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    rounded = sum((torch.sqrt(x.diff(dim=dim) ** 2 + 0.02**2) - 0.02).sum() for dim in (1, 2))
    (gradient,) = torch.autograd.grad(rounded, x)
    torch.testing.assert_close(variation_gradient(x.detach()), gradient)


def test_a_clean_photograph_comes_back() -> None:
    image = camera()[100:228, 100:228]
    solution = recover_image(image, preset="fast")
    assert psnr(image, solution.image) >= 45
    assert solution.outlier_fraction < 0.005


@pytest.mark.parametrize("kind", ["constant", "square", "ramp"])
def test_a_clean_drawing_comes_back(kind: str) -> None:
    """Few colours: the values that outliers might favour are those of the picture."""
    image = np.zeros((24, 24, 3), np.uint8)
    if kind == "constant":
        image[:] = (10, 200, 30)
    elif kind == "square":
        image[6:18, 6:18] = 255
    else:
        image[:] = 10 * np.arange(24)[:, None, None]
    solution = recover_image(image, preset="fast")
    assert solution.status.success
    assert solution.outlier_fraction < 0.005
    assert psnr(image, solution.image) >= 45


def test_a_frame_of_the_outliers_own_value_is_kept() -> None:
    image = crop().copy()
    image[:, 0] = 0
    solution = recover_image(salted(image, 0.4)[0], preset="fast")
    frame = salted(image, 0.4)[0][:, 0] == 0
    assert (solution.outlier_probability[:, 0][frame] < 0.5).mean() > 0.9


def test_outliers_are_the_input_minus_the_image() -> None:
    noisy, solution = salted(crop(), 0.3)[0], recovered()
    found = solution.outlier_probability > 0.5
    difference = noisy.astype(np.float32) - solution.image
    np.testing.assert_array_equal(solution.outliers, np.where(found, difference, 0))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
def test_dtype_and_range_come_back(dtype: type) -> None:
    noisy = salted(crop(32), 0.3)[0]
    scaled = noisy.astype(dtype) * (257 if dtype is np.uint16 else dtype(0.5)) - (0 if dtype is np.uint16 else 20)
    scaled = scaled.astype(dtype)
    reference = recover_image(noisy, preset="fast", steps=30).image.astype(float)
    result = recover_image(scaled, preset="fast", steps=30).image
    assert result.dtype == dtype
    back = result / 257 if dtype is np.uint16 else (result.astype(float) + 20) * 2
    assert abs(back - reference).mean() < 1


def test_grey_alpha_and_odd_sizes() -> None:
    grey = salted(crop(33)[:, :29, :1], 0.2)[0][..., 0]
    assert recover_image(grey, preset="fast", steps=20).image.shape == (33, 29)
    rgba = np.concatenate([salted(crop(17), 0.2)[0], np.full((17, 17, 1), 77, np.uint8)], axis=2)
    solution = recover_image(rgba, preset="fast", steps=20)
    np.testing.assert_array_equal(solution.image[..., 3], 77)
    assert solution.outliers.shape == (17, 17, 3)
    for shape in ((1, 1), (1, 9), (7, 5, 3)):
        image = np.linspace(0, 255, int(np.prod(shape))).reshape(shape).astype(np.uint8)
        assert recover_image(image, preset="fast", steps=6).image.shape == shape


def test_mask_marks_known_outliers_and_may_hide_nan() -> None:
    truth = crop(32).astype(np.float64) / 255
    bad = np.zeros((32, 32), bool)
    bad[10:13, 5:25] = True
    broken = truth.copy()
    broken[bad] = np.nan
    solution = recover_image(broken, mask=bad, preset="fast", steps=60)
    assert bool((solution.outlier_probability[bad] == 1).all())
    assert bool(np.isfinite(solution.image).all())
    assert abs(solution.image - truth)[bad].mean() < 0.12


def test_groups_and_polarity() -> None:
    truth = crop(48)
    bright = truth.copy()
    bright[::3, ::4] = 255
    solution = recover_image(bright, preset="fast", polarity="bright", group="pixel")
    P = solution.outlier_probability
    np.testing.assert_array_equal(P[..., 0] > 0.5, P[..., 2] > 0.5)
    assert psnr(truth, solution.image) > psnr(truth, bright) + 8


def test_same_seed_same_bits_and_no_global_state() -> None:
    noisy = salted(crop(32), 0.3)[0]
    state = torch.get_rng_state()
    a, b = (recover_image(noisy, preset="fast", steps=30, seed=3) for _ in range(2))
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.outlier_probability, b.outlier_probability)
    assert torch.equal(state, torch.get_rng_state())


def test_observer_sees_every_step_and_may_interrupt() -> None:
    seen: list[str] = []

    def stop_soon(record: Any) -> None:
        seen.append(record.act)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover_image(salted(crop(16), 0.2)[0], preset="fast", observer=stop_soon)
    assert len(seen) == 3


GOOD = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (GOOD.astype(bool), {}, TypeError, "image: dtype bool"),
        (GOOD.astype(complex), {}, TypeError, "image: dtype complex128"),
        (GOOD.astype(np.int64), {}, TypeError, "image: dtype int64"),
        (GOOD[None], {}, ValueError, "image: shape"),
        (GOOD[..., :1], {"has_alpha": True}, ValueError, "has_alpha=True: shape"),
        (GOOD[:0], {}, ValueError, "empty"),
        (np.full((4, 4), np.nan), {}, ValueError, "mask"),
        (GOOD, {"mask": np.zeros((8, 8))}, TypeError, "mask: dtype float64"),
        (GOOD, {"mask": np.zeros((8, 7), bool)}, ValueError, "mask: shape"),
        (GOOD, {"mask": np.ones((8, 8), bool)}, ValueError, "mask: every pixel"),
        (GOOD, {"preset": "slow"}, ValueError, "preset='slow': accepted are 'fast', 'balanced'"),
        (GOOD, {"polarity": "up"}, ValueError, "polarity='up'"),
        (GOOD, {"group": "row"}, ValueError, "group='row'"),
        (GOOD, {"alpha": -1.0}, ValueError, "alpha=-1.0"),
        (GOOD, {"steps": 0}, ValueError, "steps=0"),
        (GOOD, {"steps": 1.5}, TypeError, "steps=1.5"),
        (GOOD, {"seed": -1}, ValueError, "seed=-1"),
        (GOOD, {"device": "abacus"}, ValueError, "device='abacus'"),
    ],
)
def test_bad_input_is_named(image: Image, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        recover_image(image, **options)


def test_a_constant_image_comes_back() -> None:
    np.testing.assert_array_equal(recover_image(GOOD, preset="fast").image, GOOD)


def test_without_dense_noise_good_entries_are_kept() -> None:
    noisy = salted(crop(), 0.3)[0]
    solution = recovered()
    assert solution.noise == 0
    kept = solution.outlier_probability < 0.001
    np.testing.assert_array_equal(solution.image[kept], noisy[kept])
