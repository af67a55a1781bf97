"""Normal noise on the whole picture, and outliers besides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import astronaut, grass

from tests.pictures import picture, salted
from twofold import ImageSolution, recover_image
from twofold.baselines import median, total_variation_l1
from twofold.datasets import random_valued_impulse
from twofold.image.kriging import dense_noise
from twofold.metrics import psnr

SIDE = {"moon": 256, "cell": 256, "chelsea": 128}  # of little contrast, smooth, in colour


def rough(clean: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0, sigma, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def best_median(clean: np.ndarray, noisy: np.ndarray) -> float:
    return max(psnr(clean, median(noisy, size=size).image) for size in (3, 5, 7))


def left(clean: np.ndarray, noisy: np.ndarray, solution: ImageSolution) -> float:
    """Root mean square of what entries that pass for good differ from the truth by: the noise, and with it outliers
    that are smaller than it."""
    kept = solution.outlier_probability < 0.5
    return float(np.sqrt(np.mean((noisy.astype(float) - clean)[kept] ** 2)))


@pytest.mark.parametrize(("name", "share"), [("moon", 0.2), ("cell", 0.2), ("chelsea", 0.3)])
def test_among_salt_and_pepper_it_is_measured_and_taken_off(name: str, share: float) -> None:
    clean = picture(name, SIDE[name])
    observed = rough(clean, 10.0)
    noisy, bad = salted(observed, share)
    solution = recover_image(noisy, preset="fast")
    assert solution.noise == pytest.approx(10, rel=0.1)
    assert psnr(clean, solution.image) > best_median(clean, noisy) + 1
    found, changed = solution.outlier_probability > 0.5, noisy != observed
    assert found[changed].mean() > 0.98
    assert found[~bad].mean() < 0.01


def test_of_a_small_picture_it_is_measured_and_smoothed() -> None:
    clean = astronaut()[100:228, 190:318]
    rng = np.random.default_rng(0)
    observed = np.clip(np.rint(clean + rng.normal(0, 12, clean.shape)), 0, 255).astype(np.uint8)
    solution = recover_image(salted(observed, 0.2)[0], preset="fast")
    assert 8 < solution.noise < 15
    assert psnr(clean, solution.image) > psnr(clean, observed) + 2


def test_among_random_values_it_does_not_pass_for_them() -> None:
    clean = picture("cell", SIDE["cell"])
    noisy = random_valued_impulse(rough(clean, 20.0), 0.2, random_state=0)
    solution = recover_image(noisy, preset="fast")
    assert solution.noise == pytest.approx(left(clean, noisy, solution), rel=0.1)
    assert psnr(clean, solution.image) > best_median(clean, noisy) + 1


@pytest.mark.parametrize(("name", "share"), [("chelsea", 0.3), ("coffee", 0.2), ("astronaut", 0.1)])
def test_among_random_values_it_is_measured_in_colour_as_well(name: str, share: float) -> None:
    clean = picture(name, 128)
    noisy = random_valued_impulse(rough(clean, 10.0), share, random_state=0)
    solution = recover_image(noisy, preset="fast")
    assert solution.noise == pytest.approx(left(clean, noisy, solution), rel=0.2)
    assert psnr(clean, solution.image) > psnr(clean, total_variation_l1(noisy).image)
    assert psnr(clean, solution.image) > best_median(clean, noisy) + 1


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_white_noise_is_measured(n_channels: int, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 0.05 * torch.randn(n_channels, 96, 100, generator=generator)
    trust = (torch.rand(n_channels, 96, 100, generator=generator) < share).float()
    assert dense_noise(noise, trust) == pytest.approx(0.05, rel=0.1)


def test_a_texture_is_no_noise() -> None:
    texture = torch.from_numpy(grass()[:192, :192] / 255).float()[None]
    assert dense_noise(texture - texture.mean(), torch.ones_like(texture)) == 0.0
    assert dense_noise(texture, torch.zeros_like(texture)) == 0.0
