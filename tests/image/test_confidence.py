"""How likely each entry is an outlier: against integrals, drawings, and counted shares of real outliers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from tests.pictures import added, picture, salted
from twofold.image.agreement import BINS
from twofold.image.confidence import beyond, logistic
from twofold.image.recover import recover_image
from twofold.metrics import psnr

Array = NDArray[Any]


@pytest.mark.parametrize("prediction", [-0.02, 0.0, 0.003, 0.3, 0.98, 1.0, 1.04])
@pytest.mark.parametrize("b", [0.004, 0.03])
def test_the_clipped_mass_is_the_integral_of_the_law(prediction: float, b: float) -> None:
    grid = np.linspace(-3, 4, 7_000_001)
    law = logistic(torch.from_numpy(grid - prediction), torch.tensor(b, dtype=torch.float64)).numpy()
    mass = law * (grid[1] - grid[0])
    edge = 0.5 / (BINS - 1)
    low, high = beyond(torch.tensor([prediction], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
    assert float(low) == pytest.approx(mass[grid < edge].sum(), abs=1e-4)
    assert float(high) == pytest.approx(mass[grid > 1 - edge].sum(), abs=1e-4)


def test_a_clean_drawing_is_left_alone() -> None:
    horse = skimage.data.horse().astype(np.uint8)[60:188, 100:228] * 255
    solution = recover_image(horse, preset="fast")
    assert psnr(horse, solution.image) > 45
    assert (solution.outlier_probability > 0.5).mean() < 0.005


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_a_probability_of_nine_tenths_is_right_nine_times_in_ten(name: str) -> None:
    """Half of the values of a picture with black areas are black or white by force, and so are some by themselves."""
    noisy, bad = salted(picture(name, 128), 0.5)
    P = recover_image(noisy, preset="fast").outlier_probability
    nearly = (P > 0.85) & (P < 0.95)
    assert nearly.sum() > 100
    assert 0.8 < bad[nearly].mean() <= 1


def test_outliers_that_are_missed_alike_by_chance_do_not_make_details() -> None:
    """A smooth picture, black in the place of a fifth, any value in that of a tenth: some lie side by side."""
    clean = skimage.data.retina()[400:496, 400:496]
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(clean.shape) < 0.2, 0, clean)
    noisy = np.where(rng.random(clean.shape) < 0.1, rng.integers(0, 256, clean.shape), noisy).astype(np.uint8)
    solution = recover_image(noisy, preset="fast")
    plain = np.abs(noisy.astype(int) - clean) > 40
    assert (solution.outlier_probability[plain] < 0.5).mean() < 5e-4
    assert psnr(clean, solution.image) > 45


@pytest.mark.parametrize("size", [30, 60])
def test_small_errors_that_are_added_are_found(size: int) -> None:
    """A fifth of the values is too bright or too dark by an eighth or a quarter of the range."""
    noisy, bad = added(picture("chelsea", 128), 0.2, size)
    P = recover_image(noisy, preset="fast").outlier_probability
    assert (P > 0.5)[bad].mean() > 0.9
    assert (P > 0.5)[~bad].mean() < 0.05
