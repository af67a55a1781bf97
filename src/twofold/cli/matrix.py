"""``twofold matrix``: a table of numbers split into its low-rank part and its outliers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from twofold.cli import options
from twofold.cli.options import Device, Figure, Force, Json, Seed
from twofold.cli.terminal import CommandError, complain, errors_name, say, say_json


def matrix(
    source: Annotated[Path, typer.Argument(metavar="IN", help=".npy .npz .csv .mat .h5; nan: a missing entry.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT.npz",
            help="Default: NAME_clean.npz beside the input.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Which array, in a file that holds several.", show_default=False),
    ] = None,
    figure: Figure = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            metavar="A",
            help="1/lambda of the convex program; default: sqrt of the longer side, which needs no tuning.",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Split a matrix into a low-rank part and outliers. The rank is found, not asked; the answer is
    certified.

    OUT.npz holds low_rank, outliers, components, singular_values, dual_variable, rank and gap.
    """
    from twofold.io.files import beside, plan
    from twofold.io.matrices import check_npz_name, read_matrix

    target = beside(source, suffix=".npz") if output is None else output
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise CommandError(f"--alpha {alpha}: a positive number is accepted")
    options.check_figure(figure)
    check_npz_name(target)
    plan([target, *([figure] if figure else [])], inputs=[source], force=force)
    options.check_device(device)
    values = read_matrix(source, key=key, note=lambda words: complain(f"{source}: {words}", kind="note"))
    facts, solution = _recover(source, values, alpha=alpha, seed=seed, device=device)
    if not solution.status.success:
        complain(f"{source}: {solution.status}")
    _write(target, figure, values, solution, force)
    facts = {
        "input": str(source),
        "output": str(target),
        "figure": None if figure is None else str(figure),
        **facts,
    }
    if as_json:
        say_json(facts)
    else:
        say(_summary(facts))
    if not solution.status.success:
        raise typer.Exit(1)


def _recover(
    source: Path, values: Any, *, alpha: float | None, seed: int, device: str | None
) -> tuple[dict[str, Any], Any]:
    from time import perf_counter

    from twofold.cli.progress import ProgressBar
    from twofold.matrix.recover import robust_pca

    started = perf_counter()
    with errors_name(source, "a matrix"), ProgressBar(source.name) as progress:
        solution = robust_pca(values, alpha=alpha, device=device, random_state=seed, observer=progress)
    seconds = perf_counter() - started
    certificate = solution.certificate
    facts = {
        "shape": list(values.shape),
        "rank": solution.rank,
        "outlier_fraction": solution.outlier_fraction,
        "gap": None if certificate is None else certificate.gap,
        "noise": solution.noise,
        "error_estimate": solution.error_estimate,
        "seconds": seconds,
        "status": solution.status.code,
        "success": solution.status.success,
        "cause": solution.status.cause,
        "steps": solution.n_iter,
        "seed": seed,
    }
    return facts, solution


def result_arrays(solution: Any) -> dict[str, Any]:
    """What OUT.npz holds of a LowRankSolution."""
    import numpy as np

    _, singular_values, components = solution.factors
    certificate = solution.certificate
    return {
        "low_rank": solution.low_rank,
        "outliers": solution.outliers,
        "components": components,
        "singular_values": singular_values,
        "dual_variable": np.full((0, 0), np.nan) if certificate is None else certificate.dual_variable,
        "rank": np.int64(solution.rank),
        "gap": np.float64(np.nan if certificate is None else certificate.gap),
    }


def _write(target: Path, figure: Path | None, values: Any, solution: Any, force: bool) -> None:
    from twofold.io.files import write_together
    from twofold.io.matrices import npz_writer

    jobs = [(target, npz_writer(result_arrays(solution)))]
    if figure is not None:
        from twofold.plots import figure_writer, matrix_figure

        jobs.append((figure, figure_writer(matrix_figure(values, solution), figure)))
    write_together(jobs, force=force)


def _summary(facts: dict[str, Any]) -> str:
    rows, columns = facts["shape"]
    gap = facts["gap"]
    certified = "not certified" if gap is None else f"duality gap {gap:.1e}"
    lines = [
        f"{facts['output']}",
        f"  {rows}×{columns}, rank {facts['rank']} found, "
        f"{100 * facts['outlier_fraction']:.1f}% of the entries are outliers, {certified}, {facts['seconds']:.1f} s",
        f"  {facts['status']}: {facts['cause']}",
    ]
    if facts["error_estimate"] is not None:
        lines.append(
            f"  dense noise of standard deviation {facts['noise']:.3g}; "
            f"relative error of the low-rank part to expect from it: {facts['error_estimate']:.1e}"
        )
    return "\n".join(lines)
