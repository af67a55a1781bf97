"""``twofold benchmark``: what is claimed about accuracy and speed, to be repeated by anyone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.benchmarks import GROUPS, NAMES
from twofold.cli.options import Json, check_device
from twofold.cli.parts import check_data, check_names, kept_when_stopped, note_kept
from twofold.cli.terminal import CommandError, complain, say, say_json

if TYPE_CHECKING:
    from twofold.benchmarks.cases import Benchmark, Choice
    from twofold.benchmarks.results import Results
    from twofold.benchmarks.runner import Outcome


def benchmark(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help=f"{', '.join(NAMES)}; default: all.", show_default=False),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for result files, tables and figures; results found there "
            "are kept, and what is missing is measured.",
        ),
    ] = Path("twofold-benchmark"),
    only: Annotated[
        str | None,
        typer.Option(
            "--only",
            metavar="GROUP,...",
            help="Which groups of cases; default: all. "
            + " ".join(f"{name}: {', '.join(groups)}." for name, groups in GROUPS.items()),
            show_default=False,
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs",
            metavar="N",
            min=1,
            help="Rounds; the median is reported. Default: 3 for matrix, 1 for image.",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A small version of each group: two minutes a benchmark.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            envvar="TWOFOLD_DATA",
            show_envvar=True,
            show_default=False,
            help="Folder with video/shop.avi, video/highway.avi, and images/NAME.png for F16, Peppers, Baboon, "
            "kodim03; what is not there is skipped.",
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            metavar="D",
            help="Where networks are fitted: cpu, cuda, cuda:1 ...; image only. Default: on the processor.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Measure anew what is chosen, though results of it are there.")
    ] = False,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="Go on with results of another machine or other versions; the tables tell."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure accuracy, time and memory beside other packages, on data with known answers.

    The whole takes three hours (matrix) and six (image) on two cores. Every finished case is stored in DIR/NAME.json
    at once: the same command goes on where it was stopped. DIR/NAME.md and DIR/NAME_*.png are made from that file.

    Peers that are not installed are listed as such: pip install twofold[bench] brings them. Failures of solvers are
    results and stay in the table; the exit status is 1 only if twofold itself broke off.
    """
    from twofold.benchmarks import load, tables
    from twofold.benchmarks.cases import Choice

    chosen = _names(names)
    check_data(data, "video/ and images/")
    groups = _groups(chosen, only)
    benchmarks = [load(name) for name in groups]
    _check_device(device, benchmarks)
    choices = [Choice(groups[bench.name], quick, data, device) for bench in benchmarks]
    opened = [_open(bench, choice, out, force, mixed) for bench, choice in zip(benchmarks, choices, strict=True)]
    said: dict[str, Any] = {}
    broke_off = False
    for bench, choice, results in zip(benchmarks, choices, opened, strict=True):
        outcome = _run(bench, choice, results, bench.runs if runs is None else runs)
        files = _write(bench, results, out)
        cases = [record for record in results.cases if record["group"] in choice.groups]
        cells = [record for record in results.cells if record["group"] in choice.groups]
        broke_off |= _broke_off(cases, cells)
        said[bench.name] = {
            "files": files, "measured": outcome.measured, "kept": outcome.kept, **results.header,
            "cases": [*cases, *outcome.absent], "cells": cells, "summary": bench.summary(cells),
        }  # fmt: skip
        if not as_json:
            say(tables.plain(bench, [*cases, *outcome.absent], cells))
            say("\n" + "\n".join(files))
    if as_json:
        say_json(said)
    if broke_off:
        raise typer.Exit(1)


def _names(names: list[str] | None) -> list[str]:
    check_names(names, NAMES, "benchmark")
    return list(dict.fromkeys(names or NAMES))


def _groups(names: list[str], only: str | None) -> dict[str, tuple[str, ...]]:
    """Benchmark → the groups of it that are to run; those with none are left out."""
    if only is None:
        return {name: GROUPS[name] for name in names}
    wanted = [group.strip() for group in only.split(",")]
    for group in wanted:
        if not any(group in GROUPS[name] for name in names):
            accepted = ", ".join(group for name in names for group in GROUPS[name])
            raise CommandError(f"--only {group!r}: no such group of {' or '.join(names)}; accepted are {accepted}")
    chosen = {name: tuple(group for group in wanted if group in GROUPS[name]) for name in names}
    return {name: groups for name, groups in chosen.items() if groups}


def _check_device(device: str | None, benchmarks: list[Benchmark]) -> None:
    for bench in benchmarks:
        if device is not None and not bench.devices:
            raise CommandError(f"--device {device}: the benchmark {bench.name} is of the processor; none is accepted")
    check_device(device)


def _open(bench: Benchmark, choice: Choice, out: Path, force: bool, mixed: bool) -> Results:
    """The result file to go on with, after all checks of what is to be written."""
    from twofold.benchmarks.results import describe, open_results
    from twofold.io.files import plan

    header = describe(bench.name, choice.quick, bench.packages, choice.device)
    targets = [
        out / f"{bench.name}{ending}" for ending in (".json", ".md", *(f"_{name}.png" for name in bench.figures))
    ]
    # Its own files: what of them is kept is said by the result file.
    plan(targets, force=True, new_folder=out)
    results = open_results(targets[0], header, force=force, groups=choice.groups, mixed=mixed)
    if force:
        results.write()
    return results


def _run(bench: Benchmark, choice: Choice, results: Results, runs: int) -> Outcome:
    from twofold.benchmarks.runner import run
    from twofold.cli.progress import PartsBar

    with kept_when_stopped(results), PartsBar(bench.name) as progress:
        outcome = run(bench, choice, results, runs=runs, observer=progress)
    note_kept(results, outcome.kept, outcome.kept + outcome.measured, "measures")
    return outcome


def _write(bench: Benchmark, results: Results, out: Path) -> list[str]:
    """The table and the figures of everything in the result file; their names, with the result file's."""
    from importlib.util import find_spec

    from twofold.benchmarks.tables import report
    from twofold.io.files import bytes_writer, write_together

    results.write()
    page = report(bench, results.header, results.cases, results.cells)
    jobs = [(out / f"{bench.name}.md", bytes_writer(page.encode()))]
    if find_spec("matplotlib") is None:
        complain("no figures are drawn without Matplotlib: pip install twofold[bench]", kind="note")
    else:
        from twofold.plots import figure_writer

        for name, draw in bench.figures.items():
            target = out / f"{bench.name}_{name}.png"
            if (figure := draw(results.cases, results.cells)) is not None:
                jobs.append((target, figure_writer(figure, target)))
    write_together(jobs, force=True)
    return [str(results.path), *(str(path) for path, _ in jobs)]


def _broke_off(cases: list[dict[str, Any]], cells: list[dict[str, Any]]) -> bool:
    """Whether an exception came out of twofold itself. A peer's is the peer's result."""
    rows = [row for case in cases for row in case["rows"]]
    return any(row["outcome"] == "error" and row["solver"].startswith("twofold") for row in rows) or any(
        cell["facts"].get("broken") for cell in cells
    )
