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
from typing import Literal

import torch
from torch import Tensor

from twofold.history import History
from twofold.problem import Problem

REOPEN = 30.0
"""Before a fit counts as exact the threshold is opened this far once more: whoever then comes in was no outlier."""

MAX_REOPENINGS = 3
"""After so many openings that each changed the inliers the fit counts as unsettled."""

SAMPLE = 20_000
"""Entries from which the median is estimated."""

PATIENCE = 8
"""Steps without progress before a plateau is called."""

Stop = Literal["exact", "plateau", "unsettled", "collapsed", "max_iter"]


@dataclass(frozen=True)
class Polished:
    """Result of act 2.

    Attributes
    ----------
    U, V : Tensor of shape (m, r) and (n, r)
    threshold : float
        Last threshold: larger residuals were outliers.
    rms : float
        Root mean square of the inliers' residual.
    kept : float
        Share of the observed entries kept as inliers.
    stop : str
        "exact": the inliers' residual is at the tolerance, and opening the threshold brings nobody back;
        "plateau": it stopped improving above the tolerance; "unsettled": it is at the tolerance, but only because
        ever other entries are left out;
        "collapsed": fewer entries were kept than the factors have degrees of freedom, or the fit diverged.
    n_steps : int
    """

    U: Tensor
    V: Tensor
    threshold: float
    rms: float
    kept: float
    stop: Stop
    n_steps: int


def _inverse_gram(factor: Tensor) -> Tensor:
    """(FᵀF)⁻¹, pseudo-inverse where columns vanish; computed in float64."""
    gram = (factor.T @ factor).double()
    return torch.linalg.pinv(gram, hermitian=True, rtol=1e-13).to(factor.dtype)


def _product_norm(U: Tensor, V: Tensor) -> float:
    """‖U·Vᵀ‖ from the Gram matrices."""
    return float(((U.T @ U).double() * (V.T @ V).double()).sum().clamp(min=0)) ** 0.5


def tangent_step(U: Tensor, V: Tensor, E: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """Factors of X + length·P_T(E) to first order, for X = U·Vᵀ."""
    EV, EU = E @ V, E.T @ U
    inv_u, inv_v = _inverse_gram(U), _inverse_gram(V)
    shared = inv_u @ (U.T @ EV) @ inv_v
    dU = EV @ inv_v - 0.5 * (U @ shared)
    dV = EU @ inv_u - 0.5 * (V @ shared.T)
    return U + length * dU, V + length * dV


class _MedianResidual:
    """Median magnitude of a residual over a fixed random sample of the observed entries."""

    def __init__(self, problem: Problem, generator: torch.Generator) -> None:
        size = problem.values.numel()
        count = min(size, int(SAMPLE / max(problem.observed_fraction, 0.05)))
        device = problem.values.device
        if count < size:
            self.index = torch.randint(size, (count,), generator=generator, device=device)
        else:
            self.index = torch.arange(size, device=device)
        if problem.observed is not None:
            self.index = self.index[problem.observed.reshape(-1)[self.index]]

    def __call__(self, R: Tensor) -> float:
        return float(torch.take(R, self.index).abs().median()) if self.index.numel() else 0.0


def _none_near(outliers: Tensor, threshold: float) -> bool:
    """Whether opening the threshold by REOPEN would let nobody in."""
    return not bool(((outliers != 0) & (outliers.abs() <= REOPEN * threshold)).any())


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
    freedom = U.shape[1] * (Y.shape[0] + Y.shape[1] - U.shape[1])
    median_residual = _MedianResidual(problem, generator)
    best, since_best, kept_when_exact = float("inf"), 0, [-1]
    stop: Stop = "max_iter"
    step = 0
    R, outliers = torch.empty_like(Y), torch.empty_like(Y)  # buffers: fresh memory costs as much as the arithmetic
    while True:
        torch.addmm(Y, U, V.T, alpha=-1, out=R)
        if problem.observed is not None:
            R *= problem.observed
        median = median_residual(R)
        if threshold is None:
            threshold = float(R.abs().max())
        elif step > 0:
            threshold = max(decay * threshold, floor * median)
        torch.hardshrink(R, threshold, out=outliers)
        n_kept = n_observed - int(outliers.count_nonzero())
        E = R.sub_(outliers)
        size = float(torch.linalg.vector_norm(E))
        history.add("polish", step, max_iter, size / norm, 1 - n_kept / n_observed)
        if not size <= 1e3 * norm or n_kept <= min(freedom, n_observed - 1):
            stop = "collapsed"
            break
        if size <= tol * _product_norm(U, V):
            if not confirm or n_kept == kept_when_exact[-1] or _none_near(outliers, threshold):
                stop = "exact"
                break
            if len(kept_when_exact) > MAX_REOPENINGS:
                stop = "unsettled"
                break
            kept_when_exact.append(n_kept)
            threshold *= REOPEN / decay
        since_best = 0 if median < 0.98 * best else since_best + 1
        best = min(best, median)
        if since_best >= PATIENCE and threshold <= 1.01 * floor * median:
            stop = "plateau"
            break
        if step == max_iter:
            break
        U, V = tangent_step(U, V, E, Y.numel() / n_kept)
        step += 1
    return Polished(U, V, threshold, size / max(n_kept, 1) ** 0.5, n_kept / n_observed, stop, step)
