"""What a process has used so far, from the kernel (Linux)."""

from __future__ import annotations

from pathlib import Path


def cpu_ms(pid: int) -> float:
    """Processor time of all its threads, in milliseconds (nanosecond counters)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def memory_mb(pid: int) -> tuple[float, float]:
    """(PSS now, highest RSS so far) in MB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    return _kb(rollup, "Pss:") / 1024, _kb(status, "VmHWM:") / 1024


def _kb(text: str, name: str) -> int:
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))
