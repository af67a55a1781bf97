from __future__ import annotations

import pytest

from twofold import devices


@pytest.fixture(autouse=True)
def one_thread():
    """As the runner computes parts."""
    with devices.one_thread():
        yield
