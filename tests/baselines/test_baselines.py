"""The baselines: known answers, a reference solver, what they keep, what they refuse."""

from __future__ import annotations

import re
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import torch

from twofold import baselines
from twofold.baselines.deep_image_prior import _RunningVariance
from twofold.datasets import salt_and_pepper
from twofold.metrics import psnr
from twofold.models.differences import divergence, gradient

ROWS, COLUMNS = np.mgrid[:40, :48]
SMOOTH = (120 + 40 * np.sin(ROWS / 9) + 50 * np.cos(COLUMNS / 11)).astype(np.uint8)
COLOUR = np.stack([SMOOTH, SMOOTH[::-1], 255 - SMOOTH], axis=2)
ALL: dict[str, dict[str, Any]] = {
    "median": {},
    "adaptive_median": {},
    "detect_and_interpolate": {},
    "total_variation_l1": {"weight": 1.0},
    "deep_image_prior": {"steps": 100, "width": 8, "learning_rate": 0.03},
}


def run(name: str, image: Any, **options: Any) -> Any:
    return getattr(baselines, name)(image, **{**ALL[name], **options})


def test_all_of_them_are_tested() -> None:
    assert set(ALL) == set(baselines.__all__)


@pytest.mark.parametrize("name", ALL)
def test_impulses_are_lowered_and_the_kind_of_image_kept(name: str) -> None:
    noisy = salt_and_pepper(COLOUR, 0.1, random_state=0)
    before = noisy.copy()
    solution = run(name, noisy)
    np.testing.assert_array_equal(noisy, before)
    assert (solution.image.shape, solution.image.dtype) == (noisy.shape, noisy.dtype)
    assert solution.outliers.shape == solution.outlier_probability.shape == noisy.shape
    assert psnr(COLOUR, solution.image) > psnr(COLOUR, noisy) + 6
    assert solution.status.success
    assert solution.settings["method"] == name


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["grey 16-bit", "float", "with alpha"])
def test_units_and_alpha_do_not_matter(name: str, kind: str) -> None:
    noisy = salt_and_pepper(SMOOTH, 0.1, random_state=0)
    expected = run(name, noisy).image.astype(float) / 255
    if kind == "grey 16-bit":
        found = run(name, noisy.astype(np.uint16) * 257).image / 65535
    elif kind == "float":
        found = run(name, noisy / 255).image
    else:
        alpha = np.full_like(noisy, 77)
        both = run(name, np.stack([noisy, noisy, noisy, alpha], axis=2)).image
        np.testing.assert_array_equal(both[..., 3], 77)
        if name in ("total_variation_l1", "deep_image_prior"):
            return  # channels are not on their own there
        found = both[..., 1] / 255
    np.testing.assert_allclose(found, expected, atol=1.5 / 255 if name != "deep_image_prior" else 0.02)


@pytest.mark.parametrize("name", ALL)
def test_masked_pixels_are_not_looked_at(name: str) -> None:
    mask = np.zeros(SMOOTH.shape, dtype=bool)
    mask[10:13, 20:23] = True
    first, second = SMOOTH.copy(), SMOOTH.copy()
    first[mask], second[mask] = 0, 200
    a, b = (run(name, image, mask=mask) for image in (first, second))
    np.testing.assert_array_equal(a.image, b.image)
    assert np.abs(a.image.astype(int) - SMOOTH)[mask].max() < 25
    assert (a.outlier_probability[mask] == 1).all()


def test_median_is_the_median_of_the_window() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9)).astype(np.uint8)
    for size in (3, 5):
        half = size // 2
        window = image[4 - half : 5 + half, 4 - half : 5 + half]
        assert baselines.median(image, size=size).image[4, 4] == np.median(window)


def test_adaptive_median_keeps_what_is_no_extreme() -> None:
    noisy = salt_and_pepper(SMOOTH, 0.3, random_state=0)
    solution = baselines.adaptive_median(noisy)
    kept = solution.outlier_probability == 0
    np.testing.assert_array_equal(solution.image[kept], noisy[kept])
    assert (solution.outlier_probability[(noisy == 0) | (noisy == 255)] == 1).mean() > 0.99
    assert psnr(SMOOTH, solution.image) > 30


