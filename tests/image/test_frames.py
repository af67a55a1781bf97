"""Frames go on where an entry is missing; dead rows and thin objects across a flat ground are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.pictures import salted
from twofold.image.frames import MARGIN, on_a_frame
from twofold.image.recover import recover_image
from twofold.metrics import psnr

EVERYTHING = torch.ones(1, 40, 60, dtype=torch.bool)
BORDERS = [(1, 0), (1, 3), (1, -1), (2, 2), (2, -4)]
"""Axes, and places along them."""


def _ramp() -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    return (0.2 + rows / 100 + columns / 200)[None]


@pytest.mark.parametrize(("axis", "place"), BORDERS)
def test_a_frame_goes_on_where_entries_are_missing(axis: int, place: int) -> None:
    y = _ramp()
    y.select(axis, place)[:] = 0.9
    good = torch.rand(y.shape, generator=torch.Generator().manual_seed(0)) < 0.7
    value, on_frame = on_a_frame(torch.where(good, y, 0.3), good, EVERYTHING)
    line = torch.zeros_like(on_frame)
    line.select(axis, place)[:] = True
    assert not on_frame[~line].any()
    assert float(on_frame[line].float().mean()) > 0.7  # elsewhere fewer than three are left on one side
    np.testing.assert_allclose(value[on_frame], 0.9, rtol=1e-6)


def test_a_few_outliers_that_were_not_seen_do_not_hide_it() -> None:
    y = _ramp()
    y[0, 0] = 0.9
    y[0, 0, ::9] = 0.7
    value, on_frame = on_a_frame(y, EVERYTHING, EVERYTHING)
    assert bool(on_frame[0, 0, 9:-6].all())
    np.testing.assert_allclose(value[0, 0, 9:-6], 0.9, rtol=1e-6)


def test_farther_inside_it_is_a_dead_row() -> None:
    y = _ramp()
    y[0, MARGIN] = 0.9
    assert not on_a_frame(y, EVERYTHING, EVERYTHING)[1].any()


@pytest.mark.parametrize("axis", [1, 2])
def test_what_crosses_a_flat_ground_is_not_filled_with_the_ground(axis: int) -> None:
    y, good = torch.full((1, 40, 60), 0.5), EVERYTHING.clone()
    mast = y.select(axis, 5)[0]
    mast[:] = 0.1 + torch.arange(len(mast)) / 80  # of no single value
    good.select(axis, 5)[0, ::3] = False
    assert not on_a_frame(y, good, EVERYTHING)[1].select(axis, 5).any()


def test_a_line_of_which_many_are_rejected_may_have_been_drawn_over_the_picture() -> None:
    y = _ramp()
    y[0, 2] = 0.9
    good = EVERYTHING.clone()
    good[0, 2] = torch.arange(60) % 3 > 0
    assert not on_a_frame(y, good, EVERYTHING)[1].any()
    known = good.clone()  # known to be bad: that says nothing
    assert bool(on_a_frame(y, good, known)[1][0, 2, 20:40].all())


def test_the_frame_of_a_picture_is_kept_and_filled() -> None:
    rows, columns = np.mgrid[:96, :96]
    clean = (120 + 60 * np.sin(rows / 17) + 50 * np.cos(columns / 13)).astype(np.uint8)
    clean[:, 0] = clean[0] = 0
    noisy, _ = salted(clean, 0.5)
    image = recover_image(noisy, preset="fast").image
    inside = (slice(4, -4), 0), (0, slice(4, -4))
    assert all((image[place] == 0).mean() > 0.95 for place in inside)
    assert psnr(clean, image) > 38
