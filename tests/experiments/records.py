"""Records of experiments, made by hand."""

from __future__ import annotations

from typing import Any


def record(name: str, settings: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "settings": settings, "facts": facts}


def verdicts(checks) -> list[bool | None]:
    return [check.holds for check in checks]
