"""From what the acts found to a solution: the status with its proof, units, and the kind of array that came in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from twofold.history import History
from twofold.matrix.certificate import Certificate
from twofold.matrix.recovered import Recovered
from twofold.solution import LowRankSolution, Settings
from twofold.status import Status

CERTIFIED_GAP = 1e-4
"""Relative duality gap from which a solution is called certified."""


def computed_with(values: Tensor) -> Settings:
    """Where and by what an answer was computed, for its settings."""
    return {
        "dtype": str(values.dtype), "device": str(values.device), "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }  # fmt: skip


def final_status(found: Recovered, certificate: Certificate | None, unit: float) -> Status:
    """The acts' status, with what the certificate adds to it; ``unit`` is that of the measurements."""
    status = found.status
    cause = status.cause.replace("{noise}", f"{found.noise * unit:.3g}")
    is_fit = status.code in ("recovered", "ill_conditioned")
    if is_fit and certificate is not None and certificate.gap <= CERTIFIED_GAP:
        proof = f"{cause} A dual certificate proves it optimal (relative gap {certificate.gap:.1e})."
        return Status("certified", True, proof)
    if status.code == "recovered" and certificate is not None:
        cause = (
            f"{cause} The convex program has another optimum (relative gap {certificate.gap:.1e}): no certificate."
        )
    return Status(status.code, status.success, cause, status.remedy)


def as_solution(
    Y: Any, found: Recovered, status: Status, certificate: Certificate | None, n_iter: int, history: History,
    settings: Settings, *, unit: float, outlier_unit: float | None = None,
) -> LowRankSolution:  # fmt: skip
    """Back to the units and the kind of array that came in; outliers have their own unit where Y does."""
    as_input = (lambda tensor: tensor) if isinstance(Y, Tensor) else (lambda tensor: tensor.cpu().numpy())
    outlier_unit = unit if outlier_unit is None else outlier_unit
    sigma = unit * found.sigma
    # X is in the certificate already, in float64.
    low_rank = (found.P * sigma) @ found.Q.T if certificate is None else certificate.low_rank.to(sigma.dtype)
    if certificate is not None:
        certificate = replace(
            certificate, dual_variable=as_input(certificate.dual_variable), low_rank=as_input(certificate.low_rank)
        )
    return LowRankSolution(
        low_rank=as_input(low_rank),
        outliers=as_input(found.outliers.mul_(outlier_unit)),
        rank=len(sigma),
        factors=(as_input(found.P), as_input(sigma), as_input(found.Q.T)),
        status=status,
        n_iter=n_iter,
        noise=outlier_unit * found.noise,
        error_estimate=found.error_estimate,
        history=history,
        certificate=certificate,
        settings=settings,
    )
