"""How much memory there is and how much was used, to tell before the work whether it fits."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def available_memory() -> float:
    """Bytes that this process may use: the machine's, or the container's if less; inf if unknown."""
    limits = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on Windows
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        limits.append(float(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=float("inf"))


def peak_memory() -> float | None:
    """Bytes that this process has used at most so far; None if unknown."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
