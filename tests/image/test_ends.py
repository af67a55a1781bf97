"""Black and white entries: the told probability against counted shares, where the truth is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from twofold.image.ends import odds_at_the_ends


def drawn(share: float, white: float, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """y, prediction, scale, who was struck and what was changed: a ramp from below black to above white, foretold
    with logistic errors, clipped and quantized; outliers are white with the given probability, else black."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(-0.2, 1.2, 2400).expand(1, 900, 2400)
    b = torch.linspace(0.01, 0.05, 900)[None, :, None].expand(1, 900, 2400)
    scale = b / (2 * torch.log(torch.tensor(2.0)))
    scene = ramp + scale * torch.logit(torch.rand(ramp.shape, generator=generator).clamp(1e-6, 1 - 1e-6))
    clean = (scene.clamp(0, 1) * 255).round() / 255
    outlier = (torch.rand(ramp.shape, generator=generator) < white).float()
    struck = torch.rand(ramp.shape, generator=generator) < share
    y = torch.where(struck, outlier, clean)
    return y, ramp, scale, struck, y != clean


@pytest.mark.parametrize(("share", "white"), [(0.1, 0.5), (0.5, 0.5), (0.7, 0.9), (0.3, 0.1)])
def test_the_odds_are_the_counted_ones(share: float, white: float) -> None:
    y, prediction, scale, struck, changed = drawn(share, white, seed=0)
    odds = odds_at_the_ends(y, prediction, scale, torch.ones_like(y), struck.float())
    at_an_end = (y == 0) | (y == 1)
    assert not odds[~at_an_end].any()
    P, changed = 1 / (1 + odds[at_an_end]), changed[at_an_end].float()
    seen = 0
    for low in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9):
        told = (P - low - 0.1).abs() < 0.1
        if told.sum() > 300:
            seen += 1
            # Two standard errors on the safe side.
            assert -0.02 < float(P[told].mean() - changed[told].mean()) < 0.08
    assert seen >= 3


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_an_end_that_the_picture_never_reaches_has_outliers_only(end: float) -> None:
    generator = torch.Generator().manual_seed(1)
    prediction = torch.full((3, 64, 64), 0.5)
    struck = torch.rand(prediction.shape, generator=generator) < 0.2
    y = torch.where(struck, end, prediction)
    odds = odds_at_the_ends(y, prediction, torch.full_like(y, 0.01), torch.ones_like(y), struck.float())
    assert float(odds.max()) < 1e-3


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_black_or_white_picture_is_right(value: float) -> None:
    y = torch.full((1, 32, 32), value)
    odds = odds_at_the_ends(y, y, torch.full_like(y, 0.003), torch.ones_like(y), torch.zeros_like(y))
    assert float(odds.min()) > 100
    unknown = odds_at_the_ends(y, y, torch.full_like(y, 0.003), torch.zeros_like(y), torch.zeros_like(y))
    assert bool(unknown.isfinite().all())
