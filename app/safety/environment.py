"""The environment of a command: made from nothing, so that no key of the server can be in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_WINDOWS = (
    "SystemRoot", "SystemDrive", "windir", "ComSpec", "PATHEXT", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "OS",
    "ProgramFiles", "ProgramFiles(x86)", "ProgramW6432", "CommonProgramFiles", "ProgramData", "PSModulePath",
)  # fmt: skip
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """PATH without the server's own virtual environment (its pip is not the user's) and relative folders."""
    own = [str(Path(sys.prefix, folder)) for folder in ("bin", "Scripts") if sys.prefix != sys.base_prefix]
    entries = os.environ.get("PATH", _DEFAULT_PATH).split(os.pathsep)
    return os.pathsep.join(e for e in entries if Path(e).is_absolute() and e.rstrip("/\\") not in own)


def clean_environment(home: Path, timezone: str, ceilings: Sequence[Path]) -> dict[str, str]:
    """`home` belongs to the commands; git looks for no repository in the `ceilings` or above them."""
    temporary = str(home / "tmp")
    env = {
        "PATH": search_path(),
        "HOME": str(home),
        "TMPDIR": temporary,
        "LANG": _utf8_locale(),
        "LC_ALL": _utf8_locale(),
        "TZ": timezone,
        "TERM": "dumb",
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8:replace",
        "PAGER": "cat",
        "GIT_PAGER": "cat",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CEILING_DIRECTORIES": os.pathsep.join(map(str, ceilings)),
    }
    return env | (_windows(os.environ, home, temporary) if os.name == "nt" else {})


def _windows(environ: Mapping[str, str], home: Path, temporary: str) -> dict[str, str]:
    kept = {name: environ[name] for name in _WINDOWS if name in environ}
    return kept | {
        "USERPROFILE": str(home),
        "APPDATA": str(home / "AppData/Roaming"),
        "LOCALAPPDATA": str(home / "AppData/Local"),
        "TEMP": temporary,
        "TMP": temporary,
    }


def _utf8_locale() -> str:
    return "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
