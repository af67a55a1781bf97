"""Act 1: identify. Descent with discrepant learning rates until the rank shows as a gap in the spectrum.

From a small start, singular values of the low-rank part grow one after the other, each held back until its
direction has pulled for long enough, while the outliers' dual variable grows entry by entry. After a dozen steps the
singular values of U·Vᵀ that belong to the signal stand orders of magnitude above all others. That gap is the rank:
nothing is asked of the user.

Where we depart from the paper: the factors start in the range of the data (a randomized range finder) rather than at
a multiple of the identity, and are only as wide as the spectrum asks for; outliers use the one-array form of
:class:`twofold.outliers.DualOutliers`; the descent ends when the gap is stable, long before it has converged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.descent import descend
from twofold.history import History
from twofold.models.factored import AsymmetricFactors, SymmetricFactors, degrees_of_freedom
from twofold.outliers import DualOutliers
from twofold.problem import Problem

START = 0.1
"""Factors start at START·sqrt(σ) along the directions of the range finder."""

BETA = 1e-2
"""Outliers start at BETA times the mean magnitude of the data."""

TAU = 0.9
"""Learning rate in units of 1/σ₁(Y): below the stability limit 1/σ₁ of the largest direction."""

CHECK_EVERY = 3
"""Steps between looks at the spectrum."""

MAX_STEPS = 60
"""The most steps for one width of the factors."""

REST_STEPS = 24
"""The most steps of a look at what a fit left over, at one width only: a component that the fit missed stands out
there within a dozen steps, and real data, whose residual always has some structure, should not cost minutes."""

CLIP = 30.0
"""For this act only, values are clipped at CLIP times their median magnitude: one entry of 1e6 would otherwise set
the scale of everything. What was cut off is an outlier or will be found by the polish."""

SENSING_CLIP = 4.0
"""The same with an operator, where an outlier in one measurement spreads over the whole matrix, while the
measurements of a signal are mostly of one size."""

MIN_GAP = 2.0
"""Smallest ratio of neighbouring singular values of U·Vᵀ that ends the descent early. Without structure the largest
ratio stays well below; see tests/matrix/test_acts.py."""

WEAK_GAP = 1.4
"""Smallest ratio that names a rank after MAX_STEPS; the polish then tells whether it was right."""

STRONG = 0.3
"""Where singular values decay without a gap, those of more than this share of the largest are fitted first."""

Factors = AsymmetricFactors | SymmetricFactors

INTERIOR = 0.75
"""A gap counts only at ranks up to this share of the factors' width: further out it may be their edge."""

CONSTANTS: dict[str, float | str | bool] = {
    "start": START, "beta": BETA, "tau": TAU, "min_gap": MIN_GAP, "weak_gap": WEAK_GAP,
}  # fmt: skip
"""Those of act 1, for the settings that a solution reports."""


@dataclass(frozen=True)
class Identified:
    """What act 1 found.

    Attributes
    ----------
    U, V : Tensor of shape (m, rank) and (n, rank)
        Balanced factors of the low-rank part at the rank found, in the data's units.
    gap : float
        Ratio of the singular values on both sides of the rank; 1 where there is no gap.
    width : int
        Columns that the factors had.
    n_steps : int
    """

    U: Tensor
    V: Tensor
    gap: float
    width: int
    n_steps: int

    @property
    def rank(self) -> int:
        """Number of columns of the factors."""
        return self.U.shape[1]

    @property
    def stands_out(self) -> bool:
        """Whether there is a gap."""
        return self.gap >= MIN_GAP


