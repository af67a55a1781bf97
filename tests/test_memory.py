"""Memory that is freed is not fetched from the system again while something is computed, and handed back after it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PRELUDE = """
import resource, sys, torch
from twofold.memory import _glibc, freed_memory_kept
if _glibc() is None:
    sys.exit(77)
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def pages_of_16_arrays():
    before = faults()
    for _ in range(16):
        torch.ones(1 << 24)  # 64 MiB
    return faults() - before
def kept():
    for _ in range(16):  # the heap settles: small arrays in the way take a block more
        torch.ones(1 << 24)
    return pages_of_16_arrays()
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])
"""
ONE = (1 << 26) // 4096  # pages of one array


def printed(program: str) -> list[int]:
    clean = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES" and "MALLOC_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        env=clean,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this system's allocator is not glibc's")
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


def test_the_same_pages_serve_again_as_long_as_asked() -> None:
    before, within, after = printed("""
print(pages_of_16_arrays())
with freed_memory_kept():
    print(kept())
# An array for which nothing that was kept has room: whose pages were handed back may serve a smaller one again.
torch.ones(1 << 28)
before = faults()
torch.ones(1 << 28)
print(faults() - before)
""")
    assert before > 12 * ONE
    assert within < ONE / 4
    assert after > 12 * ONE


def test_the_last_one_who_asked_hands_it_back() -> None:
    nested, left_early = printed("""
with freed_memory_kept():
    with freed_memory_kept():
        kept()
    print(kept())
outer = freed_memory_kept()
outer.__enter__()
with freed_memory_kept():
    kept()
print(kept())
""")
    assert nested < ONE / 4
    assert left_early < ONE / 4


def test_what_was_kept_goes_back_to_the_system() -> None:
    (more,) = printed("""
torch.ones(1 << 24)
before = resident()
with freed_memory_kept():
    arrays = [torch.ones(1 << 24) for _ in range(4)]
    small = [torch.ones(1 << 10) for _ in range(4)]
    del arrays
print(resident() - before)
""")
    assert more < ONE


def test_also_where_an_error_ends_it() -> None:
    (after,) = printed("""
try:
    with freed_memory_kept():
        raise KeyError
except KeyError:
    print(pages_of_16_arrays())
""")
    assert after > 12 * ONE


def test_small_arrays_change_nothing() -> None:
    (pages,) = printed("""
with freed_memory_kept(2**25 - 1):
    print(pages_of_16_arrays())
""")
    assert pages > 12 * ONE


@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_MMAP_MAX_", "1000"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_max=9")]
)
def test_an_allocator_that_the_user_has_set_up_is_left_alone(name: str, value: str) -> None:
    program = "from twofold.memory import _glibc; print(_glibc() is not None)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | {name: value}, check=True
    )
    assert done.stdout.strip() == "False"
