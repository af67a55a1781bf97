"""Pictures that experiments are run on, and pictures that they leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from twofold.benchmarks.image.datasets import FOUR, OWN, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]


def names(data: Path | None) -> tuple[str, ...]:
    """The four pictures of the paper, images/NAME.png in the folder of data; or four of scikit-image without it."""
    have = data is not None and all((data / "images" / f"{name}.png").is_file() for name in FOUR)
    return FOUR if have else OWN


def clean(name: str, data: Path | None, crop: int | None) -> Array:
    """A picture of :func:`names`, or the middle of it; uint8 of shape (H, W, 3)."""
    return picture(data / "images" / f"{name}.png" if name in FOUR and data is not None else None, name, crop)


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


def gallery(
    columns: Sequence[tuple[str, Mapping[str, tuple[str, str]]]], rows: Mapping[str, str], folder: Path
) -> Figure | None:
    """Pictures from the folder in rows and columns; None where one is gone.

    Parameters
    ----------
    columns : sequence of (title, pictures)
        Pictures: key → (name of the file, words below it).
    rows : mapping
        Key → what stands beside the row.
    folder : Path
    """
    from matplotlib.figure import Figure

    made = Figure(figsize=(2.15 * len(columns), 2.3 * len(rows)), layout="constrained")
    panels = made.subplots(len(rows), len(columns), squeeze=False)
    for column, (title, pictures) in enumerate(columns):
        panels[0, column].set_title(title, fontsize=9)
        for axes, key in zip(panels[:, column], rows, strict=True):
            name, words = pictures[key]
            if (image := kept(folder, name)) is None:
                return None
            axes.imshow(image)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.set_xlabel(words, fontsize=9)
    for axes, label in zip(panels[:, 0], rows.values(), strict=True):
        axes.set_ylabel(label)
    return made
