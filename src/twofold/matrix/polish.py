"""Act 2: polish. Fit the rank found to the inliers, re-deciding who is an outlier as the fit improves.

    R = Y − U·Vᵀ,    E = R where |R| ≤ threshold, else 0
    X ← X + P_T(E)/f,  f = share of the entries kept,  T = tangent space of the rank-r matrices at X = U·Vᵀ
    threshold ← max(decay·threshold, floor·median|R|)

The step is taken on the factors, preconditioned by (VᵀV)⁻¹ and (UᵀU)⁻¹ (scaled gradient descent: Tong, Ma, Chi,
JMLR 2021), with the part that both factors would move, P_U·E·P_V, shared between them: then a full step of length
1/f is stable, and the error falls by a factor of 3 to 5 a step. Thresholding with a geometric decay follows Cai, Cai,
Wei: Accelerated alternating projections for robust PCA, JMLR 2019. New here are the floor (a threshold that falls
faster than the fit improves throws good entries away, and one below the noise throws everything away) and the
second look before an exact fit is believed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.history import History
from twofold.matrix.sweep import Residual, line_counts
from twofold.matrix.watch import REOPEN, Stop, Watch
from twofold.models.factored import degrees_of_freedom
from twofold.problem import Problem

SAMPLE = 8192
"""Entries from which the median is estimated."""

DETERMINED = 1.2
"""An exact fit is believed at once where every line keeps so many times as many entries as the rank, and 5."""

WITHIN = 30.0
"""An exact fit calls no residual an outlier that is within so many times the root mean square that it may have."""

FINE = 1.5
"""In float64, where hardly anyone's place is in doubt any more, the threshold falls by decay**FINE."""


@dataclass(frozen=True)
class Polished:
    """Result of act 2.

    Attributes
    ----------
    U, V : Tensor of shape (m, r) and (n, r)
    threshold : float
        Last threshold: larger residuals were outliers.
    outlying : bool Tensor of shape (m, n)
        Which they were.
    rms : float
        Root mean square of the inliers' residual.
    kept : float
        Share of the observed entries kept as inliers.
    stop : str
        See :data:`twofold.matrix.watch.Stop`.
    n_steps : int
    """

    U: Tensor
    V: Tensor
    threshold: float
    outlying: Tensor
    rms: float
    kept: float
    stop: Stop
    n_steps: int


def _inverse_gram(factor: Tensor) -> Tensor:
    """(FᵀF)⁻¹, pseudo-inverse where columns vanish; computed in float64."""
    gram = (factor.T @ factor).double()
    root, failed = torch.linalg.cholesky_ex(gram)
    sizes = root.diagonal()
    if len(sizes) and not int(failed) and float(sizes.min()) > 1e-4 * float(sizes.max()):
        return torch.cholesky_inverse(root).to(factor.dtype)
    return torch.linalg.pinv(gram, hermitian=True, rtol=1e-13).to(factor.dtype)


def _product_norm(U: Tensor, V: Tensor) -> float:
    """‖U·Vᵀ‖ from the Gram matrices."""
    return float(((U.T @ U).double() * (V.T @ V).double()).sum().clamp(min=0)) ** 0.5


