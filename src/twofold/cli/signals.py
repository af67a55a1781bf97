"""Ctrl-C and termination: stop within two seconds, whatever the library underneath is busy with."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from twofold.io.files import remove_unfinished

_PATIENCE_SECONDS = 1.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """The user, or the system, asked the process to stop. No library catches it by mistake."""

    def __init__(self, number: int) -> None:
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        super().__init__(f"by {name}; nothing half-written is left")
        self.exit_status = 128 + number


def _raise(number: int, frame: FrameType | None) -> None:
    # Ctrl-C again, out of impatience, must not break off the clean-up: :func:`_watch` sees to the end already.
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into :class:`Stopped`, and make sure that the process ends; more of them do nothing.

    Python handles signals between its own instructions: a long call into PyTorch delays them. A second thread
    is told at once and, if the main thread has not come back after a moment, removes unfinished files and
    leaves.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours, pythons = socket.socketpair()
    pythons.setblocking(False)
    done = threading.Event()
    before: dict[int, Any] = {number: signal.signal(number, _raise) for number in _SIGNALS}
    wakeup_before = signal.set_wakeup_fd(pythons.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(ours, done), daemon=True).start()
    stopped = False
    try:
        yield
    except Stopped:
        stopped = True
        raise
    finally:
        done.set()
        signal.set_wakeup_fd(wakeup_before)
        if not stopped:  # where it is, the process is about to end, and nothing should break that off either
            for number, handler in before.items():
                signal.signal(number, handler)
        pythons.close()


def _watch(ours: socket.socket, done: threading.Event) -> None:
    with ours:
        while not done.is_set():
            received = ours.recv(1)
            if not received:
                return
            number = received[0]
            if number not in _SIGNALS:
                continue
            if not done.wait(_PATIENCE_SECONDS):
                remove_unfinished()
                os.write(2, f"twofold: stopped: {Stopped(number)}\n".encode())
                os._exit(128 + number)
