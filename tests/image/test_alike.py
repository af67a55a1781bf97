"""Neighbours that are missed alike: by chance they say nothing on average, along a line they say a lot."""

from __future__ import annotations

import pytest
import torch

from twofold.image.alike import missed_alike
from twofold.image.confidence import logistic


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.6])
def test_by_chance_the_ratio_is_one_on_average(fraction: float) -> None:
    """Errors drawn from a mixture that is known: the mean of a likelihood ratio is 1, for large errors too."""
    generator = torch.Generator().manual_seed(0)
    shape, b = (1, 900, 900), torch.tensor(0.02)
    u = torch.rand(shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    error = b / 1.3862943611 * torch.log(u / (1 - u))
    struck = torch.rand(shape, generator=generator) < fraction
    error = torch.where(struck, 2 * torch.rand(shape, generator=generator) - 1, error)
    whatever = (1 - fraction) * logistic(error, b) + fraction * 0.5
    # One neighbour counts for each entry, and a product of independent factors has the product of their means.
    evidence = torch.zeros(shape)
    evidence[:, ::3, ::3] = 1
    ratio = missed_alike(error, b.expand(shape), whatever, evidence)
    size = error.abs()  # nearer to 1 a part of the kernel has left the range
    assert float(ratio[size < 0.5].mean()) == pytest.approx(1, abs=0.02)
    assert float(ratio[(size > 0.2) & (size < 0.5)].mean()) == pytest.approx(1, abs=0.1)


def test_neighbours_of_another_place_say_nothing_about_a_line() -> None:
    generator = torch.Generator().manual_seed(1)
    error = 0.01 * torch.randn(1, 60, 60, generator=generator)
    error[:, 30] = 0.4
    evidence, b = torch.ones_like(error), torch.full_like(error, 0.01)
    whatever = torch.where(error > 0.2, 0.1, 30.0)
    beside, elsewhere = (missed_alike(error, b, whatever, evidence, by_chance=chance) for chance in (False, True))
    assert float(beside[:, 30, 1:-1].min()) > 20
    assert float(elsewhere[:, 30].max()) < 1


def test_what_does_not_count_says_nothing() -> None:
    error = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros_like(error)
    ratio = missed_alike(error, torch.full_like(error, 0.01), torch.ones_like(error), nothing)
    assert torch.equal(ratio, torch.ones_like(error))
