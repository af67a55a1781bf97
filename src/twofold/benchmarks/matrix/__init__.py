"""The matrix benchmark: robust PCA beside the packages that a user would try, on matrices with a known answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.benchmarks.cases import Benchmark, Case, Cell, Choice, Column
from twofold.benchmarks.matrix.datasets import cases
from twofold.benchmarks.matrix.figures import phase_figure, time_figure
from twofold.benchmarks.matrix.phase import cells, summary


def _plan(choice: Choice) -> tuple[list[Case], list[Cell]]:
    return cases(choice), cells(choice)


def _scientific(name: str) -> Column:
    def show(row: Mapping[str, Any]) -> str:
        value = row["facts"].get(name)
        return "" if value is None else f"{value:.1e}"

    return Column(name, show)


def _residual(row: Mapping[str, Any]) -> str:
    value = row["facts"].get("median residual")
    return "" if value is None else f"{value:.3g}"


def _rank(row: Mapping[str, Any]) -> str:
    return str(row["facts"].get("rank", ""))


def _memory(row: Mapping[str, Any]) -> str:
    value = row["facts"].get("memory")
    return "" if value is None else f"{value:.1f}× Y"


BENCHMARK = Benchmark(
    name="matrix",
    groups={
        "headline": "What a user would try first.",
        "grid": "Square matrices: size, rank, share of outliers.",
        "hard": "Singular values that fall by a condition number, ten times as many rows as columns, float32.",
        "noise": "Dense noise of 1e-3 of the entries' root mean square besides the outliers; right is an error up to "
        "the noise.",
        "missing": "30% of the entries missing.",
        "rows": "New rows, after a fit to others; the fit is not timed.",
        "sensing": "Linear measurements of a matrix, n × n of rank r, a share p of the m measurements grossly wrong.",
        "video": "Pixel × frame matrices, background of rank 1: two videos without a truth to judge by, and a "
        "synthetic one with noise of one grey level; right is an error up to the noise. Residuals are grey levels.",
        "phase": "Up to which rank and how many outliers a matrix is recovered.",
    },
    packages=("twofold", "torch", "numpy", "scipy", "scikit-learn", "pyrpca", "rpca", "tensorly", "cvxpy", "scs"),
    extra="bench",
    columns=(
        _scientific("error"),
        Column("rank", _rank),
        _scientific("gap"),
        _scientific("verified gap"),
        Column("median residual", _residual),
        Column("peak memory", _memory),
    ),
    plan=_plan,
    summary=summary,
    figures={"time": time_figure, "phase": phase_figure},
)
