"""The certificate, checked by arithmetic of the test's own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from tests.problems import low_rank_problem, pursuit_objective
from twofold import robust_pca
from twofold.matrix.certificate import norm_above_one, outer_triplets

CASES = {
    "square": low_rank_problem(150, 150, 4, 0.1),
    "tall with missing": low_rank_problem(300, 100, 3, 0.08, missing=0.3),
    "wide": low_rank_problem(80, 400, 2, 0.05),
    "many outliers": low_rank_problem(400, 400, 5, 0.3),
}


@pytest.mark.parametrize("name", CASES)
def test_dual_variable_proves_the_gap_by_independent_arithmetic(name: str) -> None:
    problem = CASES[name]
    solution = robust_pca(problem.Y)
    certificate, alpha = solution.certificate, solution.settings["alpha"]
    nu = certificate.dual_variable
    observed = ~np.isnan(problem.Y)
    # Feasible for the dual program ...
    assert np.linalg.svd(nu, compute_uv=False)[0] <= 1 + 1e-9
    assert np.abs(nu).max() <= 1 / alpha * (1 + 1e-9)
    assert np.all(nu[~observed] == 0)
    # ... with a value that meets the primal one.
    dual = np.nansum(nu * problem.Y)
    primal = pursuit_objective(problem.Y, solution.low_rank, alpha)
    assert dual == pytest.approx(certificate.dual, rel=1e-8)
    assert primal == pytest.approx(certificate.primal, rel=1e-8)
    assert (primal - dual) / primal <= 1e-8


@pytest.mark.parametrize("name", CASES)
def test_verify_recomputes_the_gap(name: str) -> None:
    certificate = robust_pca(CASES[name].Y).certificate
    assert 0 <= certificate.verify(CASES[name].Y) <= 1e-8


def test_weak_duality_any_other_split_costs_more() -> None:
    problem = CASES["square"]
    solution = robust_pca(problem.Y)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-1, 1.0):
        other = solution.low_rank + size * rng.standard_normal(problem.Y.shape)
        assert pursuit_objective(problem.Y, other, solution.settings["alpha"]) >= solution.certificate.dual


def test_verify_is_not_fooled_by_a_forged_certificate() -> None:
    problem = CASES["square"]
    honest = robust_pca(problem.Y).certificate
    boasting = dataclasses.replace(honest, gap=0.0, dual_variable=3 * honest.dual_variable)
    assert boasting.verify(problem.Y) == pytest.approx(honest.verify(problem.Y), abs=1e-9)
    wrong = dataclasses.replace(honest, low_rank=honest.low_rank + 0.1)
    assert wrong.verify(problem.Y) > 0.01
    with pytest.raises(ValueError, match=r"Y: shape \(3, 3\)"):
        honest.verify(np.ones((3, 3)))


def test_gap_is_honest_where_the_convex_program_has_another_optimum() -> None:
    problem = low_rank_problem(120, 120, 30, 0.12, seed=1)
    solution = robust_pca(problem.Y)
    assert problem.error(solution.low_rank) <= 1e-8
    assert solution.status.code == "recovered"
    assert "no certificate" in solution.status.cause
    assert solution.certificate.gap > 1e-4
    assert solution.certificate.verify(problem.Y) > 1e-4


def test_a_gap_is_never_negative_and_bounds_the_distance_to_the_optimum() -> None:
    problem = low_rank_problem(60, 60, 2, 0.1, noise=0.05)
    solution = robust_pca(problem.Y)
    best = robust_pca(problem.Y, method="three-act", alpha=solution.settings["alpha"]).certificate
    assert solution.certificate.gap >= 0
    assert best.dual <= solution.certificate.primal


def test_norm_above_one() -> None:
    rng = np.random.default_rng(0)
    A = torch.from_numpy(rng.standard_normal((70, 40)))
    A /= torch.linalg.matrix_norm(A, 2)
    assert norm_above_one(0.5 * A) == 1.0
    assert norm_above_one(A) == pytest.approx(1.0, abs=1e-10)
    assert norm_above_one(1.7 * A.T) == pytest.approx(1.7, rel=1e-10)


def test_outer_triplets_are_the_leading_part_of_an_svd() -> None:
    A = torch.from_numpy(np.random.default_rng(1).standard_normal((30, 50)))
    sigma = torch.linalg.svdvals(A)
    amount = float(sigma[5:7].mean())
    U, s, V = outer_triplets(A, amount)
    torch.testing.assert_close(s, sigma[:6])
    torch.testing.assert_close(A @ V, U * s)
    torch.testing.assert_close(A.T @ U, V * s)
