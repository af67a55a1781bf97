"""Result tables, for the terminal and in Markdown, made from the records of a result file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.benchmarks.cases import Benchmark, Record
from twofold.benchmarks.results import machine_line
from twofold.benchmarks.runner import PATIENCE, REPEATS, SHORT

Lines = list[list[str]]


def report(benchmark: Benchmark, header: Mapping[str, Any], cases: Sequence[Record], cells: Sequence[Record]) -> str:
    """Everything that was measured, as a Markdown page."""
    small = " (a small version, to see that all runs: not to be quoted)" if header["quick"] else ""
    parts = [
        f"# Benchmark: {benchmark.name}{small}",
        f"Made by `twofold benchmark {benchmark.name}`. Solvers take turns in each round; the median of the rounds "
        "is given, and how many times the first solver's it is. Judging an answer is not timed. A run of less than "
        f"{SHORT:g} s is done {REPEATS} times in its turn and its median taken; one of more than {PATIENCE:g} s is "
        "not repeated.",
        f"Machine: {machine_line(header['machine'])}.",
    ]
    for group, about in benchmark.groups.items():
        here = [record for record in cases if record["group"] == group]
        if here:
            heads, lines = table(benchmark, here)
            parts += [f"## {group}", f"{about} {_rounds(here)}", markdown(heads, lines), *skipped(here)]
            parts += elsewhere(here)
        counted = [record for record in cells if record["group"] == group]
        if counted:
            parts += [f"## {group}", about, *benchmark.summary(counted), *elsewhere(counted)]
    return "\n\n".join(parts) + "\n"


def plain(benchmark: Benchmark, cases: Sequence[Record], cells: Sequence[Record]) -> str:
    """The same for a terminal."""
    parts = []
    for group in benchmark.groups:
        here = [record for record in cases if record["group"] == group]
        if here:
            parts += [f"{benchmark.name}: {group}\n" + aligned(*table(benchmark, here)), *skipped(here)]
            parts += elsewhere(here)
        counted = [record for record in cells if record["group"] == group]
        if counted:
            parts += [f"{benchmark.name}: {group}", *benchmark.summary(counted), *elsewhere(counted)]
    return "\n\n".join(parts)


def table(benchmark: Benchmark, records: Sequence[Record]) -> tuple[list[str], Lines]:
    """Headings and lines: one a solver that was run, or failed, or is not installed. Empty columns are left out."""
    heads = ["case", "solver", "seconds", "times", *(column.heading for column in benchmark.columns), "result"]
    lines: Lines = []
    for record in records:
        name = record["name"]
        for row in record["rows"]:
            if row["outcome"] == "skipped":
                continue
            ratio = row["ratio"]
            lines.append(
                [
                    name,
                    row["solver"],
                    _seconds(row, record["settings"].get("runs", 1)),
                    "" if ratio is None else f"{ratio:.3g}×",
                    *(column.show(row) for column in benchmark.columns),
                    "ok" if row["outcome"] == "ok" else f"{row['outcome']}: {row['reason']}",
                ]
            )
            name = ""
    used = [index for index in range(len(heads)) if index < 2 or any(line[index] for line in lines)]
    return [heads[index] for index in used], [[line[index] for index in used] for line in lines]


def skipped(records: Sequence[Record]) -> list[str]:
    """Who was left out of which cases, and why: a line for each solver and reason."""
    cases: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for row in record["rows"]:
            if row["outcome"] == "skipped":
                cases.setdefault((row["solver"], row["reason"]), []).append(record["name"])
    if not cases:
        return []
    everything = len(records)
    lines = [
        f"- {solver}: {reason} ({'all cases' if len(names) == everything > 1 else ', '.join(names)})"
        for (solver, reason), names in cases.items()
    ]
    return ["Skipped:\n\n" + "\n".join(lines)]


def elsewhere(records: Sequence[Record]) -> list[str]:
    """What was measured on another machine or with other versions than the file's own: a line for each of them."""
    cases: dict[str, list[str]] = {}
    for record in records:
        if "machine" in record:
            cases.setdefault(machine_line(record["machine"]), []).append(record["name"])
    lines = [
        f"- {machine}: {'all cases' if len(names) == len(records) > 1 else ', '.join(names)}"
        for machine, names in cases.items()
    ]
    return ["On another machine:\n\n" + "\n".join(lines)] if lines else []


def markdown(heads: Sequence[str], lines: Lines) -> str:
    """A Markdown table.

    Examples
    --------
    >>> print(markdown(["n", "seconds"], [["10", "2.5"]]))
    | n | seconds |
    |---|---|
    | 10 | 2.5 |
    """
    rows = [list(heads), *lines]
    text = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([text[0], "|" + "---|" * len(heads), *text[1:]])


def aligned(heads: Sequence[str], lines: Lines) -> str:
    """A table in columns.

    Examples
    --------
    >>> print(aligned(["n", "seconds"], [["1000", "2.5"]]))
    n     seconds
    1000  2.5
    """
    rows = [list(heads), *lines]
    widths = [max(len(row[index]) for row in rows) for index in range(len(heads))]
    padded = [
        "  ".join(cell + " " * (width - len(cell)) for cell, width in zip(row, widths, strict=True)) for row in rows
    ]
    return "\n".join(line.rstrip() for line in padded)


def _seconds(row: Mapping[str, Any], asked: int) -> str:
    if row["seconds"] is None:
        return ""
    n_runs = len(row["runs"])
    fewer = "" if n_runs >= asked else f" ({n_runs} run{'s' if n_runs > 1 else ''})"
    return f"{row['seconds']:.3g}{fewer}"


def _rounds(records: Sequence[Record]) -> str:
    numbers = sorted({record["settings"]["runs"] for record in records if "runs" in record["settings"]})
    return f"{' or '.join(map(str, numbers))} round{'s' if numbers != [1] else ''}." if numbers else ""
