"""Image recovery on real pictures with synthetic noise: PSNR, SSIM and seconds, kept as a JSON file.

    python benchmarks/image/run.py --data DIR [--preset balanced] [--images F16 ...] [--levels 0.5 ...]

DIR/images holds the pictures as NAME.png; without it nothing is measured. The result file is written anew after each
row, so that a run that is cut off keeps what it measured. The baseline is the best of the 3, 5 and 7 pixel medians,
chosen with the truth at hand. Timed code does not include evaluation. Recovery is not told the noise's kind, level or
places.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import median_filter
from skimage.io import imread
from skimage.metrics import structural_similarity
from skimage.util import random_noise

from twofold.image.recover import recover_image
from twofold.metrics import psnr


def add_noise(image: Any, kind: str, level: float, seed: int) -> Any:
    """Each entry on its own, on the (3, H, W) array in [0, 1]; back as uint8."""
    clean = image.transpose(2, 0, 1) / 255
    if kind == "salt":
        noisy = random_noise(clean, "s&p", amount=level, rng=seed)
    else:
        rng = np.random.default_rng(seed)
        noisy = np.where(rng.random(clean.shape) < level, rng.random(clean.shape), clean)
    return np.rint(255 * noisy).astype(np.uint8).transpose(1, 2, 0)


def measure(name: str, image: Any, options: argparse.Namespace, kind: str, level: float) -> dict[str, Any]:
    """One row of the table."""
    noisy = add_noise(image, kind, level, options.seed)
    start = time.perf_counter()
    solution = recover_image(noisy, preset=options.preset, seed=options.seed)
    seconds = time.perf_counter() - start
    bad, found = noisy != image, solution.outlier_probability > 0.5
    return {
        "image": name,
        "shape": list(image.shape),
        "noise": kind,
        "level": level,
        "psnr": round(psnr(image, solution.image), 3),
        "ssim": round(float(structural_similarity(image, solution.image, channel_axis=2)), 4),
        "best_median_psnr": round(max(psnr(image, median_filter(noisy, (k, k, 1))) for k in (3, 5, 7)), 3),
        "recall": round(float(found[bad].mean()), 4),
        "false_positives": round(float(found[~bad].mean()), 4),
        "seconds": round(seconds, 1),
        "status": solution.status.code,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def write(target: Path, options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """All rows so far, whole or not at all."""
    report = {
        "preset": options.preset,
        "seed": options.seed,
        "threads": options.threads,
        "machine": f"{platform.machine()}, {platform.system()}, {torch.backends.cpu.get_cpu_capability()}",
        "versions": {p: version(p) for p in ("torch", "numpy", "scipy", "scikit-image")},
        "rows": rows,
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".part")
    unfinished.write_text(json.dumps(report, indent=1) + "\n")
    unfinished.replace(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("TWOFOLD_DATA"), help="has images/NAME.png")
    parser.add_argument("--out", type=Path, help="default: results/PRESET_seedN.json beside this script")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--images", nargs="+", default=["F16", "Peppers", "Baboon", "kodim03"])
    parser.add_argument("--noise", nargs="+", choices=["salt", "random"], default=["salt", "random"])
    parser.add_argument("--levels", nargs="+", type=float, default=[0.1, 0.3, 0.5, 0.7])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.data is None:
        print("Nothing is measured: no folder --data or TWOFOLD_DATA with images/ in it.", file=sys.stderr)
        return 0
    results = Path(__file__).parent / "results"
    target = options.out or results / f"{options.preset}_seed{options.seed}.json"
    rows: list[dict[str, Any]] = []
    for name in options.images:
        path = options.data / "images" / f"{name}.png"
        if not path.is_file():
            print(f"{name}: no {path.name} in the data folder, skipped", file=sys.stderr)
            continue
        image = imread(path)[..., :3]
        for kind in options.noise:
            for level in options.levels:
                rows.append(measure(name, image, options, kind, level))
                print(json.dumps(rows[-1]), flush=True)
                write(target, options, rows)
    print(f"Written to {target}" if rows else "Nothing was measured.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
