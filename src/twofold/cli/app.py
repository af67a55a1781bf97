"""The commands in one application, and the way from every error to one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from twofold import __version__
from twofold.cli.benchmark import benchmark
from twofold.cli.demo import demo
from twofold.cli.image import image
from twofold.cli.matrix import matrix
from twofold.cli.reproduce import reproduce
from twofold.cli.signals import Stopped, stoppable
from twofold.cli.terminal import CommandError, complain, say
from twofold.cli.video import video
from twofold.io.errors import FileError
from twofold.memory import freed_memory_kept

# typer carries its own copy of click or depends on it, by version: the base class is the same either way.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="twofold",
    help="Recover what is clean from data with gross outliers: no rank, no outlier fraction, no tuning.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(image)
app.command()(matrix)
app.command()(video)
app.command()(reproduce)
app.command()(benchmark)


def _version(asked: bool) -> None:
    if asked:
        say(f"twofold {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with its exit status.

    0: done. 1: a run failed, or some of several inputs were unusable. 2: the command was wrong or no input
    was usable. 128 + the signal's number: stopped by Ctrl-C or a termination signal.
    """
    with freed_memory_kept():
        sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit status. Every error becomes one line on stderr."""
    # Threads that wait for each other in a long loop take eight times as long as soon as the machine has other work;
    # threads that fall asleep at once, half as long again on a quiet one. A short loop is as good as the better of
    # the two. Read when PyTorch is loaded, which is later; by GNU's OpenMP alone.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    try:
        with stoppable():
            if not arguments:  # help is what a newcomer wants, and still no command was given
                app(args=["--help"], prog_name="twofold", standalone_mode=False)
                return 2
            status = app(args=list(arguments), prog_name="twofold", standalone_mode=False)
            return status if isinstance(status, int) else 0
    except Stopped as stop:
        complain(str(stop), kind="stopped")
        return stop.exit_status
    except typer.Abort:
        return 130
    except (CommandError, FileError) as error:
        complain(str(error))
        return 2
    except _UsageError as error:
        complain(_usage(error))
        return 2
    except SystemExit as leaving:  # a reader that closed our stdout
        return leaving.code if isinstance(leaving.code, int) else 0
    except Exception as error:
        if os.environ.get("TWOFOLD_TRACEBACK"):
            raise
        kind = type(error).__name__
        complain(f"{kind}: {error}; this is a defect of twofold: TWOFOLD_TRACEBACK=1 shows where, please report it")
        return 1
    finally:
        _flush()


def _usage(error: Exception) -> str:
    message = error.format_message().rstrip(".") if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "twofold"
    message = message.replace("Value error, ", "")  # the validation library's own prefix
    return f"{message[:1].lower()}{message[1:]}; {command} --help lists what is accepted"


def _flush() -> None:
    """Flush stdout; if its reader is gone (``| head``), leave Python nothing to complain about at exit."""
    try:
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
