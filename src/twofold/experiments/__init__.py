"""The experiments of the paper and of the talk, to be repeated by anyone: ``twofold reproduce``. One file each."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twofold.experiments.experiment import Experiment

NAMES = (
    "overfitting",
    "theorem",
    "alpha",
    "phase",
    "starts",
    "image-overfitting",
    "images",
    "image-alpha",
    "labels",
)
"""In the order of the report; here so that the help can list them at no cost."""


def load(name: str) -> Experiment:
    """The experiment of that name. Imports what it needs.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in NAMES:
        raise ValueError(f"{name!r}: no such experiment; accepted are {', '.join(NAMES)}")
    experiment: Experiment = import_module(f"twofold.experiments.{name.replace('-', '_')}").EXPERIMENT
    return experiment
