"""Overlays: what was drawn over the picture with one value — text, scratches, dead and hot lines.

An untrained network fits them as readily as the picture, and their neighbours agree with them: neither act sees
outliers there. What gives them away is that one exact value crosses a place where the picture goes on behind it. Let
a *run* be a segment of equal values through an entry, in the one of four directions where it is shortest, a and b the
first other values at its ends. The run *bridges* where

    |a − v| and |b − v| ≥ JUMP,     |a − b| < ½·min(|a − v|, |b − v|)      the same picture on both sides,
    |a − a'|, |b − b'| as well                                             a', b' one step further out: no impulses

A connected zone of one value is an overlay where more of its runs bridge than by chance. Neither edges do that (the
sides differ), nor glints (they have no sharp border), nor noise (a and a' do not agree). In a drawing or a
screenshot, whose own parts are of that kind, equal values prove nothing, and nothing is taken for an overlay.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

LEVELS = 255  # values are equal where they are the same on an 8-bit scale
JUMP = 20  # levels
WIDTH = 24  # pixels: longer runs are areas, not strokes
LEAST = 24  # entries of a zone that is judged by itself
PIECE = 8  # entries of a zone that is judged as a whole if its colour is suspicious; else each entry by its own run
CHANCE = 0.2  # share of runs that bridge without an overlay, at most
DEVIATIONS = 1.2  # so many √n of a zone's n entries on top
COLOUR_DEVIATIONS = 3.0  # the same for all that has one colour
MOSTLY = 0.4  # share of the runs of a colour from which on all its strokes are drawn
PASSES = 3  # crossing strokes hide the picture from each other until one of them is found
BLEND = 0.1  # share of an overlay's colour in a pixel of its blended edge, at least
DRAWING = 0.75  # share of equal neighbours from which on a picture is a drawing
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]


def overlays(y: Tensor, known: Tensor | None = None) -> Tensor:
    """Entries that were drawn over the picture, in all channels at once or in one.

    Parameters
    ----------
    y : Tensor of shape (C, H, W), in [0, 1]
    known : bool Tensor of shape (C, H, W), optional
        False where the entry is known to be bad: it is looked past.

    Returns
    -------
    bool Tensor of shape (C, H, W)

    Examples
    --------
    >>> rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    >>> picture = (0.2 + rows / 200 + (columns / 5).sin() / 20)[None]
    >>> y = picture.clone()
    >>> y[0, :, 30:32] = 0.9
    >>> found = overlays(y)
    >>> int(found.sum()), bool(found[0, :, 30:32].all()), bool(overlays(picture).any())
    (128, True, False)
    """
    levels = (y.clamp(0, 1) * LEVELS).round().to(torch.int32).permute(1, 2, 0).cpu().numpy()
    unknown = np.zeros(levels.shape, bool)
    if known is not None:
        unknown = ~known.expand_as(y).permute(1, 2, 0).cpu().numpy()
    n = levels.shape[2]
    views = [(levels[:, :, c : c + 1], unknown[:, :, c]) for c in range(n)]
    if n > 1:
        views.append((levels, np.any(unknown, axis=2)))
    # NumPy lets other threads run while it works.
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        drawn = list(threads.map(_drawn, *zip(*views, strict=True)))
    found = np.stack(drawn[:n], axis=2)
    if n > 1:
        found |= drawn[n][:, :, None]
    # Laid out like one from a checkpoint: on a CUDA device sums would have other bits.
    return torch.from_numpy(found & ~unknown).permute(2, 0, 1).contiguous().to(y.device)


def _drawn(levels: Ints, unknown: Bools) -> Bools:
    """Pixels (H, W) of overlays that have one value in each of the channels given."""
    colour = _colours(levels)
    found = np.zeros(colour.shape, bool)
    if _equal_neighbours(colour, ~unknown) > DRAWING:
        return found
    for _ in range(PASSES):
        runs = _Runs.through(levels, colour, found | unknown)
        strokes = runs.short & ~unknown
        zone = _zones(colour, strokes)
        by_zone, by_colour = (_Judged.of(label, strokes, runs.bridging) for label in (zone, colour))
        # Letters with blended edges are in many pieces, too small to be judged one by one: their colour is.
        overlay = by_zone.exceeds(DEVIATIONS)[zone]
        drawn_with = by_colour.exceeds(COLOUR_DEVIATIONS)[colour]
        overlay |= drawn_with & np.where((by_zone.size >= PIECE)[zone], by_zone.mostly[zone], runs.bridging >= 0.5)
        overlay |= _cut_off(zone, colour, runs.length, found, by_colour.mostly)
        new = overlay & strokes & ~found
        if not new.any():
            break
        found |= new
    return found | _blended(levels, found, found | unknown)


@dataclass(frozen=True)
class _Judged:
    """How many strokes' pixels have each label, and how many of their runs bridge."""

    size: NDArray[Any]
    bridging: NDArray[Any]

    @staticmethod
    def of(label: NDArray[Any], strokes: Bools, bridging: NDArray[np.float64]) -> _Judged:
        return _Judged(*(np.bincount(label.ravel(), v.ravel()) for v in (strokes, strokes * bridging)))

    def exceeds(self, deviations: float) -> Bools:
        """Labels of which more bridges than by chance."""
        return (self.size >= LEAST) & (self.bridging >= CHANCE * self.size + deviations * np.sqrt(self.size))

    @property
    def mostly(self) -> Bools:
        """Labels of which nearly as many runs bridge as an edge here and there allows."""
        return self.bridging >= MOSTLY * self.size