def tangent_step(U: Tensor, V: Tensor, EV: Tensor, EU: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """Changes of the factors that lead from X = U·Vᵀ to X + length·P_T(E), to first order, from E·V and Eᵀ·U."""
    U, V = U.to(EV.dtype), V.to(EV.dtype)
    inv_u, inv_v = _inverse_gram(U), _inverse_gram(V)
    shared = inv_u @ (U.T @ EV) @ inv_v
    dU = torch.addmm(EV @ inv_v, U, shared, alpha=-0.5)
    dV = torch.addmm(EU @ inv_u, V, shared.T, alpha=-0.5)
    return dU.mul_(length), dV.mul_(length)


class _Sample:
    """Residuals at a fixed random sample of the observed entries: their median, and how many a threshold keeps."""

    def __init__(self, problem: Problem, generator: torch.Generator) -> None:
        Y = problem.values
        count = min(Y.numel(), int(SAMPLE / max(problem.observed_fraction, 0.05)))
        if count < Y.numel():
            index = torch.randint(Y.numel(), (count,), generator=generator, device=Y.device)
        else:
            index = torch.arange(Y.numel(), device=Y.device)
        if problem.observed is not None:
            index = index[problem.observed.reshape(-1)[index]]
        self._values = Y.reshape(-1)[index]
        self._rows, self._columns = index // Y.shape[1], index % Y.shape[1]
        self._sizes = self._values[:0]

    def median(self, U: Tensor, V: Tensor) -> float:
        """Median of |Y − U·Vᵀ|."""
        if len(self._values) == 0:
            return 0.0
        self._sizes = (self._values - (U[self._rows] * V[self._columns]).sum(1)).abs_()
        return float(self._sizes.median())

    def kept(self, threshold: float) -> float:
        """Share of the last residuals within a threshold."""
        return float((self._sizes <= threshold).float().mean()) if len(self._sizes) else 1.0


def _determined(outlying: Tensor, lengths: tuple[Tensor, Tensor], rank: int) -> bool:
    """Whether every row and column keeps more entries than it has unknowns.

    An exact fit of so many entries of a line is no accident: then no entry that it leaves out was left out in haste.
    """
    enough = DETERMINED * rank + 5
    return all(
        bool((length - lost >= torch.clamp(length, max=enough)).all())
        for length, lost in zip(lengths, line_counts(outlying), strict=True)
    )


def polish(
    problem: Problem,
    U: Tensor,
    V: Tensor,
    *,
    decay: float,
    floor: float,
    tol: float,
    max_iter: int,
    threshold: float | None = None,
    confirm: bool = True,
    generator: torch.Generator,
    history: History,
) -> Polished:
    """Fit U·Vᵀ to the inliers of a matrix.

    Parameters
    ----------
    problem : Problem
        With identity operator.
    U, V : Tensor of shape (m, r) and (n, r)
        Start; of the problem's dtype.
    decay : float in (0, 1)
        How fast the threshold falls: 0.5 is fast, 0.9 reaches further.
    floor : float
        The threshold never falls below floor·median|R|: 5 is 3.4 standard deviations of Gaussian noise. A median
        stays a measure of the fit while up to half of the entries are outliers; a root mean square does not.
    tol : float
        Exact when ‖E‖ ≤ tol·‖U·Vᵀ‖.
    max_iter : int
    threshold : float, optional
        None: the largest residual of the start.
    confirm : bool
        Open the threshold once more before an exact fit is believed.
    generator : torch.Generator
    history : History

    Returns
    -------
    Polished
    """
    Y = problem.values
    n_observed = max(problem.n_observed, 1)
    norm = problem.norm or 1.0
    freedom = degrees_of_freedom((Y.shape[0], Y.shape[1]), U.shape[1])
    sample, residual = _Sample(problem, generator), Residual(problem)
    watch = Watch()
    stop: Stop = "max_iter"
    step = 0
    decay = decay**FINE if Y.dtype == torch.float64 else decay
    while True:
        median = sample.median(U, V)
        if threshold is None:
            threshold = residual.largest(U, V)
        elif step > 0:
            threshold = max(decay * threshold, floor * median)
        share = sample.kept(threshold)
        inliers = residual.sweep(U, V, threshold)
        history.add("polish", step, max_iter, inliers.size / norm, 1 - share)
        if not inliers.size <= 1e3 * norm or share * n_observed <= min(freedom, n_observed - 1):
            stop = "collapsed"
            break
        if inliers.size <= tol * _product_norm(U, V):
            outlying = residual.outlying(U, V, threshold)
            n_kept = n_observed - int(outlying.count_nonzero())
            beyond_doubt = not confirm or _determined(outlying, problem.line_lengths, U.shape[1])
            end = watch.at_tolerance(n_kept, beyond_doubt)
            if end is not None:
                stop = end
                break
            threshold *= REOPEN / decay
        if watch.has_stalled(median, threshold, floor):
            stop = "plateau"
            break
        if step == max_iter:
            break
        dU, dV = tangent_step(U, V, inliers.EV, inliers.EU, 1 / (max(share, 1e-3) * problem.observed_fraction))
        U, V = U + dU, V + dV
        step += 1
    if stop == "exact":
        # What is within the tolerance is no outlier, however much smaller most residuals are.
        threshold = max(threshold, WITHIN * tol * _product_norm(U, V) / n_observed**0.5)
    outlying = residual.outlying(U, V, threshold)
    n_kept = n_observed - int(outlying.count_nonzero())
    rms = inliers.size / max(n_kept, 1) ** 0.5
    return Polished(U, V, threshold, outlying, rms, n_kept / n_observed, stop, step)
