"""Recover a clean image from one with gross outliers: the public function."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import torch
from numpy.typing import NDArray

from twofold.devices import as_device
from twofold.history import History, Observer
from twofold.image.checkpoint import Checkpoint
from twofold.image.pace import Pace
from twofold.image.pixels import Pixels, check_image
from twofold.image.presets import PRESETS, Preset
from twofold.image.run import Group, Run
from twofold.image.through import Measured, measured
from twofold.image.tiles import OVERLAP
from twofold.memory import freed_memory_kept
from twofold.outliers import Polarity
from twofold.solution import ImageSolution
from twofold.status import RecoveryError

ALPHA = 500.0  # the published ratio of learning rates


def recover_image(
    image: NDArray[Any],
    *,
    mask: NDArray[Any] | None = None,
    operator: Any = None,
    shape: tuple[int, ...] | None = None,
    data_range: tuple[float, float] | None = None,
    has_alpha: bool | None = None,
    preset: str | Preset = "balanced",
    polarity: Polarity = "both",
    group: Group = "entry",
    alpha: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    observer: Observer | None = None,
    checkpoint: str | Path | None = None,
    tile: int | None = None,
    time_limit: float | None = None,
    raise_on_failure: bool = False,
) -> ImageSolution:
    """Recover an image from gross outliers of unknown place, number and kind, with no training data.

    y = x + s with x = f(theta) an untrained network and s = g∘g − h∘h sparse outliers, trained together at
    discrepant learning rates (act 1, :mod:`twofold.image.identify`); then the inliers are fitted, the outliers
    decided anew, and their places filled by the best linear prediction (act 2, :mod:`twofold.image.polish`).

    Parameters
    ----------
    image : ndarray of shape (H, W) or (H, W, channels)
        uint8, uint16, float32 or float64; floats of any finite range. Any number of channels: grey, colour, spectral.
    mask : bool ndarray of shape (H, W) or the image's shape, optional
        True where the pixel is known to be bad.
    operator : object, optional
        A in y = A(x) + s: ``image`` then holds measurements of any shape of up to three dimensions, and ``mask``,
        ``outliers`` and ``outlier_probability`` have that shape. Either one torch function that is linear and takes
        and gives tensors (1, C, H, W), whose adjoint autograd finds; or what :func:`twofold.recover_low_rank` takes,
        acting on the row-major vector of the image as NumPy holds it. The adjoint is checked once.
    shape : tuple (H, W) or (H, W, channels), optional
        Of the image behind the operator. None: that of the measurements.
    data_range : (low, high), optional
        Of the image behind the operator. None: that of the measurements, for operators that keep the level of a
        constant image (blur, down-sampling, picking pixels).
    has_alpha : bool, optional
        Whether the last channel is transparency, which passes through untouched. None: where there are four.
    preset : {"fast", "balanced", "best", "paper"} or Preset
        See :mod:`twofold.image.presets`; "best" averages up to three networks; for images below
        512×512 "balanced" averages up to two and "best" up to six. "paper" is the published recipe, which needs a
        CUDA device to end within hours (:mod:`twofold.image.published`). Constants of your own:
        ``dataclasses.replace(PRESETS["balanced"], width=64)``.
    polarity : {"both", "bright", "dark"}
        Outliers that are brighter than the clean image only, or darker only.
    group : {"entry", "pixel"}
        Each channel of a pixel is an outlier on its own, or all of them together.
    alpha : float, optional
        Ratio of the learning rates of outliers and network. None: 500, as published. The rates refer to a sum over
        entries and a value range of 1, so that the same alpha serves every size, number of channels and unit; the
        rate per step follows from it and from the preset's ``outlier_rate``, higher where act 1 takes fewer steps
        than the preset's.
    steps : int, optional
        Steps of all acts and networks together, at the most. None: the preset's. From one and a half times the
        preset's on they are for further networks, whose images are averaged, as long as that gains anything at
        entries that were withheld (:mod:`twofold.image.withheld`).
    seed : int
        Same seed, device, thread count and versions: the same bits.
    device : optional
        As in PyTorch. None: the CPU.
    observer : callable, optional
        Shown a :class:`twofold.history.Record` at each step.
    checkpoint : path, optional
        File that holds where the run stands, written every minute. Where it is there already, the run goes on from
        it, to the same bits as without the interruption; delete it when you have the result. Needs safetensors.
    tile : int, optional
        Side in pixels of overlapping tiles that are recovered one after the other, at least 128, so that memory does
        not grow with the image. None: 512 for images of more than 768×768 pixels, and no tiles for others.
    time_limit : float, optional
        Seconds that all may take; the preset gets by with fewer steps where it has to. The result then depends on
        how fast the machine is.
    raise_on_failure : bool
        Raise :class:`twofold.status.RecoveryError` in place of returning a solution without success.

    Returns
    -------
    ImageSolution

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, before any work; if a checkpoint belongs to another run, or a time limit
        is too short for anything.
    ImportError
        With ``checkpoint``, if safetensors is not installed.

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
    chosen = _check_options(preset, polarity, group, alpha, steps, seed, tile)
    if chosen.published and group != "entry":
        raise ValueError(f"group={group!r}: the published recipe knows 'entry' only")
    seen: Pixels | Measured
    if operator is None:
        for name, given in (("shape", shape), ("data_range", data_range)):
            if given is not None:
                raise ValueError(f"{name}={given!r}: accepted with an operator only")
        seen = Pixels.of(*check_image(image, mask, has_alpha), as_device(device))
    else:
        for name, refused in (("has_alpha", has_alpha), ("tile", tile)):
            if refused is not None:
                raise ValueError(f"{name}={refused!r}: not accepted with an operator")
        seen = measured(image, mask, operator, shape, data_range, as_device(device))
    ratio = ALPHA if alpha is None else float(alpha)
    run = Run(seen, chosen, polarity, group, ratio, steps, seed, tile, History(observer=observer))
    with freed_memory_kept():
        if time_limit is not None:
            run.limit(time_limit, checkpoint)
        if checkpoint is not None:
            run.checkpoint = Checkpoint(Path(checkpoint), run.determined_by)
        solution = run.solve()
    if raise_on_failure and not solution.status.success:
        raise RecoveryError(solution.status)
    return solution


