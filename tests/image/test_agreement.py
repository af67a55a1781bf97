"""Which values are the picture's own: those that outliers favour stand alone now and then."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.pictures import salted
from twofold.image.agreement import LONELY, Neighbours, common_nearby, crowded_nearby, density, lone_rate


@pytest.mark.parametrize("fraction", [0.1, 0.3])
def test_independent_outliers_stand_alone_at_their_own_rate(fraction: float) -> None:
    rng = np.random.default_rng(0)
    bins = torch.from_numpy(np.where(rng.random((3, 80, 80)) < fraction, 255, rng.integers(20, 200, (3, 80, 80))))
    known, bad = torch.ones(bins.shape), (bins == 255).float()
    rate = lone_rate(bins, known, density(bins, bad))
    assert float(rate[255]) == pytest.approx(fraction, rel=0.1)
    assert bool((rate[:200] == 1).all())


def test_a_value_of_the_picture_itself_never_stands_alone() -> None:
    bins = torch.full((1, 60, 60), 200)
    bins[0, 20:40, 20:40] = 0
    rate = lone_rate(bins, torch.ones(bins.shape), density(bins, (bins == 0).float()))
    assert float(rate[0]) < 1 / LONELY


def _framed(seed: int) -> tuple[torch.Tensor, np.ndarray]:
    """A picture with a black frame and a black square, 70% black and white: values, and what is black of itself."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(40, 200, (160, 160))
    clean[[0, -1]] = clean[:, [0, -1]] = 0
    clean[40:70, 90:120] = 0
    noisy, _ = salted(clean.astype(np.uint8), 0.7, seed)
    return torch.from_numpy(noisy / 255).float()[None], clean == 0


@pytest.mark.parametrize("seed", range(3))
def test_frames_are_seen_among_70_percent_of_their_own_colour(seed: int) -> None:
    y, black = _framed(seed)
    P = ((y == 0) | (y == 1)).float()
    found = crowded_nearby(Neighbours(y), float(P.mean()), P)[0].numpy()
    seen = (y == 0)[0].numpy()
    assert not found[~seen].any()  # white ones are what they were
    assert not found[~black & seen].any()
    frame, inside = np.zeros_like(black), np.zeros_like(black)
    frame[[0, -1]] = frame[:, [0, -1]] = inside[44:66, 94:116] = True
    nearer = common_nearby(Neighbours(y), float(P.mean()), P)[0].numpy()
    for area in (frame & seen, inside & seen):
        assert found[area].mean() > 0.6 > 1.5 * nearer[area].mean()


def test_an_outliers_law_that_misses_most_of_them_sees_no_frames_everywhere() -> None:
    rng = np.random.default_rng(0)
    noisy, bad = salted(rng.integers(40, 200, (3, 120, 120)).astype(np.uint8), 0.7)
    y = torch.from_numpy(noisy / 255).float()
    white = torch.from_numpy(noisy == 255)
    P = torch.from_numpy(bad).float() * torch.where(white, 0.3, 1.0)
    assert not crowded_nearby(Neighbours(y), float(P.mean()), P).any()


def test_neighbours_counted_once_serve_every_decision() -> None:
    y, _ = _framed(0)
    known = torch.ones_like(y, dtype=torch.bool)
    known[0, 5:15, 70:90] = False
    once, black, white = Neighbours(y, known), (y == 0).float(), (y == 1).float()
    found = []
    for P in (black, 0.8 * black + white, black + white):
        share = float((P * known).sum() / known.sum())
        again = Neighbours(y, known)
        for nearby in (common_nearby, crowded_nearby):
            found.append(nearby(once, share, P))
            assert torch.equal(found[-1], nearby(again, share, P))
    assert not torch.equal(found[1], found[5])  # the decisions differ
    assert found[5].any()
