"""Act 3, construction of the dual variable.

For X = UΣVᵀ with tangent space T and outliers' signs on their support Ω, the dual variable has to obey

    P_T ν = UVᵀ,    ν = λ·sign(S) on Ω,    ν = 0 where missing,    |ν| < λ elsewhere,    ‖P_T⊥ ν‖ < 1.

The equations hold on an affine set, onto which a few conjugate-gradient steps project. Projecting in turn, with
over-relaxation, onto the two inequalities (a little tightened) and back makes them strict after a few rounds, and
then the gap is zero up to rounding. The rounds are float32, the last projection is refined to float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twofold.conjugate import conjugate_gradients
from twofold.history import History
from twofold.matrix.anderson import Anderson
from twofold.matrix.certificate import is_below_one, norm_above_one, outer_triplets
from twofold.matrix.sweep import largest, row_blocks
from twofold.problem import Problem

ROUNDS = 500
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

ROUGH = 1e-2
"""Relative residual to which the rounds solve the equations,"""

FINE = 1e-4
"""Relative residual of the solves by which the last projection is refined,"""

EXACT = 1e-12
"""and the residual, per square root of the rank, that the last projection leaves. The gap errs by no more; less would
chase rounding errors, some of which no tangent element explains."""

REFINEMENTS = 6
"""The most float64 refinements of one projection."""

MAX_CG = 100
"""The most conjugate-gradient steps of one solve."""

PATIENCE = 12
"""Rounds from which on it is asked whether the excess over the inequalities still falls,"""

STALLED = 0.75
"""and the share of its value at half as many rounds above which it does not: X is then not the optimum. Of 239
matrices at the edge of what the program recovers none came above 0.62 before its certificate closed; of 137 beyond it
three quarters did within 25 rounds."""

FLOAT32 = 1e-3
"""Excess below which rounds with tightened inequalities are float64."""

DIRECTIONS = 12
"""Width of the subspace in which the spectral norm is estimated."""

NEAR = 0.9
"""Estimated spectral norm from which all singular values are computed."""


class _Equations:
    """The affine set {P_T ν = UVᵀ, ν = pinned on the fixed entries} and the projection onto it.

    An element U·Aᵀ + B·Vᵀ of the tangent space, UᵀB = 0, is kept as its coordinates (A, B): n × r and m × r.
    """

    def __init__(self, U: Tensor, V: Tensor, signs: Tensor, lam: float, fixed: Tensor) -> None:
        self.factors = {torch.float64: (U, V), torch.float32: (U.float(), V.float())}
        self.signs, self.lam, self.fixed = signs, lam, fixed
        self.free = (~fixed).float()

    def pin(self, N: Tensor) -> Tensor:
        """N with the fixed entries at their values; in place."""
        for rows in row_blocks(N.shape):
            N[rows] = torch.where(self.fixed[rows], self.signs[rows].to(N.dtype) * self.lam, N[rows])
        return N

    def largest_free(self, N: Tensor) -> float:
        """Largest magnitude of a free entry."""
        return max(largest(N[rows] * self.free[rows]) for rows in row_blocks(N.shape))

    def coordinates(self, W: Tensor) -> tuple[Tensor, Tensor]:
        """(A, B) of P_T(W)."""
        U, V = self.factors[W.dtype]
        WV = W @ V
        return W.T @ U, WV - U @ (U.T @ WV)

    def _element(self, left: Tensor, right: Tensor, rows: slice) -> Tensor:
        """Some rows of an element of the tangent space, left·rightᵀ, on the free entries; zero on the others."""
        return (left[rows] @ right.T).mul_(self.free[rows])

    def _factors_of(self, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """(left, right) with U·Aᵀ + B·Vᵀ = left·rightᵀ."""
        U, V = self.factors[A.dtype]
        return torch.cat([U, B], 1), torch.cat([A, V], 1)

    def add_element(self, nu: Tensor, A: Tensor, B: Tensor) -> None:
        """ν ← ν + (U·Aᵀ + B·Vᵀ) on the free entries."""
        left, right = self._factors_of(A, B)
        for rows in row_blocks(nu.shape):
            nu[rows] += self._element(left, right, rows)

    def normal(self, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates of the free part of U·Aᵀ + B·Vᵀ, block by block: nothing of Y's size is written."""
        U, V = self.factors[A.dtype]
        left, right = self._factors_of(A, B)
        WV, WU = torch.empty_like(B), torch.zeros_like(A)
        for rows in row_blocks(self.free.shape):
            Z = self._element(left, right, rows)
            torch.mm(Z, V, out=WV[rows])
            WU.addmm_(Z.T, U[rows])
        return WU, WV - U @ (U.T @ WV)

    def rest(self, N: Tensor) -> Tensor:
        """N − UVᵀ, in N's memory."""
        U, V = self.factors[N.dtype]
        return N.addmm_(U, V.T, alpha=-1)

    def off_tangent(self, N: Tensor, X: Tensor) -> Tensor:
        """(N − UVᵀ)·X, without forming the difference."""
        U, V = self.factors[N.dtype]
        return torch.addmm(N @ X, U, V.T @ X, alpha=-1)

    def project(self, N: Tensor, exactly: bool = False) -> Tensor:
        """Nearest point to N, in N's memory: the fixed entries pinned, plus the free part of a tangent element.

        That element comes from conjugate gradients in float32, to ROUGH; or to EXACT by iterative refinement.
        """
        nu = self.pin(N)
        V = self.factors[N.dtype][1]
        for _ in range(REFINEMENTS if exactly else 1):
            A, B = self.coordinates(nu)
            A, B = V - A, -B
            size = float(torch.hypot(torch.linalg.vector_norm(A), torch.linalg.vector_norm(B)))
            if size <= EXACT * V.shape[1] ** 0.5:
                break
            A, B = self._solve(A.float() / size, B.float() / size, FINE if exactly else ROUGH)
            self.add_element(nu, A.to(N.dtype) * size, B.to(N.dtype) * size)
        return nu

    def _solve(self, A: Tensor, B: Tensor, tol: float) -> tuple[Tensor, Tensor]:
        """Coordinates of the tangent element whose free part has the tangent part (A, B)."""
        n = len(A)
        both, _ = conjugate_gradients(
            lambda x: torch.cat(self.normal(x[:n], x[n:])), torch.cat([A, B]), tol=tol, max_steps=MAX_CG
        )
        return both[:n], both[n:]


