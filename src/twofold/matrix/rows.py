"""New rows: split each into a combination of known components plus outliers.

    y = zV + s + noise:    z = argmin Σ_j ρ((y_j − (zV)_j) / σ)    over the observed entries j

for every row by itself, in two acts:

1. **Anneal.** ρ(x) = x²/(1 + x²) (Geman-McClure), which is blind to gross outliers but has many local minima. So σ
   starts as large as the least-squares residuals, where ρ is the square and has one minimum, and shrinks while z
   follows (graduated non-convexity: Blake and Zisserman, Visual Reconstruction, 1987). Without dense noise σ falls to
   rounding error, and z is exact. Otherwise σ stops where it would count half the inliers as outliers.
2. **Polish**, where there is noise. Its standard deviation σ is that of the residuals below 3σ, and ρ is Tukey's
   bisquare cut at 5σ: entries beyond it do not count, the others nearly as in least squares (MM-estimation: Yohai,
   Annals of Statistics, 1987).

Every step reweights the entries and solves weighted least squares by a few conjugate gradients on V·diag(w)·Vᵀ. V has
orthonormal rows, so this matrix is close to a multiple of the identity unless components sit on few features; and no
r × r matrix is ever formed for a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from twofold.matrix.sweep import row_blocks

ANNEAL_STEPS = 60
"""The most values of σ in act 1."""

SHRINK = 0.7
"""The slowest pace of σ: its factor from one step to the next."""

AHEAD = 2.0
"""The fastest pace: σ falls at once to AHEAD times the residuals' weighted root mean square."""

INLIER_SHARE = 0.35
"""σ stops where the weights add up to r plus this share of the n − r entries that r scores cannot fit exactly."""

PATIENCE = 4
"""Steps at a σ that has stopped: while z still moves, the weights may grow again and σ go on."""

POLISH_STEPS = 20
"""The most steps of act 2."""

SCALE_STEPS = 4
"""Steps of act 2 in which σ may still change; with σ fixed the others converge."""

CLIP, CLIPPED_VARIANCE = 3.0, 0.9733
"""σ² is the variance of the residuals within ±CLIP·σ, which for Gaussian ones is CLIPPED_VARIANCE·σ²."""

CUT = 5.0
"""Residuals beyond CUT·σ have no weight in act 2. Gaussian noise alone then costs 2% in the scores' error."""

SETTLED = 1e-2
"""Act 2 ends for a row whose scores move by less than this part of σ."""

CG_STEPS, CG_TOL = 60, 0.03
"""The most conjugate gradients of one solve, and the relative gradient that ends it."""

UNDETERMINED = 1e-10
"""Pivots of V·diag(observed)·Vᵀ below this: the observed entries do not tell all scores."""

BLOCK = 2**18
"""Entries handled at once: they and a few arrays of their size stay in the processor's cache."""

PARTS = 5
"""Each entry is foretold from the row's entries in the other PARTS − 1 of these."""


def split_rows(Y: Tensor, observed: Tensor | None, components: Tensor) -> Tensor:
    """Coefficients of each row in the components, not moved by outliers.

    For components that are spread over the features and no dense noise they are exact, to rounding error, up to about
    45% outliers where r = n/20, and 30% where r = n/4. Where a component is carried by a single feature nothing can
    be told about that entry: its score follows it, right or wrong. Computed in float64 whatever the dtype of Y.

    Parameters
    ----------
    Y : Tensor of shape (m, n)
        Zero where not observed.
    observed : bool Tensor of shape (m, n), optional
    components : Tensor of shape (r, n)
        Orthonormal rows.

    Returns
    -------
    Tensor of shape (m, r)
        NaN in rows whose observed entries do not determine the scores, be it that they are fewer than the components
        or that a combination of the components vanishes on all of them.

    Examples
    --------
    >>> V = torch.full((1, 4), 0.5)
    >>> split_rows(torch.tensor([[3.0, 3.0, 99.0, 3.0]]), None, V)
    tensor([[6.]])
    """
    z = Y.new_empty(len(Y), len(components))
    if z.numel() == 0:
        return z
    V = components.double()
    # What rounding may leave of a residual that is zero, for scores of norm 1.
    rounding = 16 * max(torch.finfo(dtype).eps for dtype in (Y.dtype, components.dtype)) * float(V.norm(dim=0).max())
    for block in row_blocks(Y.shape, BLOCK):
        seen = None if observed is None else observed[block].double()
        z[block] = _split_block(Y[block].double(), seen, V, rounding)
        if seen is not None:
            z[block][~_determined(seen, V)] = torch.nan
    return z


