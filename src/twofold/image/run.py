"""One recovery, its arguments checked: tile by tile both acts for each network, then one decision for all of them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor

from twofold.history import History
from twofold.image.checkpoint import Checkpoint, State, digest, part, prefixed
from twofold.image.fitting import NetworkFit, decided_outliers, shared_steps
from twofold.image.overlays import overlays
from twofold.image.pace import LEAST_STEPS, Pace
from twofold.image.pixels import Pixels
from twofold.image.polish import Restored
from twofold.image.presets import Preset
from twofold.image.published import PublishedFit
from twofold.image.scattered import scattered
from twofold.image.through import Measured
from twofold.image.tiles import Canvas, Tile, tiles_of
from twofold.image.withheld import still_gains, withheld_entries
from twofold.outliers import Polarity
from twofold.problem import Problem
from twofold.solution import ImageSolution
from twofold.status import Status

Group = Literal["entry", "pixel"]

_IMPLAUSIBLE = 0.85  # more outliers than this and the decision is not to be trusted


@dataclass
class Run:
    """What :func:`twofold.recover_image` was asked for."""

    pixels: Pixels | Measured
    preset: Preset
    polarity: Polarity
    group: Group
    alpha: float
    steps: int | None
    seed: int
    tile: int | None
    history: History
    checkpoint: Checkpoint | None = None
    time_limit: float | None = None
    pace: Pace | None = None

    @property
    def tiles(self) -> list[Tile]:
        """Those that the image is cut into; through an operator it is in one piece."""
        height, width = self.pixels.values.shape[1:]
        if isinstance(self.pixels, Measured) or (self.preset.published and self.tile is None):
            return [Tile(slice(0, height), slice(0, width))]
        return tiles_of(height, width, self.tile)

    @property
    def n_pixels(self) -> int:
        """Of the image that is looked for."""
        _, height, width = self.pixels.values.shape if isinstance(self.pixels, Pixels) else self.pixels.signal_shape
        return height * width

    def problem(self, tile: Tile) -> Problem:
        """The observation within a tile."""
        values, observed = self.pixels.values, self.pixels.observed
        if isinstance(self.pixels, Measured):
            return Problem(values, observed, self.pixels.operator)
        return Problem(tile.of(values), None if observed is None else tile.of(observed))

    def limit(self, seconds: float, checkpoint: object) -> None:
        """Plan for a time limit.

        Raises
        ------
        ValueError
            If it is no positive number, too short, or does not go with the other arguments.
        """
        if isinstance(seconds, bool) or not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"time_limit={seconds!r}: a positive number of seconds is accepted")
        published = self.preset.name if self.preset.published else None
        for name, value in (("steps", self.steps), ("checkpoint", checkpoint), ("preset", published)):
            if value is not None:
                raise ValueError(
                    f"time_limit={seconds!r}: not accepted with {name}={value!r}: the steps follow from it"
                )
        tiles = self.tiles
        self.time_limit, self.pace = seconds, Pace.of(self.problem(tiles[0]), self.preset, self.n_pixels)
        least = len(tiles) * self.pace.least_seconds(self.preset) + self.history.elapsed
        if least > seconds:
            raise ValueError(f"time_limit={seconds!r}: about {least:.0f} s or more are accepted for this image here")

    def _plan(self, tiles_left: int) -> None:
        """How many steps the next tile gets, from the time that is left."""
        if self.time_limit is not None and self.pace is not None:
            left = (self.time_limit - self.history.elapsed) / tiles_left
            least = LEAST_STEPS * self.preset.n_networks
            self.steps = max(self.pace.steps_within(left, self.preset), least)

    def solve(self) -> ImageSolution:
        """Tile by tile, both acts for each network; then one decision for all of them."""
        y = self.pixels.values
        if isinstance(self.pixels, Pixels) and self.pixels.high == self.pixels.low:
            zero = torch.zeros_like(y)
            return self._solution(y, zero, Status("recovered", True, "The image is constant."), error=zero)
        tiles, canvas, first = self.tiles, Canvas(y), 0
        state = None if self.checkpoint is None else self.checkpoint.state
        if state is not None:
            self.history.restore(part("history", state))
            canvas.restore(part("canvas", state))
            first = int(state["tile"])
        for number in range(first, len(tiles)):
            self._plan(len(tiles) - number)
            place = {"tile": torch.tensor(number), **prefixed("canvas", canvas.state())}
            found = self._recovered(self.problem(tiles[number]), state, place)
            state = None
            if found is None:
                nothing = y.new_zeros(self.pixels.signal_shape) if isinstance(self.pixels, Measured) else y
                return self._solution(nothing, torch.zeros_like(y), _DIVERGED)
            if isinstance(self.pixels, Measured):
                return self._finished(found)
            canvas.add(tiles[number], found)
        return self._finished(canvas.blended())

    def _recovered(self, problem: Problem, state: State | None, place: State) -> Restored | None:
        """One tile, recovered; None: diverged.

        ``state`` is where a former run was cut off in this tile, ``place`` what else a checkpoint has to hold.
        """
        y, grouped = problem.values, self.group == "pixel"
        C, H, W = y.shape if isinstance(self.pixels, Pixels) else self.pixels.signal_shape
        shape = (C, H, W)
        if self.preset.published:
            published = PublishedFit(
                problem, shape, self.preset, self.polarity, self.alpha, self.steps, self.seed, self.history
            )
            if state is not None:
                published.restore(part("fit", state))
            found = published.run(partial(self._write, published, place))
            return None if found is None else Restored(*found, torch.full_like(found[0], torch.nan), 0.0)
        overlay, impulses, withheld = None, None, None
        if problem.operator is None:
            impulses, withheld = scattered(y, problem.observed), withheld_entries(y, self.seed)
            overlay = overlays(y, ~impulses if problem.observed is None else problem.observed & ~impulses)
        n_networks, steps = shared_steps(self.preset, self.steps, H * W, self.n_pixels)
        done = {name: y.new_empty(0, *shape) for name in ("x", "first")}
        done |= {name: y.new_empty(0, *y.shape) for name in ("P", "trust")}
        if state is not None:
            done = {name: state[name].to(y) for name in done}
            overlay = state["overlay"].to(y.device) if "overlay" in state else None
        for k in range(len(done["x"]), n_networks):
            if withheld is not None and not still_gains(done["x"], y, 1 - done["P"].mean(0), withheld):
                break
            fit = NetworkFit(
                problem, self.preset, self.polarity, grouped, self.alpha, steps, self.seed + 1000 * k,
                self.history, shape, overlay, impulses, withheld,
            )  # fmt: skip
            if state is not None:
                fit.restore(part("fit", state))
                state = None
            drawn = {} if overlay is None else {"overlay": overlay.clone()}  # no two tensors of a file may be one
            fitted = fit.run(partial(self._write, fit, {**place, **done, **drawn}))
            if fitted is None:
                return None
            overlay = fit.overlay
            decided = fitted.outliers
            new = {
                "x": fitted.x, "first": fitted.first, "P": decided.probability, "trust": decided.trust,
            }  # fmt: skip
            done = {name: torch.cat([done[name], new[name][None]]) for name in done}
        mean = {name: each.mean(0) for name, each in done.items()}
        final = decided_outliers(
            problem, mean["P"], self.polarity, grouped, self.seed, overlay, impulses, withheld,
            trust=mean["trust"],
        )  # fmt: skip
        return final.settled(mean["x"], mean["first"], self.preset.final_revisions)

    def _write(self, fit: NetworkFit | PublishedFit, finished: State) -> None:
        """The state, if there is a file for it and it is time."""
        if self.checkpoint is not None and self.checkpoint.is_due:
            history, unfinished = prefixed("history", self.history.state()), prefixed("fit", fit.state())
            self.checkpoint.write({**finished, **history, **unfinished})

    @property
    def settings(self) -> dict[str, Any]:
        """Every constant that determines the answer."""
        return {
            **asdict(self.preset), "alpha": self.alpha, "polarity": self.polarity, "group": self.group,
            "steps": self.steps, "tile": self.tile, "time_limit": self.time_limit, "seed": self.seed,
            "device": str(self.pixels.values.device), "low": self.pixels.low, "high": self.pixels.high,
        }  # fmt: skip

    @property
    def determined_by(self) -> dict[str, Any]:
        """What has to be the same for a run to go on to the same bits."""
        return {
            **self.settings, "image": digest(self.pixels.values, self.pixels.observed),
            "threads": torch.get_num_threads(), "torch": torch.__version__, "twofold": version("twofold"),
        }  # fmt: skip

    def _finished(self, found: Restored) -> ImageSolution:
        squared = found.squared_error
        error = None if bool(squared.isnan().any()) else squared.clamp(min=0).sqrt()
        return self._solution(
            found.image.clamp(0, 1), found.probability, self._judge(found.probability), found.noise, error
        )

    def _judge(self, probability: Tensor) -> Status:
        outlier = doubtful = probability > 0.5
        if isinstance(self.pixels, Pixels):
            # Of a scattered value there may be any number.
            doubtful = outlier & ~scattered(self.pixels.values, self.pixels.observed)
        share = float(outlier.float().mean())
        if float(doubtful.float().mean()) > _IMPLAUSIBLE:
            return Status(
                "implausible", False,
                f"{share:.0%} of the entries were taken for outliers, more than can be told apart from the image.",
                'Mark known bad pixels in `mask`, set `polarity` if it is known, or try preset="best".',
            )  # fmt: skip
        return Status("recovered", True, f"{share:.2%} of the entries were taken for outliers and replaced.")

    def _solution(
        self, x: Tensor, probability: Tensor, status: Status, noise: float = 0.0, error: Tensor | None = None
    ) -> ImageSolution:
        image, outlier = self.pixels.image_from(x), probability > 0.5
        span = self.pixels.high - self.pixels.low
        if isinstance(self.pixels, Measured):
            outliers = self.pixels.outliers_from(x, outlier)
        else:
            outliers = self.pixels.outliers_from(image, outlier)
        return ImageSolution(
            image=image,
            outliers=outliers,
            outlier_probability=self.pixels.map_from(probability),
            expected_error=None if error is None else self.pixels.map_from(error) * span,
            noise=noise * span,
            status=status,
            history=self.history,
            seconds=perf_counter() - self.history.started,
            n_steps=sum(record.step > 0 for record in self.history),
            settings=self.settings,
        )


_DIVERGED = Status(
    "diverged", False, "The descent left the range of finite numbers.", "Lower alpha, or try another seed."
)
