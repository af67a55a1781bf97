"""One exact value in the place of more than half of all entries, and values of the picture itself."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from tests.pictures import Array, picture, tensor
from twofold.baselines import detect_and_interpolate
from twofold.datasets import salt_and_pepper
from twofold.image.recover import recover_image
from twofold.image.scattered import scattered
from twofold.metrics import psnr


def _dark(image: Array, fraction: float, value: int) -> tuple[Array, Array]:
    bad = np.random.default_rng(0).random(image.shape) < fraction
    return np.where(bad, value, image).astype(np.uint8), bad


@pytest.mark.parametrize("value", [0, 130, 255])
@pytest.mark.parametrize("fraction", [0.45, 0.9])
@pytest.mark.parametrize("name", ["chelsea", "camera"])
def test_a_value_is_found_wherever_it_struck(name: str, fraction: float, value: int) -> None:
    noisy, bad = _dark(picture(name, 128), fraction, value)
    found = scattered(tensor(noisy)).permute(1, 2, 0).numpy().reshape(noisy.shape)
    assert found[bad].mean() > 0.99
    assert found[noisy != value].sum() == 0


def _salted(image: Array, fraction: float, *, whole_pixels: bool = False) -> tuple[Array, Array]:
    noisy = salt_and_pepper(image, fraction, whole_pixels=whole_pixels, random_state=0)
    return noisy, noisy != image


@pytest.mark.parametrize("fraction", [0.45, 0.7, 0.9])
@pytest.mark.parametrize(("name", "whole_pixels"), [("camera", False), ("moon", False), ("chelsea", True)])
def test_two_values_mislead_where_they_leave_little_of_most_pixels(
    name: str, whole_pixels: bool, fraction: float
) -> None:
    noisy, bad = _salted(picture(name, 128), fraction, whole_pixels=whole_pixels)
    found = scattered(tensor(noisy)).permute(1, 2, 0).numpy().reshape(noisy.shape)
    assert found[bad].mean() > 0.99
    assert found[~bad].mean() < 0.01


def test_nobody_is_misled_where_another_channel_is_left() -> None:
    assert not bool(scattered(tensor(_salted(picture("chelsea", 128), 0.6)[0])).any())
    assert bool(scattered(tensor(_salted(picture("chelsea", 128), 0.8)[0])).any())


def test_a_mask_alone_misleads_nobody() -> None:
    noisy = _salted(picture("camera", 128), 0.3)[0]
    seen = torch.from_numpy(np.random.default_rng(1).random((1, 128, 128)) < 0.5)
    assert not bool(scattered(tensor(noisy), seen).any())


def test_black_areas_among_two_values_are_left_out() -> None:
    image = np.full((96, 96), 120, np.uint8)
    image[20:70, 20:70] = 0
    noisy, _ = _salted(image, 0.7)
    found = scattered(tensor(noisy))[0].numpy()
    assert found[28:62, 28:62][noisy[28:62, 28:62] == 0].mean() < 0.01
    assert found[:15][noisy[:15] == 0].mean() > 0.99


def test_black_areas_of_the_picture_are_left_out() -> None:
    image = np.full((96, 96), 120, np.uint8)
    image[20:70, 20:70] = 0
    noisy, _ = _dark(image, 0.5, 0)
    found = scattered(tensor(noisy))[0].numpy()
    assert found[28:62, 28:62].mean() < 0.01
    assert found[noisy == 0].sum() > 2000


@pytest.mark.parametrize("name", ["astronaut", "page", "coins", "moon", "brick", "text", "rocket"])
def test_pictures_have_no_scattered_values(name: str) -> None:
    assert not bool(scattered(tensor(getattr(skimage.data, name)())).any())


def test_a_drawing_has_none() -> None:
    horse = skimage.data.horse().astype(np.uint8) * 255
    assert not bool(scattered(tensor(horse)).any())


def test_where_nothing_is_left_nothing_is_found() -> None:
    noise = np.where(np.random.default_rng(0).random((64, 64)) < 0.5, 0, 255).astype(np.uint8)
    assert not bool(scattered(tensor(noise)).any())


@pytest.mark.parametrize("name", ["brick", "moon"])
def test_a_small_grey_picture_among_salt_and_pepper(name: str) -> None:
    clean = picture(name, 128)
    noisy, bad = _salted(clean, 0.7)
    solution = recover_image(noisy, preset="fast")
    assert psnr(clean, solution.image) > psnr(clean, detect_and_interpolate(noisy, kind="cubic").image)
    assert (solution.outlier_probability > 0.5)[bad].mean() > 0.99


@pytest.mark.parametrize("fraction", [0.6, 0.9])
def test_most_of_a_picture_in_black(fraction: float) -> None:
    clean = picture("chelsea", 96)
    noisy, bad = _dark(clean, fraction, 0)
    solution = recover_image(noisy, preset="fast")
    assert solution.status.success
    assert psnr(clean, solution.image) > psnr(clean, noisy) + 12
    assert (solution.outlier_probability > 0.5)[bad].mean() > 0.99
