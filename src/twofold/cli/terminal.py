"""What the commands say: results on stdout, complaints and progress on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twofold.io.errors import FileError
from twofold.io.json_values import finite


class CommandError(Exception):
    """A wrong argument: its name, what is wrong, what is accepted."""


def say(text: str) -> None:
    """One or more lines on stdout. A reader that has gone away is no error."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_json(value: Any) -> None:
    """One JSON object on stdout; numbers that JSON does not have become null."""
    say(json.dumps(finite(value), ensure_ascii=False, allow_nan=False))


def complain(message: str, *, kind: str = "error") -> None:
    """One line on stderr."""
    with contextlib.suppress(OSError):  # nobody listens
        sys.stderr.write(f"twofold: {kind}: {' '.join(message.split())}\n")
        sys.stderr.flush()


@contextlib.contextmanager
def errors_name(source: Path, what: str) -> Iterator[None]:
    """Turn what a recovery refuses, or has no memory for, into an error about its file.

    Parameters
    ----------
    source : Path
    what : str
        The kind of data, e.g. "an image".

    Raises
    ------
    FileError
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise FileError(source, str(error)) from error
    except (MemoryError, RuntimeError) as error:
        words = str(error).lower()  # PyTorch has no class of its own for the processor's memory
        if not (isinstance(error, MemoryError) or "out of memory" in words or "not enough memory" in words):
            raise
        raise FileError(source, f"there is not enough memory for {what} of this size") from error
