"""Kriging: the best linear prediction of what the network misses, from the entries that are trusted.

The residual e = x − f(theta) of a network that has been fitted for a few dozen steps is nearly a stationary random
field: what is left are edges and texture, strongly correlated between neighbours and, above all, between colour
channels. Its covariance is estimated from the trusted entries, and the field is predicted everywhere from them:

    C(d) = masked autocovariance at the displacement d, tapered by exp(−‖d‖²/2·radius²), made positive
    ê    = C·√w·a,     (√w·C·√w + nugget·I)·a = √w·e       or       (C⁻¹ + W/nugget)·ê = W·e/nugget

A trust w < 1 stands for an observation whose noise variance is nugget/w. Statisticians call it regression kriging.

Both systems are solved by conjugate gradients, where C·v and (C⁻¹ + I/nugget)⁻¹·v are fast Fourier transforms. The
left one settles in a few steps where the field is strong; what is left of it, where entries are half trusted, takes
hundreds. The right one, preconditioned by what would be so if all entries were trusted, is slow with large holes and
quick with the rest: it goes on from where the left one is. After seven steps and eight the error at held-out entries
is within 1% of the solution's (on crops with 20% to 90% of the entries trusted); the left one alone takes thirty.

Dense noise is what no neighbour foretells: the level that the field's spectrum has at fine frequencies in any
combination of channels, and that its variance has everywhere in the image. Where it is a large part of the residual,
it is taken off the covariance, and trusted entries are predicted too: the noise stays behind. (Of coarse frequencies
the network fits the noise as well.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from twofold.conjugate import conjugate_gradients, preconditioned
from twofold.image.hermitian import eigen

RADIUS = 3.0  # of the covariance taper, pixels
NUGGET = 0.03  # variance relative to the field's: what covariance does not tell of the picture, and good conditioning
TOGETHER = 4  # channels at most whose common covariance is used: its size grows with their square
LEAST_NOISE = 7 / 255  # standard deviation; cameras' and scanners' own noise is less, and part of the picture
MOSTLY_NOISE = (0.7, 0.25)  # share of the residual's variance from which on noise is taken off, in one and in several
# channels; less might be fine texture, which channels share
UNCLIPPED = (0.1, 0.9)  # where noise reaches neither end of the value range
# Of two trusts the later one is taken where the squared error of the earlier one is so much larger: the later one has
# had its say before now in whose error counts.
PREFERENCE = 1.02
_FINE = 0.25  # cycles per pixel, along rows and columns, from which on a frequency is fine
_QUIET, _NORMAL = 0.05, -1.645  # quantile of the quietest patches, and where a normal variable has it
_PATCH = 16  # pixels, their side
_FLOOR = 1e-4  # of the spectrum, relative to its mean
_MARGIN = 16  # pixels beyond the image, so that opposite borders do not meet: the taper is below 1e-6 there
_STEPS, _TOL = (7, 8), 5e-3  # of conjugate gradients without and with a preconditioner


class ResidualField:
    """A stationary random field on the pixels of an image, with covariance estimated from trusted entries.

    Parameters
    ----------
    residual : Tensor of shape (C, H, W)
    trust : Tensor of shape (C, H, W)
        Weights in [0, 1].
    noise : float
        Standard deviation of dense noise in the residual, taken off its covariance.

    Examples
    --------
    >>> row = torch.linspace(0, 20, 40).sin()
    >>> e = row[None, :, None] * row[None, None, :]
    >>> trust = torch.ones_like(e)
    >>> trust[0, 10, 10] = 0
    >>> field = ResidualField(e, trust)
    >>> prediction, _ = field.predict(e, trust)
    >>> bool((prediction - e)[0, 10, 10].abs() < 0.05)
    True
    """

    def __init__(self, residual: Tensor, trust: Tensor, noise: float = 0.0) -> None:
        self.shape = residual.shape[1:]
        self.padded = _padded(self.shape)
        power, axes = eigen(_spectrum(residual, trust, self.padded))
        power = power - noise**2
        power = power.clamp(min=_FLOOR * float(power.mean().clamp(min=1e-12)))
        self.nugget = max(NUGGET * float(power.mean()), noise**2)
        self.covariance = _matrices(power, axes)
        # (C⁻¹ + I/nugget)⁻¹
        self.if_all_trusted = _matrices(power * (self.nugget / (power + self.nugget)), axes)

    def _times(self, matrices: Tensor, v: Tensor) -> Tensor:
        V = torch.fft.rfft2(v, s=self.padded)
        product = matrices[:, 0] * V[0]
        for column, of_channel in zip(matrices.unbind(1)[1:], V[1:], strict=True):
            product.addcmul_(column, of_channel)  # a product of all at once takes twice as long
        return torch.fft.irfft2(product, s=self.padded)

    def _inside(self, v: Tensor) -> Tensor:
        return v[:, : self.shape[0], : self.shape[1]]

    def _in_margin(self, v: Tensor) -> Tensor:
        return F.pad(v, (0, self.padded[1] - self.shape[1], 0, self.padded[0] - self.shape[0]))

    def predict(self, residual: Tensor, trust: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The best linear prediction of the field from ``residual`` where ``trust`` is positive.

        Parameters
        ----------
        residual, trust : Tensor of shape (C, H, W)
        start : Tensor, optional
            The dual of a similar residual. None: not known.

        Returns
        -------
        prediction : Tensor of shape (C, H, W)
        dual : Tensor
            C⁻¹·prediction, beyond the image as well.
        """
        if start is None:
            root = trust.sqrt()

            def system(a: Tensor) -> Tensor:
                return torch.addcmul(self.nugget * a, root, self._inside(self._times(self.covariance, root * a)))

            a, _ = conjugate_gradients(system, root * residual, tol=_TOL, max_steps=_STEPS[0])
            start = self._in_margin(root * a)
        x = self._times(self.covariance, start)
        lack = (self._in_margin(trust) - 1) / self.nugget
        x, Mx = preconditioned(
            lambda v: lack * v, lambda v: self._times(self.if_all_trusted, v),
            self._in_margin(trust * residual) / self.nugget, (x, start + x / self.nugget), tol=_TOL,
            max_steps=_STEPS[1],
        )  # fmt: skip
        return self._inside(x), Mx - x / self.nugget


