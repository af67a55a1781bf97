"""Preset "paper": step by step what the published script does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from twofold.datasets import salt_and_pepper
from twofold.history import History
from twofold.image.checkpoint import Checkpoint
from twofold.image.fitting import NetworkFit
from twofold.image.presets import PRESETS
from twofold.image.published import PublishedFit
from twofold.image.recover import recover_image
from twofold.problem import Problem

SMALL = replace(PRESETS["paper"], width=8, identify_steps=40)
ROWS, COLUMNS = np.mgrid[:32, :40]
NOISY = salt_and_pepper((100 + ROWS + COLUMNS).astype(np.uint8), 0.2, random_state=0)


def test_the_constants_are_the_published_ones() -> None:
    paper = PRESETS["paper"]
    assert (paper.width, paper.skip, paper.scales, paper.n_in, paper.n_networks) == (128, 4, 5, 32, 1)
    assert (paper.identify_steps, paper.learning_rate) == (150_000, 1.0)


def test_all_steps_are_foretold_for_a_small_image() -> None:
    """Other presets take fewer of them."""
    y = torch.zeros(1, 32, 40)
    fits = {name: NetworkFit(Problem(y), PRESETS[name], "both", False, 500.0, None, 0, History()) for name in PRESETS}
    assert fits["paper"].n_identify == 150_000
    assert fits["balanced"].n_identify < PRESETS["balanced"].identify_steps


def test_three_steps_are_those_of_sgd_on_the_mean_square_loss() -> None:
    y = torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(0))
    ours = PublishedFit(Problem(y), (3, 16, 24), SMALL, "both", 500.0, 3, 0, History())
    theirs = PublishedFit(Problem(y), (3, 16, 24), SMALL, "both", 500.0, 3, 0, History())
    with torch.no_grad():  # large enough for their motion to be seen in three steps
        for fit in (ours, theirs):
            for parameter in fit.outliers.parameters():
                parameter.mul_(1e4)
    ours.run()
    network, outliers = theirs.signal.network, theirs.outliers
    groups = [{"params": network.parameters(), "lr": 1.0}, {"params": outliers.parameters(), "lr": 500.0}]
    optimizer = torch.optim.SGD(groups)
    for _ in range(3):
        optimizer.zero_grad()
        mse_loss(theirs.signal.value() + outliers(), y).backward()
        optimizer.step()
    for mine, other in zip(ours.outliers.parameters(), outliers.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-4)
    for mine, other in zip(ours.signal.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-3)


def test_it_returns_the_image_of_the_network() -> None:
    solution = recover_image(NOISY, preset=SMALL)
    assert solution.n_steps == 40
    assert (solution.image.shape, solution.image.dtype) == (NOISY.shape, np.uint8)
    assert (solution.image != NOISY).mean() > 0.9
    assert set(np.unique(solution.outlier_probability)) <= {0.0, 1.0}


def test_it_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Checkpoint, "is_due", True)
    whole = recover_image(NOISY, preset=SMALL)

    def observer(record: object) -> None:
        if len(seen) == 17:
            raise KeyboardInterrupt
        seen.append(record)

    seen: list[object] = []
    with pytest.raises(KeyboardInterrupt):
        recover_image(NOISY, preset=SMALL, checkpoint=tmp_path / "run", observer=observer)
    again = recover_image(NOISY, preset=SMALL, checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(again.image, whole.image)


def test_what_it_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="group='pixel': the published recipe"):
        recover_image(NOISY, preset="paper", group="pixel")
    with pytest.raises(ValueError, match="not accepted with preset='paper'"):
        recover_image(NOISY, preset="paper", time_limit=100)
