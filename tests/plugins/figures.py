"""What tests have counted, added up at the end of the run: `record_property("figure: <name>", (part, whole))`.

Also for milliseconds: then the second number is how often.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

PREFIX = "figure: "


def pytest_terminal_summary(terminalreporter: Any) -> None:
    sums: dict[str, list[float]] = defaultdict(lambda: [0, 0])
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if report.when == "call" and name.startswith(PREFIX):
                    sums[name.removeprefix(PREFIX)][0] += value[0]
                    sums[name.removeprefix(PREFIX)][1] += value[1]
    for name, (part, whole) in sorted(sums.items()):
        shown = f"{part / whole:.1f} ms" if name.endswith(" ms") else f"{part:.0f} of {whole:.0f}"
        terminalreporter.write_line(f"{name.removesuffix(' ms')}: {shown}")
