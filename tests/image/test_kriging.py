"""Kriging: it comes near the solution of its own dense system, and trusts what foretells held-out entries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from twofold.conjugate import preconditioned
from twofold.image import kriging
from twofold.image.fitting import decided_outliers
from twofold.image.kriging import ResidualField, held_out, predicted
from twofold.problem import Problem


def smooth_field(channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Correlated between neighbours and channels, of mean size about 1."""
    noise = torch.randn(channels + 1, height + 6, width + 6, generator=torch.Generator().manual_seed(seed))
    soft = torch.nn.functional.avg_pool2d(noise, 4, 1, 0)[:, 1 : height + 1, 1 : width + 1] * 4
    return 0.7 * soft[:1] + 0.7 * soft[1:]


def half_trusted(like: Tensor) -> Tensor:
    """A third of the entries unknown, a third known, a third half trusted."""
    u = torch.rand(like.shape, generator=torch.Generator().manual_seed(1))
    return torch.where(u < 1 / 3, 0.0, torch.where(u < 2 / 3, 1.0, u * u * u / 10))


def dense_solution(field: ResidualField, e: Tensor, trust: Tensor) -> Tensor:
    """C·√w·(√w·C·√w + nugget·I)⁻¹·√w·e, with C written out."""
    units = torch.eye(e.numel()).reshape(-1, *e.shape)
    C = torch.stack([field._inside(field._times(field.covariance, unit)).flatten() for unit in units]).double()
    root = trust.flatten().double().sqrt()
    system = root[:, None] * C * root + field.nugget * torch.eye(len(root), dtype=torch.float64)
    return (C @ (root * torch.linalg.solve(system, root * e.flatten().double()))).reshape(e.shape).float()


def test_preconditioned_conjugate_gradients_solve_a_random_system() -> None:
    generator = torch.Generator().manual_seed(0)
    factor, scale = torch.randn(2, 20, 20, generator=generator, dtype=torch.float64)
    M = factor @ factor.T + torch.eye(20, dtype=torch.float64)
    D = torch.diag(scale[0].abs())
    right = scale[1]
    zero = torch.zeros_like(right)
    x, Mx = preconditioned(lambda v: D @ v, M.inverse().matmul, right, (zero, zero), tol=1e-12, max_steps=60)
    expected = torch.linalg.solve(M + D, right)
    torch.testing.assert_close(x, expected)
    torch.testing.assert_close(Mx, M @ expected)
    again, _ = preconditioned(lambda v: D @ v, M.inverse().matmul, right, (x, Mx), tol=1e-12, max_steps=0)
    assert torch.equal(again, x)


