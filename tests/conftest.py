"""Shared fixtures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the real images and videos of the benchmarks; tests that need it are skipped without it."""
    places = [os.environ.get("TWOFOLD_DATA", ""), Path(__file__).parents[2] / "shared" / "data"]
    for place in places:
        if place and (Path(place) / "images").is_dir():
            return Path(place)
    pytest.skip("the benchmark data (TWOFOLD_DATA or ../shared/data) are not here")
