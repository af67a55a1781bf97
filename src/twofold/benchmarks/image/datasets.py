"""Pictures and what happens to them. Noise has seed 0 unless the case's name says otherwise.

Impulses as in scikit-image's ``random_noise`` on the (C, H, W) array; "each entry on its own" unless whole pixels are
said to be struck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import twofold.datasets as datasets
from twofold.benchmarks.cases import Answer, Case, Choice, Facts, Solver
from twofold.benchmarks.image import solvers as who
from twofold.benchmarks.image.instruments import INSTRUMENTS
from twofold.benchmarks.image.objective import Picture, judge, judge_clean

FOUR = ("F16", "Peppers", "Baboon", "kodim03")
"""DIR/images/NAME.png."""

OWN = ("astronaut", "coffee", "chelsea", "rocket")
"""Pictures that come with scikit-image."""

CROP = 256

Array = NDArray[Any]


def cases(choice: Choice) -> list[Case]:
    """The cases of the groups chosen, in the groups' own order."""
    groups: dict[str, Callable[[Choice], Iterator[Case]]] = {
        "salt": _salt,
        "random": _random,
        "own": _own,
        "kinds": _kinds,
        "operators": _operators,
        "clean": _clean,
        "presets": _presets,
        "seeds": _seeds,
        "steps": _steps,
        "width": _width,
        "chance": _chance,
        "prior": _prior,
        "speed": _speed,
    }
    return [case for name, make in groups.items() if name in choice.groups for case in make(choice)]


def corrupted(clean: Array, noise: str, level: float, seed: int) -> Picture:
    """A picture with one kind of noise.

    Parameters
    ----------
    clean : uint8 array of shape (H, W) or (H, W, 3)
    noise : str
        See ``NOISES`` and ``SEEN``, or "salt and pepper", "random values".
    level : float
        Share of the entries that are struck; for "text" and "scratches" it says nothing.
    seed : int
    """
    rng = np.random.default_rng(seed)
    if make := (NOISES | SEEN).get(noise):
        return make(clean, level, rng)
    first = np.atleast_3d(clean).transpose(2, 0, 1) / 255
    if noise == "salt and pepper":
        from skimage.util import random_noise

        noisy = random_noise(first, "s&p", amount=level, rng=seed)
    else:
        noisy = np.where(rng.random(first.shape) < level, rng.random(first.shape), first)
    bytes_ = np.rint(255 * noisy).astype(np.uint8).transpose(1, 2, 0)
    return Picture(clean, bytes_.reshape(clean.shape))


def _with_gauss(clean: Array, level: float, rng: np.random.Generator, *, strike: Callable[..., Array]) -> Picture:
    """Impulses on top of normal noise of ten grey levels."""
    rough = np.clip(np.rint(clean + rng.normal(0, 10, clean.shape)), 0, 255).astype(np.uint8)
    noisy = strike(rough, level, random_state=rng)
    return Picture(clean, noisy, struck=noisy != rough)


def _with_missing(clean: Array, level: float, rng: np.random.Generator, *, missing: Callable[..., Array]) -> Picture:
    """Pixels missing, told to everybody, and impulses among the others."""
    noisy = datasets.salt_and_pepper(clean, level, random_state=rng)
    mask = missing(*clean.shape[:2], rng)
    noisy[mask] = 0
    return Picture(clean, noisy, mask)


def _a_fifth(height: int, width: int, rng: np.random.Generator) -> Array:
    return rng.random((height, width)) < 0.2