def test_the_prediction_is_the_solution_of_the_dense_system(monkeypatch: pytest.MonkeyPatch) -> None:
    e = smooth_field(2, 14, 11)
    trust = half_trusted(e)
    field = ResidualField(e, trust)
    expected = dense_solution(field, e, trust)
    near, _ = field.predict(e, trust)
    assert float((near - expected).norm() / expected.norm()) < 0.05
    monkeypatch.setattr(kriging, "_STEPS", (0, 100))
    monkeypatch.setattr(kriging, "_TOL", 1e-7)
    torch.testing.assert_close(field.predict(e, trust)[0], expected, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(kriging, "_STEPS", (300, 0))
    torch.testing.assert_close(field.predict(e, trust)[0], expected, rtol=1e-3, atol=1e-3)


def test_a_dual_is_where_the_next_one_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    e = smooth_field(3, 24, 20)
    trust = half_trusted(e)
    found, dual = predicted(e, trust, trust, torch.zeros(3))
    monkeypatch.setattr(kriging, "_STEPS", (0, 0))
    torch.testing.assert_close(predicted(e, trust, trust, torch.zeros(3), dual)[0], found, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(predicted(e, trust, trust, torch.zeros(3))[0], found, atol=0.1)


def test_the_trust_that_foretells_held_out_entries_best_is_taken() -> None:
    e = smooth_field(3, 48, 48)
    wrong = torch.rand(e.shape, generator=torch.Generator().manual_seed(2)) < 0.2
    spoiled, right = torch.where(wrong, -e, e), (~wrong).float()
    everyone = torch.ones_like(e)
    for trusts in ([everyone, right], [right, everyone]):
        prediction, trust = held_out(spoiled, trusts, right, folds=4, generator=torch.Generator().manual_seed(0))
        assert torch.equal(trust, right)
        assert float((prediction - e).abs().mean()) < 0.5 * float(e.abs().mean())
    _, trust = held_out(e, [right, right * (1 - 1e-6)], right, folds=4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(trust, right)  # as good: the first


def test_no_entry_is_predicted_by_itself() -> None:
    e = smooth_field(1, 32, 32)
    changed = e.clone()
    changed[0, 16, 16] += 0.01
    trust = torch.ones_like(e)
    one, other = (
        held_out(v, [trust], trust, folds=4, generator=torch.Generator().manual_seed(0))[0] for v in (e, changed)
    )
    moved = (one - other).abs()
    assert float(moved[0, 16, 16]) < 0.1 * float(moved.max())


def test_both_trusts_are_part_of_the_state() -> None:
    y = (smooth_field(3, 40, 40) / 8 + 0.5).clamp(0, 1)
    u = torch.rand(2, *y.shape, generator=torch.Generator().manual_seed(3))
    problem = Problem(torch.where(u[0] < 0.3, u[1], y))
    start = torch.full_like(y, 0.3)
    decided, again = (decided_outliers(problem, start, "both", False, 0) for _ in range(2))
    decided.probability = torch.where(u[0] < 0.3, 0.8, 0.1)
    decided.trusts = [1 - decided.probability]
    decided.revise(torch.full_like(y, 0.5))
    trust, stricter = decided.trusts
    assert float((trust - stricter).mean()) > 0.01
    again.restore(decided.state())
    assert torch.equal(again.trusts[1], stricter)
    assert again.changed == decided.changed
    for one, other in zip(decided.predicted(y), again.predicted(y), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(again.trust, decided.trust)


def test_what_former_decisions_trusted_is_gone_on_from() -> None:
    y = (smooth_field(3, 60, 60) / 8 + 0.5).clamp(0, 1)
    u = torch.rand(2, *y.shape, generator=torch.Generator().manual_seed(3))
    bad = u[0] < 0.4
    problem, missed = Problem(torch.where(bad, u[1], y)), bad & (u[0] < 0.1)
    # A quarter of the outliers pass for inliers; former decisions did not trust them.
    P, former = (bad & ~missed).float(), (~bad).float()
    told, untold = (decided_outliers(problem, P, "both", False, 0, trust=trust) for trust in (former, None))
    prediction, other = (each.predicted(torch.full_like(y, 0.5))[0] for each in (told, untold))
    assert torch.equal(told.trust, former)
    assert torch.equal(untold.trust, (P < 0.1).float())
    assert float((prediction - y)[missed].abs().mean()) < 0.7 * float((other - y)[missed].abs().mean())


def test_a_line_that_was_distrusted_is_given_another_chance() -> None:
    y = (smooth_field(3, 60, 60) / 8 + 0.5).clamp(0, 1)
    former = torch.ones_like(y)
    former[0, 7, :40] = 0
    decided = decided_outliers(Problem(y), torch.zeros_like(y), "both", False, 0, trust=former)
    assert bool((decided.trust == 1).all())


def test_a_decision_that_changes_next_to_nothing_is_known_as_such() -> None:
    y = (smooth_field(3, 40, 40) / 8 + 0.5).clamp(0.1, 0.9)
    u = torch.rand(2, *y.shape, generator=torch.Generator().manual_seed(3))
    noisy = torch.where(u[0] < 0.3, 1.0, y)
    right, wrong = noisy == 1, (noisy < 1) & (u[1] < 0.1)
    settled, unsettled = (
        decided_outliers(Problem(noisy), P.float(), "both", False, 0) for P in (right, right | wrong)
    )
    assert not settled.still  # nothing has been decided yet
    for each in (settled, unsettled):
        each.revise(y)
    assert settled.still
    assert not unsettled.still
    assert unsettled.changed == pytest.approx(float(wrong.float().mean()), abs=0.002)
