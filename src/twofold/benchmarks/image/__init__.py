"""The image benchmark: twofold beside what a user would try otherwise, on real pictures with synthetic noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.benchmarks.cases import Benchmark, Case, Cell, Choice, Column, Record
from twofold.benchmarks.image.datasets import cases
from twofold.benchmarks.image.figures import random_figure, salt_figure


def _plan(choice: Choice) -> tuple[list[Case], list[Cell]]:
    return cases(choice), []


def _no_cells(records: Sequence[Record]) -> list[str]:
    return []


def _fact(name: str, heading: str, form: str) -> Column:
    def show(row: Mapping[str, Any]) -> str:
        value = row["facts"].get(name)
        return "" if value is None else format(value, form)

    return Column(heading, show)


BENCHMARK = Benchmark(
    name="image",
    groups={
        "salt": "Salt and pepper, each entry on its own: four pictures, one setting.",
        "random": "Entries replaced by uniform values: four pictures, one setting.",
        "own": "Pictures that come with scikit-image, on which no constant was chosen.",
        "kinds": "Other kinds of corruption, the same setting.",
        "operators": "Pictures seen through an operator, outliers on the measurement; the middle of the pictures.",
        "clean": "Pictures without corruption: PSNR against themselves, and the share taken for outliers.",
        "presets": "One picture with all presets. Peak memory in GiB.",
        "seeds": "Other draws of the noise.",
        "steps": "No early stopping: three times the steps.",
        "width": "Networks of other widths, on the middle of the pictures.",
        "chance": "Networks of two widths started with other seeds, on the middle of a picture: what chance does.",
        "prior": "Deep image priors with the same network, on the middle of the pictures.",
        "speed": "What each choice gives: one network, one thing changed at a time, on the middle of the pictures.",
    },
    packages=("twofold", "torch", "numpy", "scipy", "scikit-image", "pillow"),
    extra="image",
    columns=(
        _fact("psnr", "PSNR in dB", ".2f"),
        _fact("expected", "PSNR it expects", ".1f"),
        _fact("ssim", "SSIM", ".3f"),
        _fact("recall", "outliers found", ".1%"),
        _fact("false positives", "others taken for outliers", ".2%"),
        _fact("at 0.9", "outliers among those given 0.9", ".0%"),
        _fact("memory", "peak memory in GiB", ".2f"),
    ),
    plan=_plan,
    summary=_no_cells,
    figures={"salt": salt_figure, "random": random_figure},
    runs=1,
    devices=True,
)
