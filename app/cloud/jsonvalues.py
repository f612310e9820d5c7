"""Typed access to JSON that a stranger wrote: the wrong type reads as absent."""

from __future__ import annotations

from math import isfinite
from typing import TypeGuard, cast

from pydantic_core import from_json, to_json

Object = dict[str, object]


def parse(text: str | bytes) -> object:
    """Raises ValueError."""
    return from_json(text)


def dump(value: object) -> str:
    return to_json(value).decode()


def is_object(value: object) -> TypeGuard[Object]:
    return isinstance(value, dict)


def as_object(value: object) -> Object:
    return value if is_object(value) else {}


def as_list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_int(value: object) -> int:
    return int(value) if isinstance(value, int | float) and isfinite(value) else 0
