"""New rows split into known components plus outliers: exact without noise, near the oracle with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from twofold.matrix import rows as module
from twofold.matrix.rows import split_rows

OUTLIERS = {
    "uniform": lambda u: 4 * u - 2,
    "huge": lambda u: 1e6 * (4 * u - 2),
    "one-sided": lambda u: 2 * u,
    "tiny": lambda u: 1e-2 * (4 * u - 2),
    "fill value": lambda u: np.full_like(u, 9.969e36),
    "all sizes": lambda u: 10 ** (16 * u - 8),
}
"""From uniform numbers in [0, 1) to outliers, in units of the entries' mean size."""


@dataclass(frozen=True)
class Rows:
    """Y = scores·components, plus outliers at ``outlying``, plus noise; zero where not observed."""

    Y: np.ndarray
    observed: np.ndarray
    components: np.ndarray
    scores: np.ndarray
    outlying: np.ndarray

    def split(self, dtype: torch.dtype = torch.float64) -> np.ndarray:
        observed = None if self.observed.all() else torch.from_numpy(self.observed)
        Y, V = (torch.from_numpy(array).to(dtype) for array in (self.Y, self.components))
        found = split_rows(Y, observed, V)
        assert found.dtype == dtype
        return found.double().numpy()

    def errors(self, found: np.ndarray) -> np.ndarray:
        """Relative error of each row's scores."""
        return np.linalg.norm(found - self.scores, axis=1) / np.linalg.norm(self.scores, axis=1)

    def oracle(self) -> np.ndarray:
        """Least squares on the inliers, told which they are."""
        good = self.observed & ~self.outlying
        V = self.components
        return np.stack([np.linalg.lstsq(V[:, g].T, y[g], rcond=None)[0] for y, g in zip(self.Y, good, strict=True)])


def gaussian(n: int, r: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(7).standard_normal((n, r)))[0].T


def smooth(n: int, r: int) -> np.ndarray:
    """The lowest cosines: what remains of them on a part of the features is badly conditioned."""
    return np.linalg.qr(np.cos(np.pi * (np.arange(n)[:, None] + 0.5) * np.arange(r) / n))[0].T


def local(n: int, r: int) -> np.ndarray:
    """Bumps of n/r features."""
    places = np.linspace(0, n, r)
    return np.linalg.qr(np.exp(-0.5 * ((np.arange(n)[:, None] - places) * 2 * r / n) ** 2))[0].T


def rows_problem(
    m: int, components: np.ndarray, share: float, kind: str = "uniform", noise: float = 0.0, missing: float = 0.0
) -> Rows:
    rng = np.random.default_rng(0)
    r, n = components.shape
    scores = rng.standard_normal((m, r)) * np.sqrt(n / r)
    X = scores @ components
    size = np.abs(X).mean()
    outlying = rng.random((m, n)) < share
    Y = X + np.where(outlying, OUTLIERS[kind](rng.random((m, n))) * size, 0.0)
    Y += noise * size * rng.standard_normal((m, n))
    observed = rng.random((m, n)) >= missing
    return Rows(np.where(observed, Y, 0.0), observed, components, scores, outlying)


@pytest.mark.parametrize("kind", OUTLIERS)
def test_rows_without_noise_are_split_exactly(kind: str) -> None:
    problem = rows_problem(1000, gaussian(200, 10), 0.1, kind)
    assert problem.errors(problem.split()).max() <= 1e-13


@pytest.mark.parametrize("kind", OUTLIERS)
def test_single_precision_loses_only_its_own_rounding(kind: str) -> None:
    problem = rows_problem(1000, gaussian(200, 10), 0.1, kind)
    assert problem.errors(problem.split(torch.float32)).max() <= 1e-6


@pytest.mark.parametrize(("r", "share"), [(10, 0.45), (50, 0.3)])
@pytest.mark.parametrize("kind", ["uniform", "huge", "one-sided"])
def test_reach(r: int, share: float, kind: str) -> None:
    problem = rows_problem(500, gaussian(200, r), share, kind)
    assert problem.errors(problem.split()).max() <= 1e-12


def test_outliers_that_agree_on_another_combination() -> None:
    """The hardest case: the outliers of a row are exact too, for other scores."""
    problem = rows_problem(500, gaussian(200, 10), 0.3)
    other = np.random.default_rng(1).standard_normal(problem.scores.shape) @ problem.components
    Y = np.where(problem.outlying, 4 * other, problem.scores @ problem.components)
    found = split_rows(torch.from_numpy(Y), None, torch.from_numpy(problem.components)).numpy()
    assert problem.errors(found).max() <= 1e-12


@pytest.mark.parametrize(("components", "share"), [(smooth, 0.2), (local, 0.1)])
def test_badly_conditioned_components(components, share: float) -> None:
    problem = rows_problem(500, components(200, 10), share, "huge")
    assert problem.errors(problem.split()).max() <= 1e-11


@pytest.mark.parametrize(("n", "r", "share"), [(200, 10, 0.3), (400, 100, 0.1)])
def test_missing_entries(n: int, r: int, share: float) -> None:
    problem = rows_problem(200, gaussian(n, r), share, missing=0.3)
    assert problem.errors(problem.split()).max() <= 1e-12


