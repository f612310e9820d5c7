"""DATA_DIR/config.env: settings chosen in the dashboard. Below the environment and .env in rank (app/config.py)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from app.core import texts_web
from app.core.errors import ConfigError
from app.web.privatefile import replace_private

_HEAD = "# Written by Nanobot's dashboard. The environment and .env go before this file.\n"
_writing = threading.Lock()


def read_config(path: Path) -> dict[str, str]:
    return {name: value for name, value in dotenv_values(path, interpolate=False).items() if value}


def update_config(path: Path, changes: Mapping[str, str]) -> None:
    """An empty value removes its line. Blocks. Raises StorageError, and ConfigError for what no .env file can hold."""
    with _writing:
        values = {name: value for name, value in (read_config(path) | dict(changes)).items() if value}
        lines = [f"{name}={quoted(name, value)}\n" for name, value in values.items()]
        replace_private(path, (_HEAD + "".join(lines)).encode())


def quoted(name: str, value: str) -> str:
    """As the file holds it. Raises ConfigError for what none can hold."""
    if not value.isprintable() or "${" in value:  # the reader would expand ${…}
        raise ConfigError(texts_web.unusable_value(name))
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
