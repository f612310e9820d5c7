"""macOS: the profile with which sandbox-exec confines a command. Source: sandbox-exec(1), system profiles of macOS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "/usr/bin/sandbox-exec"
_READABLE = (
    "/usr", "/bin", "/sbin", "/System", "/Library", "/Applications/Xcode.app", "/opt/homebrew", "/private/etc",
    "/private/var/db/timezone", "/private/var/select", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Grounds:
    """`home` lies in a masked folder, and is granted all the same. `port`: of a proxy on the loopback."""

    writable: Sequence[Path]
    readable: Sequence[Path]
    masked: Sequence[Path]
    home: Path
    port: int | None = None


def confined(argv: Sequence[str], grounds: Grounds) -> list[str]:
    return [PROGRAM, "-p", profile(grounds), *argv]


def profile(grounds: Grounds) -> str:
    """Everything is refused but what is named; of two rules that fit, the later one holds."""
    return "\n".join(
        [
            "(version 1)",
            "(deny default)",
            "(allow process-fork process-exec)",
            "(allow signal process-info* (target same-sandbox))",
            "(allow sysctl-read)",
            '(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))',
            "(allow file-read-metadata)",
            f'(allow file-read* (literal "/") {_subpaths([*_READABLE, *map(str, grounds.readable)])})',
            '(deny file-read* (subpath "/Library/Keychains") (literal "/private/etc/master.passwd"))',
            f"(allow file-read* file-write* {_subpaths(map(str, grounds.writable))})",
            '(allow file-write-data (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))',
            *([f"(deny file-read* file-write* {_subpaths(map(str, grounds.masked))})"] if grounds.masked else []),
            f"(allow file-read* file-write* {_subpaths([str(grounds.home)])})",
            "(deny file-write-setugid network*)",
            *([f'(allow network-outbound (remote ip "localhost:{grounds.port}"))'] if grounds.port else []),
        ]
    )


def _subpaths(paths: Iterable[str]) -> str:
    return " ".join(f"(subpath {_quoted(path)})" for path in paths)


def _quoted(path: str) -> str:
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
