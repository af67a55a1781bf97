"""When act 1 may end: the outlier set stands still, and no outlier is still to come."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from twofold.image.identify import DualOutliers, StableSet

DELTA = 0.1


def grown(explained: Tensor) -> DualOutliers:
    """Outliers of 0.5 where ``explained``, and none elsewhere."""
    outliers = DualOutliers(explained.shape, 2e-4)
    outliers.value = lambda: 0.5 * explained  # type: ignore[method-assign]
    return outliers


def stops(explained: Tensor, residual: Tensor) -> list[bool]:
    stable = StableSet(grown(explained), earliest=20, change=2e-3, window=10, delta=DELTA)
    return [stable(step, residual) for step in range(41)]


def test_it_ends_where_the_set_stands_still_and_the_rest_is_small() -> None:
    explained = torch.zeros(1, 50, 50)
    explained[0, :10, :10] = 1
    answers = stops(explained, torch.full_like(explained, 0.01))
    assert [step for step, ends in enumerate(answers) if ends] == [30, 40]


@pytest.mark.parametrize("missed", [0.11, 0.6])
def test_it_goes_on_while_outliers_are_still_to_come(missed: float) -> None:
    """Before they grow up the set stands still as well: a few entries that are hardly missed."""
    explained, residual = torch.zeros(1, 50, 50), torch.full((1, 50, 50), 0.01)
    explained[0, 0, 0] = 1
    residual[0, 10:20, 10:20] = missed
    assert not any(stops(explained, residual))


def test_a_few_edges_that_nothing_explains_do_not_keep_it() -> None:
    explained, residual = torch.zeros(1, 50, 50), torch.full((1, 50, 50), 0.01)
    explained[0, :10, :10] = 1
    residual[0, 40, 40:44] = 0.3
    assert stops(explained, residual)[30]


def test_the_empty_set_is_not_stable() -> None:
    assert not any(stops(torch.zeros(1, 50, 50), torch.full((1, 50, 50), 0.01)))
