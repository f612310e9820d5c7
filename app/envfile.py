"""A .env file in any encoding that names itself."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from pydantic_settings import BaseSettings, EnvSettingsSource
from typing_extensions import override

from app.core import texts
from app.core.errors import ConfigError


class EnvFile(EnvSettingsSource):
    """pydantic-settings' own source knows a single encoding."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path | None) -> None:
        self._path = path
        super().__init__(settings_cls)

    @override
    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = dotenv_values(stream=StringIO(read_text(self._path))) if self._path else {}
        return {name.lower(): value for name, value in found.items() if value}


def read_text(path: Path) -> str:
    """'' when there is no such file. Raises ConfigError, which shows nothing of what the file says."""
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ConfigError(texts.unreadable_settings(path, error.strerror or "")) from None
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # PowerShell's `>`
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # UTF-16 without its mark is valid UTF-8 too
        raise ConfigError(texts.undecodable_settings(path))
    return text
