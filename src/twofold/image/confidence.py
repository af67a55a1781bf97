"""How likely each entry is an outlier: a mixture of two laws, learned from the image itself.

An inlier lies near its prediction m, by e = y − m; an outlier has a value drawn from a law q of its own, or lies away
from the truth by an error of a law g:

    p(y | inlier)  = (1−t)·((1−v)·H(e; b) + v·L(e; 3b)) + t·Λ      b: local mean error of the prediction
    p(y | outlier) = (1−ρ)·q(y) + ρ·g(e)                           q, g: histograms
    P(outlier | y) = π·p(y | outlier) / (π·p(y | outlier) + (1−π)·p(y | inlier))

H is the logistic law, L Laplace's, of mean size b and 3b. Errors divided by their local mean have the same law in
every picture and under every noise that we looked at: 1%, 0.1% of them are beyond 3.3, 4.5 to 5.5 (logistic: 3.8,
5.5), once it is known who the outliers are; the share v (ROUGH) is predicted worse than its surroundings. All else,
b, π, t, ρ, q and g, is learned from P by expectation maximization. Nothing is assumed about the noise. Where it is
salt and pepper, q turns into two spikes, and an entry of any other value is hardly ever taken for an outlier; where
it is uniform, q stays flat; where errors are added, g shows how large they are, and small ones are seen too.

The share π is one for the whole picture but where a place has far more or fewer outliers
(:mod:`twofold.image.uneven`).

The share t stands for inliers that nothing foretells: frames, thin lines, glints, edges. Their neighbours are missed
alike (Λ, :mod:`twofold.image.alike`), and so are their channels (:mod:`twofold.image.details`). Of t that part counts
which neighbours of another place would not make by chance.

The probability that is reported is taken at its word, and two things more are counted in (``reported``). Where the
scene is black or white, an entry of that value is right with a probability, not a density, and an outlier did not
change it (:mod:`twofold.image.ends`). And what no neighbour foretells rarely reaches across the whole range: Λ is
multiplied by L(e; REACH). Decisions are made without either, on the safe side: an outlier that is kept does harm, and
a black or white entry that is predicted does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from twofold.image.agreement import Neighbours, bins_of, common_nearby, crowded_nearby, density, share_of
from twofold.image.alike import missed_alike
from twofold.image.details import REACH, without_details
from twofold.image.ends import odds_at_the_ends
from twofold.image.uneven import LEAST_SHARE, MOST_SHARE, Places
from twofold.image.windows import box_mean
from twofold.outliers import Polarity

WINDOW = 5  # pixels, for the local error of the prediction
MIN_ERROR = 0.004  # one grey level of an 8-bit image
TAIL = 0.003  # t to start from, and at the most and the least
LEAST_TAIL, MOST_TAIL = 1e-5, 0.05
ROUGH, SPREAD = 0.02, 3.0  # v, and how much worse than their surroundings those are predicted
ADDED = 0.3  # ρ to start from
SMOOTH = 9  # bins over which g is averaged
EM_ROUNDS = 5  # at the most
EM_TOL = 5e-5  # rounds end where P moves by less, relative to its mean: all but the first decisions among few doubts
SHARE_ROUNDS = 10  # for shares alone, given P
# In a picture of few colours the outliers' histogram becomes that of the picture, and everything an outlier: where a
# decision runs away like that, it is made again with the outliers' law kept uniform.
RUNAWAY = 0.85
FEW_DRAWN = 0.001  # share of the entries: glints of a clean picture look like so much of an overlay
KEPT = 0.05  # probability of an entry whose value is common nearby
_PRIOR = 0.05  # weight of the whole image in a local error
_LOG_2 = math.log(2)
_MOST = 40.0  # where the logistic law ends, before it underflows


def local_error(error: Tensor, weight: Tensor, floor: float = MIN_ERROR) -> Tensor:
    """Weighted mean of ``error`` over a window, drawn towards the image's mean where there is little weight.

    Half of it is the channel's own, half is shared by all channels.
    """
    overall = (weight * error).sum() / weight.sum().clamp(min=1)
    total, size = box_mean(weight * error, WINDOW), box_mean(weight, WINDOW)
    own = (total + _PRIOR * overall) / (size + _PRIOR)
    shared = (total.mean(0) + _PRIOR * overall) / (size.mean(0) + _PRIOR)
    return (0.5 * (own + shared)).clamp(min=floor)


def logistic(e: Tensor, b: Tensor) -> Tensor:
    """Density of the logistic law whose mean size is b: ln 2/(2b) / cosh²(ln 2·e/b).

    >>> e = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    >>> law = logistic(e, torch.tensor(0.2))
    >>> f"{torch.trapezoid(law, e):.4f} {torch.trapezoid(law * e.abs(), e):.4f}"
    '1.0000 0.2000'
    """
    return 0.5 * _LOG_2 / b / torch.cosh((_LOG_2 * e / b).clamp(-_MOST, _MOST)).square()


def outlier_probability(
    neighbours: Neighbours,
    prediction: Tensor,
    start: Tensor,
    *,
    impulses: Tensor | None = None,
    polarity: Polarity = "both",
    grouped: bool = False,
    reported: bool = False,
) -> Tensor:
    """P(outlier | y) for each entry.

    Parameters
    ----------
    neighbours : Neighbours
        y, the observation. An entry that is known to be bad has probability 1, and is no evidence about the others;
        nor is what was drawn over the picture for what is beside it.
    prediction : Tensor of shape (C, H, W)
        What the other entries say about each entry.
    start : Tensor of shape (C, H, W)
        Probabilities to start from.
    impulses : bool Tensor of shape (C, H, W), optional
        True where an entry has a scattered value (:mod:`twofold.image.scattered`), however many those are.
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
    >>> P = outlier_probability(Neighbours(y), clean, torch.zeros_like(y))
    >>> bool((P[y == 1] > 0.99).all()), bool((P[y < 1] < 0.01).all())
    (True, True)
    """
    known, overlay = neighbours.known, neighbours.overlay
    seen = _Observed.of(neighbours, prediction)
    P = _mixture(seen, start, polarity, grouped, learned=True, reported=reported)
    others = known if impulses is None else known * ~impulses
    if share_of(P, others) > RUNAWAY:
        start = start if share_of(start, others) < RUNAWAY else torch.zeros_like(start)
        P = _mixture(seen, start, polarity, grouped, learned=False, reported=reported)
    # A value that many neighbours share was no outlier, or one that did no harm: frames, flat black areas.
    alone, share = overlay is None or not bool(overlay.any()), float(share_of(P, known))
    common = common_nearby(neighbours, share, P, alone=alone)
    if overlay is not None:
        common &= ~overlay
    common |= crowded_nearby(neighbours, share, P)  # too many to have been drawn
    P = torch.where(common, P.clamp(max=KEPT), P)
    return torch.where(neighbours.is_known, P, 1.0)


@dataclass(frozen=True)
class _Observed:
    """What a decision is about: values, how they were missed, and who counts."""

    y: Tensor
    error: Tensor
    known: Tensor
    drawn: Tensor | None
    evidence: Tensor
    bins: Tensor
    error_bins: Tensor
    places: Places

    @staticmethod
    def of(neighbours: Neighbours, prediction: Tensor) -> _Observed:
        n, error = neighbours, neighbours.y - prediction
        error_bins = bins_of(0.5 + 0.5 * error)
        return _Observed(n.y, error, n.known, n.overlay, n.evidence, n.bins, error_bins, n.places)

    def share(self, P: Tensor) -> Tensor:
        """π for each entry without its place: one for what was drawn over the picture, if that is enough, one for all
        others."""
        if self.drawn is None or float(self.drawn.float().mean()) < FEW_DRAWN:
            share = share_of(P, self.known).expand_as(P)
        else:
            drawn = self.known * self.drawn
            share = torch.where(self.drawn, share_of(P, drawn), share_of(P, self.known - drawn))
        return share.clamp(LEAST_SHARE, MOST_SHARE)

    def outlier_law(self, P: Tensor) -> Tensor:
        """(1−ρ)·q(y) + ρ·g(e) for each entry."""
        # Which errors outliers have, and which values more often than uniform ones, only those tell that are sure:
        # g would learn the errors of inliers otherwise, which are many and small, and q the picture's values.
        sure = P * self.known * (P > 0.5)
        favoured = density(self.bins, sure).clamp(min=1)
        q = density(self.bins, P * self.known).minimum(favoured)[self.bins]
        errors = F.avg_pool1d(density(self.error_bins, sure)[None, None], SMOOTH, 1, SMOOTH // 2)[0, 0] / 2
        g = errors[self.error_bins]
        rho = _mixed(ADDED, g, q, sure)
        return torch.lerp(q, g, rho)


def _mixed(start: float, part: Tensor, rest: Tensor, weight: Tensor) -> float:
    """The share of the law ``part`` in its mixture with ``rest`` that entries were drawn from: SHARE_ROUNDS of
    expectation maximization."""
    share, total = start, float(weight.sum())
    if total == 0:
        return start
    for _ in range(SHARE_ROUNDS):
        mixed = torch.lerp(rest, part, share)
        share *= float((weight * part / mixed).sum()) / total
    return share


def _mixture(
    seen: _Observed, start: Tensor, polarity: Polarity, grouped: bool, *, learned: bool, reported: bool
) -> Tensor:
    """Expectation maximization; one round where ``reported``. ``learned=False`` keeps the outliers' law uniform."""
    error, known = seen.error, seen.known
    sign = (error * known).sum(0, keepdim=True).expand_as(error) if grouped else error
    possible = torch.ones_like(error) if polarity == "both" else ((sign > 0) == (polarity == "bright")).to(error)
    P, core = start, 1 - start
    alike = chance = torch.ones_like(error)
    for number in range(1 if reported else EM_ROUNDS):
        b = local_error(error.abs(), core * known)
        overall = seen.share(P)
        if number % 2 == 0:  # every other round is enough for what the surroundings say
            here = seen.places.share(P, error, overall) - overall
        share = (overall + here).clamp(LEAST_SHARE, MOST_SHARE)
        smooth, rough = logistic(error, b), torch.exp(-error.abs() / (SPREAD * b)) / (2 * SPREAD * b)
        near = torch.lerp(smooth, rough, ROUGH)
        law = seen.outlier_law(P) if learned else torch.ones_like(error)
        if number % 2 == 0:
            whatever = torch.lerp((1 - TAIL) * near + TAIL, law, share)
            alike = missed_alike(error, b, whatever, seen.evidence)
            if number == 0:
                chance = missed_alike(error, b, whatever, seen.evidence, by_chance=True)
        tail = _mixed(TAIL, alike, near, (1 - P) * known)
        tail *= _beyond_chance(tail, alike, chance, near, share / (1 - share) * law, known)
        tail = min(max(tail, LEAST_TAIL), MOST_TAIL)
        far = tail * alike
        near = (1 - tail) * near
        if reported:
            far = far * torch.exp(-error.abs() / REACH) / (2 * REACH)
            right = odds_at_the_ends(seen.y, seen.y - error, b / (2 * _LOG_2), known, P)
            near = near.maximum(right * share / (1 - share) * law)
        inlier = near + far
        odds = torch.log(law / inlier)
        if grouped:
            odds = (odds * known).sum(0, keepdim=True).expand_as(odds)
        before, P = P, torch.sigmoid(odds + torch.logit(share)) * possible
        core = (1 - P) * near / inlier
        if not grouped:
            P = without_details(P, error, b, inlier, law, share, seen.evidence) * possible
        if float((P - before).abs().mean()) <= EM_TOL * float(P.mean()):
            break
    return P


def _beyond_chance(tail: float, alike: Tensor, chance: Tensor, near: Tensor, outlier: Tensor, known: Tensor) -> float:
    """Of all entries that would pass for details, the share that would not beside neighbours of another place.

    Outliers that are missed alike by chance would keep t up by themselves: a few of thousands always are.
    """
    rest = outlier + (1 - tail) * near
    passed, by_chance = (float((known * law / (rest + tail * law)).sum()) for law in (alike, chance))
    return max(1 - by_chance / passed, 0.0) if passed > 0 else 0.0
