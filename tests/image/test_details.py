"""Pixels that no neighbour foretells, but whose channels foretell each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from twofold.image.agreement import Neighbours
from twofold.image.confidence import outlier_probability
from twofold.image.details import DETAIL, MOST, without_details

SIDE = 64


def _picture(n_channels: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth prediction, a picture that differs from it by a grain and by glints, and where those are."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.linspace(0.2, 0.5, SIDE)[None, :, None]
    prediction = (
        (rows + 0.15 * torch.arange(n_channels)[:, None, None] / n_channels).expand(n_channels, SIDE, SIDE).clone()
    )
    glint = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    for row, column in ((5, 9), (20, 40), (33, 15), (50, 50), (57, 22)):
        glint[row : row + 2, column : column + 2] = True
    step = 0.35 * (1 + 0.05 * torch.randn(n_channels, SIDE, SIDE, generator=generator))
    clean = prediction + 0.005 * torch.randn(n_channels, SIDE, SIDE, generator=generator) + step * glint
    return prediction, clean, glint


def _struck(clean: Tensor, share: float, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    bad = torch.rand(clean.shape, generator=generator) < share
    return torch.where(bad, torch.rand(clean.shape, generator=generator), clean), bad


def test_a_glint_stays_and_random_values_around_it_go():
    prediction, clean, glint = _picture()
    y, bad = _struck(clean, 0.2)
    P = outlier_probability(Neighbours(y), prediction, (y != prediction).float() * 0.3)
    whole = glint & ~bad.any(0)
    assert whole.sum() >= 8
    assert (P[:, whole] < 0.5).float().mean() > 0.9
    far = bad & ~glint & ((y - prediction).abs() > 0.1)
    assert (P[far] > 0.5).float().mean() > 0.98


def test_of_a_glint_a_struck_channel_goes_and_the_others_stay():
    prediction, clean, glint = _picture()
    y, bad = _struck(clean, 0.1)
    some = torch.zeros_like(glint)
    some[20, 40] = True
    bad[:, 19:23, 39:43] = False
    y[:, 19:23, 39:43] = clean[:, 19:23, 39:43]
    y[1, some] = 0.02  # far below, where the two others are far above
    P = outlier_probability(Neighbours(y), prediction, ((y - prediction).abs() > 0.05).float())
    assert float(P[1, some]) > 0.9
    assert bool((P[[0, 2]][:, some] < 0.5).all())


def test_a_single_channel_is_judged_as_before():
    prediction, clean, _ = _picture(1)
    one = torch.ones_like(clean)
    P = torch.rand(clean.shape, generator=torch.Generator().manual_seed(0))
    assert without_details(P, clean - prediction, 0.01 * one, one, one, 0.1 * one, one) is P


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_where_whole_pixels_are_struck_by_one_step_in_all_channels_they_stay_outliers(share):
    prediction, clean, glint = _picture()
    clean = torch.where(glint, prediction, clean)
    generator = torch.Generator().manual_seed(2)
    found = []
    for _ in range(4):  # of 1% there are only 30 in one picture
        bad = torch.rand(SIDE, SIDE, generator=generator) < share
        y = torch.where(bad, prediction + (torch.rand(SIDE, SIDE, generator=generator) - 0.4), clean).clamp(0, 1)
        far = bad & ((y - prediction).abs().amin(0) > 0.1)
        P = outlier_probability(Neighbours(y), prediction, bad.float().expand_as(y).clone())
        found.append(P[:, far] > 0.5)
    assert torch.cat(found, 1).float().mean() > 0.95


@pytest.mark.parametrize("silent", ["drawn", "unknown"])
def test_agreement_of_what_is_drawn_or_unknown_does_not_count(silent):
    prediction, clean, glint = _picture()
    marked = glint.expand_as(clean)
    observed, overlay = (~marked, None) if silent == "unknown" else (None, marked)
    P = outlier_probability(Neighbours(clean, observed, overlay), prediction, marked.float())
    assert bool((P[:, glint] > 0.5).all())


def test_known_values():
    """Two channels, by hand: two details side by side, each of which has one of eight neighbours and expects more."""
    error, inlier, P = torch.zeros(2, 50, 50), torch.full((2, 50, 50), 50.0), torch.zeros(2, 50, 50)
    place = (slice(None), 20, slice(20, 22))
    error[place], inlier[place], P[place] = 0.3, 0.003, 0.98
    one = torch.ones_like(P)
    found = without_details(P, error, 0.01 * one, inlier, one, 0.2 * one, one)
    agrees, contrast = 0.8 / (2 * (0.01 + 0.15 * 0.3)), 0.8 * math.exp(-0.3 / 0.3) / (2 * 0.3)
    r = MOST * DETAIL * contrast * (agrees + 0.2) / (0.2 + 0.8 * 0.003) ** 2
    median, other = 0.98 / (1 + r), (0.98 + r * 0.2 / (agrees + 0.2)) / (1 + r)
    torch.testing.assert_close(found[place].sort(0).values, torch.tensor([[median] * 2, [other] * 2]))
    assert float(found[:, 5, 5].max()) < 1e-6


@pytest.mark.parametrize("n_channels", [2, 4, 40])
def test_any_number_of_channels(n_channels):
    prediction, clean, glint = _picture(n_channels)
    y, bad = _struck(clean.clamp(0, 1), min(0.1, 0.8 / n_channels))
    P = outlier_probability(Neighbours(y), prediction, (y != prediction).float() * 0.3)
    assert bool(torch.isfinite(P).all())
    assert 0 <= float(P.min()) <= float(P.max()) <= 1
    whole = glint & ~bad.any(0) & (clean < 1).all(0)
    # Two channels agree by chance too often for all of them to stay.
    assert (P[:, whole] < 0.5).float().mean() > (0.3 if n_channels == 2 else 0.9)
