"""What happened during a run: one record a step, kept as a typed history and shown to observers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Record:
    """A read-only snapshot of one step.

    Attributes
    ----------
    act : str
        ``"identify"``, ``"polish"``, ``"certify"`` or ``"descent"``.
    step : int
        Steps done in this act, from 1.
    n_steps : int
        The most steps that this act may take.
    residual : float
        ‖y − A(x) − s‖ / ‖y‖ over what was observed (images: root mean square in units of the value range).
    outlier_fraction : float
        Share of the observed entries that are taken for outliers at this step (nan where not known yet).
    seconds : float
        Since the run began.
    """

    act: str
    step: int
    n_steps: int
    residual: float
    outlier_fraction: float
    seconds: float


Observer = Callable[[Record], None]


@dataclass
class History:
    """The records of a run in order. Iterable; ``len`` is the number of records.

    Examples
    --------
    >>> history = History()
    >>> history.add("polish", step=1, n_steps=10, residual=0.5, outlier_fraction=0.1)
    >>> len(history), history.records[0].act, history.acts
    (1, 'polish', ['polish'])
    """

    observer: Observer | None = field(default=None, repr=False, compare=False)
    records: list[Record] = field(default_factory=list)
    started: float = field(default_factory=perf_counter, repr=False, compare=False)

    def add(self, act: str, step: int, n_steps: int, residual: float, outlier_fraction: float) -> None:
        """Append a record and show it to the observer."""
        record = Record(act, step, n_steps, residual, outlier_fraction, perf_counter() - self.started)
        self.records.append(record)
        if self.observer is not None:
            self.observer(record)

    @property
    def acts(self) -> list[str]:
        """Names of the acts in the order in which they began."""
        return list(dict.fromkeys(record.act for record in self.records))

    def n_steps(self, act: str) -> int:
        """Steps recorded for one act."""
        return sum(record.act == act for record in self.records)

    @property
    def seconds(self) -> float:
        """Seconds from the start to the last record."""
        return self.records[-1].seconds if self.records else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self.started

    def state(self) -> dict[str, Tensor]:
        """The records as two arrays of numbers, for a checkpoint."""
        import torch

        acts = self.acts
        rows = [
            (acts.index(r.act), r.step, r.n_steps, r.residual, r.outlier_fraction, r.seconds) for r in self.records
        ]
        names = torch.frombuffer(bytearray("\n".join(acts).encode() or b"\n"), dtype=torch.uint8)
        return {"records": torch.tensor(rows, dtype=torch.float64).reshape(-1, 6), "acts": names}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the records of a checkpoint; the clock goes on from the last one."""
        acts = bytes(state["acts"].tolist()).decode().split("\n")
        self.records = [
            Record(acts[int(row[0])], int(row[1]), int(row[2]), *row[3:]) for row in state["records"].tolist()
        ]
        self.started = perf_counter() - self.seconds

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def __getstate__(self) -> dict[str, object]:
        # An observer holds a terminal or a progress bar: results are pickled without it.
        return {"observer": None, "records": self.records, "started": self.started}
