"""Long files begin first: one that begins last would hold up a parallel run alone."""

from __future__ import annotations

import pytest

_LONG = (
    "tests/security/commands/test_attacks",
    "tests/crash/test_crash_points",
    "tests/crash/",
    "tests/security/test_sandbox_layers",
    "tests/security/commands/",
    "tests/security/test_paths",
    "tests/integration/test_log_machine",
    "tests/e2e/",
    "tests/security/",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each file as a whole, otherwise as collected."""
    items.sort(key=lambda item: next((n for n, start in enumerate(_LONG) if item.nodeid.startswith(start)), len(_LONG)))
