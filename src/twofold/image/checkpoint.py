"""Where a run stands, on the disk, so that a run that was cut off goes on as if it had not been.

One safetensors file: tensors that hold the whole state, and the settings that determine the run as metadata. It is
written to a file beside it which then takes its name, so that a run killed at any moment leaves the former state or
the new one. A file of another run is refused rather than continued.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor

EVERY = 60.0
"""Seconds between two states that are written."""

State = dict[str, Tensor]


class Checkpoint:
    """The file of one run.

    Parameters
    ----------
    path : Path
    settings : mapping
        Everything that determines the run's bits, in JSON's types.
    every : float
        Seconds between two states that are written; 0: all of them.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ValueError
        If the file's folder is not there, or the file is none of this run.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], every: float = EVERY) -> None:
        try:
            import safetensors.torch  # noqa: F401
        except ImportError as error:
            raise ImportError("checkpoint: safetensors is not installed; pip install twofold[image]") from error
        if not path.absolute().parent.is_dir():
            raise ValueError(f"checkpoint={str(path)!r}: its folder is not there")
        if path.is_dir():
            raise ValueError(f"checkpoint={str(path)!r}: is a folder; the name of a file is accepted")
        self.path, self.every = path, every
        self.settings: dict[str, Any] = json.loads(json.dumps(dict(settings)))
        self.state = self._read() if path.exists() else None
        self._last = monotonic()

    def _read(self) -> State:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                settings = json.loads((file.metadata() or {})["twofold"])
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"checkpoint={str(self.path)!r}: is no checkpoint of twofold ({reason})") from error
        names = dict.fromkeys((*settings, *self.settings))
        other = [
            f"{name} {settings.get(name)} there, {self.settings.get(name)} here"
            for name in names
            if settings.get(name) != self.settings.get(name)
        ]
        if other:
            raise ValueError(
                f"checkpoint={str(self.path)!r}: belongs to another run ({'; '.join(other)}); the same arguments, or "
                "the name of another file, are accepted"
            )
        return state

    @property
    def is_due(self) -> bool:
        """Whether the last state was written long enough ago."""
        return monotonic() - self._last >= self.every

    def write(self, state: State) -> None:
        """Put a state in the place of the last one."""
        from safetensors.torch import save_file

        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        try:
            save_file(tensors, beside, metadata={"twofold": json.dumps(self.settings)})
            with beside.open("rb+") as file:
                os.fsync(file.fileno())
            beside.replace(self.path)
        finally:
            beside.unlink(missing_ok=True)
        self._last = monotonic()


def digest(*tensors: Tensor | None) -> str:
    """A short fingerprint of the values of some tensors."""
    sha = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            sha.update(str(tuple(tensor.shape)).encode())
            sha.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def prefixed(prefix: str, state: Mapping[str, Tensor]) -> State:
    """State with names under a prefix."""
    return {f"{prefix}/{name}": tensor for name, tensor in state.items()}


def part(prefix: str, state: Mapping[str, Tensor]) -> State:
    """What :func:`prefixed` put under a prefix."""
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
