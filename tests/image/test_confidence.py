"""How likely each entry is an outlier: drawings, and counted shares of real outliers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from tests.pictures import added, picture, salted
from twofold.image import confidence
from twofold.image.agreement import Neighbours
from twofold.image.recover import recover_image
from twofold.metrics import psnr

Array = NDArray[Any]


def test_a_clean_drawing_is_left_alone() -> None:
    horse = skimage.data.horse().astype(np.uint8)[60:188, 100:228] * 255
    solution = recover_image(horse, preset="fast")
    assert psnr(horse, solution.image) > 45
    assert (solution.outlier_probability > 0.5).mean() < 0.005


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_a_probability_of_nine_tenths_is_right_nine_times_in_ten(name: str) -> None:
    """Half of the values of a picture with black areas are black or white by force, and so are some by themselves."""
    clean = picture(name, 128)
    noisy, _ = salted(clean, 0.5)
    P = recover_image(noisy, preset="fast").outlier_probability
    assert miscalibrated(P, noisy != clean) < 0.013
    nearly = (P > 0.85) & (P < 0.95)
    assert nearly.sum() > 100
    assert 0.8 < (noisy != clean)[nearly].mean() <= 1


@pytest.mark.parametrize(("name", "level"), [("astronaut", 0.1), ("coffee", 0.3)])
def test_what_is_black_anyway_is_no_outlier(name: str, level: float) -> None:
    """A picture whose channels are clipped over whole areas: black and white there was not changed by its like."""
    clean = np.clip(2.0 * picture(name, 128).astype(float) - 128, 0, 255).astype(np.uint8)
    noisy, _ = salted(clean, level)
    assert ((clean == 0) | (clean == 255)).mean() > 0.6
    P = recover_image(noisy, preset="fast").outlier_probability
    assert miscalibrated(P, noisy != clean) < 0.03
    assert (P > 0.5)[noisy == clean].mean() < 0.03


def test_rounds_end_where_no_probability_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    clean = torch.linspace(0.2, 0.8, 64).expand(1, 64, 64).contiguous()
    rng = torch.Generator().manual_seed(0)
    foretold = clean + 0.01 * torch.randn(clean.shape, generator=rng)
    y = torch.where(
        torch.rand(clean.shape, generator=rng) < 0.3, (torch.rand(clean.shape, generator=rng) > 0.5).float(), clean
    )
    laws = confidence._Observed.outlier_law
    rounds = [0]

    def counted(seen: Any, P: torch.Tensor) -> torch.Tensor:
        rounds[0] += 1
        return laws(seen, P)

    monkeypatch.setattr(confidence._Observed, "outlier_law", counted)
    first = confidence.outlier_probability(Neighbours(y), foretold, torch.zeros_like(y))
    assert 1 < rounds[0] <= confidence.EM_ROUNDS
    rounds[0] = 0
    again = confidence.outlier_probability(Neighbours(y), foretold, first)
    assert rounds[0] <= 2
    assert float((again - first).abs().mean()) < 1e-4
    assert bool(((first > 0.5) == (y != clean)).all())


def miscalibrated(P: Array, changed: Array) -> float:
    """Mean difference of the probability and the share of changed entries, alike probabilities taken together."""
    bins = np.digitize(P, [0.02, 0.1, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99])
    sums = np.bincount(bins.ravel(), weights=(P - changed).ravel())
    return float(np.abs(sums).sum()) / P.size


def test_outliers_that_are_missed_alike_by_chance_do_not_make_details() -> None:
    """A smooth picture, black in the place of a fifth, any value in that of a tenth: some lie side by side."""
    clean = skimage.data.retina()[400:496, 400:496]
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(clean.shape) < 0.2, 0, clean)
    noisy = np.where(rng.random(clean.shape) < 0.1, rng.integers(0, 256, clean.shape), noisy).astype(np.uint8)
    solution = recover_image(noisy, preset="fast")
    plain = np.abs(noisy.astype(int) - clean) > 40
    assert (solution.outlier_probability[plain] < 0.5).mean() < 5e-4
    assert psnr(clean, solution.image) > 45


@pytest.mark.parametrize("size", [30, 60])
def test_small_errors_that_are_added_are_found(size: int) -> None:
    """A fifth of the values is too bright or too dark by an eighth or a quarter of the range."""
    noisy, bad = added(picture("chelsea", 128), 0.2, size)
    P = recover_image(noisy, preset="fast").outlier_probability
    assert (P > 0.5)[bad].mean() > 0.9
    assert (P > 0.5)[~bad].mean() < 0.05
