"""Count the trials of cells side by side, in processes with one thread each.

Processes of the standard library's pool, started anew (not forked: PyTorch's threads do not survive a fork), with
what the pool lacks. Ctrl-C reaches every process of a terminal at once: here it is the parent's alone, whose end is
theirs, however it ends. Each worker holds an end of a pipe and leaves when the other end closes, in the middle of a
trial too.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Any

from twofold.benchmarks.cases import Cell, Facts

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""What libraries of linear algebra read once, when they are loaded."""


class WorkerLost(RuntimeError):
    """A process that counted trials was ended from outside, as the system does where memory runs out."""


def count(cells: Sequence[Cell], jobs: int | None = None) -> Iterator[tuple[Cell, Facts]]:
    """Count the trials of cells side by side, one thread each, and hand each cell over when it is finished.

    Parameters
    ----------
    cells : sequence of Cell
        Begun in this order.
    jobs : int, optional
        Processes. None: one a core.

    Yields
    ------
    (Cell, facts)

    Raises
    ------
    WorkerLost
        If a process was ended from outside. What was handed over before is right.
    """
    if not cells:
        return
    import joblib

    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    # Unlike os.cpu_count, joblib's knows of the share of cores that a container has.
    n_jobs = min(jobs or joblib.cpu_count(), len(cells))
    pool = ProcessPoolExecutor(n_jobs, mp_context=context, initializer=_follow, initargs=(theirs,))
    try:
        with _inherited():  # the first submission starts all processes
            begun = {pool.submit(_count, cell.count, cell.settings): cell for cell in cells}
        for finished in as_completed(begun):
            yield begun.pop(finished), finished.result()
        pool.shutdown()
    except BrokenProcessPool:
        reason = "a process that computes parts was ended from outside; is there memory for so many at a time?"
        raise WorkerLost(reason) from None
    finally:
        ours.close()
        pool.shutdown(cancel_futures=True)
        theirs.close()


@contextlib.contextmanager
def _inherited() -> Iterator[None]:
    """What processes started meanwhile are born with: one thread for each library, and no ear for Ctrl-C."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    # Blocked, not ignored: one that comes meanwhile reaches the parent afterwards.
    masks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _follow(pipe: Connection) -> None:
    """Leave as soon as the parent has closed its end of the pipe, or is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be inherited

    def wait() -> None:
        with contextlib.suppress(EOFError, OSError):
            pipe.recv()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _count(function: Callable[[Mapping[str, Any]], Facts], settings: Mapping[str, Any]) -> Facts:
    from twofold.devices import one_thread

    with silent(), one_thread():
        return function(settings)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Peers print and warn; our own output is a table or one JSON object."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