def foretold_share(Y: Tensor, observed: Tensor | None, components: Tensor) -> float:
    """How well the components foretell entries of rows from the rows' other entries.

        1 − mean over the observed entries of min(|y_ij − ŷ_ij| / c, 1),     c = median |y_ij|

    where ŷ_ij comes from entries of row i in other parts: the entries are divided into PARTS by chance, always the
    same. A missing component leaves its share of every entry unforetold, a superfluous one adds what noise it fits,
    and no outlier counts for more than a typical entry. Where no score can be told the entry counts as unforetold.

    Parameters
    ----------
    Y, observed, components
        As in :func:`split_rows`; at least one observed entry.

    Returns
    -------
    float
        1 for a perfect prediction; without noise, 1 less the share of outliers for the true components. About 0.25
        for no components and Gaussian entries.
    """
    seen = torch.ones_like(Y, dtype=torch.bool) if observed is None else observed
    sizes = Y[seen].abs()
    unit = sizes.median()
    if unit == 0:  # most entries are zero
        unit = sizes.mean().clamp(min=torch.finfo(Y.dtype).tiny)
    part = torch.randint(PARTS, Y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8).to(Y.device)
    missed = 0.0
    for k in range(PARTS):
        told = seen & (part != k)
        z = split_rows(torch.where(told, Y, 0.0), told, components)
        errors = ((Y - z @ components.to(z.dtype)).abs_() / unit).nan_to_num_(1.0).clamp_(max=1.0)
        missed += float(errors[seen & (part == k)].sum(dtype=torch.float64))
    return 1.0 - missed / len(sizes)


def _split_block(Y: Tensor, seen: Tensor | None, V: Tensor, rounding: float) -> Tensor:
    # In units of the largest entry squares of squares do not overflow; a power of two rounds nothing.
    largest = Y.abs().amax(1, keepdim=True)
    unit = torch.where(largest > 0, largest / (2 * largest.frexp().mantissa), 1.0)
    Y = Y / unit
    z, sigma, noisy = _anneal(Y, seen, V, rounding)
    if bool(noisy.any()):
        seen = None if seen is None else seen[noisy]
        z[noisy] = _polish(Y[noisy], seen, V, z[noisy], sigma[noisy], rounding)
    return z * unit


def _anneal(Y: Tensor, seen: Tensor | None, V: Tensor, rounding: float) -> tuple[Tensor, Tensor, Tensor]:
    """Scores z, scale σ of the residuals, and whether they are noise (True) or rounding error."""
    m, n = Y.shape
    n_seen = Y.new_full((m, 1), n) if seen is None else seen.sum(1, keepdim=True)
    enough = INLIER_SHARE * n_seen + (1 - INLIER_SHARE) * len(V)
    z = Y @ V.T if seen is None else _solve(seen, Y, V, 0.0)
    R = torch.addmm(Y, z, V, alpha=-1)
    if seen is not None:
        R *= seen
    sigma = (R.square_().sum(1, keepdim=True) / n_seen.clamp(min=1)).sqrt_()
    stopped = torch.zeros_like(sigma)
    noisy = torch.ones(m, dtype=torch.bool, device=Y.device)
    live = torch.arange(m, device=Y.device)  # rows that have not settled; Y and seen hold no others
    for _ in range(ANNEAL_STEPS):
        floor = _floor(z[live], rounding)
        s = torch.maximum(sigma[live], floor)
        R = torch.addmm(Y, z[live], V, alpha=-1)
        q = R.square()
        w = (q + s * s).reciprocal_().mul_(s * s).square_()
        if seen is not None:
            w *= seen
        z[live] += _solve(w, R, V, 0.1 * floor)
        total = w.sum(1, keepdim=True)
        rms = (q.mul_(w).sum(1, keepdim=True) / total.clamp(min=1e-300)).sqrt_()
        stops = total <= enough[live]
        stopped[live] = torch.where(stops, stopped[live] + 1, 0.0)
        sigma[live] = torch.where(stops, s, torch.minimum(SHRINK * s, AHEAD * rms))
        exact = (s <= floor)[:, 0]
        done = exact | (stopped[live] >= PATIENCE)[:, 0]
        if bool(done.any()):
            noisy[live[exact]] = False
            Y, seen, live = Y[~done], None if seen is None else seen[~done], live[~done]
            if len(live) == 0:
                break
    return z, sigma, noisy


