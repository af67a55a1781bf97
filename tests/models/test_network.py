"""The untrained network: shapes, seeds, and its place in the descent."""

from __future__ import annotations

import doctest

import pytest
import torch

import twofold.models.hourglass as hourglass
import twofold.models.network as network
from twofold.models.hourglass import SkipNetwork
from twofold.models.network import NetworkSignal


def test_examples_run() -> None:
    assert doctest.testmod(network).failed == 0
    assert doctest.testmod(hourglass).failed == 0


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (1, 9, 64), (3, 33, 47)])
@pytest.mark.parametrize("shrink", [1, 2])
def test_any_size(shape: tuple[int, int, int], shrink: int) -> None:
    signal = NetworkSignal(shape, width=8, skip=4, shrink=shrink)
    x = signal.value()
    assert x.shape == shape
    assert bool(torch.isfinite(x).all())
    signal.descend(torch.ones(shape), 1e-2)


@pytest.mark.parametrize(("shape", "shrink"), [((3, 32, 32), 1), ((3, 40, 37), 2)])
def test_images_are_laid_out_like_those_that_a_checkpoint_brings_back(
    shape: tuple[int, int, int], shrink: int
) -> None:
    """Otherwise sums over what was taken from them have other bits after a restart."""
    signal = NetworkSignal(shape, shrink=shrink)
    assert signal.value().is_contiguous()
    signal.descend(torch.ones(shape), 1e-3)
    assert signal.last.is_contiguous()


def test_a_step_follows_the_pull() -> None:
    signal = NetworkSignal((3, 16, 16), width=8, skip=4)
    before = signal.value().detach()
    signal.descend(torch.ones(3, 16, 16), 1e-2)
    assert (signal.value() - before).mean() > 0


def test_same_seed_same_bits_and_the_global_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    a, b, c = (NetworkSignal((1, 12, 12), width=8, skip=4, seed=s).value() for s in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(state, torch.get_rng_state())


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="width=0"):
        SkipNetwork(4, 3, width=0)
