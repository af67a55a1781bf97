"""Memory that a command frees is not fetched from the system again."""

from __future__ import annotations

import subprocess
import sys

import pytest

COUNT = """
import resource, sys, torch
from twofold.cli.allocation import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(77)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):  # the heap settles: a small array in the way may take one block more
    torch.ones(1 << 24)  # 64 MiB
before = faults()
for _ in range(16):
    torch.ones(1 << 24)
print(faults() - before)
"""


def pages_fetched(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("this system's allocator is not glibc's")
    return int(done.stdout)


def test_the_same_pages_serve_again() -> None:
    once = (1 << 26) // 4096
    assert pages_fetched("as it is") > 12 * once
    assert pages_fetched("kept") < once / 4
