"""Which values are the picture's own: those that outliers favour stand alone now and then."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from twofold.image.agreement import LONELY, density, lone_rate


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
