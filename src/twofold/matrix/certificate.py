"""Act 3: certify. A dual certificate and the duality gap that it proves.

The convex program of robust PCA and its dual, with λ = 1/alpha and sums over the observed entries Ω_obs:

    primal   min ‖X‖_* + λ‖S‖_1               subject to  X + S = Y on Ω_obs
    dual     max ⟨ν, Y⟩                       subject to  ‖ν‖ ≤ 1,  |ν_ij| ≤ λ,  ν = 0 off Ω_obs

Any X gives an upper bound on the optimum (with S = Y − X), any feasible ν a lower one. Their relative difference
is a proof that needs no trust in how X and ν were found: it bounds how far the objective is from the optimum.
It does not bound ‖X − X_true‖, and it says nothing where the convex program is not what you want (dense noise; more
outliers than it can bear).

Construction, for X = UΣVᵀ with tangent space T and outliers' signs on their support Ω: the dual variable has to obey

    P_T ν = UVᵀ,    ν = λ·sign(S) on Ω,    ν = 0 where missing,    |ν| < λ elsewhere,    ‖P_T⊥ ν‖ < 1.

The equations hold on an affine set, onto which a few conjugate-gradient steps project. Projecting in turn, with
over-relaxation, onto the two inequalities (a little tightened) and back makes them strict after a few rounds, and
then the gap is zero up to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from twofold.history import History
from twofold.matrix.anderson import Anderson
from twofold.operators import LinearMap
from twofold.problem import Problem

ROUNDS = 250
"""The most rounds of alternating projections."""

SLACK = 0.97
"""The inequalities are tightened to this share while projecting,"""

TIGHTEN = 15
"""and to a third of the distance to 1 after every so many rounds: at the edge of what the program recovers feasible
dual variables have hardly any slack."""

RELAX = 1.6
"""Over-relaxation of the projections."""

PLAIN_ROUNDS = 3
"""Rounds before they are accelerated: most problems take no more, and large ones are spared the memory."""

MEMORY = 8
"""Differences that the acceleration keeps."""

PATIENCE = 25
"""Rounds in which the excess over the inequalities has not fallen by a fiftieth: X is then not the optimum."""

DIRECTIONS = 12
"""Width of the subspace in which the spectral norm is estimated."""

NEAR = 0.9
"""Estimated spectral norm from which all singular values are computed."""


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
            The data that were given to the recovery; NaN where missing.

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
        data, X, nu = (_numpy64(array) for array in (Y, self.low_rank, self.dual_variable))
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


def _numpy64(array: Any) -> np.ndarray:
    if isinstance(array, Tensor):
        array = array.detach().cpu().numpy()
    return np.asarray(array, dtype=np.float64)


def norm_above_one(A: Tensor) -> float:
    """max(‖A‖, 1) up to a relative rounding error of 1e-11.

    c²·I − AᵀA is positive definite just where ‖A‖ < c, and a Cholesky factorization that succeeds proves it at a
    fraction of the price of singular values; those are computed only where it fails.
    """
    B = A if A.shape[0] >= A.shape[1] else A.T
    gram = B.T @ B
    shifted = -gram
    shifted.diagonal().add_(1.0 + 2e-11)
    if int(torch.linalg.cholesky_ex(shifted)[1]) == 0:
        return 1.0
    return max(float(torch.linalg.eigvalsh(gram)[-1].clamp(min=0)) ** 0.5, 1.0)


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


def duality_gap(problem: Problem, nuclear_norm: float, X: Tensor, nu: Tensor, alpha: float) -> tuple[float, float]:
    """(primal, dual) values of the pair X, ν after ν is scaled to be feasible."""
    S = problem.values - X
    if problem.observed is not None:
        S *= problem.observed
    primal = nuclear_norm + float(S.abs().sum()) / alpha
    scale = max(norm_above_one(nu), alpha * float(nu.abs().max()))
    return primal, float((nu * problem.values).sum()) / scale


class _Equations:
    """The affine set {P_T ν = UVᵀ, ν = pinned on the fixed entries} and the projection onto it."""

    def __init__(self, U: Tensor, V: Tensor, pinned: Tensor, fixed: Tensor) -> None:
        self.U, self.V, self.pinned, self.fixed = U, V, pinned, fixed
        self.UV = U @ V.T

    def tangent(self, W: Tensor) -> Tensor:
        """P_T(W) = UUᵀW + (I − UUᵀ)·W·VVᵀ."""
        UW, WV = self.U.T @ W, W @ self.V
        return torch.addmm(self.U @ UW, WV - self.U @ (UW @ self.V), self.V.T)

    def project(self, N: Tensor, tol: float, max_iter: int = 100) -> Tensor:
        """Nearest point of the affine set: conjugate gradients on (I − P_Ω P_T P_Ω)·z = pinned − P_Ω(·)."""
        base = N - self.tangent(N) + self.UV
        residual = (self.pinned - base) * self.fixed
        z, direction = torch.zeros_like(residual), residual.clone()
        square = float((residual * residual).sum())
        enough = max(tol * tol * square, 1e-30 * float((self.pinned * self.pinned).sum()))
        for _ in range(max_iter):
            if square <= enough:
                break
            image = direction - self.tangent(direction) * self.fixed
            curvature = float((direction * image).sum())
            if curvature <= 0.0:
                break
            z.add_(direction, alpha=square / curvature)
            residual.sub_(image, alpha=square / curvature)
            square, previous = float((residual * residual).sum()), square
            direction = torch.add(residual, direction, alpha=square / previous)
        return base + z - self.tangent(z)


class _SpectralBall:
    """Leading singular triplets by subspace iteration, warm from one round to the next.

    That is cheap and good enough to see that the spectral norm is well inside the ball. Where it is not, many
    singular values crowd at the edge, and only a full decomposition tells them apart.
    """

    def __init__(self, shape: torch.Size, generator: torch.Generator, like: Tensor) -> None:
        width = min(DIRECTIONS, *shape)
        self.basis = torch.randn(shape[1], width, generator=generator, dtype=like.dtype, device=like.device)

    def leading(self, W: Tensor, slack: float) -> tuple[Tensor, Tensor, Tensor]:
        """(left, σ, rightᵀ) of W, all those with σ > slack among them."""
        for _ in range(3):
            self.basis = torch.linalg.qr(W.T @ torch.linalg.qr(W @ self.basis)[0])[0]
        left, triangle = torch.linalg.qr(W @ self.basis)
        a, sigma, bt = torch.linalg.svd(triangle)
        if sigma[0] <= NEAR:
            return left @ a, sigma, (self.basis @ bt.T).T
        U, sigma, V = outer_triplets(W, slack)
        return U, sigma, V.T


class Schedule:
    """Slack, acceleration and patience of the alternating projections, round by round."""

    def __init__(self) -> None:
        self.slack = SLACK
        self._round, self._least, self._since = 0, float("inf"), 0
        self._anderson = Anderson(MEMORY)

    @property
    def margin(self) -> float:
        """How far inside the inequalities counts as strict."""
        return min((1 - self.slack) / 10, 1e-3)

    def has_stalled(self, excess: float) -> bool:
        """Whether PATIENCE rounds brought nothing."""
        self._since = 0 if excess < 0.98 * self._least else self._since + 1
        self._least = min(self._least, excess)
        return self._since > PATIENCE

    def following(self, N: Tensor, projected: Tensor) -> Tensor:
        """The point after N, whose projections lead to ``projected``."""
        self._round += 1
        if self._round < PLAIN_ROUNDS:
            return projected
        if self._round % TIGHTEN == 0:
            self.slack = 1 - (1 - self.slack) / 3
            self._anderson.restart()
            return projected
        return self._anderson.next(N, projected)


def dual_certificate(
    problem: Problem,
    U: Tensor,
    V: Tensor,
    signs: Tensor,
    alpha: float,
    *,
    generator: torch.Generator,
    history: History,
    rounds: int = ROUNDS,
) -> Tensor:
    """Build a dual variable for the low-rank part with orthonormal factors U, V and outliers with these signs.

    Parameters
    ----------
    problem : Problem
        In float64.
    U, V : Tensor of shape (m, r) and (n, r)
        Orthonormal columns: the singular vectors of X. r may be 0.
    signs : Tensor of shape (m, n)
        Signs of the outliers, 0 elsewhere.
    alpha : float
    generator : torch.Generator
    history : History
    rounds : int

    Returns
    -------
    Tensor of shape (m, n)
        ν: the equations and, strictly, the inequalities hold where the rounds sufficed; else it is feasible up to a
        small excess, by which the gap's computation scales it.
    """
    lam = 1.0 / alpha
    outlying = signs != 0
    fixed = outlying if problem.observed is None else outlying | ~problem.observed
    equations = _Equations(U, V, lam * signs, fixed.to(signs.dtype))
    ball = _SpectralBall(signs.shape, generator, signs)
    N = equations.project(torch.zeros_like(signs), 1e-2)
    schedule = Schedule()
    for step in range(1, rounds + 1):
        left, sigma, right = ball.leading(N - equations.UV, schedule.slack)
        entry_excess = float((N * ~fixed).abs().max()) / lam - 1
        excess = max(entry_excess, float(sigma[0]) - 1 if len(sigma) else -1.0)
        history.add("certify", step, rounds, max(excess, 0.0), float(outlying.float().mean()))
        if excess <= -schedule.margin:
            exact = equations.project(N, 1e-12)
            if problem.observed is not None:
                exact *= problem.observed  # zero there up to rounding already
            # Subspace iteration can overlook a direction: believe the bound, not the estimate.
            if norm_above_one(exact) <= 1 + 1e-9:
                return exact
        if schedule.has_stalled(excess):
            break
        large = sigma > schedule.slack
        bound = schedule.slack * lam
        tightened = N - (left[:, large] * (sigma[large] - schedule.slack)) @ right[large]
        tightened = torch.where(fixed, equations.pinned, tightened.clamp_(-bound, bound))
        N = schedule.following(N, equations.project(torch.lerp(N, tightened, RELAX), 1e-2))
    return _nearly_feasible(equations.project(N, 1e-12), lam, problem.observed)


def _nearly_feasible(N: Tensor, lam: float, observed: Tensor | None, rounds: int = 4) -> Tensor:
    """Give up the equations for the inequalities, in turn: where X is not quite the optimum this costs the bound far
    less than scaling by the largest excess does."""
    for _ in range(rounds):
        U, sigma, V = outer_triplets(N, 1.0)
        N = (N - (U * (sigma - 1.0)) @ V.T).clamp_(-lam, lam)
        if observed is not None:
            N *= observed
    return N
