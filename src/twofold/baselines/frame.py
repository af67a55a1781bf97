"""What all baselines have in common: the image comes in and goes out as in :func:`twofold.recover_image`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from twofold.history import History
from twofold.image.pixels import Pixels, check_image
from twofold.solution import ImageSolution
from twofold.status import Status

Array = NDArray[Any]


@dataclass
class Frame:
    """An image between its checks and its solution.

    Attributes
    ----------
    pixels : Pixels
    mask : bool ndarray or None
        As :func:`twofold.image.pixels.check_image` returns it.
    history : History
    """

    pixels: Pixels
    mask: Array | None
    history: History

    @classmethod
    def of(cls, image: Any, mask: Any, device: torch.device | None = None) -> Frame:
        """Check the image and start the clock."""
        source, bad, n_colours = check_image(image, mask)
        return cls(Pixels.of(source, bad, n_colours, device or torch.device("cpu")), bad, History())

    @property
    def values(self) -> Array:
        """float64 (C, H, W) in [0, 1]; where the mask says bad, the value of the nearest good pixel."""
        y: Array = self.pixels.values.cpu().numpy().astype(np.float64)
        if self.pixels.observed is None:
            return y
        observed = self.pixels.observed.cpu().numpy()
        for channel, good in zip(y, observed, strict=True):
            if good.any() and not good.all():
                nearest = distance_transform_edt(~good, return_distances=False, return_indices=True)
                channel[:] = channel[tuple(nearest)]
        return y

    def solution(
        self,
        x: Array | Tensor,
        settings: Mapping[str, Any],
        replaced: Array | None = None,
        status: Status | None = None,
    ) -> ImageSolution:
        """A solution with the image x, (C, H, W) in [0, 1].

        ``replaced`` marks the entries that the method took for outliers; None: it decides about none, and its
        outlier probability is that of the mask.
        """
        fresh = torch.as_tensor(x, dtype=torch.float32).clamp(0, 1)
        outlier = torch.zeros(fresh.shape, dtype=torch.bool) if replaced is None else torch.from_numpy(replaced)
        if self.pixels.observed is not None:
            outlier = outlier | ~self.pixels.observed.cpu()
        image = self.pixels.image_from(fresh.to(self.pixels.values.device))
        return ImageSolution(
            image=image,
            outliers=self.pixels.outliers_from(image, outlier),
            outlier_probability=self.pixels.map_from(outlier.float()),
            expected_error=None,
            noise=0.0,
            status=status or Status("finished", True, "The baseline ran to its end."),
            history=self.history,
            seconds=perf_counter() - self.history.started,
            n_steps=sum(record.step > 0 for record in self.history),
            settings=dict(settings),
        )


def check_positive(**numbers: float) -> None:
    """Refuse what is not a positive number.

    Raises
    ------
    ValueError
    """
    for name, value in numbers.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value!r}: a positive number is accepted")


def check_window(**sizes: int) -> None:
    """Refuse what is not an odd window size of at least 3.

    Raises
    ------
    ValueError
    """
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 3 or value % 2 == 0:
            raise ValueError(f"{name}={value!r}: an odd integer of at least 3 is accepted")
