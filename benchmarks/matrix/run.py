"""Robust PCA: accuracy, rank, certificate and time, beside pyrpca in the same process.

    python benchmarks/matrix/run.py [--data DIR] [--runs 3] [--out benchmarks/matrix/results/matrix.json]

Solvers take turns within each run, so that a machine whose speed drifts is fair to all; the median of the runs is
reported, and ratios against the first solver. Checking an answer is not timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from datasets import Case, synthetic, video
from solvers import CANNOT_MISS, SOLVERS


def cases(data: Path | None) -> Iterator[Case]:
    yield synthetic(1000, 50, 0.1)
    yield synthetic(500, 10, 0.3)
    yield synthetic(500, 10, 0.3, missing=0.2)
    yield synthetic(2000, 20, 0.2)
    if data is None or not (data / "video").is_dir():
        print("The video cases are skipped: no folder --data with video/ in it.", file=sys.stderr)
        return
    yield video(data / "video" / "shop.avi", 157)
    yield video(data / "video" / "highway.avi", 300)


def measure(case: Case, runs: int) -> list[dict[str, Any]]:
    """One row a solver: median seconds, and its answer against the truth."""
    able = {k: f for k, f in SOLVERS.items() if not (k in CANNOT_MISS and np.isnan(case.Y).any())}
    if case.X is None:  # a video: the command's own way, and no peer that takes minutes
        able = {"twofold, certify=False": SOLVERS["twofold, certify=False"]}
    seconds: dict[str, list[float]] = {name: [] for name in able}
    rows = {}
    for _ in range(runs):
        for name, solve in able.items():
            started = time.perf_counter()
            low_rank, said = solve(case.Y)
            seconds[name].append(time.perf_counter() - started)
            said = {key: value() if callable(value) else value for key, value in said.items()}
            error = None if case.X is None else float(np.linalg.norm(low_rank - case.X) / np.linalg.norm(case.X))
            rows[name] = {"case": case.name, "solver": name, "error": error, "true rank": case.rank, **said}
    first = statistics.median(seconds[next(iter(able))])
    for name, row in rows.items():
        row["seconds"] = statistics.median(seconds[name])
        row["seconds of each run"] = seconds[name]
        row["times the first solver"] = row["seconds"] / first
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TWOFOLD_DATA"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "matrix.json")
    options = parser.parse_args()
    rows = []
    for case in cases(options.data):
        for row in measure(case, options.runs):
            rows.append(row)
            error = "      -" if row["error"] is None else f"{row['error']:.1e}"
            gap = f"{row['gap']:.0e}" if "gap" in row else "-"
            print(
                f"{row['case']:28} {row['solver']:24} {row['seconds']:8.2f} s  x{row['times the first solver']:6.2f}"
                f"  error {error}  rank {row['rank']}  gap {gap}",
                flush=True,
            )
    packages = ("twofold", "torch", "numpy", "scipy", "pyrpca")
    machine = {
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": machine, "runs": options.runs, "rows": rows}, indent=1) + "\n")
    print(f"Written to {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
