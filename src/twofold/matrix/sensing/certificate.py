"""Act 3 for general measurements: a dual variable of the convex program, and the gap that it proves.

    primal   min ‖X‖_* + λ‖s‖_1               subject to  A(X) + s = y
    dual     max ⟨ν, y⟩                       subject to  ‖A*(ν)‖ ≤ 1,  |ν_i| ≤ λ            λ = 1/alpha

(for X positive semidefinite: tr X, and the largest eigenvalue of A*(ν) instead of its norm). For X = PΣQᵀ with
tangent space T and outliers with support Ω the dual variable has to obey the equations

    P_T A*(ν) = PQᵀ,    ν = λ·sign(s) on Ω

and, strictly if possible, the inequalities. The construction is that of :mod:`twofold.matrix.dual`, except
that the spectral ball lies behind an operator: a projection onto it would be a least-squares problem of its own, and
a gradient step of length 1/‖A‖² on the squared distance takes its place (the CQ algorithm: Byrne, Inverse Problems
2002).
"""

from __future__ import annotations

import torch
from torch import Tensor

from twofold.conjugate import conjugate_gradients
from twofold.history import History
from twofold.matrix.certificate import outer_triplets
from twofold.matrix.dual import RELAX, Schedule
from twofold.matrix.sensing.polish import tangent
from twofold.operators import LinearMap
from twofold.problem import Problem

ROUNDS = 300
"""The most rounds of the CQ algorithm."""

MAX_CG = 200
"""The most conjugate-gradient steps of one projection onto the equations."""


def largest_pull(W: Tensor, symmetric: bool) -> float:
    """‖W‖, or the largest eigenvalue of a symmetric W."""
    if symmetric:
        return float(torch.linalg.eigvalsh(W)[-1])
    return float(torch.linalg.matrix_norm(W, 2))


def duality_gap(
    problem: Problem, nuclear_norm: float, X: Tensor, nu: Tensor, alpha: float, *, symmetric: bool
) -> tuple[float, float]:
    """(primal, dual) values of the pair X, ν after ν is scaled to be feasible."""
    assert problem.operator is not None
    zero = torch.zeros((), dtype=X.dtype, device=X.device)
    primal = nuclear_norm + float(problem.residual(X, zero).abs().sum()) / alpha
    scale = max(largest_pull(problem.operator.adjoint(nu), symmetric), alpha * float(nu.abs().max()), 1.0)
    return primal, float((nu * problem.values).sum()) / scale


class _Equations:
    """The affine set {P_T A*(ν) = PQᵀ, ν = pinned on the fixed measurements} and the projection onto it."""

    def __init__(self, operator: LinearMap, P: Tensor, Q: Tensor, pinned: Tensor, fixed: Tensor) -> None:
        self.operator, self.P, self.Q, self.pinned, self.fixed = operator, P, Q, pinned, fixed
        self.PQ = P @ Q.T
        self.free = (~fixed).to(pinned.dtype)

    def project(self, nu: Tensor, tol: float) -> Tensor:
        """Nearest point: conjugate gradients on P_T A* free A P_T, for the multiplier of the first equation."""
        nu = torch.where(self.fixed, self.pinned, nu)
        missing = self.PQ - self._pulled(nu)
        # What is left at rounding level is not chased.
        size = float(torch.linalg.vector_norm(missing))
        tol = max(tol, 1e-15 * len(self.PQ) ** 0.5 / size) if size > 0 else 1.0
        Z, _ = conjugate_gradients(
            lambda Z: self._pulled(self.operator.forward(Z) * self.free), missing, tol=tol, max_steps=MAX_CG
        )
        return nu + self.operator.forward(Z) * self.free

    def _pulled(self, nu: Tensor) -> Tensor:
        return tangent(self.P, self.Q, self.operator.adjoint(nu))


def dual_certificate(
    problem: Problem,
    P: Tensor,
    Q: Tensor,
    signs: Tensor,
    alpha: float,
    *,
    norm: float,
    symmetric: bool = False,
    history: History,
    rounds: int = ROUNDS,
) -> Tensor:
    """Build a dual variable for the low-rank part with singular vectors P, Q and outliers with these signs.

    Parameters
    ----------
    problem : Problem
        With an operator, in float64.
    P, Q : Tensor of shape (n1, r) and (n2, r)
    signs : Tensor of shape (m,)
        Signs of the outliers, 0 elsewhere.
    alpha : float
    norm : float
        ‖A‖.
    symmetric : bool
    history : History
    rounds : int

    Returns
    -------
    Tensor of shape (m,)
        ν, feasible up to an excess by which the gap's computation scales it.
    """
    operator = problem.operator
    assert operator is not None
    lam = 1.0 / alpha
    outlying = signs != 0
    fixed = outlying if problem.observed is None else outlying | ~problem.observed
    equations = _Equations(operator, P, Q, lam * signs, fixed)
    nu = equations.project(torch.zeros_like(signs), 1e-3)
    schedule = Schedule()
    for step in range(1, rounds + 1):
        rest = operator.adjoint(nu) - equations.PQ
        left, sigma, right = _beyond(rest, schedule.slack, symmetric)
        entry_excess = float((nu * equations.free).abs().max()) / lam - 1
        # All of the spectrum is below the slack where no triplet came out.
        excess = max(entry_excess, float(sigma[0]) - 1 if len(sigma) else schedule.slack - 1)
        history.add("certify", step, rounds, max(excess, 0.0), float(outlying.float().mean()))
        if excess <= -schedule.margin or schedule.has_stalled(excess):
            break
        bound = schedule.slack * lam
        tightened = nu - operator.forward((left * (sigma - schedule.slack)) @ right.T) / norm**2
        tightened = torch.where(fixed, equations.pinned, tightened.clamp(-bound, bound))
        nu = schedule.following(nu, equations.project(torch.lerp(nu, tightened, RELAX), 1e-3))
    return equations.project(nu, 1e-12)


def _beyond(W: Tensor, amount: float, symmetric: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Singular triplets (eigenpairs of a symmetric W) above ``amount``."""
    if not symmetric:
        return outer_triplets(W, amount)
    values, vectors = torch.linalg.eigh(W)
    keep = values > amount
    return vectors[:, keep].flip(1), values[keep].flip(0), vectors[:, keep].flip(1)
