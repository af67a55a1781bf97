"""Benchmarks that users can repeat: ``twofold benchmark``. One folder a benchmark, one runner for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twofold.benchmarks.runner import Benchmark

GROUPS = {
    "matrix": ("headline", "grid", "hard", "noise", "missing", "rows", "sensing", "video", "phase"),
    "image": (
        "salt", "random", "own", "kinds", "operators", "clean", "presets", "seeds",
        "steps", "width", "chance", "prior", "speed",
    ),
}  # fmt: skip
"""Benchmark → names of its groups; here so that the help can list them at no cost."""

NAMES = tuple(GROUPS)


def load(name: str) -> Benchmark:
    """The benchmark of that name. Imports what it needs, peers aside.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name == "matrix":
        from twofold.benchmarks.matrix import BENCHMARK

        return BENCHMARK
    if name == "image":
        from twofold.benchmarks import image

        return image.BENCHMARK
    raise ValueError(f"{name!r}: no such benchmark; accepted are {', '.join(NAMES)}")
