"""The parts for PyTorch users."""

from __future__ import annotations

import doctest

import pytest
import torch

import twofold.nn
import twofold.optim
from twofold.nn import HadamardOutliers, SkipNetwork
from twofold.optim import discrepant_groups


def test_examples_run() -> None:
    for module in (twofold.nn, twofold.optim):
        assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_groups_serve_any_optimizer(optimizer: type[torch.optim.Optimizer]) -> None:
    model, outliers = torch.nn.Linear(2, 1), HadamardOutliers((4, 1))
    groups = optimizer(discrepant_groups(model, outliers, lr=1e-3, alpha=20)).param_groups
    assert [group["lr"] for group in groups] == [1e-3, pytest.approx(2e-2)]
    assert groups[1]["weight_decay"] == 0


def test_a_plain_training_loop_ignores_outliers() -> None:
    generator = torch.Generator().manual_seed(0)
    t = torch.rand(200, 1, generator=generator)
    y = 3 * t - 1
    bad = torch.rand(200, 1, generator=generator) < 0.2
    y = torch.where(bad, y + 4, y)
    model, outliers = torch.nn.Linear(1, 1), HadamardOutliers(y.shape, start_scale=1e-3)
    optimizer = torch.optim.SGD(discrepant_groups(model, outliers, lr=2e-3, alpha=15))
    for _ in range(2000):
        optimizer.zero_grad()
        (0.5 * (y - model(t) - outliers()).square().sum()).backward()
        optimizer.step()
    assert model.weight.item() == pytest.approx(3, abs=0.1)
    assert ((outliers() > 2) == bad).float().mean() > 0.98


def test_bad_rates_are_named() -> None:
    outliers = HadamardOutliers((2,))
    with pytest.raises(ValueError, match=r"lr=-1"):
        discrepant_groups(torch.nn.Linear(1, 1), outliers, lr=-1, alpha=1)
    with pytest.raises(ValueError, match=r"alpha=nan"):
        discrepant_groups(torch.nn.Linear(1, 1), outliers, lr=1, alpha=float("nan"))
    with pytest.raises(ValueError, match="shares parameters"):
        discrepant_groups(outliers, outliers, lr=1, alpha=1)


def test_skip_network_is_exported() -> None:
    assert SkipNetwork(4, 1, width=4, skip=2, scales=1)(torch.rand(1, 4, 8, 9)).shape == (1, 1, 8, 9)