class _SpectralBall:
    """Leading singular triplets of ν − UVᵀ by subspace iteration, warm from one round to the next.

    That is cheap and good enough to see that the spectral norm is well inside the ball. Where it is not, many
    singular values crowd at the edge, and only a full decomposition tells them apart.
    """

    def __init__(self, equations: _Equations, generator: torch.Generator) -> None:
        U, V = equations.factors[torch.float32]
        width = min(DIRECTIONS, len(U), len(V))
        self.equations = equations
        self.basis = torch.randn(len(V), width, generator=generator, dtype=V.dtype, device=V.device)

    def leading(self, N: Tensor, slack: float) -> tuple[Tensor, Tensor, Tensor]:
        """(left, σ, right) of N − UVᵀ, all those with σ > slack among them."""
        U, V = self.equations.factors[N.dtype]
        basis = self.basis.to(N.dtype)
        for _ in range(3):
            left = torch.linalg.qr(self.equations.off_tangent(N, basis))[0]
            basis = torch.linalg.qr(torch.addmm(N.T @ left, V, U.T @ left, alpha=-1))[0]
        self.basis = basis
        left, triangle = torch.linalg.qr(self.equations.off_tangent(N, basis))
        a, sigma, bt = torch.linalg.svd(triangle)
        if sigma[0] <= NEAR:
            return left @ a, sigma, basis @ bt.T
        return outer_triplets(self.equations.rest(N.clone()), slack)


