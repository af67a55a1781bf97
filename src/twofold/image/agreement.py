"""Values that neighbours agree on: frames, flat black areas, the lines of a drawing.

Such an entry was no outlier, or one that did no harm, however badly it was foretold.
"""

from __future__ import annotations

from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.overlays import shifted
from twofold.image.uneven import Places
from twofold.image.windows import count_beside, sum_around

BINS = 256
"""Of a histogram of values in [0, 1]."""

MAJORITY = (
    0.25  # excess of agreement over chance that a half of the neighbourhood has to show, relative to 1 − chance
)
NEAREST, NEAR_MAJORITY = 6, 0.4  # the same for the nearest on each side
FEW = 5  # neighbours of one half that say nothing yet
UNLIKELY = 12.5  # five standard deviations
AGREE_LEVELS = (1, 6)  # values agree up to so many of 256 levels
_FINE = 16  # parts of a level that agreement is told by
FAVOURED = 4.0  # density of the outliers' law from which a value counts as one that they favour
# A value of the picture itself, met often and almost never without an equal neighbour, is none that outliers favour:
USUAL, LONELY, RARE = 0.1, 200, 0.002  # share of the entries; places to be judged by; rate of lone entries
NEIGHBOURHOODS = [
    [(0, d) for d in range(1, 32)],
    [(d, 0) for d in range(1, 32)],
    [(dy, dx) for dy in range(4) for dx in range(-3, 4) if dy > 0 or dx > 0],
]
# Of a value that makes up so much of all entries the neighbourhoods above say too little, and larger ones are asked:
CROWDED = 0.2
OF_OTHERS, OF_NEAREST = 0.7, 0.5  # of those that are no outliers, in each half, and of the nearest on both sides
# along which axis, how far, how far across, and how far the nearest are.
FAR = [(2, 127, 0, 12), (1, 127, 0, 12), (2, 7, 7, 2), (1, 7, 7, 2)]
_UNIT = 2.0**24  # weights are counted in parts of it
_FLAT = 0.0001  # share of a law that is always uniform


def bins_of(v: Tensor) -> Tensor:
    """The bin of each value of [0, 1]; what lies outside is in the first or the last."""
    return (v.clamp(0, 1) * (BINS - 1)).round().long()


def density(bins: Tensor, weight: Tensor) -> Tensor:
    """Density of weighted values in each of BINS bins of [0, 1]."""
    # Whole numbers, whose sum is the same in any order.
    weight = (weight.double() * _UNIT).round()
    counts = torch.bincount(bins.reshape(-1), weights=weight.reshape(-1), minlength=BINS) / _UNIT
    total = counts.sum() + 1
    q = (counts + _FLAT * total / BINS) / (counts.sum() + _FLAT * total) * BINS
    return q.float()


def share_of(P: Tensor, known: Tensor) -> Tensor:
    """Mean probability of the known entries; 0 where there are none."""
    return (P * known).sum() / known.sum().clamp(min=1)


class Neighbours:
    """An observation, and how many neighbours agree with each entry: counted once, whoever is an outlier.

    Parameters
    ----------
    y : Tensor of shape (C, H, W), in [0, 1]
    observed : bool Tensor of shape (C, H, W), optional
        False where an entry is known to be bad and does not count.
    overlay : bool Tensor of shape (C, H, W), optional
        True where neighbours of the same value are no evidence for an entry (:mod:`twofold.image.overlays`).
    """

    def __init__(self, y: Tensor, observed: Tensor | None = None, overlay: Tensor | None = None) -> None:
        self.y, self.bins, self.overlay = y, bins_of(y), overlay
        self.is_known = torch.ones_like(y, dtype=torch.bool) if observed is None else observed
        self.known = self.is_known.to(y)
        # What was drawn over the picture agrees as well.
        self.evidence = self.known if overlay is None else self.known * ~overlay
        """1 for the entries whose agreement with neighbours and other channels counts."""
        self._around_value: dict[int, list[tuple[Tensor, Tensor]]] = {}

    @cached_property
    def places(self) -> Places:
        """The surroundings of each entry."""
        return Places(self.y, self.evidence)

    @cached_property
    def near_and_far(self) -> list[tuple[_Counts, _Counts]]:
        """For each of NEIGHBOURHOODS, the NEAREST and the others."""
        fine = _fine(self.y)
        return [
            (_agreement(fine, self.is_known, some[:NEAREST]), _agreement(fine, self.is_known, some[NEAREST:]))
            for some in NEIGHBOURHOODS
        ]

    @cached_property
    def around(self) -> list[tuple[Tensor, Tensor]]:
        """How many known entries there are in FAR."""
        return _around(self.is_known)

    def equal(self, value: int) -> Tensor:
        """Where the value is that of a bin."""
        return ((self.bins - value).abs() <= AGREE_LEVELS[0]) & self.is_known

    def around_value(self, value: int) -> list[tuple[Tensor, Tensor]]:
        """How many of those there are in FAR."""
        if value not in self._around_value:
            self._around_value[value] = _around(self.equal(value))
        return self._around_value[value]


