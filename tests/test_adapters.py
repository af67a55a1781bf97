"""Operators of every accepted kind act alike, and what is none is refused before any work."""

from __future__ import annotations

import types

import numpy as np
import pylops
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spl
import torch

from twofold.adapters import as_linear_map
from twofold.operators import LinearMap

SHAPE = (4, 3)
MATRIX = np.random.default_rng(0).standard_normal((7, 12)) * (np.random.default_rng(1).random((7, 12)) < 0.5)
LIKE = torch.zeros(7, dtype=torch.float64)


class Physics:
    """What DeepInverse calls a linear physics: images of (batch, channel, height, width)."""

    def A(self, x: torch.Tensor) -> torch.Tensor:
        return (torch.from_numpy(MATRIX) @ x.reshape(12)).reshape(1, 1, 7, 1)

    def A_adjoint(self, v: torch.Tensor) -> torch.Tensor:
        return (torch.from_numpy(MATRIX).T @ v.reshape(7)).reshape(1, 1, *SHAPE)


KINDS = {
    "numpy": MATRIX,
    "torch": torch.from_numpy(MATRIX),
    "torch float32": torch.from_numpy(MATRIX).float(),
    "sparse matrix": sp.csr_matrix(MATRIX),
    "sparse array": sp.coo_array(MATRIX),
    "LinearOperator": spl.aslinearoperator(MATRIX),
    "pylops": pylops.MatrixMult(MATRIX),
    "callables": (lambda x: MATRIX @ x, lambda v: MATRIX.T @ v),
    "physics": Physics(),
    "LinearMap": LinearMap.from_matrix(torch.from_numpy(MATRIX), SHAPE),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_acts_as_its_matrix(kind: str) -> None:
    A = as_linear_map(KINDS[kind], SHAPE, LIKE, arrays="numpy")
    x, v = torch.randn(SHAPE, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    atol = 1e-5 if "float32" in kind else 1e-12
    np.testing.assert_allclose(A.forward(x), MATRIX @ x.numpy().ravel(), atol=atol)
    np.testing.assert_allclose(A.adjoint(v), (MATRIX.T @ v.numpy()).reshape(SHAPE), atol=atol)
    assert A.forward(x.float()).dtype == torch.float32


def test_callables_are_given_the_users_kind_of_array() -> None:
    seen: list[type] = []

    def forward(x: object) -> torch.Tensor:
        seen.append(type(x))
        return torch.from_numpy(MATRIX) @ x

    as_linear_map((forward, lambda v: torch.from_numpy(MATRIX).T @ v), SHAPE, LIKE, arrays="torch")
    assert set(seen) == {torch.Tensor}


REFUSED = {
    "wrong adjoint": ((lambda x: MATRIX @ x, lambda v: 1.01 * MATRIX.T @ v), ValueError, "adjoint does not belong"),
    "not linear": ((lambda x: MATRIX @ x + 1, lambda v: MATRIX.T @ v), ValueError, "has to be linear"),
    "wrong shape": (MATRIX.T, ValueError, r"shape \(12, 7\); accepted is \(7, 12\)"),
    "wrong LinearOperator": (spl.aslinearoperator(MATRIX[:, :5]), ValueError, r"accepted is \(7, 12\)"),
    "wrong size": ((lambda x: x[:3], lambda v: MATRIX.T @ v), ValueError, "gives 3 numbers; 7 are accepted"),
    "complex matrix": (MATRIX + 1j, TypeError, "real operators are accepted"),
    "complex sparse": (sp.csr_array(MATRIX + 1j), TypeError, "real operators are accepted"),
    "complex LinearOperator": (spl.aslinearoperator(MATRIX + 1j), TypeError, "real operators are accepted"),
    "complex callables": ((lambda x: MATRIX @ x + 0j, lambda v: MATRIX.T @ v), TypeError, "real operators"),
    "nan": ((lambda x: MATRIX @ x * np.nan, lambda v: MATRIX.T @ v), ValueError, "nan or inf"),
    "one callable": ((lambda x: x,), TypeError, "pair of callables"),
    "text": ("blur", TypeError, "operator: str"),
    "wrong LinearMap": (LinearMap.entries(torch.ones(SHAPE, dtype=torch.bool)), ValueError, "fails on a signal"),
    "another dtype": (LinearMap.from_matrix(torch.ones(7, 12), SHAPE), ValueError, "torch.float64 on cpu"),
    "long": ((lambda x: x, lambda v: v), ValueError, "gives 12 numbers; 7 are accepted"),
    "wrong physics": (
        types.SimpleNamespace(A=lambda x: x, A_adjoint=lambda v: v),
        ValueError,
        "gives 12 numbers; 7 are accepted",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_operator_is_refused(name: str) -> None:
    operator, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        as_linear_map(operator, SHAPE, LIKE, arrays="numpy")


MAPS = {
    "quadratic": LinearMap.quadratic(torch.randn(9, 4, dtype=torch.float64)),
    "bilinear": LinearMap.quadratic(torch.randn(9, 4, dtype=torch.float64), torch.randn(9, 6, dtype=torch.float64)),
    "entries": LinearMap.entries(torch.rand(5, 6) < 0.4),
    "fourier": LinearMap.fourier(torch.rand(5, 6) < 0.4),
    "scaled": LinearMap.entries(torch.ones(3, 3, dtype=torch.bool)).scaled(3.0),
}
SHAPES = {"quadratic": (4, 4), "bilinear": (4, 6), "entries": (5, 6), "fourier": (5, 6), "scaled": (3, 3)}


@pytest.mark.parametrize("name", MAPS)
def test_ready_made_maps_pass_the_dot_test(name: str) -> None:
    like = MAPS[name].forward(torch.zeros(SHAPES[name], dtype=torch.float64))
    A = as_linear_map(MAPS[name], SHAPES[name], like)
    x, v = torch.randn(SHAPES[name], dtype=torch.float64), torch.randn(like.shape, dtype=torch.float64)
    assert float((A.forward(x) * v).sum()) == pytest.approx(float((x * A.adjoint(v)).sum()))


def test_quadratic_is_a_quadratic_form() -> None:
    a, X = torch.randn(5, 4, dtype=torch.float64), torch.randn(4, 4, dtype=torch.float64)
    expected = torch.stack([row @ X @ row for row in a])
    torch.testing.assert_close(LinearMap.quadratic(a).forward(X), expected)
    with pytest.raises(ValueError, match="left, right"):
        LinearMap.quadratic(a, a[:3])


def test_all_fourier_coefficients_keep_the_norm() -> None:
    X = torch.randn(6, 5, dtype=torch.float64)
    y = LinearMap.fourier(torch.ones(6, 5, dtype=torch.bool)).forward(X)
    assert float(y.norm()) == pytest.approx(float(X.norm()))


def test_adjoint_on_symmetric_matrices_is_symmetric() -> None:
    A = LinearMap.from_matrix(torch.randn(7, 16, dtype=torch.float64), (4, 4)).on_symmetric()
    pull = A.adjoint(torch.randn(7, dtype=torch.float64))
    assert torch.equal(pull, pull.T)