class Schedule:
    """Slack, acceleration and patience of the alternating projections, round by round."""

    def __init__(self) -> None:
        self.slack = SLACK
        self._round, self._least = 0, [float("inf")]
        self._anderson = Anderson(MEMORY)

    @property
    def margin(self) -> float:
        """How far inside the inequalities counts as strict."""
        return min((1 - self.slack) / 10, 1e-3)

    def has_stalled(self, excess: float) -> bool:
        """Whether the later half of the rounds brought next to nothing."""
        self._least.append(min(self._least[-1], excess))
        n_rounds = len(self._least) - 1
        return n_rounds >= PATIENCE and self._least[-1] > STALLED * self._least[n_rounds // 2]

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
) -> tuple[Tensor, float | None]:
    """Build a dual variable for the low-rank part with orthonormal factors U, V and outliers with these signs.

    Parameters
    ----------
    problem : Problem
        Only which entries are observed matters here.
    U, V : Tensor of shape (m, r) and (n, r)
        Orthonormal columns, in float64: the singular vectors of X. r may be 0.
    signs : Tensor of shape (m, n)
        Signs of the outliers, 0 elsewhere; any dtype, int8 is enough.
    alpha : float
    generator : torch.Generator
    history : History
    rounds : int

    Returns
    -------
    nu : float64 Tensor of shape (m, n)
        The equations and, strictly, the inequalities hold where the rounds sufficed; else it is feasible up to a
        small excess, by which the gap's computation scales it.
    norm : float or None
        max(‖ν‖, 1) where it is known.
    """
    lam = 1.0 / alpha
    outlying = signs != 0
    share = float(outlying.count_nonzero()) / max(outlying.numel(), 1)
    fixed = outlying if problem.observed is None else outlying | ~problem.observed
    equations = _Equations(U, V, signs, lam, fixed)
    ball = _SpectralBall(equations, generator)
    N = equations.project(torch.zeros(signs.shape, dtype=torch.float32, device=signs.device))
    schedule = Schedule()
    for step in range(1, rounds + 1):
        left, sigma, right = ball.leading(N, schedule.slack)
        entry_excess = equations.largest_free(N) / lam - 1
        excess = max(entry_excess, float(sigma[0]) - 1 if len(sigma) else -1.0)
        history.add("certify", step, rounds, max(excess, 0.0), share)
        if excess <= -schedule.margin:
            nu = equations.project(N.double(), exactly=True)
            if problem.observed is not None:
                nu *= problem.observed  # zero there up to rounding already
            # Subspace iteration can overlook a direction: believe a bound, not the estimate. By the equations the
            # norm of ν is 1, or that of its part off the tangent space where this is larger.
            rough = N.copy_(nu) if N.dtype == torch.float32 else nu.float()
            norm = 1.0 if is_below_one(equations.rest(rough)) else norm_above_one(nu)
            if norm <= 1 + 1e-9:
                return nu, norm
            N = nu
        if schedule.has_stalled(excess):
            break
        if schedule.slack > SLACK and excess < FLOAT32:
            N = N.double()  # what is left to gain comes close to float32's rounding
        left, right = left.to(N.dtype), right.to(N.dtype)
        large = sigma > schedule.slack
        bound = schedule.slack * lam
        tightened = N - (left[:, large] * (sigma[large] - schedule.slack).to(N.dtype)) @ right[:, large].T
        tightened = equations.pin(tightened.clamp_(-bound, bound))
        N = schedule.following(N, equations.project(torch.lerp(N, tightened, RELAX)))
    return _nearly_feasible(equations.project(N.double(), exactly=True), lam, problem.observed), None


def _nearly_feasible(N: Tensor, lam: float, observed: Tensor | None, rounds: int = 4) -> Tensor:
    """Give up the equations for the inequalities, in turn: where X is not quite the optimum this costs the bound far
    less than scaling by the largest excess does."""
    for _ in range(rounds):
        U, sigma, V = outer_triplets(N, 1.0)
        N = (N - (U * (sigma - 1.0)) @ V.T).clamp_(-lam, lam)
        if observed is not None:
            N *= observed
    return N