def _matrices(values: Tensor, axes: Tensor) -> Tensor:
    """Those with these eigenvalues and eigenvectors."""
    return ((axes * values)[:, None] * axes.conj()[None]).sum(2)


def dense_noise(residual: Tensor, trust: Tensor) -> float:
    """Standard deviation of the dense noise in ``residual``; 0 where there is none that stands out.

    Parameters
    ----------
    residual, trust : Tensor of shape (C, H, W)
    """
    padded = _padded(residual.shape[1:])
    spectrum = _spectrum(residual, trust, padded).real
    shape = spectrum.shape[2:]
    rows, columns = (torch.arange(n, device=spectrum.device) / m for n, m in zip(shape, padded, strict=True))
    fine = (torch.minimum(rows, 1 - rows)[:, None] > _FINE) & (columns > _FINE)
    # One matrix for all of them: the least of many estimated eigenvalues is too small.
    level = float(torch.linalg.eigvalsh(spectrum[:, :, fine].mean(2).cpu())[0])
    patch = min(_PATCH, *residual.shape[1:])
    weight = F.avg_pool2d(trust[None], patch)
    enough = weight > 0.1
    if not bool(enough.any()):
        return 0.0
    variances = F.avg_pool2d((trust * residual**2)[None], patch)[enough] / weight[enough]
    # The variance of n entries of white noise scatters by a factor 1 ± √(2/n).
    n = (weight[enough] * patch**2).clamp(min=8)
    quiet = _quantile(variances / (1 + _NORMAL * (2 / n).sqrt()), _QUIET)
    least = MOSTLY_NOISE[len(residual) > 1] * float(spectrum.diagonal().mean())
    return math.sqrt(level) if min(level, quiet) > max(LEAST_NOISE**2, least) else 0.0


def _quantile(values: Tensor, share: float) -> float:
    """Of any number of values: torch's own refuses many."""
    values = values.flatten()
    return float(values.kthvalue(max(round(share * len(values)), 1)).values)


def _padded(shape: Sequence[int]) -> list[int]:
    """Lengths at which fast Fourier transforms are quick and opposite borders do not meet."""
    return [next_fast_len(n + _MARGIN, real=True) for n in shape]


def _spectrum(residual: Tensor, trust: Tensor, padded: list[int]) -> Tensor:
    """Of the field's tapered covariance, shape (C, C, ...): a Hermitian matrix for each frequency."""
    C = len(residual)
    first, second = torch.triu_indices(C, C, device=residual.device)
    covariance = _autocovariance(residual * trust, trust, padded, first, second) * _taper(residual, padded)
    upper = torch.fft.rfft2(covariance)
    spectrum = upper.new_empty(C, C, *upper.shape[1:])
    spectrum[first, second], spectrum[second, first] = upper, upper.conj()
    return spectrum


