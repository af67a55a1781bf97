"""Values that JSON has."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """The value with nan and inf replaced by None, and NumPy's numbers by Python's.

    Examples
    --------
    >>> finite({"gap": float("inf"), "shape": (2, 3)})
    {'gap': None, 'shape': [2, 3]}
    """
    if isinstance(value, dict):
        return {str(name): finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, bool | str) or value is None:
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int | bool) else str(value)
