"""Text and lines with blended edges: most of their pixels show the picture too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from tests.cut_off import cut_off_after
from tests.pictures import Array, picture, salted, tensor
from twofold.image import checkpoint as module
from twofold.image.overlays import overlays
from twofold.image.recover import recover_image
from twofold.image.strokes import blended_strokes
from twofold.metrics import psnr


def _written(image: Array, colour: tuple[int, int, int]) -> Array:
    """Lines of blended letters."""
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for top in range(2, image.shape[0], 26):
        draw.text((2, top), "quick brown fox", font=ImageFont.load_default(13), fill=colour)
    return np.asarray(canvas)


@pytest.mark.parametrize("colour", [(255, 255, 255), (220, 30, 30)])
def test_letters_are_found_to_their_edges(colour: tuple[int, int, int]) -> None:
    clean = picture("chelsea", 128)
    noisy = _written(clean, colour)
    plain = np.abs(noisy.astype(int) - clean).max(2) > 20
    solution = recover_image(noisy, preset="fast")
    found = (solution.outlier_probability > 0.5).any(2)
    assert found[plain].mean() > 0.8
    assert found[(noisy == clean).all(2)].mean() < 0.05
    assert psnr(clean, solution.image) > psnr(clean, noisy) + 10


def test_impulses_are_no_strokes() -> None:
    """Black and white entries make black and white pixels by chance; a third of all entries is doubtful."""
    noisy, bad = salted(picture("coffee", 128), 0.5)
    y, clean = tensor(noisy), tensor(picture("coffee", 128))
    overlay = overlays(y)
    doubtful = torch.from_numpy(bad).permute(2, 0, 1)
    assert torch.equal(blended_strokes(y, clean, doubtful, overlay), overlay)


def test_same_bits_when_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.Checkpoint, "is_due", True)
    noisy = _written(picture("chelsea", 64), (255, 255, 255))
    whole = recover_image(noisy, preset="best", steps=60)
    for n_steps in (5, 17, 30):
        cut_off_after(n_steps, noisy, tmp_path / f"run{n_steps}", preset="best", steps=60)
        again = recover_image(noisy, checkpoint=tmp_path / f"run{n_steps}", preset="best", steps=60)
        np.testing.assert_array_equal(again.image, whole.image)
        np.testing.assert_array_equal(again.outlier_probability, whole.outlier_probability)
