"""Act 3: certify. A dual certificate and the duality gap that it proves.

The convex program of robust PCA and its dual, with λ = 1/alpha and sums over the observed entries Ω_obs:

    primal   min ‖X‖_* + λ‖S‖_1               subject to  X + S = Y on Ω_obs
    dual     max ⟨ν, Y⟩                       subject to  ‖ν‖ ≤ 1,  |ν_ij| ≤ λ,  ν = 0 off Ω_obs

Any X gives an upper bound on the optimum (with S = Y − X), any feasible ν a lower one. Their relative difference
is a proof that needs no trust in how X and ν were found: it bounds how far the objective is from the optimum.
It does not bound ‖X − X_true‖, and it says nothing where the convex program is not what you want (dense noise; more
outliers than it can bear).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twofold.matrix.sweep import largest, row_blocks
from twofold.operators import LinearMap
from twofold.problem import Problem, in_numpy


@dataclass(frozen=True)
class Certificate:
    """A proof of how close a solution is to the optimum of min ‖X‖_* + λ‖S‖_1 s.t. X + S = Y.

    Attributes
    ----------
    primal : float
        ‖X‖_* + λ‖Y − X‖_1, an upper bound on the optimum.
    dual : float
        ⟨ν, Y⟩ for the feasible dual variable, a lower bound on it.
    gap : float
        (primal − dual)/primal, at least 0; 0 for an all-zero matrix.
    dual_variable : array shaped like the data
        ν, feasible up to rounding; of the kind and dtype of the solution's arrays, float64 at least.
    alpha : float
        1/λ.
    operator : LinearMap or None
        A, where the data are measurements A(X) + s: then the dual bound is ‖A*(ν)‖ ≤ 1.
    symmetric : bool
        Whether the program is over positive semidefinite X.

    Examples
    --------
    >>> import numpy as np
    >>> from twofold import robust_pca
    >>> Y = np.outer(np.arange(1.0, 31.0), np.ones(20)); Y[3, 4] = 50.0
    >>> certificate = robust_pca(Y).certificate
    >>> certificate.gap < 1e-9, certificate.verify(Y) < 1e-9
    (True, True)
    """

    primal: float
    dual: float
    gap: float
    dual_variable: Any = field(repr=False)
    alpha: float
    low_rank: Any = field(repr=False)
    operator: LinearMap | None = field(default=None, repr=False)
    symmetric: bool = False

    def verify(self, Y: Any) -> float:
        """Recompute the relative gap from Y, X and the dual variable alone, with plain norms and inner products.

        Parameters
        ----------
        Y : array of shape (m, n), or (m,) with an operator
            The data that were given to the recovery; NaN, or masked, where missing.

        Returns
        -------
        float
            The proven relative gap. A dual variable that is not feasible is scaled until it is, so that the number
            is a proof whatever the certificate holds.

        Raises
        ------
        ValueError
            If Y has another shape.
        """
        data, X, nu = (
            np.asarray(in_numpy(array), dtype=np.float64) for array in (Y, self.low_rank, self.dual_variable)
        )
        if data.shape != nu.shape:
            raise ValueError(f"Y: shape {data.shape}; accepted is the shape of the dual variable, {nu.shape}")
        observed = ~np.isnan(data)
        data = np.where(observed, data, 0.0)
        nu = np.where(observed, nu, 0.0)
        if self.symmetric:  # whatever X is, its positive semidefinite part is feasible
            values, vectors = np.linalg.eigh((X + X.T) / 2)
            X = (vectors * values.clip(min=0)) @ vectors.T
        image, pull = X, nu
        if self.operator is not None:
            image = self.operator.forward(torch.from_numpy(X)).numpy()
            pull = self.operator.adjoint(torch.from_numpy(nu)).numpy()
        # Over X ⪰ 0 only the largest eigenvalue has to be bounded.
        pull_norm = np.linalg.eigvalsh((pull + pull.T) / 2)[-1] if self.symmetric else np.linalg.norm(pull, 2)
        scale = max(pull_norm, self.alpha * np.abs(nu).max(), 1.0)
        nuclear = np.linalg.svd(X, compute_uv=False).sum()
        primal = nuclear + np.abs(np.where(observed, data - image, 0.0)).sum() / self.alpha
        dual = float((nu * data).sum()) / scale
        return max(float((primal - dual) / primal), 0.0) if primal > 0 else 0.0


def _lower_gram(B: Tensor, blocks: int = 4) -> Tensor:
    """AᵀA, its lower triangle of blocks only: all that a Cholesky factorization reads."""
    n = B.shape[1]
    edges = [n * k // blocks for k in range(blocks + 1)]
    gram = B.new_zeros(n, n)
    for low, high in itertools.pairwise(edges):
        torch.mm(B[:, low:high].T, B[:, :high], out=gram[low:high, :high])
    return gram


def norm_above_one(A: Tensor) -> float:
    """max(‖A‖, 1) up to a relative rounding error of 1e-11.

    c²·I − AᵀA is positive definite just where ‖A‖ < c, and a Cholesky factorization that succeeds proves it at a
    fraction of the price of singular values; those are computed only where it fails.
    """
    if _is_below(A, 1.0 + 2e-11):
        return 1.0
    B = A if A.shape[0] >= A.shape[1] else A.T
    return max(float(torch.linalg.eigvalsh(B.T @ B)[-1].clamp(min=0)) ** 0.5, 1.0)


def is_below_one(A: Tensor) -> bool:
    """Whether float32 proves ‖A‖ < 1, with a margin far above its rounding errors of at most about n·2⁻²⁴."""
    return _is_below(A.float(), 1.0 - max(1e-4, 2 * max(A.shape) * 2.0**-24))


def _is_below(A: Tensor, square: float) -> bool:
    """Whether ‖A‖² < square."""
    shifted = _lower_gram(A if A.shape[0] >= A.shape[1] else A.T).neg_()
    shifted.diagonal().add_(square)
    return int(torch.linalg.cholesky_ex(shifted)[1]) == 0


def outer_triplets(A: Tensor, amount: float) -> tuple[Tensor, Tensor, Tensor]:
    """Thin factors (U, σ, V) of A for its singular values above ``amount``, from the smaller Gram matrix."""
    if A.shape[0] < A.shape[1]:
        V, sigma, U = outer_triplets(A.T, amount)
        return U, sigma, V
    squares, V = torch.linalg.eigh(A.T @ A)
    sigma = squares.clamp(min=0).sqrt().flip(0)
    keep = int((sigma > amount).sum())
    V, sigma = V.flip(1)[:, :keep], sigma[:keep]
    return (A @ V) / sigma, sigma, V


def duality_gap(
    problem: Problem, nuclear_norm: float, X: Tensor, nu: Tensor, alpha: float, norm: float | None = None
) -> tuple[float, float]:
    """(primal, dual) values of the pair X, ν after ν is scaled to be feasible; ``norm`` is max(‖ν‖, 1), if known."""
    misfit = 0.0
    for rows in row_blocks(X.shape):
        S = problem.values[rows] - X[rows]
        misfit += float((S if problem.observed is None else S.mul_(problem.observed[rows])).abs_().sum())
    primal = nuclear_norm + misfit / alpha
    scale = max(norm_above_one(nu) if norm is None else norm, alpha * largest(nu))
    return primal, float(torch.dot(nu.reshape(-1), problem.values.reshape(-1))) / scale
