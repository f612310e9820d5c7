"""What tests have counted stands at the end of the run, in parallel runs too.

`record_property("figures", "URLs: …")` is shown as it is. `record_property("figure: <name>", (part, whole))` is added
up by name; where the name ends with ` ms` the first number is milliseconds and the second how often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

Record = Callable[[str, object], None]

WHOLE, PREFIX = "figures", "figure: "


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines, sums = list[str](), defaultdict[str, list[float]](lambda: [0, 0])
    for name, value in _properties(terminalreporter):
        if name == WHOLE:
            lines.append(value)
        elif name.startswith(PREFIX):
            total = sums[name.removeprefix(PREFIX)]
            total[:] = [total[0] + value[0], total[1] + value[1]]
    lines += [_sum(name, part, whole) for name, (part, whole) in sums.items()]
    if lines:
        terminalreporter.section("figures")
    for line in sorted(lines):
        terminalreporter.write_line(line)


def _properties(terminalreporter: Any) -> Iterator[tuple[str, Any]]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                yield from report.user_properties


def _sum(name: str, part: float, whole: float) -> str:
    return (
        f"{name.removesuffix(' ms')}: {part / whole:.1f} ms"
        if name.endswith(" ms")
        else f"{name}: {part:.0f} of {whole:.0f}"
    )
