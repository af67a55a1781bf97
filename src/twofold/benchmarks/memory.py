"""How much memory a solver takes beyond its data: run once more in a process of its own, which is asked for its peak.

The data reach the process through a pipe, so that making them (which takes several times their size) leaves no mark.
Linux counts the peak of an address space in /proc; resource.ru_maxrss, used elsewhere, would begin with the peak of
the process that started this one.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from twofold.benchmarks.cases import Answer


def peak_growth(prepare: Callable[[Any], Callable[[], Answer]], data: Any) -> int:
    """By how many bytes the peak of a process rises while it solves.

    Parameters
    ----------
    prepare : callable
        As in :class:`twofold.benchmarks.cases.Solver`; a function of a module.
    data : object
        Can be pickled.

    Raises
    ------
    RuntimeError
        If the solver fails there, with its reason.
    """
    command = [sys.executable, "-m", "twofold.benchmarks.memory"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((prepare, data), process.stdin, protocol=5)
            process.stdin.close()
            said = process.stdout.read()
        except BrokenPipeError:
            said = b""
        except BaseException:
            process.kill()
            raise
    if not said:
        raise RuntimeError(f"the process that measures memory ended with status {process.returncode}")
    outcome = json.loads(said)
    if "failure" in outcome:
        raise RuntimeError(outcome["failure"])
    return int(outcome["bytes"])


def _peak_bytes() -> int:
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _measure(source: BinaryIO) -> dict[str, Any]:
    try:
        prepare, data = pickle.load(source)
        run = prepare(data)
        before = _peak_bytes()
        run()
        return {"bytes": _peak_bytes() - before}
    except Exception as error:
        return {"failure": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    answers = os.dup(1)
    os.dup2(2, 1)  # solvers that print shall not be taken for the answer
    os.write(answers, json.dumps(_measure(sys.stdin.buffer)).encode())