@pytest.mark.parametrize("kind", ["linear", "cubic", "biharmonic"])
def test_interpolation_of_a_plane_is_exact(kind: Any) -> None:
    plane = (20 + 2 * ROWS + 3 * COLUMNS).astype(np.uint8)
    noisy = salt_and_pepper(plane, 0.3, random_state=0)
    solution = baselines.detect_and_interpolate(noisy, kind=kind)
    inside = (slice(3, -3), slice(3, -3))
    assert np.abs(solution.image.astype(int) - plane)[inside].max() <= (1 if kind != "biharmonic" else 3)
    np.testing.assert_array_equal(solution.outlier_probability == 1, (noisy == 0) | (noisy == 255))


def test_interpolation_with_hardly_anything_left() -> None:
    image = np.zeros((6, 6), np.uint8)
    image[2, 3] = 90
    assert (baselines.detect_and_interpolate(image).image == 90).all()
    np.testing.assert_array_equal(baselines.detect_and_interpolate(np.zeros((6, 6), np.uint8)).image, 0)


def test_total_variation_agrees_with_a_reference_solver() -> None:
    rng = np.random.default_rng(0)
    y = np.clip(np.add.outer(np.arange(8), np.arange(7)) / 14 + (rng.random((8, 7)) < 0.2) * 0.8, 0, 1)
    y[0, 0], y[7, 6] = 0, 1  # the value range is the whole one
    x = cp.Variable(y.shape)
    down = cp.vstack([x[1:] - x[:-1], np.zeros((1, 7))])
    right = cp.hstack([x[:, 1:] - x[:, :-1], np.zeros((8, 1))])
    both = cp.vstack([cp.vec(down, order="C"), cp.vec(right, order="C")])
    problem = cp.Problem(cp.Minimize(cp.sum(cp.norm(both, 2, axis=0)) + 1.1 * cp.sum(cp.abs(x - y))))
    problem.solve(solver=cp.CLARABEL)
    found = baselines.total_variation_l1(y, weight=1.1, steps=5000).image
    gradients = gradient(torch.from_numpy(found)[None])
    value = float(gradients.square().sum((0, 1)).sqrt().sum()) + 1.1 * np.abs(found - y).sum()
    assert value == pytest.approx(problem.value, rel=1e-4)


def test_divergence_is_minus_the_adjoint_of_the_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    x, p = torch.randn(3, 5, 4, generator=generator), torch.randn(2, 3, 5, 4, generator=generator)
    assert float((gradient(x) * p).sum()) == pytest.approx(-float((x * divergence(p)).sum()), rel=1e-5)


def test_running_variance_remembers_the_image_before_its_least_window() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = [1.0] * 10 + [0.01] * 5 + [1.0] * 20
    images = [size * torch.randn(4, generator=generator) for size in sizes]
    stopper = _RunningVariance(window=5, patience=8)
    stopped = next(i for i, image in enumerate(images) if stopper.is_enough(image))
    assert stopped == 14 + 8
    torch.testing.assert_close(stopper.best, images[10])


def test_early_stopping_returns_the_remembered_image() -> None:
    noisy = salt_and_pepper(SMOOTH, 0.3, random_state=0)
    options = {"loss": "l2", "steps": 400, "window": 5, "patience": 15}
    stopped, whole = (run("deep_image_prior", noisy, early_stopping=early, **options) for early in (True, False))
    assert stopped.n_steps < whole.n_steps == 400
    assert psnr(SMOOTH, stopped.image) > psnr(SMOOTH, whole.image)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("median", {"size": 4}, "size=4: an odd integer of at least 3"),
        ("adaptive_median", {"max_size": 2.0}, "max_size=2.0"),
        ("detect_and_interpolate", {"kind": "spline"}, "kind='spline': accepted are 'linear', 'cubic', 'biharmonic'"),
        ("total_variation_l1", {"weight": -1.0}, "weight=-1.0: a positive number"),
        ("deep_image_prior", {"loss": "l3"}, "loss='l3': accepted are 'l2', 'l1', 'huber'"),
        ("deep_image_prior", {"steps": 0}, "steps=0"),
    ],
)
def test_refused_before_any_work(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        run(name, SMOOTH, **options)
    with pytest.raises(ValueError, match="image: shape"):
        run(name, np.zeros(5))