def foretell(
    image: NDArray[Any], *, mask: NDArray[Any] | None = None, preset: str | Preset = "balanced",
    device: str | torch.device | None = None,
) -> tuple[float, int, float]:  # fmt: skip
    """How long :func:`recover_image` would take, by a few steps whose results are thrown away.

    Returns
    -------
    seconds : float
    n_tiles : int
    extra : float
        Bytes that all tiles together need beyond the memory that the steps have used.

    Raises
    ------
    TypeError, ValueError
        As :func:`recover_image` does.
    """
    chosen = _check_options(preset, "both", "entry", None, None, 0, None)
    pixels = Pixels.of(*check_image(image, mask), as_device(device))
    run = Run(pixels, chosen, "both", "entry", ALPHA, None, 0, None, History())
    tiles = run.tiles
    with freed_memory_kept():
        seconds = len(tiles) * Pace.of(run.problem(tiles[0]), chosen, run.n_pixels).seconds(chosen)
    # Prediction, probability and the result, in single and in double precision.
    return seconds, len(tiles), 40.0 * run.pixels.values.numel()


def _check_options(
    preset: str | Preset, polarity: str, group: str, alpha: float | None, steps: int | None, seed: int,
    tile: int | None,
) -> Preset:  # fmt: skip
    if not isinstance(preset, Preset) and preset not in PRESETS:
        raise ValueError(f"preset={preset!r}: accepted are {', '.join(map(repr, PRESETS))} and a Preset")
    for name, value, accepted in (
        ("polarity", polarity, get_args(Polarity)),
        ("group", group, get_args(Group)),
    ):
        if value not in accepted:
            raise ValueError(f"{name}={value!r}: accepted are {', '.join(map(repr, accepted))}")
    if alpha is not None and not (math.isfinite(alpha) and alpha > 0):
        raise ValueError(f"alpha={alpha!r}: a positive number is accepted, or None for {ALPHA:g}")
    for name, number, least in (("steps", steps, 1), ("tile", tile, 2 * OVERLAP), ("seed", seed, 0)):
        if number is None and name != "seed":
            continue
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{name}={number!r}: an integer is accepted")
        if number < least:
            raise ValueError(f"{name}={number!r}: an integer of at least {least} is accepted")
    return preset if isinstance(preset, Preset) else PRESETS[preset]
