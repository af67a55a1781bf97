"""Pictures that experiments are run on, and pictures that they leave behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PAPER = ("F16", "Peppers", "Baboon", "kodim03")
"""The four pictures of the paper: images/NAME.png in the folder of data."""

INSTEAD = ("astronaut", "coffee", "chelsea", "rocket")
"""Those of scikit-image, which take their places where there is no such folder."""


def names(data: Path | None) -> tuple[str, ...]:
    """The four pictures that can be had."""
    have = data is not None and all((data / "images" / f"{name}.png").is_file() for name in PAPER)
    return PAPER if have else INSTEAD


def clean(name: str, data: Path | None, crop: int | None) -> Array:
    """A picture, or the middle of it.

    Returns
    -------
    uint8 array of shape (H, W, 3)
    """
    from skimage import data as bundled
    from skimage.io import imread

    if name in PAPER:
        image = imread((data or Path()) / "images" / f"{name}.png")[..., :3]
    else:
        image = getattr(bundled, name)()
    if crop is not None:
        top, left = ((length - crop) // 2 for length in image.shape[:2])
        image = image[top : top + crop, left : left + crop]
    return np.ascontiguousarray(image)


def keep(folder: Path, name: str, image: Array) -> str:
    """Write a PNG into the folder of pictures, whole or not at all; its name."""
    from twofold.io.files import bytes_writer, make_folder, write_together
    from twofold.io.image_writing import encode_image
    from twofold.io.pillow import Picture

    target = folder / f"{name}.png"
    make_folder(target.parent)
    write_together([(target, bytes_writer(encode_image(target, Picture(image))))], force=True)
    return target.name


def kept(folder: Path, name: str) -> Array | None:
    """A picture from the folder, None where it is gone."""
    from skimage.io import imread

    path = folder / name
    image: Array | None = imread(path) if path.is_file() else None
    return image