@pytest.mark.parametrize("kind", ["uniform", "huge"])
@pytest.mark.parametrize(("r", "share", "noise"), [(10, 0.0, 0.1), (10, 0.1, 0.1), (10, 0.3, 0.01), (50, 0.2, 0.01)])
def test_with_dense_noise_close_to_the_oracle(r: int, share: float, noise: float, kind: str) -> None:
    problem = rows_problem(400, gaussian(200, r), share, kind, noise)
    found = np.square(problem.split() - problem.scores).mean()
    assert found <= 1.15**2 * np.square(problem.oracle() - problem.scores).mean()


def test_noise_below_single_precision_is_seen() -> None:
    problem = rows_problem(200, gaussian(200, 10), 0.2, noise=1e-10)
    found = np.square(problem.split() - problem.scores).mean()
    assert found <= 1.15**2 * np.square(problem.oracle() - problem.scores).mean()


@pytest.mark.parametrize("unit", [1e-280, 1e-30, 1e30, 1e300])
def test_any_unit(unit: float) -> None:
    problem = rows_problem(100, gaussian(100, 5), 0.2)
    assert np.abs(problem.Y).max() < 100
    scaled = split_rows(torch.from_numpy(problem.Y * unit), None, torch.from_numpy(problem.components)).numpy()
    assert problem.errors(scaled / unit).max() <= 1e-13


def test_rows_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = rows_problem(100, gaussian(100, 5), 0.3, noise=0.01, missing=0.2)
    together = problem.split()
    monkeypatch.setattr(module, "BLOCK", 700)
    np.testing.assert_allclose(problem.split(), together, rtol=1e-9, atol=1e-9)


def test_input_stays_as_it_was() -> None:
    problem = rows_problem(20, gaussian(30, 2), 0.2, missing=0.1)
    Y, observed, components = problem.Y.copy(), problem.observed.copy(), problem.components.copy()
    problem.split()
    np.testing.assert_array_equal(problem.Y, Y)
    np.testing.assert_array_equal(problem.observed, observed)
    np.testing.assert_array_equal(problem.components, components)


def test_zero_rows_and_spikes_on_zero_rows() -> None:
    V = torch.from_numpy(gaussian(100, 5))
    Y = torch.zeros(3, 100, dtype=torch.float64)
    Y[1, ::10] = 7.0
    Y[2, 3] = 1e30
    assert split_rows(Y[:1], None, V).abs().max() == 0.0
    assert split_rows(Y[1:2], None, V).abs().max() <= 1e-15
    assert split_rows(Y[2:], None, V).abs().max() <= 1.0


def test_rows_of_nothing_but_outliers_have_finite_scores() -> None:
    Y = torch.randn(50, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) ** 5
    assert bool(split_rows(Y, None, torch.from_numpy(gaussian(100, 5))).isfinite().all())


@pytest.mark.parametrize(("n", "r"), [(1, 1), (6, 6), (20, 20), (21, 20)])
def test_as_many_components_as_features_leave_no_room_for_outliers(n: int, r: int) -> None:
    problem = rows_problem(50, gaussian(n, r), 0.0)
    assert problem.errors(problem.split()).max() <= 1e-12


def test_one_component() -> None:
    problem = rows_problem(300, gaussian(50, 1), 0.4)
    assert problem.errors(problem.split()).max() <= 1e-12


def test_no_rows_and_no_components() -> None:
    Y = torch.ones(3, 10)
    assert split_rows(Y, None, Y.new_zeros(0, 10)).shape == (3, 0)
    assert split_rows(Y[:0], None, torch.eye(10)[:2]).shape == (0, 2)


def test_features_without_components() -> None:
    """Whatever lies there, none of it tells anything about the scores, and all of it is an outlier."""
    V = np.concatenate([gaussian(60, 4), np.zeros((4, 60))], axis=1)
    problem = rows_problem(200, V, 0.1)
    for constant in (0.0, 1e3):
        Y = problem.Y.copy()
        Y[:, 60:] = constant
        found = split_rows(torch.from_numpy(Y), None, torch.from_numpy(V)).numpy()
        # With 1e3, 60% of the entries are outliers.
        assert problem.errors(found).max() <= 1e-12


def test_a_component_on_a_single_feature_follows_it() -> None:
    V = torch.zeros(2, 9, dtype=torch.float64)
    V[0, 0] = 1.0
    V[1, 1:] = 8**-0.5
    Y = torch.tensor([[1e6, 2.0, 2.0, 99.0, 2.0, 2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(split_rows(Y, None, V), torch.tensor([[1e6, 2 * 8**0.5]], dtype=torch.float64))


def test_rows_that_do_not_determine_their_scores_have_none() -> None:
    V = np.zeros((3, 40))
    V[:2, :20] = gaussian(20, 2)
    V[2, 20:] = gaussian(20, 1)
    problem = rows_problem(4, V, 0.0)
    observed = np.ones((4, 40), bool)
    observed[1, 20:] = False  # a component wholly unobserved
    observed[2, 2:] = False  # fewer entries than components
    observed[3] = False
    Y = np.where(observed, problem.Y, 0.0)
    found = split_rows(torch.from_numpy(Y), torch.from_numpy(observed), torch.from_numpy(V)).numpy()
    np.testing.assert_allclose(found[0], problem.scores[0], rtol=1e-12)
    assert np.isnan(found[1:]).all()
