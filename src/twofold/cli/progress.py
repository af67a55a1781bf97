"""A progress bar on stderr, fed by the observer of a run. Silent where stderr is no terminal."""

from __future__ import annotations

import math
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from twofold.history import Record

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from twofold.benchmarks.runner import Step

_VERBS = {"identify": "identifying", "polish": "polishing", "certify": "certifying", "descent": "descending"}


class _Bar:
    """A rich bar that is stopped on the way out, whatever happened."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()


class ProgressBar(_Bar):
    """Shows act, step, residual and the time left of the current act. A context manager.

    Parameters
    ----------
    title : str
        In front of the bar, e.g. the name of the file.
    """

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self._act = ""

    def __enter__(self) -> ProgressBar:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[residual]}", markup=False),
                TimeRemainingColumn(),
                TextColumn("left", markup=False),
                console=Console(stderr=True),
                refresh_per_second=4,
                transient=True,
            )
            self._progress.start()
        return self

    def __call__(self, record: Record) -> None:
        """Show a record."""
        if self._progress is None:
            return
        if record.act != self._act or self._task is None:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._act = record.act
            verb = _VERBS.get(record.act, record.act)
            self._task = self._progress.add_task(f"{self._title}: {verb}", total=record.n_steps, residual="")
        residual = f"residual {record.residual:.1e}" if math.isfinite(record.residual) else ""
        self._progress.update(self._task, completed=record.step, total=record.n_steps, residual=residual)


class PartsBar(_Bar):
    """Shows how many parts of a benchmark are finished, and what it is at. A context manager.

    Parameters
    ----------
    title : str
        In front of the bar.
    """

    def __enter__(self) -> PartsBar:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[words]}", markup=False),
                console=Console(stderr=True),
                # Solvers are timed while this is shown.
                refresh_per_second=1,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._progress.start()
            self._task = self._progress.add_task(self._title, total=None, words="")
        return self

    def __call__(self, step: Step) -> None:
        """Show a step."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=step.done, total=step.total, words=step.words)
