"""Adam's steps are PyTorch's, to the bit, and cost no import of its compiler."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest
import torch

import twofold.models.adam as adam
from twofold.models.adam import Adam


def test_examples_run() -> None:
    assert doctest.testmod(adam).failed == 0


@pytest.mark.parametrize("fused", [False, True])
def test_the_steps_are_those_of_pytorch(fused: bool) -> None:
    ours, theirs = (
        [torch.linspace(-1, 1, 210).reshape(10, 3, 7).requires_grad_(), torch.ones(5, requires_grad=True),
         torch.ones(2, requires_grad=True)]
        for _ in range(2)
    )  # fmt: skip
    mine = Adam(ours, betas=(0.9, 0.99), fused=fused)
    reference = torch.optim.Adam(theirs, betas=(0.9, 0.99), fused=fused)
    for step in range(20):
        for parameters, optimizer in ((ours, mine), (theirs, reference)):
            optimizer.zero_grad()
            (parameters[0].sin().sum() * parameters[1].square().sum()).backward()  # the last one has no gradient
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
        for name, value in reference.state[b].items():
            assert torch.equal(mine.state[a][name], value)
    assert mine.state[ours[2]] == {}


def test_a_recovery_does_not_import_the_compiler() -> None:
    program = (
        "import sys, numpy, twofold; twofold.recover_image(numpy.eye(24), preset='fast', steps=4); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
