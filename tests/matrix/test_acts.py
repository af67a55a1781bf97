"""Each act alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.problems import low_rank_problem, pursuit_objective
from twofold.history import History
from twofold.matrix.convex import pursue
from twofold.matrix.identify import identify, largest_gap, range_finder, spectrum
from twofold.matrix.polish import polish, tangent_step
from twofold.matrix.rows import split_rows
from twofold.problem import Problem


def as_problem(Y: np.ndarray) -> Problem:
    observed = torch.from_numpy(~np.isnan(Y))
    return Problem(torch.from_numpy(np.nan_to_num(Y)), observed)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("rank", "outliers"),
    [(r, p) for r in (2, 6, 12, 20) for p in (0.02, 0.16, 0.25, 0.35)] + [(30, 0.02), (42, 0.02)],
)
def test_identification_alone_names_the_rank(rank: int, outliers: float) -> None:
    problem = as_problem(low_rank_problem(120, 120, rank, outliers, seed=1).Y)
    found = identify(problem, alpha=120**0.5, generator=generator(), history=History())
    assert found is not None
    assert found.rank == rank


def test_identification_is_a_rough_fit_in_few_steps() -> None:
    data = low_rank_problem(400, 300, 8, 0.1)
    history = History()
    found = identify(as_problem(data.Y), alpha=20.0, generator=generator(), history=history)
    assert found.n_steps <= 15
    assert found.gap > 10
    assert data.error((found.U @ found.V.T).numpy()) < 0.2
    assert history.acts == ["identify"]


@pytest.mark.parametrize("seed", range(3))
def test_no_gap_in_data_without_structure(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for Y in (
        rng.standard_normal((100, 80)),
        np.where(rng.random((100, 80)) < 0.2, rng.uniform(-1, 1, (100, 80)), 0.0),
    ):
        assert identify(as_problem(Y), alpha=10.0, generator=generator(), history=History()) is None


def test_largest_gap_ignores_what_has_not_grown_and_the_edge() -> None:
    assert largest_gap(torch.tensor([5.0, 4.0, 1e-6, 1e-12])) == (2, pytest.approx(80.0))
    assert largest_gap(torch.tensor([1.0, 1.0, 1.0, 1e-9]))[0] == 3
    assert largest_gap(torch.tensor([1.0, 1.0, 1.0, 1.0, 1e-9]))[1] == 1.0
    assert largest_gap(torch.tensor([0.0, 0.0])) == (0, 1.0)


def test_spectrum_and_range_finder_are_singular_values() -> None:
    rng = np.random.default_rng(0)
    U, V = torch.from_numpy(rng.standard_normal((30, 4))), torch.from_numpy(rng.standard_normal((20, 4)))
    exact = torch.linalg.svdvals(U @ V.T)[:4]
    torch.testing.assert_close(spectrum(U, V), exact)
    left, sigma, right = range_finder(U @ V.T, 6, generator())
    torch.testing.assert_close(sigma[:4], exact)
    torch.testing.assert_close((left * sigma) @ right.T, U @ V.T)


def test_tangent_step_is_the_projected_step_to_first_order() -> None:
    rng = np.random.default_rng(0)
    U, V = torch.from_numpy(rng.standard_normal((12, 3))), torch.from_numpy(rng.standard_normal((9, 3)))
    E = torch.from_numpy(rng.standard_normal((12, 9)))
    P, Q = torch.linalg.qr(U)[0], torch.linalg.qr(V)[0]
    projected = P @ (P.T @ E) + (E @ Q) @ Q.T - P @ (P.T @ E @ Q) @ Q.T
    h = 1e-6
    dU, dV = tangent_step(U, V, E @ V, E.T @ U, h)
    U2, V2 = U + dU, V + dV
    torch.testing.assert_close((U2 @ V2.T - U @ V.T) / h, projected, rtol=1e-4, atol=1e-4)


def test_polish_needs_only_a_rough_start() -> None:
    data = low_rank_problem(200, 150, 5, 0.1)
    U, sigma, Vt = np.linalg.svd(data.X, full_matrices=False)
    rng = np.random.default_rng(0)
    rough_u = torch.from_numpy(U[:, :5] * sigma[:5] ** 0.5 + 0.3 * rng.standard_normal((200, 5)))
    rough_v = torch.from_numpy(Vt[:5].T * sigma[:5] ** 0.5 + 0.3 * rng.standard_normal((150, 5)))
    fit = polish(
        as_problem(data.Y), rough_u, rough_v, decay=0.8, floor=4.0, tol=1e-11, max_iter=200, generator=generator(),
        history=History(),
    )  # fmt: skip
    assert fit.stop == "exact"
    assert data.error((fit.U @ fit.V.T).numpy()) <= 1e-9
    assert fit.kept == pytest.approx(np.mean(data.S == 0), abs=1e-3)


def test_polish_stops_at_the_noise() -> None:
    data = low_rank_problem(200, 150, 3, 0.1, noise=0.01)
    U, sigma, Vt = np.linalg.svd(data.X, full_matrices=False)
    start = torch.from_numpy(U[:, :3] * sigma[:3]), torch.from_numpy(Vt[:3].T.copy())
    fit = polish(
        as_problem(data.Y),
        *start,
        decay=0.5,
        floor=5.0,
        tol=1e-11,
        max_iter=200,
        generator=generator(),
        history=History(),
    )
    assert fit.stop == "plateau"
    assert fit.rms == pytest.approx(0.01 * np.abs(data.X).mean(), rel=0.1)


def test_polish_at_too_high_a_rank_collapses_or_stays_harmless() -> None:
    data = low_rank_problem(40, 40, 2, 0.1)
    rng = np.random.default_rng(0)
    start = torch.from_numpy(rng.standard_normal((40, 30))), torch.from_numpy(rng.standard_normal((40, 30)))
    fit = polish(
        as_problem(data.Y),
        *start,
        decay=0.5,
        floor=5.0,
        tol=1e-11,
        max_iter=100,
        generator=generator(),
        history=History(),
    )
    assert fit.stop in ("collapsed", "plateau", "unsettled", "max_iter", "exact")
    assert bool(torch.isfinite(fit.U).all())


def test_pursuit_solves_the_convex_program_with_missing_entries() -> None:
    data = low_rank_problem(60, 40, 2, 0.05, missing=0.1)
    alpha = (0.9 * 60) ** 0.5
    solution = pursue(as_problem(data.Y), alpha=alpha, tol=1e-9, max_iter=3000, history=History())
    assert solution.converged
    X = ((solution.U * solution.sigma) @ solution.V.T).numpy()
    assert data.error(X) <= 1e-6
    assert pursuit_objective(data.Y, X, alpha) == pytest.approx(pursuit_objective(data.Y, data.X, alpha), rel=1e-7)


def test_pursuit_out_of_steps_is_not_converged() -> None:
    data = low_rank_problem(60, 40, 2, 0.05)
    solution = pursue(as_problem(data.Y), alpha=60**0.5, tol=1e-12, max_iter=12, history=History())
    assert not solution.converged
    assert solution.n_steps == 12


@pytest.mark.parametrize("spike", [10.0, 1e6])
def test_new_rows_are_split_exactly(spike: float) -> None:
    rng = np.random.default_rng(0)
    components = np.linalg.qr(rng.standard_normal((50, 4)))[0].T
    scores = rng.standard_normal((500, 4))
    rows = scores @ components
    rows[rng.random(rows.shape) < 0.15] = spike
    observed = rng.random(rows.shape) > 0.1
    rows[~observed] = 0.0
    found = split_rows(torch.from_numpy(rows), torch.from_numpy(observed), torch.from_numpy(components)).numpy()
    assert np.abs(found - scores).max() <= 1e-9
