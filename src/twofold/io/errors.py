"""The one error that reading and writing files raises."""

from __future__ import annotations

import errno
import os
from pathlib import Path


class FileError(Exception):
    """A file that cannot be used: its name, what is wrong with it, and what is accepted.

    Examples
    --------
    >>> print(FileError("a.png", "is empty", "PNG and JPEG are accepted"))
    a.png: is empty; PNG and JPEG are accepted
    """

    def __init__(self, path: str | os.PathLike[str], wrong: str, accepted: str = "") -> None:
        self.path = Path(path)
        text = f"{path}: {wrong}" + (f"; {accepted}" if accepted else "")
        # Errors are one line: messages of other libraries may hold line breaks.
        super().__init__(" ".join(text.split()))


_PLAIN_WORDS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than the limit for this process",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ENOENT: "no such file or folder",
}


def explain(error: OSError) -> str:
    """What went wrong, in a few words, without the path that Python appends."""
    return _PLAIN_WORDS.get(error.errno or 0, (error.strerror or str(error) or type(error).__name__).lower())


def check_input(path: Path, accepted: str) -> None:
    """Refuse what cannot be an input: a missing file, a folder, an empty or an unreadable file.

    Raises
    ------
    FileError
    """
    try:
        if path.is_dir():
            raise FileError(path, "is a folder", f"{accepted} are accepted")
        if not path.exists():
            raise FileError(path, "no such file")
        if not path.is_file():
            raise FileError(path, "is not a regular file", f"{accepted} are accepted")
        if path.stat().st_size == 0:
            raise FileError(path, "is empty", f"{accepted} are accepted")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        what = explain(error) if isinstance(error, OSError) else str(error)
        raise FileError(path, f"cannot be read ({what})") from error
