"""Nothing heavy is imported before it is needed, and every public name is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import twofold

HEAVY = ("torch", "matplotlib", "skimage", "sklearn", "scipy", "PIL", "av", "pandas")


def modules_after(code: str) -> set[str]:
    code += "\nimport sys; sys.stderr.write(' '.join(sys.modules))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(process.stderr.split())


def test_import_is_light():
    loaded = modules_after("import twofold; twofold.__version__; dir(twofold)")
    assert not loaded & {*HEAVY, "numpy", "typer", "rich"}


@pytest.mark.parametrize("arguments", [["--help"], ["image", "--help"], ["benchmark", "--help"], ["--version"]])
def test_help_is_light(arguments):
    loaded = modules_after(f"from twofold.cli.app import run; assert run({arguments!r}) == 0")
    assert not loaded & {*HEAVY, "numpy"}


def test_public_names_are_there():
    for name in twofold.__all__:
        assert getattr(twofold, name) is not None
    assert set(twofold.__all__) <= set(dir(twofold))
    with pytest.raises(AttributeError):
        twofold.nothing  # noqa: B018
