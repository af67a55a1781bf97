"""New rows: split each into a combination of known components plus outliers.

    y = Vᵀ-combination + s:    z = argmin Σ_j ρ(y_j − (z·V)_j)   over the observed entries j

by iteratively reweighted least squares with Huber weights whose threshold follows the row's own median residual,
then on the inliers alone. All rows at once: the weighted normal matrices Σ_j w_j v_j v_jᵀ of m rows are one product
of an m × n with an n × r² matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

HUBER_STEPS = 16
"""Reweighting steps with Huber weights."""

INLIER_STEPS = 4
"""Least-squares steps on the inliers after that; who is one is decided again before each."""

FLOOR = 3.0
"""Residuals beyond FLOOR times the row's median residual lose weight, then count as outliers."""

BLOCK = 4096
"""Rows handled at once: bounds the memory for their normal matrices."""


def split_rows(Y: Tensor, observed: Tensor | None, components: Tensor) -> Tensor:
    """Coefficients of each row in the components, not moved by outliers.

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
        NaN in rows with fewer observed entries than components.
    """
    if len(components) == 0:
        return Y.new_zeros(len(Y), 0)
    blocks = [
        _split_block(Y[i : i + BLOCK], None if observed is None else observed[i : i + BLOCK], components)
        for i in range(0, len(Y), BLOCK)
    ]
    return torch.cat(blocks) if blocks else Y.new_zeros(0, len(components))


def _split_block(Y: Tensor, observed: Tensor | None, components: Tensor) -> Tensor:
    r, n = components.shape
    outer = (components[:, None, :] * components[None, :, :]).reshape(r * r, n).T
    seen = torch.ones_like(Y) if observed is None else observed.to(Y.dtype)
    weights = seen
    ridge = torch.eye(r, dtype=Y.dtype, device=Y.device) * (torch.finfo(Y.dtype).eps * 10)
    tiny = torch.finfo(Y.dtype).tiny
    z = Y.new_zeros(len(Y), r)
    for step in range(HUBER_STEPS + INLIER_STEPS):
        normal = (weights @ outer).reshape(-1, r, r) + ridge
        z = torch.linalg.solve(normal, ((weights * Y) @ components.T).unsqueeze(-1)).squeeze(-1)
        size = torch.addmm(Y, z, components, alpha=-1).abs_()
        if observed is not None:
            size[~observed] = torch.nan
        threshold = (FLOOR * size.nanmedian(1, keepdim=True).values).clamp(min=tiny)
        if step < HUBER_STEPS:
            weights = (threshold / size.clamp(min=tiny)).clamp(max=1.0)
        else:
            weights = (size <= threshold).to(Y.dtype)
        weights = weights.nan_to_num(0.0)
    z[seen.sum(1) < r] = torch.nan
    return z
