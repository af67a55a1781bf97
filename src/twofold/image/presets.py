"""Presets: every constant of image recovery, by name."""

from __future__ import annotations

from dataclasses import dataclass

LARGE = 512 * 512
"""Pixels of an image that a preset's time is meant for."""


@dataclass(frozen=True)
class Preset:
    """The constants of a run. Intensities are in units of the value range, [0, 1].

    Attributes
    ----------
    name : str
    published : bool
        Exactly as in the paper, :mod:`twofold.image.published`: no acts, ``identify_steps`` steps.
    width, skip, scales, n_in, shrink : int
        Of the network, see :class:`twofold.models.hourglass.SkipNetwork`.
    n_networks, n_small : int
        Networks of different seeds whose outputs are averaged, at the most: of an image of LARGE pixels or more, and
        of small ones, which take less time and gain more (``networks_for``).
    identify_steps, polish_steps : int
        The most steps of act 1; the steps of act 2.
    revisions : int
        How often act 2 decides anew who is an outlier while the network is being fitted.
    final_revisions : int
        The same once the network stands still.
    learning_rate : float
        Of Adam, at its highest, for networks of width 32 or less; wider ones take less (``rate``).
    warm_up : float
        Share of act 1 during which the learning rate rises.
    smoothing : float
        Weight of total variation for a network of width 32; wider ones need more of it (``total_variation``).
    delta : float
        Residuals beyond it pull no harder: the turning point of the Huber loss.
    outlier_rate : float
        Outliers move at alpha·outlier_rate times ``learning_rate``, whatever the width.
    beta : float
        Start scale of the outliers: 2·gamma², gamma the start of g and h.
    stable_change, stable_window : float, int
        Act 1 ends when less than this share of the entries changed sides within so many steps, and no more of them
        are missed by more than ``delta``.
    """

    name: str
    published: bool = False
    width: int = 32
    skip: int = 16
    scales: int = 5
    n_in: int = 32
    shrink: int = 1
    n_networks: int = 1
    n_small: int = 1
    identify_steps: int = 100
    polish_steps: int = 120
    revisions: int = 4
    final_revisions: int = 3
    learning_rate: float = 0.02
    warm_up: float = 0.25
    smoothing: float = 0.01
    delta: float = 0.1
    outlier_rate: float = 0.003
    beta: float = 2e-4
    stable_change: float = 2e-3
    stable_window: int = 10

    @property
    def rate(self) -> float:
        """Adam's learning rate at this width.

        Adam moves every weight by the rate, and the weights of a wide network start smaller, as 1/√width: the same
        rate turns it further. Measured on networks of width 64 and 128.

        >>> [round(PRESETS["balanced"].learning_rate / Preset("wide", width=w).rate, 1) for w in (16, 32, 128)]
        [1.0, 1.0, 2.0]
        """
        return self.learning_rate * min(1.0, 32 / self.width) ** 0.5

    @property
    def total_variation(self) -> float:
        """Its weight beside the Huber loss, whose pull is at most 1 per entry.

        A wider network follows what it sees faster than the picture around it; with this power, measured for widths
        from 16 to 128, the result is no worse for it.
        """
        return self.smoothing * (self.width / 32) ** 1.5

    def networks_for(self, n_pixels: int) -> int:
        """How many networks an image of so many pixels gets in the time of one of LARGE pixels.

        >>> [PRESETS["balanced"].networks_for(side**2) for side in (128, 256, 362, 512, 4096)]
        [2, 2, 2, 1, 1]
        """
        return max(self.n_networks, min(self.n_small, round(self.n_networks * LARGE / n_pixels)))


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("fast", shrink=2, identify_steps=100, polish_steps=60, revisions=3),
        Preset("balanced", n_small=2),
        Preset("best", n_networks=3, n_small=6),
        Preset("paper", published=True, width=128, skip=4, identify_steps=150_000, polish_steps=0, learning_rate=1.0),
    )
}
