"""What a test has measured stands at the end of the run: `record_property("figures", "URLs: 384/384 …")`."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    passed = terminalreporter.stats.get("passed", [])
    lines = sorted(value for report in passed for name, value in report.user_properties if name == "figures")
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)
