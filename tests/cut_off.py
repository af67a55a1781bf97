"""A recovery that is ended from outside, and what it leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from twofold.image.recover import recover_image


class Killed(Exception):
    """What ends a run from outside."""


def cut_off_after(n_steps: int, image: NDArray[Any], path: Path, **options: Any) -> None:
    """Recover until so many steps are done, with a checkpoint at ``path``."""
    left = n_steps

    def observer(record: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    with pytest.raises(Killed):
        recover_image(image, checkpoint=path, observer=observer, **options)
