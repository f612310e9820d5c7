"""Whether a person has said yes to the call that runs now."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_given: ContextVar[bool] = ContextVar("consent", default=False)


@contextmanager
def consented() -> Generator[None]:
    token = _given.set(True)
    try:
        yield
    finally:
        _given.reset(token)


def is_given() -> bool:
    return _given.get()
