"""How likely each entry is an outlier: a mixture of two laws, learned from the image itself.

An inlier lies near its prediction m, an outlier has a value drawn from a law q of its own:

    p(y | inlier)  = (1−t)·((1−v)·L(y − m; b) + v·L(y − m; 3b)) + t·1      b: local mean error of the prediction
    p(y | outlier) = q(y)                                                  q: histogram of the outliers' values
    P(outlier | y) = π·q(y) / (π·q(y) + (1−π)·p(y | inlier))               L: Laplace's law

π, q and b are re-estimated from P (expectation maximization). Nothing is assumed about the noise: where it is salt
and pepper, q turns into two spikes, and an entry of any other value is hardly ever taken for an outlier; where it is
uniform, q stays flat. The share v is predicted worse than its surroundings: edges, fine texture. The uniform share t
stands for inliers that no neighbour foretells: frames, thin lines, glints; where several channels are missed alike,
they speak for each other (:mod:`twofold.image.details`).

The probability that is reported is taken at its word, and two things more are counted in (``reported``). A sensor
clips: where the scene is at the end of the range, an inlier has exactly that value with a probability, not a density,
P(scene beyond the end). And what no neighbour foretells rarely reaches across the whole range: after t stands
L(y − m; REACH) in place of 1. Decisions are made without either, on the safe side: an outlier that is kept does harm,
and a black or white entry that is predicted does not.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.details import REACH, without_details
from twofold.image.overlays import shifted
from twofold.image.windows import box_mean, sum_around
from twofold.outliers import Polarity

BINS = 256
WINDOW = 5  # pixels, for the local error of the prediction
MIN_ERROR = 0.004  # one grey level of an 8-bit image
TAIL = 0.003  # share of inliers that the prediction misses by far: sharp lines, glints
ROUGH, SPREAD = 0.04, 3.0  # share of inliers that are predicted worse than their surroundings, and how much worse
EM_ROUNDS = 5
# In a picture of few colours the outliers' histogram becomes that of the picture, and everything an outlier: where a
# decision runs away like that, it is made again with the outliers' law kept uniform.
RUNAWAY = 0.85
KEPT = 0.05  # probability of an entry whose value is common nearby
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
_PRIOR = 0.05  # weight of the whole image in a local error
_UNIT = 2.0**24  # weights are counted in parts of it
_FLAT = 0.0001  # share of the outliers' law that is always uniform


def local_error(error: Tensor, weight: Tensor, floor: float = MIN_ERROR) -> Tensor:
    """Weighted mean of ``error`` over a window, drawn towards the image's mean where there is little weight.

    Half of it is the channel's own, half is shared by all channels.
    """
    overall = (weight * error).sum() / weight.sum().clamp(min=1)
    total, size = box_mean(weight * error, WINDOW), box_mean(weight, WINDOW)
    own = (total + _PRIOR * overall) / (size + _PRIOR)
    shared = (total.mean(0) + _PRIOR * overall) / (size.mean(0) + _PRIOR)
    return (0.5 * (own + shared)).clamp(min=floor)


def outlier_law(bins: Tensor, weight: Tensor) -> Tensor:
    """Density of the outliers' values in each of BINS bins of [0, 1]."""
    # Whole numbers, whose sum is the same in any order.
    weight = (weight.double() * _UNIT).round()
    counts = torch.bincount(bins.reshape(-1), weights=weight.reshape(-1), minlength=BINS) / _UNIT
    total = counts.sum() + 1
    q = (counts + _FLAT * total / BINS) / (counts.sum() + _FLAT * total) * BINS
    return q.float()


def outlier_probability(
    y: Tensor,
    prediction: Tensor,
    start: Tensor,
    *,
    observed: Tensor | None = None,
    overlay: Tensor | None = None,
    polarity: Polarity = "both",
    grouped: bool = False,
    reported: bool = False,
) -> Tensor:
    """P(outlier | y) for each entry.

    Parameters
    ----------
    y, prediction : Tensor of shape (C, H, W)
        Observation in [0, 1], and what the other entries say about each entry.
    start : Tensor of shape (C, H, W)
        Probabilities to start from.
    observed : bool Tensor of shape (C, H, W), optional
        False where the entry is known to be bad: probability 1, and no evidence about the others.
    overlay : bool Tensor of shape (C, H, W), optional
        True where neighbours of the same value are no evidence for an entry (:mod:`twofold.image.overlays`).
    polarity : {"both", "bright", "dark"}
        Sign that an outlier's y − prediction may have.
    grouped : bool, default False
        All channels of a pixel are outliers together.
    reported : bool, default False
        Read off ``start`` what there is to learn, and give a probability that can be taken at its word.

    Returns
    -------
    Tensor of shape (C, H, W), in [0, 1]

    Examples
    --------
    >>> clean = torch.full((1, 20, 20), 0.3)
    >>> y = clean.clone()
    >>> y[0, ::5, ::5] = 1.0
    >>> P = outlier_probability(y, clean, torch.zeros_like(y))
    >>> bool((P[y == 1] > 0.99).all()), bool((P[y < 1] < 0.01).all())
    (True, True)
    """
    known = torch.ones_like(y) if observed is None else observed.to(y)
    P = _mixture(y, prediction, start, known, polarity, grouped, learned=True, reported=reported, drawn=overlay)
    if _share(P, known) > RUNAWAY:
        start = start if _share(start, known) < RUNAWAY else torch.zeros_like(start)
        P = _mixture(y, prediction, start, known, polarity, grouped, learned=False, reported=reported, drawn=overlay)
    # A value that many neighbours share was no outlier, or one that did no harm: frames, flat black areas.
    alone = overlay is None or not bool(overlay.any())
    common = common_nearby(y, known, _share(P, known), P, alone=alone)
    if overlay is not None:
        common &= ~overlay
    P = torch.where(common, P.clamp(max=KEPT), P)
    return torch.where(known > 0, P, 1.0)


