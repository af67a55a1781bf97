"""Large images in overlapping tiles, each recovered on its own, blended where they overlap.

A tile's weight falls towards its inner edges along half a cosine and all weights add up to 1, so that no seam shows.
What is blended is the prediction and the outlier probability; where an entry is trusted in every tile the observation
itself comes back, to the bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from twofold.image.checkpoint import State
from twofold.image.polish import Restored

SIDE = 512
"""Pixels along the side of a tile."""

OVERLAP = 64
"""Pixels by which neighbours overlap at least: beyond it the network and the kriging hardly look."""

WHOLE_UP_TO = 768 * 768
"""Pixels up to which an image is recovered in one piece."""


@dataclass(frozen=True)
class Tile:
    """Rows and columns of a tile within an image."""

    rows: slice
    columns: slice

    def of(self, values: Tensor) -> Tensor:
        """The tile of a (C, H, W) tensor."""
        return values[:, self.rows, self.columns]


def tiles_of(height: int, width: int, side: int | None = None) -> list[Tile]:
    """The tiles of an image, row by row; one that is the whole image where it is small enough.

    >>> [len(tiles_of(*size)) for size in ((512, 512), (768, 768), (3000, 4000))]
    [1, 1, 63]
    """
    if side is None and height * width <= WHOLE_UP_TO:
        return [Tile(slice(0, height), slice(0, width))]
    side = SIDE if side is None else side
    return [
        Tile(slice(top, top + min(side, height)), slice(left, left + min(side, width)))
        for top in _starts(height, side)
        for left in _starts(width, side)
    ]


def _starts(length: int, side: int) -> list[int]:
    if length <= side:
        return [0]
    n = math.ceil((length - OVERLAP) / (side - OVERLAP))
    return [round(i * (length - side) / (n - 1)) for i in range(n)]


_STATE = ("image", "probability", "squared_error", "weight", "noise")


class Canvas:
    """What the tiles say of the whole image, added up.

    Parameters
    ----------
    like : Tensor of shape (C, H, W)
    """

    def __init__(self, like: Tensor) -> None:
        self.image, self.probability, self.squared_error = (torch.zeros_like(like) for _ in range(3))
        self.weight = like.new_zeros(like.shape[1:])
        self.noise = like.new_zeros(())

    def add(self, tile: Tile, found: Restored) -> None:
        """Add a tile's share."""
        height, width = self.weight.shape
        down = _ramp(tile.rows, height, self.weight)
        across = _ramp(tile.columns, width, self.weight)
        weight = down[:, None] * across
        for name in ("image", "probability", "squared_error"):
            tile.of(getattr(self, name)).addcmul_(getattr(found, name), weight)
        self.weight[tile.rows, tile.columns] += weight
        self.noise += found.noise * weight.sum()

    def blended(self) -> Restored:
        """The whole."""
        w = self.weight
        return Restored(self.image / w, self.probability / w, self.squared_error / w, float(self.noise / w.sum()))

    def state(self) -> State:
        """What has been added."""
        return {name: getattr(self, name) for name in _STATE}

    def restore(self, state: State) -> None:
        """Take up a state."""
        for name in _STATE:
            setattr(self, name, state[name].to(self.weight))


def _ramp(place: slice, length: int, like: Tensor) -> Tensor:
    """Weights along one side of a tile: 1 inside, falling within OVERLAP towards edges that are not the image's."""
    n = place.stop - place.start
    steps = torch.arange(n, dtype=like.dtype, device=like.device) + 0.5
    weights = torch.ones_like(steps)
    for distance, inner in ((steps, place.start > 0), (n - steps, place.stop < length)):
        if inner:
            weights = weights * (0.5 - 0.5 * torch.cos(math.pi * (distance / OVERLAP).clamp(max=1)))
    return weights
