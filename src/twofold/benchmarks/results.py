"""The result file of a benchmark: what was measured, on which machine, with which versions.

One JSON file, one record a line, written anew after every record and whole each time: a run that is cut off loses
only what it was just measuring, and the next one goes on from there.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from twofold.benchmarks.cases import Case, Cell, Record
from twofold.io.errors import FileError, explain
from twofold.io.files import bytes_writer, write_together
from twofold.io.json_values import finite
from twofold.io.memory import available_memory

FORMAT = 1


class Results:
    """The records of one benchmark, in memory and on the disk.

    Parameters
    ----------
    path : Path
    header : mapping
        What all records have in common: benchmark, quick, and the machine, unless a record names another.
    cases, cells : iterables of records, optional

    Attributes
    ----------
    elsewhere : mapping, optional
        The machine that new records are from, where it is not the header's.
    """

    def __init__(
        self, path: Path, header: Mapping[str, Any], cases: Iterable[Record] = (), cells: Iterable[Record] = ()
    ) -> None:
        self.path = path
        self.elsewhere: Mapping[str, Any] | None = None
        self.header: dict[str, Any] = finite({"format": FORMAT, **header})
        self._records: dict[str, dict[tuple[str, str], Record]] = {"cases": {}, "cells": {}}
        for kind, records in (("cases", cases), ("cells", cells)):
            for record in records:
                self._records[kind][record["group"], record["name"]] = record

    @property
    def cases(self) -> list[Record]:
        """Records of timed cases: group, name, settings, rows."""
        return list(self._records["cases"].values())

    @property
    def cells(self) -> list[Record]:
        """Records of counted cells: group, name, settings, facts."""
        return list(self._records["cells"].values())

    def holds(self, part: Case | Cell, settings: Mapping[str, Any]) -> bool:
        """Whether there is a record of this part with the same settings."""
        record = self._records[_kind(part)].get((part.group, part.name))
        return record is not None and record["settings"] == finite(dict(settings))

    def keep(self, part: Case | Cell, settings: Mapping[str, Any], measured: Mapping[str, Any]) -> None:
        """Add a record, in place of one of the same name, and write the file.

        Raises
        ------
        FileError
            If the file cannot be written.
        """
        where = {} if self.elsewhere is None else {"machine": self.elsewhere}
        record = {"group": part.group, "name": part.name, "settings": dict(settings), **where, **measured}
        self._records[_kind(part)][part.group, part.name] = finite(record)
        self.write()

    def drop(self, groups: Sequence[str]) -> None:
        """Forget the records of some groups. Writes nothing."""
        for records in self._records.values():
            for key in [key for key in records if key[0] in groups]:
                del records[key]

    def write(self) -> None:
        """Write the file, whole or not at all.

        Raises
        ------
        FileError
        """
        write_together([(self.path, bytes_writer(self._text().encode()))], force=True)

    def _text(self) -> str:
        """JSON with a line for each record and each of its rows: good to read, and to compare versions of."""
        parts = [f'"{key}": {_json(value)}' for key, value in self.header.items()]
        for kind in ("cases", "cells"):
            lines = []
            for record in self._records[kind].values():
                rows = record.get("rows")
                head = _json({key: value for key, value in record.items() if key != "rows"})
                if rows is not None:
                    head = head[:-1] + ', "rows": [\n   ' + ",\n   ".join(map(_json, rows)) + "\n  ]}"
                lines.append("  " + head)
            parts.append(f'"{kind}": [' + ("\n" + ",\n".join(lines) + "\n " if lines else "") + "]")
        return "{\n " + ",\n ".join(parts) + "\n}\n"


def open_results(
    path: Path, header: Mapping[str, Any], *, force: bool = False, groups: Sequence[str] = (),
    mixed: bool | None = None,
) -> Results:  # fmt: skip
    """Read a result file to go on with, or begin one. Writes nothing.

    Parameters
    ----------
    path : Path
    header : mapping
        See :func:`describe`.
    force : bool
        Forget what the file holds of ``groups``; all of it where it is no result file or has another header.
    groups : sequence of str
    mixed : bool, optional
        Whether results of another machine or other versions are gone on with; new records say where they are from.
        None: no, and nobody is told that it can be asked for.

    Raises
    ------
    FileError
        Without ``force``, if the file is there and is damaged, or has another header; or cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Results(path, header)
    except (OSError, UnicodeDecodeError) as error:
        what = explain(error) if isinstance(error, OSError) else "is no text"
        raise FileError(path, f"cannot be read ({what})") from error
    try:
        results = _parse(path, text)
        _check_header(path, results, Results(path, header).header, mixed)
    except FileError:
        if force:
            return Results(path, header)
        raise
    if force:
        results.drop(groups)
    return results


def describe(benchmark: str, quick: bool, packages: Sequence[str], device: str | None = None) -> dict[str, Any]:
    """The header of a result file: benchmark, whether in small, machine with versions, and with its ``device`` if one
    is named.

    Imports PyTorch and asks it and the BLAS libraries for their threads.
    """
    import threadpoolctl
    import torch

    pools = threadpoolctl.threadpool_info()
    memory = available_memory()
    machine = {
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": {
            "torch": torch.get_num_threads(),
            "BLAS": max((pool["num_threads"] for pool in pools if pool["user_api"] == "blas"), default=1),
        },
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in packages},
    }
    if device is not None:
        is_cuda = torch.device(device).type == "cuda"
        machine["device"] = torch.cuda.get_device_name(device) if is_cuda else device
    return {"benchmark": benchmark, "quick": quick, "machine": machine}


def machine_line(machine: Mapping[str, Any]) -> str:
    """The machine in one line of prose."""
    versions = ", ".join(f"{name} {number or 'not installed'}" for name, number in machine["versions"].items())
    device = f"{machine['device']}, " if "device" in machine else ""
    return (
        f"{device}{machine['processor']}, {machine['cpus']} cores, {machine['threads']['torch']} threads, "
        f"{machine['memory']}, {machine['system']}, Python {machine['python']}, {versions}"
    )


def _kind(part: Case | Cell) -> str:
    return "cases" if isinstance(part, Case) else "cells"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _parse(path: Path, text: str) -> Results:
    accepted = "another --out keeps it, --force replaces it"
    try:
        stored = json.loads(text)
        if stored["format"] != FORMAT:
            raise ValueError(f"format {stored['format']}")
        parts = stored.pop("cases"), stored.pop("cells")
        return Results(path, stored, *parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise FileError(path, f"is no result file of this version of twofold ({what})", accepted) from error


def _check_header(path: Path, results: Results, header: Mapping[str, Any], mixed: bool | None) -> None:
    differences = list(_differences(results.header, dict(header)))
    if not differences:
        return
    if mixed and results.header | {"machine": header["machine"]} == header:
        results.elsewhere = header["machine"]
        return
    offered = "" if mixed is None else ", --mixed adds to it if the machine or its versions are all that differs"
    raise FileError(
        path, f"was made otherwise ({', '.join(differences)})",
        f"results are not mixed unasked: another --out keeps it, --force replaces it{offered}",
    )  # fmt: skip


def _differences(old: Any, new: Any, name: str = "") -> Iterable[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key), new.get(key), key)
    elif old != new:
        yield f"{name} {old} there, {new} here"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
