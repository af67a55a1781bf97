"""Outputs that are written whole or not at all, checked before any work is done.

A command names all its outputs first (:func:`plan`), works, and then writes them together
(:func:`write_together`): each into a temporary file in the folder of its target, and only when all of them
are on the disk are they given their names. Whatever goes wrong on the way (disk full, Ctrl-C), the temporary
files are removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from twofold.io.errors import FileError, explain

Writer = Callable[[BinaryIO], object]

# Temporary files that exist right now. Whoever has to leave the process in a hurry removes them by this list.
_unfinished: set[Path] = set()


def plan(
    outputs: Sequence[Path],
    *,
    inputs: Sequence[Path] = (),
    force: bool = False,
    new_folder: Path | None = None,
) -> None:
    """Check before the work that every output can be written. Writes nothing that stays.

    Parameters
    ----------
    outputs : sequence of Path
        All files that one command is going to write.
    inputs : sequence of Path
        Files that no output may replace, not even with ``force``.
    force : bool
        Whether an existing file may be replaced.
    new_folder : Path, optional
        A folder that is made, by this function and after all checks, where there is none.

    Raises
    ------
    FileError
        For an output that is an input, named twice, a folder, not a regular file, or there already without
        ``force``; or whose folder is missing or not writable.
    """
    taken = {_identity(path) for path in inputs}
    seen: set[object] = set()
    for path in outputs:
        identity = _identity(path)
        if identity in taken:
            raise FileError(path, "is an input as well", "an output of another name is accepted")
        if identity in seen:
            raise FileError(path, "is named for two outputs", "a file of its own is accepted for each")
        seen.add(identity)
        _check_target(path, force)
    made = None if new_folder is None or new_folder.exists() else new_folder.resolve()
    for folder in dict.fromkeys(path.resolve().parent for path in outputs):
        if folder != made:
            check_folder(folder)
    if made is not None:
        make_folder(made)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is missing or in which no file can be made.

    Raises
    ------
    FileError
    """
    if not folder.is_dir():
        wrong = "is not a folder" if folder.exists() else "no such folder"
        raise FileError(folder, wrong, "an existing folder is accepted for outputs")
    # Permission bits do not tell the truth for root, read-only mounts or /proc: making a file does.
    probe = _temporary_name(folder / "probe")
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()
    except OSError as error:
        raise FileError(folder, f"the folder cannot be written to ({explain(error)})") from error


def make_folder(folder: Path) -> None:
    """Make a folder for outputs where there is none.

    Raises
    ------
    FileError
        If it cannot be made, or is there and no folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(folder, f"the folder cannot be made ({explain(error)})") from error


def write_together(jobs: Sequence[tuple[Path, Writer]], *, force: bool = False) -> None:
    """Write several files, all of them or none.

    Parameters
    ----------
    jobs : sequence of (path, writer)
        The writer is called with a binary file that can seek.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    FileError
        If the disk is full, a file came into being in the meantime (without ``force``), or a folder went
        away.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "answer.txt"
    >>> write_together([(target, lambda file: file.write(b"42"))])
    >>> target.read_bytes()
    b'42'
    """
    with contextlib.ExitStack() as stack:
        finished = [stack.enter_context(_written(path, writer)) for path, writer in jobs]
        for (path, _), temporary in zip(jobs, finished, strict=True):
            _give_name(temporary, path, force)


def bytes_writer(data: bytes) -> Writer:
    """A writer of bytes that are ready."""
    return lambda file: file.write(data)


@contextlib.contextmanager
def _written(path: Path, writer: Writer) -> Iterator[Path]:
    """A temporary file beside ``path`` with the content on the disk, removed on leaving if still there."""
    temporary = _temporary_name(path.resolve())
    _unfinished.add(temporary)
    try:
        try:
            with open(temporary, "xb") as file:
                writer(file)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileError(path, f"cannot be written ({explain(error)})") from error
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def _give_name(temporary: Path, path: Path, force: bool) -> None:
    target = path.resolve()  # a symbolic link stays a link: what it points to is replaced
    try:
        if force:
            if target.exists():
                temporary.chmod(target.stat().st_mode & 0o7777)
            os.replace(temporary, target)
            return
        try:
            os.link(temporary, target)  # unlike a rename, a link never replaces a file
        except FileExistsError:
            raise FileError(path, "came into being during the work", "--force replaces it") from None
        except OSError:  # a file system without hard links
            if target.exists():
                raise FileError(path, "came into being during the work", "--force replaces it") from None
            os.replace(temporary, target)
    except OSError as error:
        raise FileError(path, f"cannot be written ({explain(error)})") from error


def remove_unfinished() -> None:
    """Remove the temporary files of writes under way. For a process that has to leave at once."""
    for temporary in tuple(_unfinished):
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def beside(path: Path, *, suffix: str | None = None, tag: str = "_clean") -> Path:
    """The default output for an input: beside it, tagged before the suffix.

    Examples
    --------
    >>> str(beside(Path("photo.png"))), str(beside(Path("table.csv"), suffix=".npz"))
    ('photo_clean.png', 'table_clean.npz')
    """
    return path.with_name(path.stem + tag + (path.suffix if suffix is None else suffix))


def _check_target(path: Path, force: bool) -> None:
    try:
        if path.is_dir():
            raise FileError(path, "is a folder", "a file name is accepted as output")
        if path.exists():
            if not path.is_file():
                raise FileError(path, "is not a regular file", "a file name is accepted as output")
            if not force:
                raise FileError(path, "exists already", "--force replaces it")
    except OSError as error:  # a name that is too long, a parent without permission
        raise FileError(path, f"cannot be written ({explain(error)})") from error


def _identity(path: Path) -> object:
    """What two names of one file have in common, hard links and case-insensitive file systems included."""
    try:
        status = path.stat()
    except OSError:
        return path.resolve()
    return status.st_dev, status.st_ino


def _temporary_name(path: Path) -> Path:
    # Hidden, short enough for a long target name, and with the suffix that some encoders go by.
    return path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.part{path.suffix}")