def common_nearby(y: Tensor, known: Tensor, share: float, P: Tensor, *, alone: bool = True) -> Tensor:
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
    bins = (y.clamp(0, 1) * (BINS - 1)).round().long()
    law = outlier_law(bins, P * known)
    common = torch.zeros_like(y, dtype=torch.bool)
    rate = lone_rate(bins, known, law) if alone else y.new_ones(BINS)
    chances = []
    for k, levels in enumerate(AGREE_LEVELS):
        width = 2 * levels + 1
        mass = F.avg_pool1d(law[None, None], width, 1, levels)[0, 0] * width / BINS
        never_alone = (rate < RARE)[bins] & (k == 0)
        chance = (share * mass).clamp(1e-4, 0.99)[bins]
        chances.append((never_alone, torch.where(never_alone, chance.minimum(rate[bins]), chance)))
    # Near values agree as well, but not with a value that outliers favour: that one has to be met exactly.
    eligible = (torch.ones_like(common), law[bins] < FAVOURED)
    fine, is_known = _fine(y), known > 0
    for offsets in NEIGHBOURHOODS:
        near_agrees, near_total = _agreement(fine, is_known, offsets[:NEAREST])
        far_agrees, far_total = _agreement(fine, is_known, offsets[NEAREST:])
        total = near_total + far_total
        for k, (never_alone, chance) in enumerate(chances):
            near_agree = near_agrees[k].float()
            agree = near_agree + far_agrees[k]
            needed = chance + MAJORITY * (1 - chance)
            f = (agree.sum(0) / total.sum(0).clamp(min=1)).clamp(1e-6, 1 - 1e-6)
            entropy = f * torch.log(f / chance) + (1 - f) * torch.log((1 - f) / (1 - chance))
            # At the border of the picture there is only one half.
            halves = (total < FEW) | (agree > needed * total)
            near = near_agree.sum(0) > (chance + NEAR_MAJORITY * (1 - chance)) * near_total.sum(0)
            enough = ((f > needed) & halves.all(0) & near) | (never_alone & (f > chance))
            common |= eligible[k] & (total.sum(0) * entropy > UNLIKELY) & enough
    return common


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


def _agreement(values: Tensor, known: Tensor, offsets: list[tuple[int, int]]) -> tuple[list[Tensor], Tensor]:
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
    return agrees, total.float()


def _share(P: Tensor, known: Tensor) -> float:
    return float((P * known).sum() / known.sum().clamp(min=1))


def beyond(prediction: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Probability that a Laplace law about the prediction, of mean error b, is in the lowest bin of [0, 1] or below,
    and in the highest or above.

    >>> low, high = beyond(torch.tensor([0.0, 0.5, 1.0]), torch.full((3,), 0.01))
    >>> [round(p, 4) for p in low.tolist()], [round(p, 4) for p in high.tolist()]
    ([0.589, 0.0, 0.0], [0.0, 0.0, 0.589])
    """
    half = 0.5 / (BINS - 1)
    v = torch.stack([half - prediction, prediction - 1 + half]) / b
    low, high = torch.where(v < 0, 0.5 * torch.exp(-v.abs()), 1 - 0.5 * torch.exp(-v.abs()))
    return low, high


def _mixture(
    y: Tensor, prediction: Tensor, start: Tensor, known: Tensor, polarity: Polarity, grouped: bool,
    *, learned: bool, reported: bool, drawn: Tensor | None,
) -> Tensor:  # fmt: skip
    """Expectation maximization; one round where ``reported``. ``learned=False`` keeps the outliers' law uniform."""
    error = y - prediction
    bins = (y.clamp(0, 1) * (BINS - 1)).round().long()
    sign = (error * known).sum(0, keepdim=True).expand_as(error) if grouped else error
    possible = torch.ones_like(y) if polarity == "both" else ((sign > 0) == (polarity == "bright")).to(y)
    P = start
    core = 1 - P
    # The channels of a drawn letter agree as well.
    evidence = known if drawn is None else known * ~drawn
    for _ in range(1 if reported else EM_ROUNDS):
        b = local_error(error.abs(), core * known)
        share = min(max(_share(P, known), 1e-4), 0.95)
        u = error.abs() / b
        rough = torch.exp(-u / SPREAD) / SPREAD
        near, far = (1 - TAIL) * torch.lerp(torch.exp(-u), rough, ROUGH), TAIL * (2 * b)
        if reported:
            far = far * torch.exp(-error.abs() / REACH) / (2 * REACH)
            low, high = beyond(prediction, b)
            mass = torch.where(bins == 0, low, torch.where(bins == BINS - 1, high, 0.0))
            near = near.maximum((1 - TAIL) * mass * (BINS - 1) * (2 * b))
        law = outlier_law(bins, P * known)[bins] if learned else torch.ones_like(y)
        odds = torch.log(law * (2 * b) / (near + far))
        if grouped:
            odds = (odds * known).sum(0, keepdim=True).expand_as(odds)
        P = torch.sigmoid(odds + math.log(share / (1 - share))) * possible
        core = (1 - P) * near / (near + far)
        if not grouped:
            P = without_details(P, error, b, (near + far) / (2 * b), law, share, evidence) * possible
    return P
