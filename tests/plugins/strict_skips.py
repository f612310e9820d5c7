"""Tests that need an outside tool say so with `@pytest.mark.needs("aimock")`; nothing is skipped in silence.

Without the tool the test is skipped and listed at the end of the run; with CI=true any skip at all is a
failure. The tools and their environment variables are in tools/testkit.py; `python3 dev.py test` installs and
exports them, and a bare `pytest` finds what is already there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tools import testkit

STRICT = os.environ.get("CI", "").lower() in {"1", "true"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*tools): outside tools: node, aimock, chromium, strace, bwrap")
    for name, path in testkit.locate().items():
        os.environ.setdefault(name, str(path))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for tool in marker.args:
            if not os.environ.get(testkit.VARIABLES[tool]):
                pytest.skip(f"needs {tool}, which is not installed (python3 dev.py test installs it)")


def _refuse(report: Any) -> None:
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI=true forbids: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    report: Any = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    report: Any = yield
    _refuse(report)
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section(f"{len(skipped)} SKIPPED: this run does not prove everything", red=True, bold=True)
