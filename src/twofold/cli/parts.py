"""What commands share that go on from finished parts: names that are chosen, and notes about what is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from twofold.cli.signals import Stopped
from twofold.cli.terminal import CommandError, complain

if TYPE_CHECKING:
    from twofold.benchmarks.results import Results


def check_names(names: Sequence[str] | None, accepted: Sequence[str], what: str) -> None:
    """Refuse a name that there is none of.

    Raises
    ------
    CommandError
    """
    for name in names or ():
        if name not in accepted:
            raise CommandError(f"NAME {name!r}: no such {what}; accepted are {', '.join(accepted)}")


def check_data(data: Path | None, accepted: str) -> None:
    """Refuse a folder of data that is not there.

    Raises
    ------
    CommandError
    """
    if data is not None and not data.is_dir():
        raise CommandError(f"--data {data}: no such folder; a folder with {accepted} in it is accepted")


@contextlib.contextmanager
def kept_when_stopped(results: Results) -> Iterator[None]:
    """Say what is kept when the command is stopped, or loses a process.

    Raises
    ------
    typer.Exit
        If it lost a process, with status 1.
    """
    from twofold.benchmarks.workers import WorkerLost

    try:
        yield
    except (Stopped, WorkerLost) as reason:
        if n_parts := len(results.cases) + len(results.cells):
            kept = f"{n_parts} finished parts are kept; the same command goes on from there"
            complain(f"{results.path}: {kept}", kind="note")
        if isinstance(reason, WorkerLost):
            complain(str(reason))
            raise typer.Exit(1) from None
        raise


def note_kept(results: Results, kept: int, total: int, does: str) -> None:
    """Say what was there already, and that ``--force`` does it anew."""
    if kept:
        there = f"{kept} of {total} parts were there already and are kept"
        complain(f"{results.path}: {there}; --force {does} them anew", kind="note")
