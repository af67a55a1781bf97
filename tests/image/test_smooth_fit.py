"""The smooth fit, from which the places of outliers are filled."""

from __future__ import annotations

import doctest

import pytest
import torch

import twofold.image.fitting as module
from tests.pictures import picture, salted
from twofold.history import History
from twofold.image.fitting import BACK, NetworkFit, blurred, decided_outliers
from twofold.image.presets import PRESETS
from twofold.image.through import measured
from twofold.image.withheld import withheld_entries
from twofold.metrics import psnr
from twofold.problem import Problem


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_it_fills_better_than_the_closest_fit(name: str) -> None:
    clean = picture(name, 96)
    noisy, bad = salted(clean, 0.5)
    y = torch.from_numpy(noisy.transpose(2, 0, 1) / 255).float()
    withheld = withheld_entries(y, 0)
    fit = NetworkFit(Problem(y), PRESETS["balanced"], "both", False, 500.0, None, 0, History(), withheld=withheld)
    fitted = fit.run()
    assert fitted is not None
    assert fit.first is not None
    truth = torch.from_numpy(bad.transpose(2, 0, 1)).float()
    scores = []
    for smooth in (fitted.smooth, fitted.x):
        decided = decided_outliers(Problem(y), truth, "both", False, 0)
        scores.append(psnr(clean / 255, decided.restored(fitted.x, smooth).image.permute(1, 2, 0).numpy()))
    assert scores[0] > scores[1] + 0.3


def test_it_lies_between_the_fits_of_act_2_and_is_the_closest_one_behind_an_operator() -> None:
    y = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    fit = NetworkFit(Problem(y), PRESETS["fast"], "both", False, 500.0, None, 0, History())
    ones = torch.ones_like(y)
    torch.testing.assert_close(fit._smooth(ones), ones)  # no network before this one
    fit.first = torch.zeros_like(y)
    torch.testing.assert_close(fit._smooth(ones), (1 - BACK) * ones)
    seen = measured(y.permute(1, 2, 0).numpy(), None, lambda x: 2 * x, None, (0.0, 1.0), torch.device("cpu"))
    problem = Problem(seen.values, None, seen.operator)
    behind = NetworkFit(problem, PRESETS["fast"], "both", False, 500.0, None, 0, History(), shape=(3, 20, 20))
    behind.first = torch.zeros_like(y)
    assert behind._smooth(ones) is ones


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 9), (2, 30, 31)])
def test_a_blur_keeps_shape_and_level_and_falls_off_like_a_bell(shape: tuple[int, int, int]) -> None:
    torch.testing.assert_close(blurred(torch.full(shape, 0.3), 0.85), torch.full(shape, 0.3))
    x = torch.zeros(1, 41, 41)
    x[0, 20, 20] = 1
    bell = blurred(x, 1.5)[0]
    steps = torch.arange(41.0) - 20
    torch.testing.assert_close(float((bell.sum(0) * steps**2).sum()), 1.5**2, rtol=1e-2, atol=0)
    torch.testing.assert_close(bell, bell.T)


def test_docstrings() -> None:
    assert doctest.testmod(module).failed == 0
