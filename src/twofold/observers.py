"""Observers: functions that are shown each record of a run. The core itself never prints."""

from __future__ import annotations

import sys
from typing import TextIO

from twofold.history import Observer, Record


class TextObserver:
    """Write a line of text for every ``every``-th step.

    Parameters
    ----------
    every : int
        1 writes every step.
    stream : file, optional
        Where to write; None: standard error as it is at the time of writing.

    Examples
    --------
    >>> import sys
    >>> observer = TextObserver(every=10, stream=sys.stdout)
    >>> observer(Record("identify", step=10, n_steps=60, residual=0.25, outlier_fraction=0.1, seconds=0.5))
    identify 10/60: residual 2.50e-01, outliers 10.0%, 0.5 s
    """

    def __init__(self, every: int = 1, stream: TextIO | None = None) -> None:
        if every < 1:
            raise ValueError(f"every={every!r}: a positive integer is accepted")
        self.every = every
        self.stream = stream

    def __call__(self, record: Record) -> None:
        if record.step % self.every == 0:
            stream = self.stream if self.stream is not None else sys.stderr
            stream.write(
                f"{record.act} {record.step}/{record.n_steps}: residual {record.residual:.2e}, "
                f"outliers {100 * record.outlier_fraction:.1f}%, {record.seconds:.1f} s\n"
            )


def from_verbosity(verbose: int) -> Observer | None:
    """Observer for scikit-learn's ``verbose``: 0 none, 1 every tenth step, 2 every step."""
    if verbose <= 0:
        return None
    return TextObserver(every=10 if verbose == 1 else 1)