def _polish(Y: Tensor, seen: Tensor | None, V: Tensor, z: Tensor, sigma: Tensor, rounding: float) -> Tensor:
    """Scores by least squares on what lies within the noise."""
    live = torch.arange(len(Y), device=Y.device)
    for step in range(POLISH_STEPS):
        floor = _floor(z[live], rounding)
        R = torch.addmm(Y, z[live], V, alpha=-1)
        q = R.square()
        if step < SCALE_STEPS:
            # From above or from below, three rounds come to within a percent of the σ that reproduces itself.
            for _ in range(3 if step == 0 else 1):
                inlying = (q <= (CLIP * sigma[live]) ** 2).to(q.dtype)
                if seen is not None:
                    inlying *= seen
                free = (inlying.sum(1, keepdim=True) - len(V)).clamp(min=1)
                variance = inlying.mul_(q).sum(1, keepdim=True) / (CLIPPED_VARIANCE * free)
                sigma[live] = torch.maximum(variance.sqrt_(), floor)
        w = (1 - q / (CUT * sigma[live]) ** 2).clamp_(min=0).square_()
        if seen is not None:
            w *= seen
        change = _solve(w, R, V, 0.1 * floor)
        z[live] += change
        done = (change.norm(dim=1, keepdim=True) <= SETTLED * sigma[live])[:, 0]
        if step + 1 >= SCALE_STEPS and bool(done.any()):
            Y, seen, live = Y[~done], None if seen is None else seen[~done], live[~done]
            if len(live) == 0:
                break
    return z


def _solve(w: Tensor, R: Tensor, V: Tensor, negligible: Tensor | float) -> Tensor:
    """x with Σ_j w_j·(R_j − (xV)_j)² least for every row, by conjugate gradients from x = 0.

    Ends where every row's gradient is CG_TOL of the first, or ``negligible``. From zero x has no part in directions
    that the weights leave open.
    """
    g = (w * R) @ V.T
    x = torch.zeros_like(g)
    p = g
    size = (g * g).sum(1, keepdim=True)
    target = (CG_TOL**2 * size).clamp_(min=1e-300).clamp_(min=torch.as_tensor(negligible, device=g.device) ** 2)
    for _ in range(CG_STEPS):
        on = size > target
        if not bool(on.any()):
            break
        Ap = (p @ V).mul_(w) @ V.T
        step = torch.where(on, size / (p * Ap).sum(1, keepdim=True).clamp_(min=1e-300), 0.0)
        x.addcmul_(step, p)
        g = torch.addcmul(g, step, Ap, value=-1)
        new = (g * g).sum(1, keepdim=True)
        p = torch.addcmul(g, torch.where(on, new / size.clamp(min=1e-300), 0.0), p)
        size = torch.where(on, new, size)
    return x


def _floor(z: Tensor, rounding: float) -> Tensor:
    """What rounding may leave of a residual that is zero; positive even where z is zero."""
    return rounding * z.norm(dim=1, keepdim=True) + torch.finfo(z.dtype).tiny ** 0.2


def _determined(seen: Tensor, V: Tensor) -> Tensor:
    """Whether V·diag(seen)·Vᵀ is regular, row by row of ``seen``."""
    r, n = V.shape
    # Its eigenvalues are at least 1 less the leverages ‖v_j‖² of what was not seen: most rows are done with that.
    determined = (1 - seen) @ V.square().sum(0) < 0.99
    unsure = torch.nonzero(~determined)[:, 0]
    for rows in unsure.split(max(16 * BLOCK // (r * n), 1)):
        normal = (seen[rows, None, :] * V) @ V.T
        factor, failed = torch.linalg.cholesky_ex(normal)
        pivots = factor.diagonal(dim1=1, dim2=2).amin(1) ** 2
        determined[rows] = (failed == 0) & (pivots > UNDETERMINED)
    return determined
