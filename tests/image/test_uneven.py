"""Outliers that do not fall evenly."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch

from tests.pictures import picture
from twofold import metrics, recover_image
from twofold.image.borders import LINES
from twofold.image.uneven import BOX, LEAST_SHARE, Places


def _evenly(share: float, shape: tuple[int, ...] = (3, 120, 130)) -> tuple[torch.Tensor, torch.Tensor]:
    P = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) < share).float()
    return P, torch.full(shape, share)


def _share(P: torch.Tensor, overall: torch.Tensor, evidence: torch.Tensor | None = None) -> torch.Tensor:
    """Of an observation that is noise wherever somebody looks."""
    y = torch.rand(P.shape, generator=torch.Generator().manual_seed(1))
    return Places(y, torch.ones_like(P) if evidence is None else evidence).share(P, y - 0.5, overall)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9])
def test_outliers_that_fall_evenly_change_nothing(share: float) -> None:
    P, overall = _evenly(share)
    assert torch.equal(_share(P, overall), overall)


def test_a_corner_with_more_and_one_with_less() -> None:
    P, overall = _evenly(0.3)
    P[:, :40, :40], P[:, -40:, -40:] = 0.9, 0.0
    share = _share(P, overall)
    middle = BOX + 5
    assert share[0, 40 - middle, 40 - middle] == pytest.approx(0.9, abs=0.01)
    assert float(share[0, middle - 40, middle - 40]) == pytest.approx(LEAST_SHARE)
    assert torch.equal(share[:, 60, 60], overall[:, 60, 60])


def test_a_line_of_one_channel() -> None:
    P, overall = _evenly(0.01)
    P[1, :, 50] = 0.8
    share = _share(P, overall)
    assert bool((share[1, :, 50] > 0.45).all())
    share[1, :, 50] = 0.01
    assert torch.equal(share, overall)


def test_a_line_that_foretells_itself_is_a_part_of_the_picture() -> None:
    P, overall = _evenly(0.01)
    P[1, :, 50] = 0.8
    bent = torch.linspace(0, 1, 120).square()  # its second differences are 1e-4
    y = (0.2 + 0.6 * bent)[None, :, None].expand_as(P).clone()
    error = torch.where(P == 0.8, 0.2, 0.0)
    assert torch.equal(Places(y, torch.ones_like(P)).share(P, error, overall), overall)
    y[1, :, 50] += 0.2 * torch.rand(120, generator=torch.Generator().manual_seed(0))
    assert bool((Places(y, torch.ones_like(P)).share(P, error, overall)[1, :, 50] > 0.45).all())


def test_neighbours_that_do_not_count_do_not_make_a_line_rough() -> None:
    P, overall = _evenly(0.01)
    P[1, :, 50] = 0.8
    y, error, evidence = torch.full_like(P, 0.5), torch.where(P == 0.8, 0.2, 0.0), torch.ones_like(P)
    y[:, ::10], evidence[:, ::10] = 1.0, 0.0
    share = Places(y, evidence).share(P, error, overall)
    assert torch.equal(share, overall)


def test_edges_along_columns_are_no_bad_lines() -> None:
    wall = np.asarray(skimage.data.brick())[128:384, 128:384]
    solution = recover_image(wall, preset="fast")
    # Half a per cent of this clean picture passed for pieces of bad columns.
    assert (solution.outlier_probability > 0.5).mean() < 0.001
    assert metrics.psnr(wall, solution.image) > 60


def test_a_line_at_the_border_may_be_other_content() -> None:
    P, overall = _evenly(0.01)
    P[:, :LINES], P[:, :, -LINES:] = 0.8, 0.8
    share = _share(P, overall)
    corners = torch.zeros_like(P, dtype=torch.bool)
    corners[:, : BOX + LINES, -BOX - LINES :] = True  # a box has both there
    assert torch.equal(share[~corners], overall[~corners])


def test_what_does_not_count_keeps_its_share_and_says_nothing() -> None:
    P, overall = _evenly(0.1)
    evidence = torch.ones_like(P)
    evidence[:, 50:90] = 0
    P[:, 50:90] = 1
    share = _share(P, overall, evidence)
    assert torch.equal(share, overall)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 300), (1, 3, 3), (1, 300, 2)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    P, overall = _evenly(0.5, shape)
    share = _share(P, overall)
    assert share.shape == shape
    assert bool(((share >= LEAST_SHARE) & (share < 1)).all())


def _noise_in(bad: np.ndarray, clean: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).integers(0, 256, clean.shape)
    return np.where(bad, noise, clean).astype(np.uint8)


def test_rows_of_noise_are_found() -> None:
    clean = picture("chelsea", 128)
    bad = (np.random.default_rng(0).random((128, 1, 1)) < 0.1) & np.ones(clean.shape, bool)
    solution = recover_image(_noise_in(bad, clean), preset="fast")
    found = solution.outlier_probability > 0.5
    # With one share for all entries 15% of them were missed, and the picture came out at 31.8 dB.
    assert found[bad].mean() > 0.92
    assert found[~bad].mean() < 0.02
    assert metrics.psnr(clean, solution.image) > 36


def test_a_cluster_of_noise_is_found() -> None:
    clean = picture("chelsea", 128)
    y, x = np.mgrid[:128, :128]
    share = 0.9 * np.exp(-((y - 50) ** 2 + (x - 60) ** 2) / (2 * 25**2))
    bad = np.random.default_rng(0).random(clean.shape) < share[..., None]
    solution = recover_image(_noise_in(bad, clean), preset="fast")
    found = solution.outlier_probability > 0.5
    # With one share for all entries half of them were missed, and the picture came out at 20.9 dB.
    assert found[bad].mean() > 0.77
    assert found[~bad].mean() < 0.02
    assert metrics.psnr(clean, solution.image) > 27
