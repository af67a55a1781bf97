"""What was drawn over a picture: found in real pictures, and nothing found where nothing was drawn."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import twofold.image.overlays
from tests.pictures import picture
from twofold import datasets
from twofold.image.overlays import overlays
from twofold.image.recover import recover_image
from twofold.metrics import psnr

Array = NDArray[Any]

PICTURES = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "moon", "clock", "brick", "grass", "page")


def found_in(image: Array, known: Array | None = None) -> Array:
    y = torch.from_numpy(np.atleast_3d(image).transpose(2, 0, 1) / 255)
    known_ = None if known is None else torch.from_numpy(known).expand_as(y)
    return overlays(y, known_).numpy().transpose(1, 2, 0).reshape(image.shape)


def blended_text(image: Array, colour: tuple[int, ...] | int) -> Array:
    canvas = Image.fromarray(image)
    for top in range(0, image.shape[0], 40):
        ImageDraw.Draw(canvas).text((2, top), "Überschrift gehört weg", fill=colour, font=ImageFont.load_default(24))
    return np.asarray(canvas)


@pytest.mark.parametrize("name", PICTURES)
def test_nothing_is_found_in_a_picture(name: str) -> None:
    assert found_in(picture(name, 256)).mean() < 0.002


@pytest.mark.parametrize("kind", ["text", "scratches", "dead lines"])
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "camera", "coins"])
def test_what_is_drawn_is_found(name: str, kind: str) -> None:
    image = picture(name, 256)
    drawn = {
        "text": lambda: datasets.text_overlay(image, random_state=1),
        "scratches": lambda: datasets.scratches(image, 16, width=3, random_state=1),
        "dead lines": lambda: datasets.dead_lines(image, 0.03, random_state=1),
    }[kind]()
    found, visible, clean = found_in(drawn), np.abs(drawn.astype(int) - image) > 20, drawn == image
    assert found[visible].mean() > 0.95
    assert found[clean].mean() < 0.1


@pytest.mark.parametrize("colour", [(255, 255, 255), (200, 30, 40)])
def test_letters_with_blended_edges_are_found(colour: tuple[int, ...]) -> None:
    image = picture("chelsea", 256)
    drawn = blended_text(image, colour)
    found, visible = found_in(drawn), np.abs(drawn.astype(int) - image) > 20
    assert found[visible].mean() > 0.8
    assert found[drawn == image].mean() < 0.1


def test_a_line_in_one_channel_alone_is_found_there() -> None:
    image = picture("coffee", 256)
    image[100, :, 1] = 255
    found = found_in(image)
    assert found[100, :, 1].mean() > 0.9
    assert found[100, :, [0, 2]].mean() < 0.05


def test_a_drawing_is_left_alone() -> None:
    """Where equal neighbours are the rule, thin lines of one value are what the picture is made of."""
    drawing = np.full((120, 120, 3), 230, np.uint8)
    drawing[::20], drawing[:, ::20] = 40, 120
    assert not found_in(drawing).any()
    board = skimage.data.checkerboard()
    assert not found_in(board).any()


def test_missing_entries_are_looked_past_and_never_found() -> None:
    image = datasets.text_overlay(picture("chelsea", 256), random_state=0)
    known = np.random.default_rng(0).random((1, 256, 256)) > 0.2
    image[~known[0]] = 0
    found = found_in(image, known)
    assert not found[~known[0]].any()
    assert found[known[0]].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 2), (25, 25, 3)])
def test_small_images(shape: tuple[int, ...]) -> None:
    assert not found_in(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)).any()


def test_text_is_removed_from_a_picture() -> None:
    image = picture("chelsea", 128)
    written = datasets.text_overlay(image, random_state=0)
    solution = recover_image(written, preset="fast")
    changed = (written != image).any(axis=2)
    assert psnr(image, solution.image) > psnr(image, written) + 12
    assert (solution.outlier_probability > 0.5).mean(axis=2)[changed].mean() > 0.95


def test_docstrings() -> None:
    results = doctest.testmod(twofold.image.overlays)
    assert results.attempted > 0
    assert results.failed == 0
