"""When an image is right: PSNR and SSIM against the clean one, and who was taken for an outlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.benchmarks.cases import Answer, Facts
from twofold.benchmarks.image.instruments import Instrument
from twofold.metrics import psnr, ssim
from twofold.solution import ImageSolution

NEAR, FEW = 0.05, 100
"""A probability near 0.9 is this close to it; of fewer entries a share says little."""


@dataclass(frozen=True)
class Picture:
    """An image to be recovered.

    Attributes
    ----------
    clean, noisy : ndarray of shape (H, W) or (H, W, C)
        Of one dtype, and of one shape unless an instrument saw ``clean``.
    mask : bool ndarray of shape (H, W), optional
        Pixels that everybody is told to be bad.
    struck : bool ndarray like ``noisy``, optional
        Where the outliers are. None: wherever noisy and clean differ.
    instrument : Instrument, optional
        Through which ``clean`` was seen before outliers struck.
    device : str, optional
        Where networks are fitted. None: on the processor.
    """

    clean: NDArray[Any]
    noisy: NDArray[Any]
    mask: NDArray[np.bool_] | None = None
    struck: NDArray[np.bool_] | None = None
    instrument: Instrument | None = None
    device: str | None = None

    @cached_property
    def input_psnr(self) -> float:
        """Of the input as it is, or undone classically: what a solver has to beat."""
        inputs = [self.noisy] if self.instrument is None else self.instrument.undone(self.noisy, self.clean.shape)
        return max(psnr(self.clean, image) for image in inputs)


def judge(data: Picture, answer: Answer) -> tuple[Facts, str]:
    """PSNR and SSIM of the final image; of the best one where a solver hands over several (with the truth at hand).

    ``recall`` is the share of the outliers that were found, ``false positives`` the share of the others that were
    taken for outliers, ``at 0.9`` the share of outliers among the entries given a probability near 0.9, ``expected``
    the PSNR that the solver itself expects.
    """
    solutions: Sequence[ImageSolution] = answer.value if isinstance(answer.value, list) else [answer.value]
    scores = [psnr(data.clean, solution.image) for solution in solutions]
    best = solutions[int(np.argmax(scores))]
    facts: Facts = {
        "psnr": min(max(scores), 99.0), "ssim": ssim(data.clean, best.image), "which": int(np.argmax(scores)),
    }  # fmt: skip
    struck = data.noisy != data.clean if data.struck is None else data.struck
    if best.expected_psnr is not None:
        facts["expected"] = min(best.expected_psnr, 99.0)
    found = best.outlier_probability > 0.5
    if found.any() and struck.any() and not struck.all():
        facts |= {"recall": float(found[struck].mean()), "false positives": float(found[~struck].mean())}
    given = np.abs(best.outlier_probability - 0.9) < NEAR
    if given.sum() >= FEW:
        facts["at 0.9"] = float(struck[given].mean())
    before = data.input_psnr
    worse = f"no better than the input: {max(scores):.1f} dB, the input {before:.1f}" if max(scores) <= before else ""
    return facts, worse


def judge_clean(data: Picture, answer: Answer) -> tuple[Facts, str]:
    """A clean image: PSNR against itself, and the share of its entries taken for outliers."""
    solution: ImageSolution = answer.value
    score, share = min(psnr(data.clean, solution.image), 99.0), solution.outlier_fraction
    return {"psnr": score, "ssim": ssim(data.clean, solution.image), "false positives": share}, ""
