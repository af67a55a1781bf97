"""Problem, outliers, models, descent, history, status, observers."""

from __future__ import annotations

import io
import itertools
import math
import pickle

import pytest
import torch

from twofold.descent import descend
from twofold.history import History, Record
from twofold.models.factored import AsymmetricFactors, SymmetricFactors
from twofold.observers import TextObserver, from_verbosity
from twofold.operators import LinearMap
from twofold.outliers import DualOutliers, HadamardOutliers
from twofold.problem import Problem
from twofold.status import RecoveryError, Status


def test_problem_refuses_what_is_not_an_observation() -> None:
    with pytest.raises(TypeError, match=r"values: dtype torch\.int64"):
        Problem(torch.ones(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="nan or inf"):
        Problem(torch.tensor([1.0, math.nan]))
    with pytest.raises(ValueError, match="observed"):
        Problem(torch.ones(3), torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="not observed has to be zero"):
        Problem(torch.ones(2), torch.tensor([True, False]))


def test_problem_residual_and_derived_properties() -> None:
    problem = Problem(torch.tensor([[3.0, 0.0], [4.0, 1.0]]), torch.tensor([[True, False], [True, True]]))
    assert problem.n_observed == 3
    assert problem.observed_fraction == 0.75
    assert problem.norm == pytest.approx(math.sqrt(26))
    residual = problem.residual(torch.ones(2, 2), torch.full((2, 2), 0.5))
    assert residual.tolist() == [[1.5, 0.0], [2.5, -0.5]]


def test_linear_map_is_its_own_adjoint_pair() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    A = LinearMap.from_matrix(matrix, (2, 3))
    x, v = torch.randn(2, 3, generator=generator).double(), torch.randn(5, generator=generator).double()
    assert float(A.forward(x) @ v) == pytest.approx(float((x * A.adjoint(v)).sum()))
    with pytest.raises(ValueError, match=r"accepted is \(m, 4\)"):
        LinearMap.from_matrix(matrix, (2, 2))


@pytest.mark.parametrize("polarity", ["both", "bright", "dark"])
def test_hadamard_step_is_the_gradient_that_autograd_computes(polarity: str) -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    outliers = HadamardOutliers((4, 3), start_scale=0.3, polarity=polarity, dtype=torch.float64)
    loss = 0.5 * ((y - outliers()) ** 2).sum()
    loss.backward()
    expected = outliers.g - 0.1 * outliers.g.grad, outliers.h - 0.1 * outliers.h.grad
    outliers.descend(y - outliers.value(), rate=0.1)
    torch.testing.assert_close(outliers.g.data, expected[0].data)
    torch.testing.assert_close(outliers.h.data, expected[1].data)


@pytest.mark.parametrize("model", [SymmetricFactors, AsymmetricFactors])
def test_factor_step_is_the_gradient_that_autograd_computes(model: type) -> None:
    generator = torch.Generator().manual_seed(0)
    Y = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    parts = [torch.randn(5, 2, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]
    factors = parts[:1] if model is SymmetricFactors else parts
    product = factors[0] @ factors[-1].T
    (0.5 * ((Y - product) ** 2).sum()).backward()
    expected = [(factor - 0.01 * factor.grad).data for factor in factors]
    signal = model(*(factor.detach().clone() for factor in factors))
    signal.descend(Y - signal.value(), 0.01)
    moved = [signal.U] if model is SymmetricFactors else [signal.U, signal.V]
    for got, want in zip(moved, expected, strict=True):
        torch.testing.assert_close(got, want)


def test_polarity_restricts_the_sign() -> None:
    residual = torch.tensor([1.0, -1.0])
    for kind in (HadamardOutliers, DualOutliers):
        start = {"start_scale": 0.1} if kind is HadamardOutliers else {"beta": 0.02}
        for polarity, allowed in (("bright", 0), ("dark", 1)):
            outliers = kind((2,), polarity=polarity, **start)
            for _ in range(30):
                outliers.descend(residual, 0.05)
            s = outliers.value()
            assert abs(float(s[allowed])) > 0.1
            assert abs(float(s[1 - allowed])) < 0.02


def test_groups_are_outliers_together() -> None:
    alone = DualOutliers((1, 3), beta=1e-3)
    grouped = DualOutliers((1, 3), beta=1e-3, group_dim=1)
    residual = torch.tensor([[3.0, 4.0, 0.0]])
    for outliers in (alone, grouped):
        for _ in range(10):
            outliers.descend(residual, 0.04)
    direction = grouped.value() / torch.linalg.vector_norm(grouped.value())
    torch.testing.assert_close(direction, residual / 5, atol=0.03, rtol=0)
    assert float(alone.value()[0, 1] / alone.value()[0, 0]) > 2


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_dual_outliers_stay_stable_at_any_size_of_outlier(size: float) -> None:
    problem = Problem(torch.tensor([size, 0.0], dtype=torch.float64))
    outliers = DualOutliers((2,), beta=1e-2 * size, dtype=torch.float64)
    for _ in range(300):
        outliers.descend(problem.residual(torch.zeros(2), outliers.value()), rate=10.0 / size)
    assert outliers.value().tolist() == pytest.approx([size, 0.0], rel=1e-6)


@pytest.mark.parametrize("kind", [HadamardOutliers, DualOutliers])
def test_outliers_refuse_bad_arguments(kind: type) -> None:
    start = "start_scale" if kind is HadamardOutliers else "beta"
    with pytest.raises(ValueError, match="polarity='up': accepted are 'both', 'bright', 'dark'"):
        kind((2,), **{start: 0.1, "polarity": "up"})
    with pytest.raises(ValueError, match=f"{start}=0.0"):
        kind((2,), **{start: 0.0})


class _Constant:
    """A signal model that never moves, or runs away."""

    def __init__(self, size: int, runaway: bool = False) -> None:
        self.x = torch.zeros(size, dtype=torch.float64)
        self.runaway = runaway
        self.updates = 0

    def value(self) -> torch.Tensor:
        return self.x

    def descend(self, pull: torch.Tensor, rate: float) -> None:
        self.updates += 1
        if self.runaway:
            self.x = self.x + 1e200 * (1 + self.x**2)


def _descend(signal: _Constant, **options: object) -> tuple[object, History]:
    history = History()
    outliers = DualOutliers((2,), beta=0.1, dtype=torch.float64)
    problem = Problem(torch.tensor([1.0, 0.0], dtype=torch.float64))
    run = descend(problem, signal, outliers, tau=lambda step: 0.1, alpha=1.0, history=history, **options)
    return run, history


def test_descent_stops_at_max_steps_and_records_the_last_iterate() -> None:
    signal = _Constant(2)
    run, history = _descend(signal, max_steps=5)
    assert (run.stop, run.n_steps, signal.updates, len(history)) == ("max_steps", 5, 5, 6)


def test_success_on_the_last_allowed_step_is_success() -> None:
    run, _ = _descend(_Constant(2), max_steps=5, terminate=lambda step, residual: step == 5)
    assert (run.stop, run.n_steps) == ("terminated", 5)


def test_descent_that_is_done_at_the_start_moves_nothing() -> None:
    signal = _Constant(2)
    run, _ = _descend(signal, max_steps=5, terminate=lambda step, residual: True)
    assert (run.stop, run.n_steps, signal.updates) == ("terminated", 0, 0)


def test_descent_notices_divergence_and_stops() -> None:
    signal = _Constant(2, runaway=True)
    run, history = _descend(signal, max_steps=50)
    assert run.stop == "diverged"
    assert signal.updates < 5
    assert not math.isfinite(history.records[-1].residual)


def test_influence_bounds_the_pull() -> None:
    pulls = []

    class Spy(_Constant):
        def descend(self, pull: torch.Tensor, rate: float) -> None:
            pulls.append(pull.clone())

    _descend(Spy(2), max_steps=1, influence=lambda r: r.clamp(-0.1, 0.1))
    assert pulls[0].tolist() == pytest.approx([0.1, 0.0])


def test_plain_descent_lowers_the_loss_at_every_step() -> None:
    generator = torch.Generator().manual_seed(0)
    Y = torch.randn(20, 15, generator=generator, dtype=torch.float64)
    Y /= torch.linalg.matrix_norm(Y, 2)
    signal = AsymmetricFactors.random((20, 15), 1e-2, generator=generator, dtype=torch.float64)
    outliers = HadamardOutliers((20, 15), start_scale=1e-2, dtype=torch.float64)
    history = History()
    descend(Problem(Y), signal, outliers, tau=lambda step: 0.1, alpha=2.0, max_steps=2000, history=history)
    residuals = [record.residual for record in history]
    assert all(after <= before for before, after in itertools.pairwise(residuals))
    assert residuals[-1] < 0.05


def test_history_is_pickled_without_its_observer() -> None:
    history = History(observer=lambda record: None)
    history.add("polish", 1, 2, 0.5, 0.1)
    history.add("certify", 1, 2, 0.0, 0.1)
    copy = pickle.loads(pickle.dumps(history))
    assert copy.observer is None
    assert copy.records == history.records
    assert copy.acts == ["polish", "certify"]
    assert copy.n_steps("polish") == 1
    assert copy.seconds == history.records[-1].seconds


def test_text_observer_writes_every_nth_step_only() -> None:
    stream = io.StringIO()
    observer = TextObserver(every=2, stream=stream)
    for step in range(1, 5):
        observer(Record("polish", step, 10, 0.5, 0.25, 1.0))
    assert stream.getvalue().splitlines() == [
        "polish 2/10: residual 5.00e-01, outliers 25.0%, 1.0 s",
        "polish 4/10: residual 5.00e-01, outliers 25.0%, 1.0 s",
    ]
    assert from_verbosity(0) is None
    assert from_verbosity(1).every == 10
    assert from_verbosity(2).every == 1
    with pytest.raises(ValueError, match="every=0"):
        TextObserver(every=0)


def test_recovery_error_carries_the_status() -> None:
    status = Status("max_iter", False, "Too few steps.", "Raise max_iter.")
    error = RecoveryError(status)
    assert error.status is status
    assert str(error) == "max_iter: Too few steps. Raise max_iter."