def _six_squares(height: int, width: int, rng: np.random.Generator) -> Array:
    """Of 1/32 to 1/8 of the picture's height."""
    mask = np.zeros((height, width), bool)
    for side in rng.integers(height // 32, height // 8, 6, endpoint=True):
        top, left = rng.integers(0, height - side), rng.integers(0, width - side)
        mask[top : top + side, left : left + side] = True
    return mask


def _measured(clean: Array, level: float, rng: np.random.Generator, *, seen: str) -> Picture:
    """What an instrument measures, and salt and pepper on it."""
    instrument = INSTRUMENTS[seen]
    measured = instrument.measure(clean)
    noisy = datasets.salt_and_pepper(measured, level, random_state=rng)
    return Picture(clean, noisy, struck=noisy != measured, instrument=instrument)


def _rows_of_noise(clean: Array, level: float, rng: np.random.Generator) -> Picture:
    """A share of the rows shows random values only."""
    return _random_where(rng.random((len(clean), *(1,) * (clean.ndim - 1))) < level, clean, rng)


def _clusters(clean: Array, level: float, rng: np.random.Generator, *, n: int = 6, middle: float = 0.9) -> Picture:
    """Random values in round clusters: a share of ``middle`` there, which falls outwards like a normal density.

    So far that it is ``level`` of the picture where clusters meet neither each other nor the border.
    """
    height, width = clean.shape[:2]
    variance = level * height * width / (n * 2 * np.pi * middle)
    rows, columns = np.mgrid[:height, :width]
    centres = rng.random((n, 2)) * (height, width)
    nearest = np.min([(rows - r) ** 2 + (columns - c) ** 2 for r, c in centres], axis=0)
    share = middle * np.exp(-nearest / (2 * variance))
    return _random_where(rng.random(clean.shape) < share.reshape(height, width, *(1,) * (clean.ndim - 2)), clean, rng)


def _random_where(bad: Array, clean: Array, rng: np.random.Generator) -> Picture:
    return Picture(clean, np.where(bad, rng.integers(0, 256, clean.shape), clean).astype(np.uint8))


NOISES: dict[str, Callable[[Array, float, np.random.Generator], Picture]] = {
    "salt and pepper, whole pixels": lambda clean, level, rng: Picture(
        clean, datasets.salt_and_pepper(clean, level, whole_pixels=True, random_state=rng)
    ),
    "random values, whole pixels": lambda clean, level, rng: Picture(
        clean, datasets.random_valued_impulse(clean, level, whole_pixels=True, random_state=rng)
    ),
    "text": lambda clean, level, rng: Picture(clean, datasets.text_overlay(clean, random_state=rng)),
    "scratches": lambda clean, level, rng: Picture(
        clean, datasets.scratches(clean, max(clean.shape[0] // 12, 4), width=3, random_state=rng)
    ),
    "dead and hot lines": lambda clean, level, rng: Picture(
        clean, datasets.dead_lines(clean, level, random_state=rng)
    ),
    "salt and pepper on normal noise of 10/255": partial(_with_gauss, strike=datasets.salt_and_pepper),
    "random values on normal noise of 10/255": partial(_with_gauss, strike=datasets.random_valued_impulse),
    "salt and pepper, a fifth missing": partial(_with_missing, missing=_a_fifth),
    "salt and pepper, six squares missing": partial(_with_missing, missing=_six_squares),
    "rows of random values": _rows_of_noise,
    "random values in six clusters": _clusters,
}

SEEN = {f"{name}, salt and pepper": partial(_measured, seen=name) for name in INSTRUMENTS}
"""Pictures of three channels seen through an instrument, with impulses on the measurement."""


def _salt(choice: Choice) -> Iterator[Case]:
    for name in _four(choice):
        for level in (0.3,) if choice.quick else (0.1, 0.3, 0.5, 0.7):
            yield _case("salt", choice, name, "salt and pepper", level, (who.BALANCED, who.FAST, *who.CLASSICS))


def _random(choice: Choice) -> Iterator[Case]:
    for name in _four(choice):
        for level in (0.3,) if choice.quick else (0.1, 0.3, 0.5):
            yield _case("random", choice, name, "random values", level, (who.BALANCED, who.FAST, *who.CLASSICS))


def _own(choice: Choice) -> Iterator[Case]:
    for name in OWN[:1] if choice.quick else OWN:
        for noise, level in (("salt and pepper", 0.5), ("random values", 0.3)):
            yield _case("own", choice, name, noise, level, (who.BALANCED, *who.CLASSICS))


def _kinds(choice: Choice) -> Iterator[Case]:
    levels = dict.fromkeys(NOISES, 0.3) | {
        "dead and hot lines": 0.03, "text": 0.0, "scratches": 0.0,
        "rows of random values": 0.1, "random values in six clusters": 0.15,
    }  # fmt: skip
    for name in ("chelsea",) if choice.quick else ("F16", "kodim03"):
        for noise, level in levels.items():
            yield _case("kinds", choice, name, noise, level, (who.BALANCED, *who.CLASSICS))


def _operators(choice: Choice) -> Iterator[Case]:
    for name in ("chelsea",) if choice.quick else ("F16", "Baboon", "kodim03"):
        for seen in SEEN:
            yield _case("operators", choice, name, seen, 0.3, (who.BALANCED, *who.TWO_STAGES), crop=CROP)


def _clean(choice: Choice) -> Iterator[Case]:
    for name in ("chelsea",) if choice.quick else (*FOUR, *OWN):
        yield _case("clean", choice, name, "none", 0.0, (who.BALANCED,), judge=judge_clean)


def _presets(choice: Choice) -> Iterator[Case]:
    name = "chelsea" if choice.quick else "F16"
    everybody = (who.BALANCED, who.FAST, who.BEST)
    yield _case("presets", choice, name, "salt and pepper", 0.5, everybody, weigh=True)


def _seeds(choice: Choice) -> Iterator[Case]:
    for seed in (1,) if choice.quick else (1, 2):
        for name in ("chelsea",) if choice.quick else FOUR:
            for noise, level in (("salt and pepper", 0.5), ("random values", 0.3)):
                yield _case("seeds", choice, name, noise, level, (who.BALANCED, who.MEDIAN, who.CUBIC), seed=seed)


def _steps(choice: Choice) -> Iterator[Case]:
    for name in ("chelsea",) if choice.quick else FOUR:
        for noise, levels in (("salt and pepper", (0.1, 0.3, 0.5, 0.7)), ("random values", (0.1, 0.3, 0.5))):
            for level in levels[1:2] if choice.quick else levels:
                yield _case("steps", choice, name, noise, level, (who.BALANCED, who.LONGER))


def _width(choice: Choice) -> Iterator[Case]:
    for name in ("chelsea",) if choice.quick else FOUR:
        for noise, level in (("salt and pepper", 0.5), ("random values", 0.3)):
            yield _case("width", choice, name, noise, level, who.WIDTHS, crop=CROP)


def _chance(choice: Choice) -> Iterator[Case]:
    name = "chelsea" if choice.quick else "kodim03"
    yield _case("chance", choice, name, "random values", 0.3, who.CHANCE, crop=CROP)


def _prior(choice: Choice) -> Iterator[Case]:
    for name in ("chelsea",) if choice.quick else ("F16", "kodim03"):
        yield _case("prior", choice, name, "salt and pepper", 0.5, (who.BALANCED, *who.PRIORS), crop=CROP)


def _speed(choice: Choice) -> Iterator[Case]:
    salt = "salt and pepper"
    pictures = (("F16", salt, 0.5), ("kodim03", salt, 0.5), ("Baboon", "random values", 0.3))
    for name, noise, level in (("chelsea", salt, 0.3),) if choice.quick else pictures:
        yield _case("speed", choice, name, noise, level, who.CHANGED, crop=CROP)


def _four(choice: Choice) -> Sequence[str]:
    return ("chelsea",) if choice.quick else FOUR


def _case(
    group: str, choice: Choice, name: str, noise: str, level: float, solvers: Sequence[Solver], *, seed: int = 0,
    crop: int | None = None, weigh: bool = False, judge: Callable[[Picture, Answer], tuple[Facts, str]] = judge,
) -> Case:  # fmt: skip
    crop = 64 if choice.quick else crop
    path, absent = None, ""
    if name in FOUR:
        path = None if choice.data is None else choice.data / "images" / f"{name}.png"
        if path is None:
            absent = f"no --data DIR with images/{name}.png"
        elif not path.is_file():
            absent = f"no images/{name}.png in --data {choice.data}"
    settings = {"image": name, "noise": noise, "level": level, "seed": seed, "crop": crop}
    if choice.device is not None:
        settings["device"] = choice.device
    title = name + ("" if noise == "none" else f", {noise}") + (f" {level:.0%}" if level else "")
    title += f", seed {seed}" if seed else ""
    title += f", {crop}×{crop}" if crop else ""
    title += f", on {choice.device}" if choice.device is not None else ""
    make = partial(_make, path, settings)
    return Case(group, title, settings, make, tuple(solvers), judge, _gibibyte if weigh else None, absent)


def picture(path: Path | None, name: str, crop: int | None) -> Array:
    """A picture from a file, or of scikit-image where there is none; or so many of its middle pixels.

    Returns
    -------
    uint8 array of shape (H, W, 3)
    """
    from skimage import data
    from skimage.io import imread

    image: Array = imread(path)[..., :3] if path is not None else getattr(data, name)()
    if crop is not None:
        # The middle, where there is something to see.
        top, left = ((length - crop) // 2 for length in image.shape[:2])
        image = image[top : top + crop, left : left + crop]
    return np.ascontiguousarray(image)


def _make(path: Path | None, settings: dict[str, Any]) -> Picture:
    image = picture(path, settings["image"], settings["crop"])
    if settings["noise"] == "none":
        made = Picture(image, image)
    else:
        made = corrupted(image, settings["noise"], settings["level"], settings["seed"])
    return replace(made, device=settings.get("device"))


def _gibibyte(data: Picture) -> int:
    """Peaks are told in GiB."""
    return 2**30
