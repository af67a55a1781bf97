"""The error that a result is expected to have: against its true error, on pictures and by construction."""

from __future__ import annotations

import doctest
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import twofold.image.withheld
from tests.pictures import picture
from twofold import baselines, datasets
from twofold.image.recover import recover_image
from twofold.image.withheld import SHARE, squared_error, still_gains, withheld_entries
from twofold.metrics import psnr

Array = NDArray[Any]


@pytest.mark.parametrize(
    ("name", "side", "corrupt"),
    [
        ("astronaut", 128, partial(datasets.salt_and_pepper, fraction=0.3)),
        ("chelsea", 128, partial(datasets.salt_and_pepper, fraction=0.3, whole_pixels=True)),
        ("coffee", 128, partial(datasets.random_valued_impulse, fraction=0.2)),
        ("chelsea", 256, datasets.text_overlay),
    ],
)
def test_the_expected_error_is_near_the_true_one(name: str, side: int, corrupt: Any) -> None:
    image = picture(name, side)
    solution = recover_image(corrupt(image, random_state=0), preset="fast")
    assert solution.expected_error.shape == image.shape
    assert solution.expected_error.dtype == np.float32
    assert solution.expected_psnr == pytest.approx(psnr(image, solution.image), abs=2.5)


def test_a_grey_picture_and_its_unit() -> None:
    image = picture("camera", 192)
    noisy = datasets.salt_and_pepper(image, 0.3, random_state=0)
    solution = recover_image(noisy, preset="fast")
    assert solution.expected_psnr == pytest.approx(psnr(image, solution.image), abs=2.5)
    scaled = recover_image(noisy.astype(np.float64) * 1000, preset="fast")
    np.testing.assert_allclose(scaled.expected_error, 1000 * solution.expected_error, rtol=1e-3, atol=1e-3)
    assert scaled.expected_psnr == pytest.approx(solution.expected_psnr, abs=0.01)


def test_entries_that_are_kept_are_expected_to_be_right() -> None:
    image = picture("chelsea", 128)
    noisy = datasets.salt_and_pepper(image, 0.3, random_state=0)
    solution = recover_image(noisy, preset="fast")
    bad = noisy != image
    assert np.median(solution.expected_error[~bad]) < 0.1
    assert np.median(solution.expected_error[bad]) > 1


def test_what_cannot_be_told_is_none() -> None:
    image = picture("camera", 32)
    assert baselines.median(image).expected_error is None
    assert baselines.median(image).expected_psnr is None
    seen = recover_image(image, operator=lambda x: x[:, ::2], preset="fast", steps=20)
    assert seen.expected_psnr is None
    assert recover_image(image, preset="fast", steps=20).expected_psnr is None


def test_a_constant_image_is_expected_to_be_right() -> None:
    assert recover_image(np.full((20, 20), 7, np.uint8)).expected_psnr == math.inf


def test_a_few_entries_are_withheld_in_every_channel_and_the_same_for_a_seed() -> None:
    chosen = withheld_entries(torch.zeros(3, 200, 200), seed=1)
    assert chosen is not None
    assert chosen.float().mean((1, 2)).tolist() == pytest.approx([SHARE] * 3, rel=0.15)
    same, other = (withheld_entries(torch.zeros(3, 200, 200), seed=seed) for seed in (1, 2))
    assert bool((chosen == same).all())
    assert not bool((chosen == other).all())
    alone, whole = (chosen.sum(0) == 1).float().mean(), chosen.all(0).float().mean()
    assert alone > 3 * SHARE / 4 * 0.8  # any of three channels
    assert whole > 3 * SHARE / 4 * 0.8  # pixels and strokes


def test_the_error_is_told_apart_by_what_is_near() -> None:
    generator = torch.Generator().manual_seed(7)
    trust, withheld = torch.ones(3, 300, 300), withheld_entries(torch.zeros(3, 300, 300), seed=0)
    alone = (trust * ~withheld).sum(0) == 0  # no other channel of the pixel
    miss = torch.randn(trust.shape, generator=generator) * torch.where(alone, 0.08, 0.02)
    trust[:, :150] = 0  # all channels of the upper half are outliers
    withheld_below = withheld.clone()
    withheld_below[:, :155] = False
    e2 = squared_error(trust, miss, trust, withheld_below, torch.ones_like(trust))
    assert float(e2[:, :140].mean().sqrt()) == pytest.approx(0.08, rel=0.15)
    assert float(e2[:, 160:].mean().sqrt()) == pytest.approx(0.02, rel=0.15)


def test_the_error_is_larger_where_the_picture_is_rough() -> None:
    generator = torch.Generator().manual_seed(8)
    local = torch.full((1, 300, 300), 0.02)
    local[..., 200:] = 0.1
    trust, withheld = torch.ones_like(local), withheld_entries(local, seed=0)
    e2 = squared_error(trust, 1.5 * local * torch.randn(local.shape, generator=generator), trust, withheld, local)
    assert float(e2[..., :200].mean().sqrt()) == pytest.approx(0.03, rel=0.1)
    assert float(e2[..., 200:].mean().sqrt()) == pytest.approx(0.15, rel=0.1)


def test_good_entries_that_were_taken_for_outliers_count() -> None:
    # One in ten has a probability of 0.7, and of those three in ten are good, missed by 0.5 where others are by 0.1.
    generator = torch.Generator().manual_seed(9)
    trust, withheld = torch.ones(1, 300, 300), withheld_entries(torch.zeros(1, 300, 300), seed=0)
    doubtful = torch.rand(trust.shape, generator=generator) < 0.1
    miss, weight = torch.where(doubtful, 0.5, 0.1), torch.where(doubtful, 0.3, 1.0)
    e2 = squared_error(trust, miss, weight, withheld, torch.ones_like(trust))
    assert float(e2.mean()) == pytest.approx((0.9 * 0.01 + 0.03 * 0.25) / 0.93, rel=0.1)


def test_nothing_withheld_says_nothing() -> None:
    trust = torch.ones(1, 5, 5)
    assert bool(squared_error(trust, trust, trust, torch.zeros(1, 5, 5, dtype=torch.bool), trust).isnan().all())


def test_a_further_network_gains_where_errors_are_independent() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(3, 64, 64, generator=generator)
    withheld, good = withheld_entries(torch.zeros(3, 64, 64), seed=0), torch.ones_like(y)
    images = y + 0.1 * torch.randn(3, *y.shape, generator=generator)
    assert still_gains(images[:1], y, good, withheld)
    assert still_gains(images[:2], y, good, withheld)
    assert not still_gains(images[:1].repeat(2, 1, 1, 1), y, good, withheld)
    assert not still_gains(torch.stack([images[0], images[0] + 0.5]), y, good, withheld)


def test_docstrings() -> None:
    results = doctest.testmod(twofold.image.withheld)
    assert results.attempted > 0
    assert results.failed == 0
