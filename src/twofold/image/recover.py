"""Recover a clean image from one with gross outliers: the public function."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Literal, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor

from twofold.devices import as_device
from twofold.history import History, Observer
from twofold.image.identify import identify
from twofold.image.pixels import Pixels, check_image
from twofold.image.polish import DecidedOutliers, polish
from twofold.image.presets import PRESETS, Preset
from twofold.models.network import NetworkSignal
from twofold.outliers import DualOutliers, Polarity
from twofold.problem import Problem
from twofold.solution import ImageSolution
from twofold.status import RecoveryError, Status

Group = Literal["entry", "pixel"]
ALPHA = 500.0  # the published ratio of learning rates
_FOLDS = 4
_MISLED = 0.7  # share of outliers after act 1 beyond which its network is given up
_FULL_SIZE = 256  # pixels along the side of a square image from which on all steps are taken
_SMALL = 128  # pixels along the shorter side below which the network works at full resolution
_IMPLAUSIBLE = 0.85  # more outliers than this and the decision is not to be trusted


def recover_image(
    image: NDArray[Any],
    *,
    mask: NDArray[Any] | None = None,
    preset: str = "balanced",
    polarity: Polarity = "both",
    group: Group = "entry",
    alpha: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    observer: Observer | None = None,
    raise_on_failure: bool = False,
) -> ImageSolution:
    """Recover an image from gross outliers of unknown place, number and kind, with no training data.

    y = x + s with x = f(theta) an untrained network and s = g∘g − h∘h sparse outliers, trained together at
    discrepant learning rates (act 1, :mod:`twofold.image.identify`); then the inliers are fitted, the outliers
    decided anew, and their places filled by the best linear prediction (act 2, :mod:`twofold.image.polish`).

    Parameters
    ----------
    image : ndarray of shape (H, W), (H, W, 3) or (H, W, 4)
        uint8, uint16, float32 or float64; floats of any finite range. An alpha channel passes through untouched.
    mask : bool ndarray of shape (H, W) or the image's shape, optional
        True where the pixel is known to be bad.
    preset : {"fast", "balanced", "best"}
        See :mod:`twofold.image.presets`; "best" averages three networks.
    polarity : {"both", "bright", "dark"}
        Outliers that are brighter than the clean image only, or darker only.
    group : {"entry", "pixel"}
        Each channel of a pixel is an outlier on its own, or all of them together.
    alpha : float, optional
        Ratio of the learning rates of outliers and network. None: 500, as published. The rates refer to a sum over
        entries and a value range of 1, so that the same alpha serves every size, number of channels and unit; the
        rate per step follows from it and from the preset's ``outlier_rate``, in inverse proportion to the number
        of steps of act 1.
    steps : int, optional
        Steps of all acts together. None: the preset's.
    seed : int
        Same seed, device, thread count and versions: the same bits.
    device : optional
        As in PyTorch. None: the CPU.
    observer : callable, optional
        Shown a :class:`twofold.history.Record` at each step.
    raise_on_failure : bool
        Raise :class:`twofold.status.RecoveryError` in place of returning a solution without success.

    Returns
    -------
    ImageSolution

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before any work.

    References
    ----------
    You, Zhu, Qu, Ma: Robust Recovery via Implicit Bias of Discrepant Learning Rates for Double
    Over-parameterization, NeurIPS 2020, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[:32, :32] / 62
    >>> image = np.stack([rows, columns, rows + columns], axis=2)
    >>> noisy = np.where(np.random.default_rng(0).random(image.shape) < 0.2, 1.0, image)
    >>> solution = recover_image(noisy)
    >>> solution.image.shape, solution.status.code
    ((32, 32, 3), 'recovered')
    >>> bool(abs(solution.image - image).mean() < 0.15 * abs(noisy - image).mean())
    True
    """
    pixels, bad = check_image(image, mask)
    chosen = _check_options(preset, polarity, group, alpha, steps, seed)
    run = _Run(
        Pixels.of(pixels, bad, as_device(device)), chosen, polarity, group, ALPHA if alpha is None else float(alpha),
        steps, seed, History(observer=observer),
    )  # fmt: skip
    solution = run.solve()
    if raise_on_failure and not solution.status.success:
        raise RecoveryError(solution.status)
    return solution


@dataclass(frozen=True)
class _Run:
    """One call of :func:`recover_image`, its arguments checked."""

    pixels: Pixels
    preset: Preset
    polarity: Polarity
    group: Group
    alpha: float
    steps: int | None
    seed: int
    history: History

    def solve(self) -> ImageSolution:
        """Both acts, for each network; then one decision for all of them."""
        y = self.pixels.values
        problem = Problem(y, self.pixels.observed)
        if self.pixels.high == self.pixels.low:
            return self._solution(y, torch.zeros_like(y), Status("recovered", True, "The image is constant."))
        images, probabilities = [], []
        for k in range(self.preset.n_networks):
            x, outliers = self._fit(problem, self.seed + 1000 * k)
            if outliers is None:
                return self._solution(x, torch.zeros_like(y), _DIVERGED)
            images.append(x)
            probabilities.append(outliers.probability)
        x = torch.stack(images).mean(0)
        final = self._decided(problem, torch.stack(probabilities).mean(0), self.seed)
        for _ in range(self.preset.final_revisions):
            final.revise(x)
        return self._solution(final.complete(x), final.probability, _judge(final.probability))

    def _decided(self, problem: Problem, probability: Tensor, seed: int) -> DecidedOutliers:
        return DecidedOutliers(
            problem, probability, polarity=self.polarity, grouped=self.group == "pixel", folds=_FOLDS,
            generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip

    def _fit(self, problem: Problem, seed: int) -> tuple[Tensor, DecidedOutliers | None]:
        """Acts 1 and 2 with one network: its image, and the outliers (None: diverged)."""
        p, y = self.preset, problem.values
        share = size_share(y.shape[1] * y.shape[2]) if self.steps is None else 1.0
        n_identify, n_polish = (math.ceil(share * n) for n in split_steps(p, self.steps))
        signal = self._network(y, seed)
        dual = DualOutliers(
            y.shape, p.beta, polarity=self.polarity, group_dim=0 if self.group == "pixel" else None, device=y.device
        )
        found = identify(
            problem, signal, dual, alpha=self.alpha * p.identify_steps / n_identify, preset=p, n_steps=n_identify,
            history=self.history,
        )  # fmt: skip
        if found.descended.stop == "diverged":
            return y, None
        outliers = self._decided(problem, found.outlier.float(), seed)
        # Where nearly everything looked like an outlier, the network has followed them: fit a new one to the inliers.
        restart = n_polish > 0 and float(found.outlier.float().mean()) > _MISLED
        if restart:
            for _ in range(2):
                outliers.revise(signal.last)
            signal = self._network(y, seed + 1)
        x, ended = polish(
            problem, signal, outliers, preset=p, n_steps=n_polish, history=self.history, revise_at_start=not restart
        )
        return (y, None) if ended.stop == "diverged" else (x, outliers)

    def _network(self, y: Tensor, seed: int) -> NetworkSignal:
        p = self.preset
        small = min(y.shape[1:]) < _SMALL
        return NetworkSignal(
            (y.shape[0], y.shape[1], y.shape[2]), width=p.width, skip=p.skip, scales=p.scales, n_in=p.n_in,
            shrink=1 if small else p.shrink, seed=seed, device=y.device,
        )  # fmt: skip

    def _solution(self, x: Tensor, probability: Tensor, status: Status) -> ImageSolution:
        image = self.pixels.image_from(x)
        settings = {
            **asdict(self.preset), "alpha": self.alpha, "polarity": self.polarity, "group": self.group,
            "steps": self.steps, "seed": self.seed, "device": str(x.device), "low": self.pixels.low,
            "high": self.pixels.high, "folds": _FOLDS,
        }  # fmt: skip
        return ImageSolution(
            image=image,
            outliers=self.pixels.outliers_from(image, probability > 0.5),
            outlier_probability=self.pixels.map_from(probability),
            status=status,
            history=self.history,
            seconds=perf_counter() - self.history.started,
            n_steps=sum(record.step > 0 for record in self.history),
            settings=settings,
        )


_DIVERGED = Status(
    "diverged", False, "The descent left the range of finite numbers.", "Lower alpha, or try another seed."
)


def _share(probability: Tensor) -> float:
    return float((probability > 0.5).float().mean())


def _judge(probability: Tensor) -> Status:
    share = _share(probability)
    if share > _IMPLAUSIBLE:
        return Status(
            "implausible", False,
            f"{share:.0%} of the entries were taken for outliers, more than can be told apart from the image.",
            'Mark known bad pixels in `mask`, set `polarity` if it is known, or try preset="best".',
        )  # fmt: skip
    return Status("recovered", True, f"{share:.2%} of the entries were taken for outliers and replaced.")


def size_share(n_pixels: int) -> float:
    """Share of the preset's steps that a small image takes: the same network follows outliers sooner there.

    >>> size_share(512 * 512), size_share(64 * 64)
    (1.0, 0.5)
    """
    return min(1.0, math.sqrt(math.sqrt(n_pixels) / _FULL_SIZE))


def split_steps(preset: Preset, steps: int | None) -> tuple[int, int]:
    """Steps of act 1 and act 2 for each network, in the preset's proportion."""
    if steps is None:
        return preset.identify_steps, preset.polish_steps
    each = max(steps // preset.n_networks, 1)
    n_identify = math.ceil(each * preset.identify_steps / (preset.identify_steps + preset.polish_steps))
    return n_identify, each - n_identify


def _check_options(
    preset: str, polarity: str, group: str, alpha: float | None, steps: int | None, seed: int
) -> Preset:
    for name, value, accepted in (
        ("preset", preset, tuple(PRESETS)),
        ("polarity", polarity, get_args(Polarity)),
        ("group", group, get_args(Group)),
    ):
        if value not in accepted:
            raise ValueError(f"{name}={value!r}: accepted are {', '.join(map(repr, accepted))}")
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha={alpha!r}: a positive number is accepted, or None for {ALPHA:g}")
    for name, number, least in (("steps", steps, 1), ("seed", seed, 0)):
        if number is None and name == "steps":
            continue
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{name}={number!r}: an integer is accepted")
        if number < least:
            raise ValueError(f"{name}={number!r}: an integer of at least {least} is accepted")
    return PRESETS[preset]
