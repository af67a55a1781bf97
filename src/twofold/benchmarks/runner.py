"""Run a benchmark: cases one after the other with their solvers in turn, then cells side by side.

Within a round every solver takes its turn, so that a machine whose speed drifts is fair to all; the median of the
rounds counts. Only a solver's run is timed: not the data, not its imports, not the judgement of its answer. What goes
wrong (an exception, a limit, a wrong answer, a peer that is not installed) is a row like any other, with its reason.
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

from twofold.benchmarks.cases import Answer, Benchmark, Case, Choice, Facts, Record, Solver
from twofold.benchmarks.memory import peak_growth
from twofold.benchmarks.results import Results
from twofold.benchmarks.workers import count, silent


@dataclass(frozen=True)
class Step:
    """What the runner is at: a few words, how many parts are finished, and of how many."""

    words: str
    done: int
    total: int


PATIENCE = 100.0
"""Seconds: a run that took longer is not repeated. The table says so; repeating such runs would take most of the time
of a benchmark, to tell 100 times as long from 101.
"""

SHORT, REPEATS = 0.5, 5
"""Seconds: a run that took less is done so many times in its turn, of which the median counts as one run. Single
short runs differ by half from one to the next on a machine that has just done something else.
"""

Observer = Callable[[Step], None]


@dataclass(frozen=True)
class Outcome:
    """How a run of a benchmark went.

    Attributes
    ----------
    measured, kept : int
        Cases and cells measured now, and those that were in the result file already.
    absent : list of records
        Cases whose data are not here. They are not in the result file: data may come.
    """

    measured: int
    kept: int
    absent: list[Record]


def run(
    benchmark: Benchmark, choice: Choice, results: Results, *, runs: int, observer: Observer = lambda step: None
) -> Outcome:
    """Measure everything that was chosen and is not in the results yet; each part is written once it is finished.

    Parameters
    ----------
    benchmark : Benchmark
    choice : Choice
    results : Results
        Goes on from there.
    runs : int
        Rounds of the timed cases, at least 1.
    observer : callable
        Shown each :class:`Step`.

    Returns
    -------
    Outcome

    Raises
    ------
    FileError
        If the result file cannot be written.
    """
    cases, cells = benchmark.plan(choice)
    present = [case for case in cases if not case.absent]
    new_cases = [case for case in present if not results.holds(case, settings_of(case, runs))]
    new_cells = [cell for cell in cells if not results.holds(cell, cell.settings)]
    total = len(present) + len(cells)
    done = total - len(new_cases) - len(new_cells)
    kept = done
    for case in new_cases:
        show = partial(_show, observer, case.name, done, total)
        rows = measure(case, runs, extra=benchmark.extra, show=show)
        results.keep(case, settings_of(case, runs), {"rows": rows})
        done += 1
    if new_cells:
        observer(Step(f"{new_cells[0].group}: {new_cells[0].name}", done, total))
    for cell, facts in count(new_cells):
        results.keep(cell, cell.settings, {"facts": facts})
        done += 1
        observer(Step(f"{cell.group}: {cell.name}", done, total))
    absent = [
        {"group": case.group, "name": case.name, "settings": dict(case.settings), "rows": _absent_rows(case)}
        for case in cases
        if case.absent
    ]
    return Outcome(total - kept, kept, absent)


def _show(observer: Observer, name: str, done: int, total: int, words: str) -> None:
    observer(Step(f"{name}: {words}", done, total))


def settings_of(case: Case, runs: int) -> dict[str, Any]:
    """Everything that decides the rows of a case."""
    return {**case.settings, "runs": runs, "solvers": [solver.name for solver in case.solvers]}


def measure(
    case: Case, runs: int, *, extra: str = "bench", show: Callable[[str], None] = lambda words: None
) -> list[Record]:
    """Let all solvers take turns on a case.

    Parameters
    ----------
    case : Case
    runs : int
    extra : str
        Extra of twofold that brings the peers.
    show : callable
        Shown who is about to run.

    Returns
    -------
    list of rows
        One a solver: ``solver``, ``outcome`` ("ok"; "failed": a wrong answer or a limit; "error": an exception;
        "skipped"; "not installed"), ``reason``, ``seconds`` (the median, None where there is none), ``ratio`` (to the
        first solver's median), ``runs`` (seconds and scores of each), ``facts``.
    """
    turns = [_Turn(solver) for solver in case.solvers]
    able = []
    for turn in turns:
        if reason := turn.solver.refuses(case):
            turn.outcome, turn.reason = "skipped", reason
        elif turn.solver.needs and importlib.util.find_spec(turn.solver.needs) is None:
            turn.outcome, turn.reason = "not installed", f"pip install twofold[{extra}]"
        else:
            able.append(turn)
    data = case.make() if able else None
    for number in range(1, runs + 1):
        for turn in able:
            if not (turn.broken or turn.is_slow):
                show(f"{turn.solver.name}, run {number} of {runs}")
                turn.take(case, data, is_last=number == runs)
    if case.memory is not None:
        for turn in able:
            if not turn.broken:
                show(f"{turn.solver.name}, memory")
                turn.weigh(case.memory(data), data)
    first = turns[0].seconds
    return [turn.row(first) for turn in turns]


@dataclass
class _Turn:
    """One solver on one case."""

    solver: Solver
    outcome: str = "ok"
    reason: str = ""
    broken: bool = False
    runs: list[Facts] = field(default_factory=list)
    facts: Facts = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        return statistics.median(run["seconds"] for run in self.runs) if self.runs else None

    @property
    def is_slow(self) -> bool:
        return any(run["seconds"] > PATIENCE for run in self.runs)

    def take(self, case: Case, data: Any, *, is_last: bool) -> None:
        """Run once, timed; then judge, not timed."""
        try:
            with silent():
                run = self.solver.prepare(data)
                answer, seconds = _timed(run)
                if seconds < SHORT:
                    seconds = statistics.median([seconds, *(_timed(run)[1] for _ in range(REPEATS - 1))])
                self._judge(case, data, answer, seconds, is_last)
        except Exception as error:
            # The next round would end the same way.
            self.broken = True
            self._fail(f"{type(error).__name__}: {error}", "error")

    def _judge(self, case: Case, data: Any, answer: Answer, seconds: float, is_last: bool) -> None:
        scores, wrong = case.judge(data, answer)
        self.runs.append({"seconds": seconds, **scores})
        limit = answer.failure() if callable(answer.failure) else answer.failure
        # A limit explains a wrong answer, not the other way round.
        if limit or wrong:
            self._fail("; ".join(filter(None, (limit, wrong))))
        if is_last or self.is_slow:
            said = {name: fact() if callable(fact) else fact for name, fact in answer.facts.items()}
            self.facts = {**said, **scores}

    def weigh(self, size: int, data: Any) -> None:
        """Run once more in a process of its own for its peak memory, in multiples of ``size`` bytes."""
        try:
            self.facts["memory"] = peak_growth(self.solver.prepare, data) / size
        except RuntimeError as error:
            self.facts["memory"], self.facts["memory failure"] = None, str(error)

    def _fail(self, reason: str, outcome: str = "failed") -> None:
        if self.outcome in ("ok", "failed"):  # an exception outweighs a wrong answer in an earlier round
            self.outcome, self.reason = outcome, " ".join(reason.split())

    def row(self, first: float | None) -> Record:
        seconds = self.seconds
        return {
            "solver": self.solver.name,
            "outcome": self.outcome,
            "reason": self.reason,
            "seconds": seconds,
            "ratio": None if seconds is None or not first else seconds / first,
            "runs": self.runs,
            "facts": self.facts,
        }


def _timed(run: Callable[[], Answer]) -> tuple[Answer, float]:
    started = perf_counter()
    answer = run()
    return answer, perf_counter() - started


def _absent_rows(case: Case) -> list[Record]:
    rows = []
    for solver in case.solvers:
        turn = _Turn(solver, outcome="skipped", reason=case.absent)
        rows.append(turn.row(None))
    return rows