def _cut_off(zone: Ints, colour: NDArray[np.int64], length: Ints, found: Bools, mostly: Bools) -> Bools:
    """Zones of a colour that strokes were found in, nowhere wider than those, that touch what was found or whose
    colour is mostly drawn: pieces of lines that others cross, and letters where the picture has edges."""
    n_colours, n_zones = int(colour.max()) + 1, int(zone.max()) + 1
    size = np.bincount(zone.ravel(), minlength=n_zones)
    # Impulses have a colour too, but lie scattered.
    in_strokes = np.bincount(colour[found & (size[zone] >= LEAST)], minlength=n_colours)
    has_strokes = 2 * in_strokes > np.bincount(colour[found], minlength=n_colours)
    widest = np.zeros(n_colours, np.int32)
    np.maximum.at(widest, colour[found], length[found])
    suspected, wider = np.zeros(n_zones, bool), np.zeros(n_zones, bool)
    suspected[zone[has_strokes[colour] & (mostly[colour] | binary_dilation(found, np.ones((3, 3), bool)))]] = True
    wider[zone[length > widest[colour]]] = True
    return (suspected & ~wider)[zone]


def _blended(levels: Ints, found: Bools, skipped: Bools) -> Bools:
    """Pixels on the border of what was found that lie between its colour and the next pixel outward, if more of them
    do than of the pixels one step further out."""
    blended = np.zeros_like(found)
    counts = np.zeros((2, 2))
    for direction in DIRECTIONS:
        for sign in (1, -1):
            start, _ = shifted(found.shape, direction, 3 * sign)
            moves = [[k * sign * d for d in direction] for k in range(4)]
            at = [tuple(slice(i.start + m, i.stop + m) for i, m in zip(start, move, strict=True)) for move in moves]
            border = found[at[0]] & ~(skipped[at[1]] | skipped[at[2]])
            near = border & _between(*(levels[at[k]] for k in (0, 1, 2)))
            blended[at[1]] |= near
            background = border & ~skipped[at[3]]
            far = background & _between(*(levels[at[k]] for k in (0, 2, 3)))
            counts += [[near.sum(), border.sum()], [far.sum(), background.sum()]]
    (near, border), (far, background) = counts
    is_soft = near / max(border, 1) > 2 * (far + 1) / (background + 1)
    return blended if is_soft else np.zeros_like(found)