def _autocovariance(e: Tensor, w: Tensor, padded: list[int], first: Tensor, second: Tensor) -> Tensor:
    """Σ w·e·e' / Σ w·w' for each displacement, and each pair of a first and a second channel."""
    E, W = (torch.fft.rfft2(v, s=padded) for v in (e, w))
    products = torch.fft.irfft2(E[first].conj() * E[second], s=padded)
    counts = torch.fft.irfft2(W[first].conj() * W[second], s=padded)
    return torch.where(counts > 0.5, products / counts.clamp(min=0.5), 0.0)


def _taper(like: Tensor, padded: list[int]) -> Tensor:
    steps = [torch.arange(n, device=like.device, dtype=like.dtype) for n in padded]
    rows, columns = (torch.minimum(d, n - d) for d, n in zip(steps, padded, strict=True))
    return torch.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / (2 * RADIUS**2))


def held_out(
    residual: Tensor, trusts: Sequence[Tensor], good: Tensor, *, folds: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Predict each entry of the field from the trusted entries of the other folds only.

    An entry that is not trusted is predicted as well, from one of the same subsets.

    Parameters
    ----------
    residual : Tensor of shape (C, H, W)
    trusts : sequence of Tensors of shape (C, H, W)
        That one is taken by which the first fold is foretold best.
    good : Tensor of shape (C, H, W)
        Weight of each entry's error in that.
    folds : int
        Number of random subsets that are held out in turn.
    generator : torch.Generator
        Draws the folds.

    Returns
    -------
    prediction, trust : Tensor of shape (C, H, W)
    """
    fold = torch.randint(folds, residual.shape, generator=generator).to(residual.device)
    prediction, chosen = torch.zeros_like(residual), torch.zeros_like(residual)
    for some in _groups(residual):
        e, out = residual[some], fold[some] == 0
        tried = []
        for number, candidate in enumerate(trusts):
            trust = candidate[some]
            field = ResidualField(e, trust)
            foretold, _ = field.predict(e, trust * ~out)
            misfit = float((good[some] * (e - foretold) ** 2 * out).sum())
            tried.append((misfit * PREFERENCE**number, number, trust, field, foretold))
        _, _, trust, field, foretold = min(tried)
        chosen[some], prediction[some] = trust, foretold * out
        for k in range(1, folds):
            out = fold[some] == k
            foretold, _ = field.predict(e, trust * ~out)
            prediction[some] += foretold * out
    return prediction, chosen


def predicted(
    residual: Tensor, trust: Tensor, good: Tensor, noise: Tensor, start: Sequence[Tensor] | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Predict each entry of the field from all trusted entries.

    Parameters
    ----------
    residual, trust : Tensor of shape (C, H, W)
    good : Tensor of shape (C, H, W)
        P(inlier). Where there is dense noise the field's covariance is estimated with these weights: trust is less
        for entries that are far off, which makes the field and its noise look smaller than they are.
    noise : Tensor of shape (C,)
        Standard deviation of dense noise (:func:`noise_of`). Where it is not zero it is left out of the prediction of
        trusted entries; elsewhere they are predicted as they are.
    start : sequence of Tensors, optional
        What came beside the prediction for a similar residual with the same trust.

    Returns
    -------
    prediction : Tensor of shape (C, H, W)
    dual : list of Tensors
    """
    prediction, dual = torch.zeros_like(residual), []
    for k, some in enumerate(_groups(residual)):
        e, w = residual[some], trust[some]
        level = float(noise[some].max())
        field = ResidualField(e, good[some] if level > 0 else w, level)
        prediction[some], of_group = field.predict(e, w, None if start is None else start[k])
        dual.append(of_group)
    return prediction, dual


def noise_of(y: Tensor, network: Tensor, good: Tensor) -> Tensor:
    """Standard deviation of the dense noise in each channel of y, shape (C,).

    Parameters
    ----------
    y, network : Tensor of shape (C, H, W)
        Observation and closest fit, in [0, 1]: the less of the picture is missed, the more its noise stands out.
    good : Tensor of shape (C, H, W)
        P(inlier): the weights with which the mean square has no bias.
    """
    unclipped = good * ((network > UNCLIPPED[0]) & (network < UNCLIPPED[1]))
    noise = y.new_zeros(len(y))
    for some in _groups(y):
        noise[some] = dense_noise((y - network)[some], unclipped[some])
    return noise


def _groups(residual: Tensor) -> list[slice]:
    """Neighbouring channels that are predicted together."""
    return [slice(first, first + TOGETHER) for first in range(0, len(residual), TOGETHER)]
