"""Options that several commands share, and the checks that come before any work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twofold.cli.terminal import CommandError

FIGURE_SUFFIXES = (".png", ".pdf", ".svg")

Figure = Annotated[
    Path | None,
    typer.Option("--figure", metavar="FILE", help="Also draw the result, as .png, .pdf or .svg.", show_default=False),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="D", help="cpu, cuda, cuda:1 ...; default: chosen.", show_default=False),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Seed of the random numbers.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace outputs that exist already.")]
MaxPixels = Annotated[
    int, typer.Option("--max-pixels", metavar="N", min=1, help="Refuse larger images by their header.")
]


def check_figure(path: Path | None) -> None:
    """Refuse a figure whose suffix names no format.

    Raises
    ------
    CommandError
    """
    if path is not None and path.suffix.lower() not in FIGURE_SUFFIXES:
        accepted = ", ".join(FIGURE_SUFFIXES)
        raise CommandError(f"--figure {path}: figures are not drawn as {path.suffix!r}; accepted are {accepted}")


def check_device(name: str | None) -> None:
    """Refuse a device that PyTorch does not know or this machine does not have. Imports PyTorch.

    Raises
    ------
    CommandError
    """
    if name is None:
        return
    from twofold.devices import as_device

    try:
        as_device(name)
    except ValueError as error:
        raise CommandError(f"--{error}") from None