def _between(inner: Ints, middle: Ints, outer: Ints) -> Bools:
    """Whether ``middle`` is a blend of the two others, which differ."""
    whole, to_inner, to_outer = np.abs(inner - outer), np.abs(middle - inner), np.abs(middle - outer)
    on_the_way = (to_inner + to_outer <= whole + 2).all(2)
    return on_the_way & (to_outer.max(2) >= BLEND * whole.max(2)) & (whole.max(2) >= JUMP)


def _colours(levels: Ints) -> NDArray[np.int64]:
    """Each pixel's colour as one number, counted from 0."""
    colour = np.zeros(levels.shape[:2], np.int64)
    for c in range(levels.shape[2]):
        mixed = colour * (LEVELS + 1) + levels[..., c]
        colour = np.unique(mixed, return_inverse=True)[1].reshape(colour.shape)
    return colour


@dataclass(frozen=True)
class _Runs:
    """The shortest run through each pixel: how long it is, and which share of its ties bridges."""

    length: Ints
    bridging: NDArray[np.float64]

    @staticmethod
    def through(levels: Ints, colour: NDArray[np.int64], skipped: Bools) -> _Runs:
        shape = colour.shape
        shortest = np.full(shape, WIDTH + 1, np.int32)
        bridging, ties = np.zeros(shape), np.zeros(shape)
        channels = np.moveaxis(levels, 2, 0).reshape(levels.shape[2], -1).copy()
        for direction in DIRECTIONS:
            ends = [_end(channels, colour, skipped, direction, sign) for sign in (1, -1)]
            (ahead, a, a_jump, a_rough), (behind, b, b_jump, b_rough) = ends
            length = np.where((ahead > WIDTH) | (behind > WIDTH), WIDTH + 1, ahead + behind - 1)
            jump = np.minimum(a_jump, b_jump)
            same_sides = 2 * _apart(channels, a, b) < jump
            bridges = (jump >= JUMP) & same_sides & (2 * np.maximum(a_rough, b_rough) < jump)
            if direction in ((0, 1), (1, 0)):
                # Along the border of the picture a run may be part of a frame, of which one side only is seen.
                border = bridges if direction == (0, 1) else bridges.T
                border[[0, -1]] = False
            shorter = length < shortest
            bridging[shorter] = ties[shorter] = 0
            shortest = np.minimum(shortest, length)
            tie = (length == shortest) & (length <= WIDTH)
            bridging += tie & bridges
            ties += tie
        return _Runs(shortest, bridging / np.maximum(ties, 1))

    @property
    def short(self) -> Bools:
        """Short enough for a stroke."""
        return self.length <= WIDTH


def _end(
    channels: Ints, colour: NDArray[np.int64], skipped: Bools, direction: tuple[int, int], sign: int
) -> tuple[Ints, NDArray[np.int64], Ints, Ints]:
    """Walk from each pixel to the first of another colour that is not to be skipped.

    Returns
    -------
    distance, number, jump, roughness
        Of that pixel, numbered row by row; ``jump`` is how far it is from the pixel started from, ``roughness`` from
        the next one outward, in the channel where it is most. Where it lies between the two, as a blended edge does,
        the next one is taken in its place. Where the walk ends without one, the distance is more than WIDTH.
    """
    shape = colour.shape
    number = np.arange(colour.size).reshape(shape)
    distance, at = np.full(shape, WIDTH + 1, np.int32), number.copy()
    here, there = shifted(shape, direction, sign)
    arrived = (colour[here] != colour[there]) & ~skipped[there]
    distance[here][arrived] = 1
    at[here][arrived] = number[there][arrived]
    _walk_on(distance, at, colour, skipped, direction, sign)
    outward = number.copy()
    here, there = shifted(shape, direction, sign)
    outward[here] = number[there]
    lost = skipped.ravel()
    first, second, third = at, outward.take(at), outward.take(outward.take(at))
    near, far = _apart(channels, number, first), _apart(channels, number, second)
    step = np.where(lost.take(second), LEVELS, _apart(channels, first, second))
    next_step = np.where(lost.take(third), LEVELS, _apart(channels, second, third))
    blended = (far > near) & (2 * step >= near) & ~lost.take(second)
    end = np.where(blended, second, first)
    return distance, end, np.where(blended, far, near), np.where(blended, next_step, step)


