"""Outputs are written whole or not at all, and checked before the work."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from twofold.io import files
from twofold.io.errors import FileError
from twofold.io.files import beside, bytes_writer, plan, write_together


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_all_with_the_usual_permissions(tmp_path):
    write_together([(tmp_path / "a.txt", bytes_writer(b"A")), (tmp_path / "b.txt", bytes_writer(b"B"))])
    assert (tmp_path / "a.txt").read_bytes() == b"A"
    assert (tmp_path / "b.txt").read_bytes() == b"B"
    assert listing(tmp_path) == ["a.txt", "b.txt"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "No space left on device")]
)
def test_any_failure_leaves_nothing(tmp_path, error):
    def fail(file):
        file.write(b"half")
        raise error

    (tmp_path / "old.txt").write_text("old")
    expected = FileError if isinstance(error, OSError) else type(error)
    jobs = [(tmp_path / "a.txt", bytes_writer(b"A")), (tmp_path / "old.txt", fail)]
    with pytest.raises(expected):
        write_together(jobs, force=True)
    assert listing(tmp_path) == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"
    assert not files._unfinished


def test_disk_full_is_said_in_plain_words(tmp_path):
    def fail(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(FileError, match=r"a\.txt: cannot be written \(no space left on the disk\)"):
        write_together([(tmp_path / "a.txt", fail)])


def test_a_file_that_came_into_being_is_not_replaced(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(FileError, match="came into being"):
        write_together([(target, lambda file: target.write_text("theirs"))])
    assert target.read_text() == "theirs"
    assert listing(tmp_path) == ["a.txt"]


def test_force_keeps_links_and_permissions(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to(real)
    write_together([(link, bytes_writer(b"new"))], force=True)
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_plan_leaves_no_trace(tmp_path):
    plan([tmp_path / "a.txt", tmp_path / "b.txt"])
    assert listing(tmp_path) == []
    plan([tmp_path / "new" / "a.txt"], new_folder=tmp_path / "new")
    assert listing(tmp_path) == ["new"]


def test_plan_refuses(tmp_path):
    (tmp_path / "there.txt").write_text("x")
    (tmp_path / "folder").mkdir()
    a = tmp_path / "a.txt"
    for outputs, inputs, words in (
        ([tmp_path / "there.txt"], [], "exists already"),
        ([tmp_path / "there.txt"], [tmp_path / "there.txt"], "is an input"),
        ([tmp_path / "folder" / ".." / "there.txt"], [tmp_path / "there.txt"], "is an input"),
        ([a, a], [], "two outputs"),
        ([tmp_path / "folder"], [], "is a folder"),
        ([tmp_path / "no" / "a.txt"], [], "no such folder"),
        ([tmp_path / "there.txt" / "a.txt"], [], "not a folder"),
        ([tmp_path / ("n" * 300)], [], "cannot be written"),
    ):
        with pytest.raises(FileError, match=words):
            plan(outputs, inputs=inputs)
    assert listing(tmp_path) == ["folder", "there.txt"]


def test_a_folder_without_write_permission(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(FileError, match=r"cannot be written to \(no permission\)"):
        plan([tmp_path / "a.txt"])


def test_names_beside(tmp_path):
    assert beside(tmp_path / "a.b.png") == tmp_path / "a.b_clean.png"
    assert beside(tmp_path / "a", suffix=".npz") == tmp_path / "a_clean.npz"
