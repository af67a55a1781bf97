"""Tables of numbers in text files: quickly where they are plain, with exact complaints where they are not."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twofold.io.errors import FileError, explain

_MISSING = frozenset({"", "nan", "na", "n/a", "null", "none", "-", "?", "."})
_DECIMAL_COMMA = re.compile(r"^\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*$")


def read_csv(path: Path, *, note: Callable[[str], None] = lambda words: None) -> NDArray[Any]:
    """Read a table of numbers separated by commas, semicolons or tabs.

    A first row without any number is a header and skipped. Empty cells and NA, nan, null, none, ?, - are missing
    entries. With semicolons or tabs, 1,5 means 1.5. The numbers that pandas gives to rows and columns without names
    are left out, which ``note`` is told.

    Raises
    ------
    FileError
        For text that is no number (naming its row and column as an editor counts them) and for rows of different
        lengths.
    """
    text = _decode(path)
    lines = text.splitlines()
    filled = [index for index, line in enumerate(lines) if line.strip()][:2]
    if not filled:
        raise FileError(path, "is empty", "rows of numbers are accepted")
    delimiter = _delimiter(lines[filled[0]])
    first, second = (next(csv.reader([lines[i]], delimiter=delimiter)) for i in (filled[0], filled[-1]))
    numbered = len(filled) == 2 and _is_column_numbers(first, second)
    header = numbered or _is_header(first, delimiter)
    if numbered:
        note("the first row, 0 1 2 ..., is taken for column numbers")
    skip = filled[0] + header
    quick = _read_plain(lines[skip:], delimiter)
    table = quick if quick is not None else _read_carefully(path, text, delimiter, skip)
    if header and not first[0].strip() and np.array_equal(table[:, 0], np.arange(len(table))):
        note("the first column, 0 1 2 ... without a name, is taken for row numbers")
        table = table[:, 1:]
    return table


def _is_column_numbers(first: list[str], second: list[str]) -> bool:
    """Whether the first row counts 0, 1, 2 ... above entries that are not whole numbers."""
    named = first[1:] if not first[0].strip() else first
    counts = len(named) > 1 and [cell.strip() for cell in named] == [str(i) for i in range(len(named))]
    return counts and not all(cell.strip().lstrip("+-").isdigit() for cell in second)


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read ({explain(error)})") from error
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:4096]:
        raise FileError(path, "is a binary file", "rows of numbers as text are accepted")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # only headers can hold such letters


def _delimiter(line: str) -> str:
    for candidate in ("\t", ";", ","):
        if candidate in line:
            return candidate
    return " " if re.search(r"\S +\S", line) else ","


def _is_header(cells: list[str], delimiter: str) -> bool:
    """Whether no cell of the first row is a number, and one of them a word."""
    filled = [cell.strip() for cell in cells if cell.strip().lower() not in _MISSING]
    return bool(filled) and all(_number(cell, delimiter) is None for cell in filled)


def _number(cell: str, delimiter: str) -> float | None:
    if delimiter != "," and _DECIMAL_COMMA.match(cell):
        cell = cell.replace(",", ".")
    if "_" in cell:  # Python takes 1_000 for a number, tables do not
        return None
    try:
        return float(cell)
    except ValueError:
        return None


def _read_plain(lines: list[str], delimiter: str) -> NDArray[Any] | None:
    """By NumPy's parser; None where anything is out of the ordinary."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            separator = None if delimiter == " " else delimiter
            return np.loadtxt(lines, delimiter=separator, ndmin=2, comments=None, dtype=np.float64)
    except (ValueError, UserWarning):
        return None


def _read_carefully(path: Path, text: str, delimiter: str, skip: int) -> NDArray[Any]:
    rows: list[list[float]] = []
    reader = csv.reader(StringIO(text), delimiter=delimiter, skipinitialspace=delimiter == " ")
    try:
        for cells in reader:
            blank = not cells or (len(cells) == 1 and not cells[0].strip())
            if reader.line_num <= skip or blank:
                continue
            if delimiter == " " and cells and not cells[-1]:
                cells = cells[:-1]
            rows.append(_row(path, cells, reader.line_num, delimiter))
            if len(rows[-1]) != len(rows[0]):
                raise FileError(
                    path,
                    f"row {reader.line_num} has {len(rows[-1])} cells where the first has {len(rows[0])}",
                    "rows of one length are accepted",
                )
    except csv.Error as error:
        raise FileError(path, f"row {reader.line_num}: {error}") from error
    if not rows:
        raise FileError(path, "holds a header and no rows", "rows of numbers are accepted")
    return np.array(rows)


def _row(path: Path, cells: list[str], row: int, delimiter: str) -> list[float]:
    numbers = []
    for column, cell in enumerate(cells, start=1):
        cell = cell.strip()
        number = float("nan") if cell.lower() in _MISSING else _number(cell, delimiter)
        if number is None:
            shown = cell if len(cell) <= 30 else cell[:29] + "…"
            raise FileError(
                path,
                f"row {row}, column {column}: {shown!r} is not a number",
                "numbers, and empty cells or NA for missing entries, are accepted",
            )
        numbers.append(number)
    return numbers