def _apart(channels: Ints, one: NDArray[np.int64], other: NDArray[np.int64]) -> Ints:
    """How far pixels are from others, by their numbers, in the channel where it is most."""
    most: Ints = np.abs(channels[0].take(one) - channels[0].take(other))
    for channel in channels[1:]:
        np.maximum(most, np.abs(channel.take(one) - channel.take(other)), out=most)
    return most


def _walk_on(
    distance: Ints, at: NDArray[np.int64], colour: NDArray[np.int64], skipped: Bools, direction: tuple[int, int],
    sign: int,
) -> None:  # fmt: skip
    """The same from the second step on, in place, for the few pixels that have not arrived."""
    rows, columns = np.nonzero(distance > 1)
    for steps in range(2, WIDTH + 1):
        ahead = rows + sign * steps * direction[0], columns + sign * steps * direction[1]
        inside = (ahead[0] >= 0) & (ahead[0] < colour.shape[0]) & (ahead[1] >= 0) & (ahead[1] < colour.shape[1])
        rows, columns = rows[inside], columns[inside]
        ahead = ahead[0][inside], ahead[1][inside]
        arrived = (colour[ahead] != colour[rows, columns]) & ~skipped[ahead]
        start = rows[arrived], columns[arrived]
        distance[start] = steps
        at[start] = ahead[0][arrived] * colour.shape[1] + ahead[1][arrived]
        rows, columns = rows[~arrived], columns[~arrived]


def shifted(shape: tuple[int, ...], direction: tuple[int, int], steps: int = 1) -> tuple[tuple[slice, ...], ...]:
    """Two views of an array: pixels, and those so many steps from them; empty where that leaves the array.

    >>> shifted((5, 7), (1, -1), 2)
    ((slice(0, 3, None), slice(2, 7, None)), (slice(2, 5, None), slice(0, 5, None)))
    """
    moves = [steps * d for d in direction]

    def view(moves: list[int]) -> tuple[slice, ...]:
        starts = [max(-m, 0) for m in moves]
        stops = [n - max(m, 0) for m, n in zip(moves, shape, strict=True)]
        return tuple(slice(start, max(start, stop)) for start, stop in zip(starts, stops, strict=True))

    return view(moves), view([-m for m in moves])


def _zones(colour: NDArray[np.int64], among: Bools) -> NDArray[np.int32]:
    """Number the connected zones of one colour (pixels not in ``among`` are one each)."""
    number = np.arange(colour.size).reshape(colour.shape)
    pairs = []
    for direction in DIRECTIONS:
        here, there = shifted(colour.shape, direction)
        equal = (colour[here] == colour[there]) & among[here] & among[there]
        pairs.append(np.stack([number[here][equal], number[there][equal]]))
    ends = np.concatenate(pairs, axis=1)
    graph = coo_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(colour.size, colour.size))
    zone: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return zone.reshape(colour.shape)


def _equal_neighbours(colour: NDArray[np.int64], among: Bools) -> float:
    """Share of neighbouring pixels in a row or column that have the same colour."""
    equal, total = 0, 0
    for direction in ((0, 1), (1, 0)):
        here, there = shifted(colour.shape, direction)
        both = among[here] & among[there]
        equal += int((both & (colour[here] == colour[there])).sum())
        total += int(both.sum())
    return equal / max(total, 1)
