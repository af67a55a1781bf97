"""Memory that is freed stays with the process, for the next array of the same size.

glibc hands a large array back to the system as soon as it is freed, and gets the next one page by page, each
filled with zeros first. Every step of a descent does that some dozen times, which takes a fifteenth of the time of
a 512 × 512 image and an eighth of that of a 5000 × 5000 matrix; without it the peak of memory is a twentieth
higher. A command has its process for itself and may choose; the library, a guest in its users' process, does not.
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask for it; whether the system knows how."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
