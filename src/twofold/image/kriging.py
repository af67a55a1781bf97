"""Kriging: the best linear prediction of what the network misses, from the entries that are trusted.

The residual e = x − f(theta) of a network that has been fitted for a few dozen steps is nearly a stationary random
field: what is left are edges and texture, strongly correlated between neighbours and, above all, between colour
channels. Its covariance is estimated from the trusted entries, and the field is predicted everywhere from them:

    C(d) = masked autocovariance at the displacement d, tapered by exp(−‖d‖²/2·radius²), made positive
    ê    = C·√w·a,     (√w·C·√w + noise·I)·a = √w·e        (conjugate gradients; C·v by fast Fourier transforms)

A trust w < 1 stands for an observation whose noise variance is noise/w. Statisticians call it regression kriging.

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

from twofold.conjugate import conjugate_gradients
from twofold.image.hermitian import eigen

RADIUS = 3.0  # of the covariance taper, pixels
NOISE = 1e-2  # variance relative to the field's: keeps the system well conditioned
TOGETHER = 4  # channels at most whose common covariance is used: its size grows with their square
LEAST_NOISE = 7 / 255  # standard deviation; cameras' and scanners' own noise is less, and part of the picture
MOSTLY_NOISE = (0.6, 0.25)  # share of the residual's variance from which on noise is taken off, in one and in several
# channels; less might be fine texture, which channels share
UNCLIPPED = (0.1, 0.9)  # where noise reaches neither end of the value range
_FINE = 0.25  # cycles per pixel, along rows and columns, from which on a frequency is fine
_QUIET, _NORMAL = 0.05, -1.645  # quantile of the quietest patches, and where a normal variable has it
_PATCH = 16  # pixels, their side
_FLOOR = 1e-4  # of the spectrum, relative to its mean
_MARGIN = 16  # pixels beyond the image, so that opposite borders do not meet: the taper is below 1e-6 there
_MAX_ITER, _TOL = 30, 5e-3
_AGAIN = 12  # steps from a start


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
        self.noise = noise
        power, axes = eigen(_spectrum(residual, trust, self.padded))
        power = power - noise**2
        power = power.clamp(min=_FLOOR * float(power.mean().clamp(min=1e-12)))
        self.spectrum = ((axes * power)[:, None] * axes.conj()[None]).sum(2)
        self.variance = float(power.mean())

    def _covariance_times(self, v: Tensor) -> Tensor:
        V = torch.fft.rfft2(v, s=self.padded)
        product = self.spectrum[:, 0] * V[0]
        for column, of_channel in zip(self.spectrum.unbind(1)[1:], V[1:], strict=True):
            product.addcmul_(column, of_channel)  # a product of all at once takes twice as long
        return torch.fft.irfft2(product, s=self.padded)[:, : self.shape[0], : self.shape[1]]

    def predict(self, residual: Tensor, trust: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The best linear prediction of the field from ``residual`` where ``trust`` is positive.

        Parameters
        ----------
        residual, trust : Tensor of shape (C, H, W)
        start : Tensor of shape (C, H, W), optional
            a of a similar residual, from which the conjugate gradients start. None: zero.

        Returns
        -------
        prediction, a : Tensor of shape (C, H, W)
        """
        nugget = max(NOISE * self.variance, self.noise**2)
        root = trust.sqrt()

        def system(a: Tensor) -> Tensor:
            return torch.addcmul(nugget * a, root, self._covariance_times(root * a))

        steps = _MAX_ITER if start is None else _AGAIN
        a, _ = conjugate_gradients(system, root * residual, tol=_TOL, max_steps=steps, start=start)
        return self._covariance_times(root * a), a


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
    covariance = _autocovariance(residual * trust, trust, padded) * _taper(residual, padded)
    spectrum = torch.fft.rfft2(covariance)
    return (spectrum + spectrum.transpose(0, 1).conj()) / 2


def _autocovariance(e: Tensor, w: Tensor, padded: list[int]) -> Tensor:
    """Σ w·e·e' / Σ w·w' for each displacement and pair of channels."""
    E, W = (torch.fft.rfft2(v, s=padded) for v in (e, w))
    products = torch.fft.irfft2(E[:, None].conj() * E[None], s=padded)
    counts = torch.fft.irfft2(W[:, None].conj() * W[None], s=padded)
    return torch.where(counts > 0.5, products / counts.clamp(min=0.5), 0.0)


def _taper(like: Tensor, padded: list[int]) -> Tensor:
    steps = [torch.arange(n, device=like.device, dtype=like.dtype) for n in padded]
    rows, columns = (torch.minimum(d, n - d) for d, n in zip(steps, padded, strict=True))
    return torch.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / (2 * RADIUS**2))


def held_out(residual: Tensor, trust: Tensor, *, folds: int, generator: torch.Generator) -> Tensor:
    """Predict each entry of the field from the trusted entries of the other folds only.

    An entry that is not trusted is predicted as well, from one of the same subsets.

    Parameters
    ----------
    residual, trust : Tensor of shape (C, H, W)
    folds : int
        Number of random subsets that are held out in turn.
    generator : torch.Generator
        Draws the folds.

    Returns
    -------
    Tensor of shape (C, H, W)
    """
    fold = torch.randint(folds, residual.shape, generator=generator).to(residual.device)
    prediction = torch.zeros_like(residual)
    for some in _groups(residual):
        field = ResidualField(residual[some], trust[some])
        for k in range(folds):
            out = fold[some] == k
            foretold, _ = field.predict(residual[some], trust[some] * ~out)
            prediction[some] += torch.where(out, foretold, 0.0)
    return prediction


def predicted(residual: Tensor, trust: Tensor, noise: Tensor, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Predict each entry of the field from all trusted entries.

    Parameters
    ----------
    residual, trust : Tensor of shape (C, H, W)
    noise : Tensor of shape (C,)
        Standard deviation of dense noise (:func:`noise_of`). Where it is not zero it is left out of the prediction of
        trusted entries; elsewhere they are predicted as they are.
    start : Tensor of shape (C, H, W), optional
        a of a similar residual with the same trust.

    Returns
    -------
    prediction, a : Tensor of shape (C, H, W)
    """
    prediction, dual = torch.zeros_like(residual), torch.zeros_like(residual)
    for some in _groups(residual):
        e, w = residual[some], trust[some]
        field = ResidualField(e, w, float(noise[some].max()))
        prediction[some], dual[some] = field.predict(e, w, None if start is None else start[some])
    return prediction, dual


def noise_of(y: Tensor, network: Tensor, trust: Tensor) -> Tensor:
    """Standard deviation of the dense noise in each channel of y, shape (C,).

    Parameters
    ----------
    y, network, trust : Tensor of shape (C, H, W)
        Observation and closest fit, in [0, 1]: the less of the picture is missed, the more its noise stands out.
    """
    unclipped = trust * ((network > UNCLIPPED[0]) & (network < UNCLIPPED[1]))
    noise = y.new_zeros(len(y))
    for some in _groups(y):
        noise[some] = dense_noise((y - network)[some], unclipped[some])
    return noise


def _groups(residual: Tensor) -> list[slice]:
    """Neighbouring channels that are predicted together."""
    return [slice(first, first + TOGETHER) for first in range(0, len(residual), TOGETHER)]