def range_finder(Y: Tensor, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Approximate leading singular triplets (P, σ, Q) of Y by one randomized power iteration.

    Reference: Halko, Martinsson, Tropp: Finding structure with randomness, SIAM Review 2011.
    """
    start = torch.randn(Y.shape[1], width, generator=generator, dtype=Y.dtype, device=Y.device)
    left = torch.linalg.qr(Y @ start)[0]
    left = torch.linalg.qr(Y @ (Y.T @ left))[0]
    a, sigma, bt = torch.linalg.svd(left.T @ Y, full_matrices=False)
    return left @ a, sigma, bt.T


def factor_svd(U: Tensor, V: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Thin SVD of U·Vᵀ in float64 without forming the product: (P, σ, Q)."""
    left, a = torch.linalg.qr(U.double())
    right, b = torch.linalg.qr(V.double())
    p, sigma, qt = torch.linalg.svd(a @ b.T)
    return left @ p, sigma, right @ qt.T


def spectrum(U: Tensor, V: Tensor) -> Tensor:
    """Singular values of U·Vᵀ, in descending order, from two k × k Gram matrices."""
    weights, vectors = torch.linalg.eigh((U.T @ U).double())
    root = vectors * weights.clamp(min=0).sqrt()
    return torch.linalg.eigvalsh(root.T @ (V.T @ V).double() @ root).clamp(min=0).sqrt().flip(0)


def largest_gap(sigma: Tensor) -> tuple[int, float]:
    """Rank and ratio of the largest gap σ_r/σ_{r+1} in the interior.

    Values below START²·σ₁, where the directions began, count as equal: a direction that has not grown has said
    nothing, and exact zeros beyond the rank of the data would make a gap of their own. Weaker components are found
    when act 1 looks again at what the fit of the stronger ones leaves over.
    """
    interior = int(INTERIOR * len(sigma))
    if interior == 0 or float(sigma[0]) == 0.0:
        return 0, 1.0
    sigma = sigma.clamp(min=float(sigma[0]) * START**2)
    ratio = sigma[:interior] / sigma[1 : interior + 1]
    rank = int(ratio.argmax())
    return rank + 1, float(ratio[rank])


class _GapIsStable:
    """Ends the descent when three looks in a row name the same rank with a clear gap.

    A rank with as many degrees of freedom as there are data fits anything: only a rank that takes up at most a
    quarter of them is believed early, any other after MAX_STEPS.
    """

    def __init__(self, factors: Factors, n_observed: int) -> None:
        self.factors = factors
        self.n_observed = n_observed
        self.ranks: list[int] = []

    def __call__(self, step: int, residual: Tensor) -> bool:
        if step == 0 or step % CHECK_EVERY:
            return False
        rank, gap = largest_gap(spectrum(self.factors.U, self.factors.V))
        freedom = degrees_of_freedom((len(self.factors.U), len(self.factors.V)), rank)
        self.ranks.append(rank if gap >= MIN_GAP and freedom <= self.n_observed / 4 else 0)
        return self.ranks[-1] > 0 and len(self.ranks) >= 3 and len(set(self.ranks[-3:])) == 1


def _clipped(problem: Problem) -> Problem:
    """The observation, huge values clipped; without an operator, in float32."""
    is_sensed = problem.operator is not None
    y = problem.values if is_sensed else problem.values.float()
    bound = (SENSING_CLIP if is_sensed else CLIP) * problem.typical
    y = y.clamp(-bound, bound) if y is problem.values else y.clamp_(-bound, bound)
    return Problem(y, problem.observed, problem.operator)


def _symmetric_range(Y: Tensor, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """The range finder of a symmetric matrix: right singular vectors are left ones up to sign, to the last bit."""
    left = range_finder(Y, width, generator)[0]
    values, vectors = torch.linalg.eigh(left.T @ Y @ left)
    order = values.abs().argsort(descending=True)
    left = left @ vectors[:, order]
    return left, values[order].abs(), left * values[order].sign()


def _start_width(Y: Tensor, generator: torch.Generator) -> int:
    """Width to begin with: where the spectrum of the data itself drops, or a quarter of the shorter side."""
    widest = min(Y.shape)
    width = min(12, widest)
    while width < widest / 4:
        sigma = range_finder(Y, width, generator)[1]
        rank, gap = largest_gap(sigma)
        if gap >= 1.5:
            return min(max(int(1.5 * rank) + 5, 12), widest)
        width = 2 * width
    return min(max(width, 12), widest)


def identify(
    problem: Problem,
    *,
    alpha: float,
    at_most: int | None = None,
    rest: bool = False,
    strongest: bool = False,
    start_width: int | None = None,
    symmetric: bool = False,
    metric: Callable[[Tensor], Tensor] | None = None,
    generator: torch.Generator,
    history: History,
) -> Identified | None:
    """Find the rank and a first low-rank part by descent with discrepant learning rates.

    Parameters
    ----------
    problem : Problem
        Values not all zero. An operator is scaled so that ‖A(X)‖ ≤ ‖X‖ for matrices of low rank.
    alpha : float
        1/λ of the convex program.
    at_most : int, optional
        Where the rank is known: the components still to be found. Those that stand out are returned if there are
        fewer, this many otherwise.
    rest : bool
        Whether the observation is what an earlier fit left over.
    strongest : bool
        Look at one width only and, where no gap shows, take the components of more than STRONG times the largest.
    start_width : int, optional
        Width of the factors to begin with. None: what the data's own spectrum asks for.
    symmetric : bool
        X = U·Uᵀ; the operator's adjoint gives symmetric matrices.
    metric : callable, optional
        r → M·r, for descent on ½⟨r, M r⟩. None: r itself.
    generator : torch.Generator
    history : History

    Returns
    -------
    Identified or None
        None where no width shows a gap: the data have no low-rank structure that stands out.
    """
    clipped = _clipped(problem)
    Y = clipped.pull_back(clipped.values if metric is None else metric(clipped.values))
    widest = min(Y.shape)
    if start_width is not None:
        width = min(start_width, widest)
    elif at_most is None:
        width = _start_width(Y, generator)
    else:
        width = min(max(at_most + 5, 12), widest)
    n_steps = 0
    max_steps = REST_STEPS if rest else MAX_STEPS
    while True:
        factors, scale, steps = _descend_at_width(
            clipped, Y, width, alpha, max_steps, symmetric, metric, generator, history
        )
        n_steps += steps
        p, sigma, q = factor_svd(factors.U, factors.V)
        rank, gap = largest_gap(sigma)
        if at_most is not None:
            rank = min(rank if gap >= MIN_GAP else at_most, at_most, width)
        elif gap < MIN_GAP and strongest:
            rank = min(int((sigma > STRONG * sigma[0]).sum()), max(int(INTERIOR * width), 1))
        elif gap < MIN_GAP and rest:
            return None
        elif gap < MIN_GAP and width < widest:
            width = min(2 * width, widest)
            continue
        elif gap < WEAK_GAP:
            return None
        root = (scale * sigma[:rank]).sqrt()
        dtype = problem.values.dtype
        return Identified((p[:, :rank] * root).to(dtype), (q[:, :rank] * root).to(dtype), gap, width, n_steps)


def _descend_at_width(
    problem: Problem, seen: Tensor, width: int, alpha: float, max_steps: int, symmetric: bool,
    metric: Callable[[Tensor], Tensor] | None, generator: torch.Generator, history: History,
) -> tuple[Factors, float, int]:  # fmt: skip
    """Run the descent with factors of one width; returns them, the scale of the data, and the steps made."""
    is_symmetric = problem.operator is not None and torch.equal(seen, seen.T)
    left, sigma, right = (_symmetric_range if is_symmetric else range_finder)(seen, width, generator)
    scale = float(sigma[0])
    scaled = Problem(problem.values / scale, problem.observed, problem.operator)
    weights = START * (sigma / scale).sqrt()
    factors: Factors
    factors = SymmetricFactors(left * weights) if symmetric else AsymmetricFactors(left * weights, right * weights)
    # U·Uᵀ moves twice as far in a step as U·Vᵀ does.
    tau = TAU / 2 if symmetric else TAU
    beta = BETA * float(torch.linalg.vector_norm(scaled.values, 1)) / problem.n_observed
    run = descend(
        scaled,
        factors,
        DualOutliers(scaled.values.shape, beta, dtype=scaled.values.dtype, device=scaled.values.device),
        tau=lambda step: tau,
        alpha=factors.rate_ratio_per_alpha * alpha,
        max_steps=max_steps,
        influence=metric,
        terminate=_GapIsStable(factors, problem.n_observed),
        history=history,
        act="identify",
    )
    return factors, scale, run.n_steps
