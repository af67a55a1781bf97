"""Memory that is freed stays with the process for a while, for the next array of the same size.

glibc hands an array of 32 MiB or more back to the system as soon as it is freed, and gets the next one page by page,
each filled with zeros first. Every step of a descent does that some dozen times: a third of the time of a 512 × 512
image, and an eighth of that of a 5000 × 5000 matrix; without it the peak of memory is a twentieth higher. At the end
all is handed back.

A command has its process for itself. The library is a guest in its users' process: it asks while it computes, and
leaves the allocator as glibc itself sets it once an array of that size was freed, with two thresholds as high as they
go. Who has set one of them in the environment is left alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

LARGE = 32 * 2**20
"""Bytes, from which on glibc hands each array back at once."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of malloc.h
_NEVER = 2**31 - 1
_USUAL_MMAP_MAX = 65536

_lock = Lock()
_users = 0


def _glibc() -> ctypes.CDLL | None:
    """Whose allocator it is; None: another one, or one that the user has set up."""
    chosen = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if sys.platform != "linux" or chosen:
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


def _ask(library: ctypes.CDLL, by: int) -> None:
    """One more who asks, or one less: the last one hands back what is free."""
    global _users
    with _lock:
        _users += by
        if by > 0:
            library.mallopt(_MMAP_MAX, 0)
            library.mallopt(_TRIM_THRESHOLD, _NEVER)
        elif _users == 0:
            library.mallopt(_MMAP_MAX, _USUAL_MMAP_MAX)
            library.mallopt(_MMAP_THRESHOLD, LARGE)
            library.mallopt(_TRIM_THRESHOLD, 2 * LARGE)
            library.malloc_trim(0)


@contextmanager
def freed_memory_kept(n_bytes: int = LARGE) -> Iterator[None]:
    """While something is computed whose arrays have so many bytes; nothing is done for less than LARGE."""
    library = _glibc() if n_bytes >= LARGE else None
    if library is None:
        yield
        return
    _ask(library, 1)
    try:
        yield
    finally:
        _ask(library, -1)
