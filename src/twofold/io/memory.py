"""How much memory there is, to refuse work that cannot fit before it begins."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def available_memory() -> float:
    """Bytes that this process may use: the machine's, or the container's if less; inf if unknown."""
    limits = []
    with contextlib.suppress(AttributeError, ValueError, OSError):  # not on Windows
        limits.append(float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")))
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        limits.append(float(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits, default=float("inf"))
