"""What the commands say: results on stdout, complaints and progress on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twofold.io.errors import FileError


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


def finite(value: Any) -> Any:
    """The value with nan and inf replaced by None, and NumPy's numbers by Python's.

    Examples
    --------
    >>> finite({"gap": float("inf"), "shape": (2, 3)})
    {'gap': None, 'shape': [2, 3]}
    """
    if isinstance(value, dict):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | bool) else str(value)
