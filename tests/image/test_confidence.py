"""How likely each entry is an outlier: against integrals, drawings, and counted shares of real outliers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from tests.pictures import picture, salted
from twofold.image.confidence import BINS, LONELY, beyond, lone_rate, outlier_law
from twofold.image.recover import recover_image
from twofold.metrics import psnr

Array = NDArray[Any]


@pytest.mark.parametrize("prediction", [-0.02, 0.0, 0.003, 0.3, 0.98, 1.0, 1.04])
@pytest.mark.parametrize("b", [0.004, 0.03])
def test_the_clipped_mass_is_the_integral_of_the_law(prediction: float, b: float) -> None:
    grid = np.linspace(-3, 4, 7_000_001)
    density = np.exp(-np.abs(grid - prediction) / b) / (2 * b) * (grid[1] - grid[0])
    edge = 0.5 / (BINS - 1)
    low, high = beyond(torch.tensor([prediction], dtype=torch.float64), torch.tensor([b], dtype=torch.float64))
    assert float(low) == pytest.approx(density[grid < edge].sum(), abs=1e-4)
    assert float(high) == pytest.approx(density[grid > 1 - edge].sum(), abs=1e-4)


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_independent_outliers_stand_alone_at_their_own_rate(fraction: float) -> None:
    rng = np.random.default_rng(0)
    bins = torch.from_numpy(np.where(rng.random((3, 80, 80)) < fraction, 255, rng.integers(20, 200, (3, 80, 80))))
    known, bad = torch.ones(bins.shape), (bins == 255).float()
    rate = lone_rate(bins, known, outlier_law(bins, bad))
    assert float(rate[255]) == pytest.approx(fraction, rel=0.1)
    assert bool((rate[:200] == 1).all())


def test_a_value_of_the_picture_itself_never_stands_alone() -> None:
    bins = torch.full((1, 60, 60), 200)
    bins[0, 20:40, 20:40] = 0
    rate = lone_rate(bins, torch.ones(bins.shape), outlier_law(bins, (bins == 0).float()))
    assert float(rate[0]) < 1 / LONELY


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