def common_nearby(neighbours: Neighbours, share: float, P: Tensor, *, alone: bool = True) -> Tensor:
    """True where far more neighbours have an entry's value than outliers of that value would explain.

    Neighbourhoods are a box and the two lines through the entry, so that a frame one pixel wide is seen too. Of n
    neighbours a share m would agree by chance (the outliers' law at this value). A share f of them is too many where

        n·KL(f ‖ m) > UNLIKELY    and    f − m > MAJORITY·(1 − m) in each half of the neighbourhood,

    KL the relative entropy of two coins: by Chernoff's bound chance does that with probability exp(−UNLIKELY). Halves
    on opposite sides are asked so that an outlier next to a large area of its own value is not taken for part of it,
    and the nearest neighbours, with NEAR_MAJORITY, so that one between two such areas is not either.

    In a drawing the outliers' law is learned from the drawing's own corners, and explains everything. Outliers that
    fall independently stand alone now and then, at a rate that is the chance of one (:func:`lone_rate`). Where that
    is RARE, agreement beyond it is enough. ``alone=False`` leaves this out: what was drawn over a picture never
    stands alone.
    """
    bins, known = neighbours.bins, neighbours.known
    law = density(bins, P * known)
    common = torch.zeros_like(neighbours.is_known)
    rate = lone_rate(bins, known, law) if alone else law.new_ones(BINS)
    chances = []
    for k, levels in enumerate(AGREE_LEVELS):
        width = 2 * levels + 1
        mass = F.avg_pool1d(law[None, None], width, 1, levels)[0, 0] * width / BINS
        never_alone = (rate < RARE)[bins] & (k == 0)
        chance = (share * mass).clamp(1e-4, 0.99)[bins]
        chances.append((never_alone, torch.where(never_alone, chance.minimum(rate[bins]), chance)))
    # Near values agree as well, but not with a value that outliers favour: that one has to be met exactly.
    eligible = (torch.ones_like(common), law[bins] < FAVOURED)
    for (near_agrees, near_total), (far_agrees, far_total) in neighbours.near_and_far:
        total = near_total + far_total
        n = total[0] + total[1]
        for k, (never_alone, chance) in enumerate(chances):
            agree = near_agrees[k] + far_agrees[k]
            needed = chance + MAJORITY * (1 - chance)
            f = (agree[0] + agree[1]) / n.clamp(min=1)
            # At the border of the picture there is only one half.
            halves = (total < FEW) | (agree > needed * total)
            near_enough = (chance + NEAR_MAJORITY * (1 - chance)) * (near_total[0] + near_total[1])
            near = near_agrees[k][0] + near_agrees[k][1] > near_enough
            enough = ((f > needed) & halves[0] & halves[1] & near) | (never_alone & (f > chance))
            common |= eligible[k] & (n * _entropy(f, chance) > UNLIKELY) & enough
    return common


def _entropy(f: Tensor, chance: Tensor) -> Tensor:
    """KL(f ‖ chance) of two coins."""
    f = f.clamp(1e-6, 1 - 1e-6)
    return f * torch.log(f / chance) + (1 - f) * torch.log((1 - f) / (1 - chance))


