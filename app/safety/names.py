"""Names of files: which are malformed, which Windows could not hold, which are our own temporary ones."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import PureWindowsPath

from app.core import texts_safety as texts
from app.core.errors import WorkspaceError

MAX_PATH = 4096
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{device}{digit}" for device in ("com", "lpt") for digit in "0123456789¹²³"
}
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.nanobot")


def check_path(path: str) -> None:
    """Raises WorkspaceError for what no system would take."""
    if "\0" in path or len(path) > MAX_PATH or not encodable(path) or _device_form(path):
        raise WorkspaceError(texts.bad_path(path))


def check_new(name: str) -> None:
    """What Windows reserves is not created anywhere: a project travels. Raises WorkspaceError."""
    stem = re.split(r"[.:]", name, maxsplit=1)[0].rstrip(" ").lower()
    odd = os.name == "nt" and (name[-1:] in " ." or set(name) & set('<>:"|?*'))
    if stem in _RESERVED or odd:
        raise WorkspaceError(texts.reserved_name(name))


def encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def temporary() -> str:
    """For a file that is renamed as soon as it is whole; short, however long the other one's name is."""
    return f".{secrets.token_hex(8)}.nanobot"


def is_temporary(name: str) -> bool:
    return _TEMPORARY.fullmatch(name) is not None


def _device_form(path: str) -> bool:
    """Windows only: device and drive-relative paths, alternate streams."""
    if sys.platform != "win32":
        return False
    form = PureWindowsPath(path)
    return form.drive.startswith(("\\\\.", "\\\\?")) or bool(form.drive and not form.root) or ":" in path[2:]
