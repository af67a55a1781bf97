"""The deep image prior with a robust loss: an untrained network fitted to the corrupted image itself.

With the square loss or the l1 loss it shows the picture first and fits the outliers later, so that it has to be
stopped in time: nobody knows when, or the running variance of its images guesses.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from twofold.baselines.frame import Frame, check_positive
from twofold.descent import descend
from twofold.devices import as_device
from twofold.history import Observer
from twofold.models.network import NetworkSignal
from twofold.outliers import NoOutliers
from twofold.problem import Problem
from twofold.solution import ImageSolution
from twofold.status import Status

Loss = Literal["l2", "l1", "huber"]
_DELTA = 0.1  # turning point of the Huber loss
_INFLUENCE: dict[str, Callable[[Tensor], Tensor]] = {
    "l2": lambda r: r,
    "l1": torch.sign,
    "huber": lambda r: (r / _DELTA).clamp(-1, 1),
}


def deep_image_prior(
    image: Any,
    *,
    mask: Any = None,
    loss: Loss = "l1",
    early_stopping: bool = False,
    steps: int = 2000,
    learning_rate: float = 0.01,
    width: int = 32,
    skip: int = 16,
    input_noise: float = 1 / 30,
    window: int = 100,
    patience: int = 1000,
    seed: int = 0,
    device: Any = None,
    observer: Observer | None = None,
) -> ImageSolution:
    """Fit an untrained network to the image, outliers and all.

    Parameters
    ----------
    image, mask
        As in :func:`twofold.recover_image`; masked pixels are not fitted.
    loss : {"l2", "l1", "huber"}
    early_stopping : bool
        Return the image before which the variance of the last ``window`` images was least, and stop once that has
        not fallen for ``patience`` steps (ES-WMV). False: the last image.
    steps : int
        The most steps.
    learning_rate : float
        Of Adam.
    width, skip : int
        Of the network, as in :class:`twofold.nn.SkipNetwork`. Published: 128 and 4 to 128; the defaults are those of
        twofold's own presets.
    input_noise : float
        Standard deviation of the noise that is added at each step to the network's input, which lies in [0, 0.1].
    window, patience : int
        For early stopping.
    seed : int
    device : optional
    observer : callable, optional
        Shown a :class:`twofold.history.Record` at each step.

    Returns
    -------
    ImageSolution

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before any work.

    References
    ----------
    Ulyanov, Vedaldi, Lempitsky: Deep Image Prior, CVPR 2018. Wang, Li, Zhuang, Chen, Liang, Sun: Early Stopping for
    Deep Image Prior, TMLR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[:32, :32] / 62
    >>> solution = deep_image_prior(rows + columns, steps=5, width=8)
    >>> solution.image.shape, solution.n_steps
    ((32, 32), 5)
    """
    if loss not in _INFLUENCE:
        raise ValueError(f"loss={loss!r}: accepted are {', '.join(map(repr, get_args(Loss)))}")
    check_positive(steps=steps, learning_rate=learning_rate, width=width, skip=skip, window=window, patience=patience)
    frame = Frame.of(image, mask, as_device(device))
    frame.history.observer = observer
    y = frame.pixels.values
    signal = NetworkSignal(
        (y.shape[0], y.shape[1], y.shape[2]), width=width, skip=skip, input_noise=input_noise, padding="reflect",
        seed=seed, device=y.device,
    )  # fmt: skip
    stopper = _RunningVariance(window, patience) if early_stopping else None
    ended = descend(
        Problem(y, frame.pixels.observed),
        signal,
        NoOutliers(y),
        tau=lambda step: learning_rate,
        alpha=0.0,
        max_steps=steps,
        influence=_INFLUENCE[loss],
        terminate=None if stopper is None else lambda step, residual: stopper.is_enough(signal.last),
        history=frame.history,
        act="deep image prior",
    )
    x = signal.last if stopper is None or stopper.best is None else stopper.best
    settings = {
        "method": "deep_image_prior", "loss": loss, "early_stopping": early_stopping, "steps": steps,
        "learning_rate": learning_rate, "width": width, "skip": skip, "input_noise": input_noise, "seed": seed,
        "window": window, "patience": patience,
    }  # fmt: skip
    diverged = Status("diverged", False, "The descent left the range of finite numbers.", "Lower learning_rate.")
    return frame.solution(x.cpu(), settings, status=diverged if ended.stop == "diverged" else None)


class _RunningVariance:
    """Stop when the variance of the last images has not fallen for a while; remember the image at its least."""

    def __init__(self, window: int, patience: int) -> None:
        self.window, self.patience = window, patience
        self.best: Tensor | None = None
        self._images: deque[Tensor] = deque()
        self._sum: Tensor | None = None
        self._squares, self._least, self._since = 0.0, math.inf, 0

    def is_enough(self, x: Tensor) -> bool:
        """Take in an image; whether to stop."""
        self._images.append(x.clone())
        self._sum = x.double() if self._sum is None else self._sum + x
        self._squares += float(x.double().square().sum())
        if len(self._images) > self.window:
            gone = self._images.popleft()
            self._sum -= gone
            self._squares -= float(gone.double().square().sum())
        if len(self._images) < self.window:
            return False
        n = self.window
        variance = self._squares / n - float((self._sum / n).square().sum())
        if variance < self._least:
            self._least, self._since, self.best = variance, 0, self._images[0]
            return False
        self._since += 1
        return self._since >= self.patience
