"""Discrepant learning rates for any PyTorch optimizer."""

from __future__ import annotations

import math
from typing import Any

from torch import nn


def discrepant_groups(model: nn.Module, outliers: nn.Module, lr: float, alpha: float) -> list[dict[str, Any]]:
    """Parameter groups that train the outliers alpha times as fast as the model.

    theta ← theta − lr·∇theta,    (g, h) ← (g, h) − alpha·lr·∇(g, h)

    Parameters
    ----------
    model : nn.Module
        The signal model, x = f(theta).
    outliers : nn.Module
        Such as :class:`twofold.nn.HadamardOutliers`. Has to share no parameter with ``model``.
    lr : float
        Learning rate of the model, positive. For a *sum* loss ½‖y − f(theta) − s‖²; a mean over N entries divides
        both rates by N/2.
    alpha : float
        Ratio of the learning rates, positive. With plain gradient descent the limit weighs the outliers' 1-norm by
        1/alpha. Optimizers that rescale gradients (Adam) apply it to the rescaled ones.

    Returns
    -------
    list of two dicts
        To hand to an optimizer. Weight decay is zero in the outliers' group: it would pull g and h to zero, where
        their gradient vanishes for ever.

    Raises
    ------
    ValueError
        If lr or alpha is not a positive number, or the modules share parameters.

    References
    ----------
    You, Zhu, Qu, Ma: Robust Recovery via Implicit Bias of Discrepant Learning Rates for Double
    Over-parameterization, NeurIPS 2020, section 2.3.

    Examples
    --------
    >>> from twofold.nn import HadamardOutliers
    >>> groups = discrepant_groups(nn.Linear(3, 1), HadamardOutliers((5, 1)), lr=1e-2, alpha=500)
    >>> [group["lr"] for group in groups]
    [0.01, 5.0]
    """
    for name, value in (("lr", lr), ("alpha", alpha)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r}: a positive number is accepted")
    theta, gh = list(model.parameters()), list(outliers.parameters())
    if {id(p) for p in theta} & {id(p) for p in gh}:
        raise ValueError("outliers: shares parameters with `model`; two separate modules are accepted")
    return [{"params": theta, "lr": lr}, {"params": gh, "lr": alpha * lr, "weight_decay": 0.0}]
