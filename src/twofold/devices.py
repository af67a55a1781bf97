"""Where to compute: one check for every function and command that takes a device, and how to take one core only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def as_device(device: torch.device | str | None, default: torch.device | str = "cpu") -> torch.device:
    """The device that is asked for, if this machine has it.

    Parameters
    ----------
    device : torch.device or str, optional
        None: ``default``.
    default : torch.device or str

    Raises
    ------
    ValueError
        If PyTorch does not know the device, or it is not available here.

    Examples
    --------
    >>> as_device(None), as_device("cpu")
    (device(type='cpu'), device(type='cpu'))
    """
    if device is None:
        return torch.device(default)
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={device!r}: not available here ({reason}); 'cpu' always is") from None
    return chosen


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch with one thread for a while.

    Examples
    --------
    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
