"""Holes: where they are, the spline in them against a dense solution, and what is expected of them on pictures."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
import torch

import twofold.image.holes
from tests.pictures import picture
from twofold import datasets
from twofold.image.holes import DEEP, SIDE, TENSION, depth_of_holes, fill_holes, variogram
from twofold.image.recover import recover_image
from twofold.metrics import psnr


def test_only_places_as_wide_as_a_square_are_holes() -> None:
    trusted = torch.ones(40, 40, dtype=torch.bool)
    trusted[5 : 5 + SIDE - 1], trusted[:, 30:34], trusted[20:30, 5:20] = False, False, False
    depth = depth_of_holes(trusted)
    assert bool((depth[20:30, 5:20] > 0).all())
    assert int(depth[20:30, 5:20].max()) == 5
    depth[20:30, 5:20] = 0
    assert not bool(depth[:, :30].any())
    # Where the two lines cross they make a square of four by four, of which nothing is a hole either.
    assert not bool(depth.any())


def test_a_picture_of_which_nothing_is_trusted_has_no_rim_to_be_filled_from() -> None:
    image = torch.rand(3, 20, 20)
    depth = depth_of_holes(torch.zeros(20, 20, dtype=torch.bool))
    assert bool((fill_holes(image, depth) == image).all())
    assert not bool(variogram(image, torch.zeros_like(image), depth).any())


def test_the_spline_has_the_least_energy_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    image, trusted = torch.rand(2, 28, 33, generator=generator), torch.ones(28, 33, dtype=torch.bool)
    trusted[3:25, 4:28] = trusted[:6, :6] = False  # one hole at a corner of the picture
    depth = depth_of_holes(trusted)
    filled = fill_holes(image, depth).double().numpy()

    def second_difference(n: int) -> np.ndarray:
        D = np.diff(np.eye(n), axis=0)
        return D.T @ D

    laplacian = np.kron(second_difference(28), np.eye(33)) + np.kron(np.eye(28), second_difference(33))
    energy = laplacian @ laplacian + laplacian / TENSION**2
    inside = (depth > 0).numpy().ravel()
    deep = (depth >= DEEP).numpy()
    assert 0 < deep.sum() < inside.sum()
    for channel, before in zip(filled, image.double().numpy(), strict=True):
        known = np.where(inside, 0.0, before.ravel())
        x = known.copy()
        x[inside] = np.linalg.solve(energy[np.ix_(inside, inside)], -(energy @ known)[inside])
        share = np.minimum(depth.numpy() / DEEP, 1.0)
        np.testing.assert_allclose(channel, before + share * (x.reshape(28, 33) - before), atol=1e-6)
        np.testing.assert_allclose(channel[deep], x.reshape(28, 33)[deep], atol=1e-6)


@pytest.mark.parametrize("height", [1, 3])
@pytest.mark.parametrize("upright", [False, True])
def test_pictures_that_are_lines_have_holes_too(height: int, upright: bool) -> None:
    image, trusted = (torch.arange(40.0) / 40).expand(2, height, 40), torch.ones(height, 40, dtype=torch.bool)
    trusted[:, 5:35] = False
    if upright:
        image, trusted = image.mT, trusted.mT
    depth = depth_of_holes(trusted)
    filled = fill_holes(torch.where(trusted, image, 1.0), depth)
    assert int((depth >= DEEP).sum()) == 12 * height
    assert float((filled - image)[:, depth >= DEEP].abs().max()) < 1e-5


def test_the_variogram_is_that_of_the_trusted_entries_around() -> None:
    # Slopes of 1 and 4 along rows, 0 along columns, and what is wrong with some entries is not trusted.
    slope = torch.cat([torch.ones(100), 4 * torch.ones(100)])
    y = (slope.cumsum(0) / 1000).expand(2, 101, 200).clone()
    trust, depth = torch.ones_like(y), torch.zeros(101, 200, dtype=torch.int64)
    y[:, 1::7, 1::5], trust[:, 1::7, 1::5] = 1e6, 0.0
    depth[50, [50, 51, 52, 150]] = torch.tensor([8, 12, 14, 8])
    found = variogram(y, trust, depth)
    assert not bool(found[depth == 0].any())
    calm, further, furthest, rough = found[50, [50, 51, 52, 150]].tolist()
    assert calm == pytest.approx(0.5 * 0.008**2, rel=0.05)
    assert further == pytest.approx(0.5 * 0.012**2, rel=0.05)
    assert furthest == pytest.approx(0.5 * 0.014**2, rel=0.05)
    assert rough == pytest.approx(0.5 * 0.032**2, rel=0.05)


@pytest.mark.parametrize(("name", "seed"), [("chelsea", 0), ("astronaut", 1), ("coffee", 2)])
def test_holes_are_filled_better_than_by_the_mean_and_known_to_be_guesses(name: str, seed: int) -> None:
    image, rng = picture(name, 128), np.random.default_rng(seed)
    hole = np.zeros(image.shape[:2], bool)
    for _ in range(3):
        height, width = rng.integers(12, 44, 2)
        top, left = rng.integers(0, 128 - height), rng.integers(0, 128 - width)
        hole[top : top + height, left : left + width] = True
    noisy = datasets.salt_and_pepper(image, 0.2, random_state=seed)
    noisy[hole] = 0
    solution = recover_image(noisy, mask=hole, preset="fast")
    by_mean = np.where(hole[..., None], image[~hole].mean(0), image)
    by_solution = np.where(hole[..., None], solution.image, image)
    assert psnr(image, by_solution) > psnr(image, by_mean) + 3
    # What one hole hides is one draw: on average over pictures the variogram is right.
    assert solution.expected_psnr == pytest.approx(psnr(image, solution.image), abs=5)


def test_docstrings() -> None:
    results = doctest.testmod(twofold.image.holes)
    assert results.attempted > 0
    assert results.failed == 0
