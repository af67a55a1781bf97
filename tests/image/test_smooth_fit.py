"""The smooth fit, from which the places of outliers are filled."""

from __future__ import annotations

import doctest

import pytest
import torch
from skimage.data import cell
from torch import Tensor

import twofold.image.smooth as module
from tests.pictures import picture, salted
from twofold.baselines import total_variation_l1
from twofold.datasets import random_valued_impulse
from twofold.history import History
from twofold.image.fitting import NetworkFit
from twofold.image.kriging import predicted
from twofold.image.presets import PRESETS
from twofold.image.recover import recover_image
from twofold.image.smooth import blurred, chosen
from twofold.image.withheld import withheld_entries
from twofold.metrics import psnr
from twofold.problem import Problem


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_it_fills_better_than_the_closest_fit(name: str) -> None:
    clean = picture(name, 96)
    noisy, bad = salted(clean, 0.5)
    y = torch.from_numpy(noisy.transpose(2, 0, 1) / 255).float()
    withheld = withheld_entries(y, 0)
    assert withheld is not None
    fit = NetworkFit(Problem(y), PRESETS["balanced"], "both", False, 500.0, None, 0, History(), withheld=withheld)
    fitted = fit.run()
    assert fitted is not None
    assert not torch.equal(fitted.first, fitted.x)
    truth = torch.from_numpy(clean.transpose(2, 0, 1) / 255).float()
    good = torch.from_numpy(~bad.transpose(2, 0, 1)).float()
    none = torch.zeros(3)

    def foretold(smooth: Tensor) -> Tensor:
        return smooth + predicted(y - smooth, good * ~withheld, good * ~withheld, none)[0]

    def score(smooth: Tensor) -> float:
        image = torch.where(good > 0, y, smooth + predicted(y - smooth, good, good, none)[0])
        return psnr(truth.numpy(), image.clamp(0, 1).numpy())

    smooth, _ = chosen(fitted.x, fitted.first, y, good, withheld, foretold)
    assert score(smooth) > score(fitted.x) + 0.2
    assert score(smooth) > score(fitted.first) + 0.2


def test_the_choice_that_foretells_lonely_entries_is_taken_whatever_strokes_say() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 40, 40, generator=generator)
    x, first = truth + 0.1, truth - 0.15
    withheld = torch.zeros(2, 40, 40, dtype=torch.bool)
    withheld[:, 5::10, 5::10] = True
    withheld[:, 20, :] = True
    y, good = truth.clone(), torch.ones(2, 40, 40)
    y[:, 20] = x[:, 20]  # there the closest fit is right
    fit, prediction = chosen(x, first, y, good, withheld, lambda fit: fit)
    torch.testing.assert_close(fit, truth)  # 0.4 of the way back, not blurred
    assert prediction is fit
    torch.testing.assert_close(chosen(x, first, x, good, withheld, lambda fit: fit)[0], x)
    soft = blurred(x, 1.2)
    torch.testing.assert_close(chosen(x, x, soft, good, withheld, lambda fit: fit)[0], soft)


def test_outliers_among_the_withheld_have_no_say() -> None:
    truth = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0))
    withheld = torch.zeros(1, 40, 40, dtype=torch.bool)
    withheld[:, 5::10, 5::10] = True
    y, good = truth.clone(), torch.ones(1, 40, 40)
    y[:, 5, 5::10], good[:, 5, 5::10] = 1.0, 0.0
    fit, _ = chosen(truth, torch.ones_like(truth), y, good, withheld, lambda fit: fit)
    torch.testing.assert_close(fit, truth)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 9), (2, 30, 31)])
def test_a_blur_keeps_shape_and_level_and_falls_off_like_a_bell(shape: tuple[int, int, int]) -> None:
    torch.testing.assert_close(blurred(torch.full(shape, 0.3), 0.85), torch.full(shape, 0.3))
    x = torch.zeros(1, 41, 41)
    x[0, 20, 20] = 1
    bell = blurred(x, 1.5)[0]
    steps = torch.arange(41.0) - 20
    assert float((bell.sum(0) * steps**2).sum()) == pytest.approx(1.5**2, rel=1e-2)
    torch.testing.assert_close(bell, bell.T)


def test_docstrings() -> None:
    assert doctest.testmod(module).failed == 0


def test_decisions_by_it_find_the_outliers_that_a_network_came_near_to() -> None:
    """Half of a smooth grey picture by random values; total variation has 37 dB at the better of two weights."""
    clean = cell()[200:392, 200:392]
    noisy = random_valued_impulse(clean, 0.5, random_state=0)
    solution = recover_image(noisy, preset="fast")
    classical = max(psnr(clean, total_variation_l1(noisy, weight=weight).image) for weight in (0.7, 1.1))
    assert psnr(clean, solution.image) > classical + 1
    assert (solution.outlier_probability[noisy == clean] > 0.5).mean() < 0.01
