"""How a run ended: a status that states the cause and what to try."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """The outcome of a run.

    Attributes
    ----------
    code : str
        A short fixed word to test in programs, e.g. ``"certified"``, ``"recovered"``, ``"max_iter"``.
    success : bool
        Whether the result can be used as what was asked for.
    cause : str
        One sentence: why the run ended as it did.
    remedy : str
        What to try, empty where nothing needs to be done.

    Examples
    --------
    >>> status = Status("max_iter", False, "1000 steps were not enough.", "Raise max_iter.")
    >>> print(status)
    max_iter: 1000 steps were not enough. Raise max_iter.
    """

    code: str
    success: bool
    cause: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.cause} {self.remedy}".rstrip()


class RecoveryError(RuntimeError):
    """Raised for a run without success when ``raise_on_failure=True``; ``.status`` says why."""

    def __init__(self, status: Status) -> None:
        super().__init__(str(status))
        self.status = status
