"""Border lines of other content are foretold by their own entries; those of an ordinary picture are not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.pictures import picture, tensor
from twofold.image.borders import along_borders
from twofold.image.recover import recover_image

BORDERS = [(1, 0), (1, -1), (2, 1), (2, -2)]
"""Axes, and places along them."""


def _moved(axis: int, place: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture with one line of other content, and the picture without that."""
    clean = 0.5 * tensor(picture("chelsea", 160))
    y = clean.clone()
    line = y.select(axis, place)
    line[:] = 0.7 + 0.2 * torch.sin(torch.arange(160) / 6 + torch.arange(3)[:, None])
    return y, clean


@pytest.mark.parametrize(("axis", "place"), BORDERS)
@pytest.mark.parametrize("fraction", [0.0, 0.4])
def test_a_line_of_other_content_is_believed(axis: int, place: int, fraction: float) -> None:
    y, expected = _moved(axis, place)
    generator = torch.Generator().manual_seed(0)
    bad = torch.rand(y.shape, generator=generator) < fraction
    noisy = torch.where(bad, torch.rand(y.shape, generator=generator), y)
    line = torch.zeros_like(bad)
    line.select(axis, place)[:] = True
    # A first decision has taken half of the line for outliers.
    good = (~bad & ~(line & (torch.rand(y.shape, generator=generator) < 0.5))).float()
    foretold, own = along_borders(noisy, expected, good)
    assert not own[~line].any()
    assert own[line].all()
    assert (foretold - y)[own].abs().mean() < 0.05 < 0.25 * (expected - y)[own].abs().mean()
    assert torch.equal(foretold[~own], expected[~own])


@pytest.mark.parametrize("name", ["camera", "coffee", "astronaut", "chelsea"])
def test_ordinary_borders_are_left_alone(name: str) -> None:
    clean = tensor(picture(name, 160))
    noise = 0.02 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    foretold, own = along_borders(clean, clean + noise, torch.ones_like(clean))
    assert not own.any()
    assert torch.equal(foretold, clean + noise)


def test_a_line_of_noise_foretells_nothing() -> None:
    clean = tensor(picture("coffee", 160))
    y = clean.clone()
    y[:, 0] = torch.rand(y[:, 0].shape, generator=torch.Generator().manual_seed(0))
    assert not along_borders(y, clean, torch.ones_like(y))[1].any()


def test_what_is_marked_says_nothing_and_what_was_believed_is_not_judged_again() -> None:
    y, expected = _moved(1, 0)
    good = torch.ones_like(y)
    own = along_borders(y, expected, good)[1]
    marked = own & (torch.rand(y.shape, generator=torch.Generator().manual_seed(0)) < 0.5)
    struck, good = torch.where(marked, 1.0, y), torch.where(marked, -1.0, good)
    again, still = along_borders(struck, expected, good, own)
    assert torch.equal(still, own)
    assert ((again - y)[marked].abs()).mean() < 0.05
    short = y[:, :, :40]
    assert not along_borders(short, expected[:, :, :40], torch.ones_like(short))[1][:, 0].any()


def test_other_content_at_the_border_is_not_taken_for_outliers() -> None:
    clean = picture("chelsea", 128).copy()
    clean[0] = np.roll(255 - clean[0], 50, axis=0)
    clean[:, -1] = np.roll(255 - clean[:, -1], 40, axis=0)
    rng = np.random.default_rng(0)
    bad = rng.random(clean.shape) < 0.3
    noisy = np.where(bad, rng.integers(0, 256, clean.shape), clean).astype(np.uint8)
    solution = recover_image(noisy, preset="fast")
    error, found = np.abs(solution.image.astype(float) - clean), solution.outlier_probability > 0.5
    border = np.zeros(bad.shape, bool)
    border[0] = border[:, -1] = True
    # Of the good ones there more than a half was rejected before, and the mean error was 39.
    assert found[border & ~bad].mean() < 0.35
    assert found[border & bad].mean() > 0.65
    assert error[border].mean() < 28
    assert error[~border].mean() < 2
