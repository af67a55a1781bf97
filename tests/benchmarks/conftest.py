"""Benchmarks small enough to be seen through: solvers that move a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofold.benchmarks import runner
from twofold.benchmarks.cases import Answer, Benchmark, Case, Cell, Choice, Column, Solver
from twofold.benchmarks.results import Results

EXTRA = "bench"


class Clock:
    """Time that passes only where it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The runner's clock."""
    clock = Clock()
    monkeypatch.setattr(runner, "perf_counter", clock)
    return clock


class Workshop:
    """Makes cases whose true answer is 42, and notes who was called."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.calls: list[str] = []

    def solver(
        self, name: str, *seconds: float, value: float = 42, error: Exception | None = None, **options: Any
    ) -> Solver:
        """A solver whose runs take these seconds in turn, and which prepares for a hundred."""
        left = list(seconds)
        answer = {"facts": options.pop("facts", {}), "failure": options.pop("failure", "")}

        def prepare(data: float) -> Callable[[], Answer]:
            self.clock.now += 100

            def run() -> Answer:
                self.calls.append(name)
                if error is not None:
                    raise error
                self.clock.now += left.pop(0) if len(left) > 1 else left[0]
                return Answer(value, **answer)

            return run

        return Solver(name, prepare, **options)

    def case(self, name: str, *solvers: Solver, group: str = "a", **options: Any) -> Case:
        """A case that is judged in a hundred seconds."""

        def judge(data: float, answer: Answer) -> tuple[dict[str, Any], str]:
            self.clock.now += 100
            error = abs(answer.value - data)
            return {"error": error}, "" if error == 0 else f"wrong answer: {answer.value}"

        def make() -> float:
            self.calls.append(f"data of {name}")
            self.clock.now += 100
            return 42.0

        return Case(group, name, {"name": name, "rank": 1}, make, solvers, judge, **options)

    def benchmark(self, *parts: Case | Cell) -> Benchmark:
        """A benchmark of these parts with the groups a and b."""

        def plan(choice: Choice) -> tuple[list[Case], list[Cell]]:
            chosen = [part for part in parts if part.group in choice.groups]
            return [p for p in chosen if isinstance(p, Case)], [p for p in chosen if isinstance(p, Cell)]

        return Benchmark(
            name="toy",
            groups={"a": "About a.", "b": "About b."},
            packages=("numpy", "no-such-package"),
            extra=EXTRA,
            columns=(Column("error", lambda row: str(row["facts"].get("error", ""))),),
            plan=plan,
            summary=lambda cells: [f"{len(cells)} cells."] if cells else [],
            figures={"empty": lambda cases, cells: None},
        )


@pytest.fixture
def workshop(clock):
    """See :class:`Workshop`."""
    return Workshop(clock)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """An empty result file."""
    return Results(tmp_path / "toy.json", {"benchmark": "toy", "quick": False, "machine": {}})