def crowded_nearby(neighbours: Neighbours, share: float, P: Tensor) -> Tensor:
    """The same in larger neighbourhoods, for values that outliers favour and that are CROWDED.

    Where most entries are outliers, more neighbours are needed to tell that the others agree: at 70% salt and pepper
    65% of a black frame are black, and 35% of everything else. That is why chance is at least what the whole picture
    has of a value: an outliers' law that misses some of them would see frames everywhere.
    """
    law = density(neighbours.bins, P * neighbours.known)
    common, n_known = torch.zeros_like(neighbours.is_known), neighbours.is_known.sum()
    for value in torch.nonzero(law >= FAVOURED).flatten().tolist():
        equal = neighbours.equal(value)
        overall = equal.sum() / n_known
        if overall < CROWDED:
            continue
        chance = (share * law[max(value - 1, 0) : value + 2].sum() / BINS).maximum(overall).clamp(max=0.99)
        needed, near_needed = (chance + part * (1 - share) for part in (OF_OTHERS, OF_NEAREST))
        for (agree, near), (total, near_total) in zip(neighbours.around_value(value), neighbours.around, strict=True):
            n = total[0] + total[1]
            unlikely = n * _entropy((agree[0] + agree[1]) / n.clamp(min=1), chance) > UNLIKELY
            halves = (total < FEW) | (agree > needed * total)
            near_enough = near[0] + near[1] > near_needed * (near_total[0] + near_total[1])
            common |= equal & unlikely & halves[0] & halves[1] & near_enough
    return common


def _around(x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """How many entries are True in both halves of each neighbourhood FAR, and of the nearest there."""
    counts = [
        (count_beside(x, axis, reach, across), count_beside(x, axis, nearest, min(across, nearest)))
        for axis, reach, across, nearest in FAR
    ]
    # At most 127 in one half, which fits twice.
    return [(far.to(torch.uint8), near.to(torch.uint8)) for far, near in counts]


def lone_rate(bins: Tensor, known: Tensor, law: Tensor) -> Tensor:
    """For each of BINS values, how often a pixel without it among its eight neighbours has it itself.

    1 for values that outliers do not favour, for those that make up less than USUAL of the entries, and where there
    are fewer than LONELY such places.
    """
    rate = torch.ones(BINS, device=bins.device)
    counts = torch.bincount(bins[known > 0], minlength=BINS).double()
    usual = F.avg_pool1d(counts[None], 3, 1, 1)[0] * 3 >= USUAL * counts.sum()
    for value in torch.nonzero(usual & (law >= FAVOURED)).flatten().tolist():
        here = ((bins - value).abs() <= 1) * known
        places = (sum_around(here, 3) < 0.5) * known
        n_places = float(places.sum())
        if n_places >= LONELY:
            rate[value] = (float((places * here).sum()) + 1) / (n_places + 1)
    return rate


def _fine(y: Tensor) -> Tensor:
    """Values in parts of a level: as 16-bit integers if they fit, of which twice as many are compared at a time."""
    values = y * ((BINS - 1) * _FINE)
    return values.round().to(torch.int16) if float(values.abs().max()) < 2**14 else values


_Counts = tuple[list[Tensor], Tensor]


def _agreement(values: Tensor, known: Tensor, offsets: list[tuple[int, int]]) -> _Counts:
    """For each entry, how many of its known neighbours at +offsets (first half) and at −offsets (second half) agree
    with it, for each of AGREE_LEVELS, and how many there are; shapes (2, C, H, W)."""
    size = (2, *values.shape)
    agrees = [torch.zeros(size, dtype=torch.uint8, device=values.device) for _ in AGREE_LEVELS]
    total = torch.zeros(size, dtype=torch.uint8, device=values.device)
    for offset in offsets:
        here, there = ((slice(None), *place) for place in shifted(values.shape[1:], offset))
        both = known[here] & known[there]
        apart = (values[here] - values[there]).abs_()
        for agree, levels in zip(agrees, AGREE_LEVELS, strict=True):
            equal = ((apart <= (levels + 0.5) * _FINE) & both).view(torch.uint8)
            for half, place in enumerate((here, there)):
                agree[half][place] += equal
        for half, place in enumerate((here, there)):
            total[half][place] += both.view(torch.uint8)
    return agrees, total
