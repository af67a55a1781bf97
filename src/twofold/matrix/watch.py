"""When a polish ends: what both polishes, of a matrix and behind an operator, remember from step to step."""

from __future__ import annotations

from typing import Literal

REOPEN = 30.0
"""Before a fit counts as exact that is not beyond doubt, the threshold is opened this far once more: whoever comes in
then was no outlier."""

MAX_REOPENINGS = 3
"""After so many openings that each changed the inliers the fit counts as unsettled."""

PATIENCE = 8
"""Steps without progress before a plateau is called."""

Stop = Literal["exact", "plateau", "unsettled", "collapsed", "max_iter"]
"""exact: the inliers' residual is at the tolerance, and opening the threshold brings nobody back; plateau: it stopped
improving above the tolerance; unsettled: it is at the tolerance, but only because ever other entries are left out;
collapsed: fewer entries were kept than the fit has degrees of freedom, or it diverged."""


class Watch:
    """Judges a polish step by step."""

    def __init__(self) -> None:
        self._best, self._since_best = float("inf"), 0
        self._kept_when_exact = [-1]

    def at_tolerance(self, n_kept: int, beyond_doubt: bool) -> Stop | None:
        """Whether a residual at the tolerance ends the polish; None: open the threshold first."""
        if beyond_doubt or n_kept == self._kept_when_exact[-1]:
            return "exact"
        if len(self._kept_when_exact) > MAX_REOPENINGS:
            return "unsettled"
        self._kept_when_exact.append(n_kept)
        return None

    def has_stalled(self, median: float, threshold: float, floor: float) -> bool:
        """Whether the median residual stopped falling and the threshold is down at its floor."""
        self._since_best = 0 if median < 0.98 * self._best else self._since_best + 1
        self._best = min(self._best, median)
        return self._since_best >= PATIENCE and threshold <= 1.01 * floor * median
