"""The untrained network: shapes, seeds, and its place in the descent."""

from __future__ import annotations

import doctest
from functools import partial

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


def test_a_pull_in_double_precision_is_taken_like_one_in_single() -> None:
    images = []
    for dtype in (torch.float32, torch.float64):
        signal = NetworkSignal((3, 12, 10), width=8, skip=4, smoothing=0.01)
        pull = torch.linspace(-1, 1, 360).reshape(3, 12, 10).to(dtype)
        signal.descend(pull, rate=0.02)
        images.append(signal.value().detach())
    torch.testing.assert_close(*images)


def test_steps_are_those_of_the_optimizer_that_is_asked_for() -> None:
    """Plain gradient steps along Jᵀ·pull, also after a restart; Adam's would be as long as the rate in each entry."""
    pull = torch.linspace(-1, 1, 360).reshape(3, 12, 10)
    signal, again = (NetworkSignal((3, 12, 10), width=8, skip=4, optimizer=torch.optim.SGD) for _ in range(2))
    parameters = list(signal.network.parameters())
    before = [p.detach().clone() for p in parameters]
    gradients = torch.autograd.grad((signal.value() * pull).sum(), parameters, retain_graph=True)
    signal.descend(pull, rate=0.02)
    for p, start, gradient in zip(parameters, before, gradients, strict=True):
        torch.testing.assert_close(p.detach(), start + 0.02 * gradient)
    again.restore(signal.state())
    assert torch.equal(signal.value(), again.value())


def test_a_restart_knows_what_amsgrad_has_seen() -> None:
    make = partial(torch.optim.Adam, amsgrad=True)
    pull = torch.linspace(-1, 1, 360).reshape(3, 12, 10)
    signal, again = (NetworkSignal((3, 12, 10), width=8, skip=4, optimizer=make) for _ in range(2))
    for sign in (1, 1, -1):
        signal.descend(sign * pull, rate=0.02)
    again.restore(signal.state())
    for one in (signal, again):
        one.descend(pull / 100, rate=0.02)
    assert torch.equal(signal.value(), again.value())


def test_a_pull_of_another_layout_is_refused() -> None:
    signal = NetworkSignal((3, 12, 10), width=8, skip=4)
    with pytest.raises(RuntimeError, match="size of tensor"):
        signal.descend(torch.zeros(12, 10, 3), rate=0.02)


@pytest.mark.parametrize(
    ("machine", "instructions", "helps"),
    [
        ("x86_64", {"avx512_bf16"}, True),
        ("AMD64", {"amx_tile"}, True),
        ("x86_64", set(), False),  # imitated, at half the speed of float32
        ("aarch64", set(), True),
    ],
)
def test_bfloat16_where_the_processor_multiplies_in_it(
    machine: str, instructions: set[str], helps: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr("platform.machine", lambda: machine)
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda known=name in instructions: known)
    assert network._bf16_helps(torch.device("cpu")) == helps
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert not network._bf16_helps(torch.device("cpu"))


@pytest.mark.parametrize("size", [(24, 40), (23, 39)])
def test_the_gradient_of_interpolation_is_that_of_pytorch(size: tuple[int, int]) -> None:
    """Also as a part of what several channels were joined to."""
    coarse = torch.rand(1, 4, 12, 20).contiguous(memory_format=torch.channels_last).requires_grad_()
    pull = torch.rand(1, 7, *size).contiguous(memory_format=torch.channels_last)
    gradients = []
    for enlarge in (hourglass._Enlarge(), lambda x, to: torch.nn.functional.interpolate(x, to, mode="bilinear")):
        (torch.cat([torch.zeros(1, 3, *size), enlarge(coarse, size)], 1) * pull).sum().backward()
        assert coarse.grad is not None
        gradients.append(coarse.grad)
        coarse.grad = None
    torch.testing.assert_close(*gradients)


def test_same_seed_same_bits_and_the_global_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    a, b, c = (NetworkSignal((1, 12, 12), width=8, skip=4, seed=s).value() for s in (5, 5, 6))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(state, torch.get_rng_state())


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="width=0"):
        SkipNetwork(4, 3, width=0)
