"""The folders that the settings name: made when missing, DATA_DIR closed to other users."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from loguru import logger

from app.config import CONFIG_FILE, Settings
from app.core import texts
from app.core.errors import ConfigError


def prepare_folders(settings: Settings) -> None:
    """Raises ConfigError that names the variable whose folder cannot be made or, for DATA_DIR, written."""
    _make("DATA_DIR", settings.data_dir, 0o700)
    _make("WORKSPACE_DIR", settings.workspace_dir)
    for folder in settings.projects_dirs:
        _make("PROJECTS_DIRS", folder)
    _close(settings.data_dir, 0o700)
    _close(settings.data_dir / CONFIG_FILE, 0o600)
    _check_writable("DATA_DIR", settings.data_dir)


def guest_folders(settings: Settings) -> dict[str, Path]:
    """Each guest's own, by number. Raises ConfigError."""
    folders = {str(guest): settings.workspace_dir / "invitados" / str(guest) for guest in settings.telegram_guests}
    for folder in folders.values():
        _make("WORKSPACE_DIR", folder)
    return folders


def _make(variable: str, folder: Path, mode: int = 0o777) -> None:
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(texts.cannot_make_folder(variable, folder, error.strerror or "")) from error


def _close(path: Path, mode: int) -> None:
    """Takes away what is beyond `mode`. Not from what belongs to others or is shared on purpose, as /tmp is."""
    if os.name != "posix":
        return
    try:
        info = path.stat()
        if info.st_uid == os.geteuid() and info.st_mode & ~mode & 0o777 and not info.st_mode & stat.S_ISVTX:
            path.chmod(stat.S_IMODE(info.st_mode) & mode)
    except FileNotFoundError:
        pass
    except OSError as error:  # some disks know no rights
        logger.warning("cannot close {} to other users: {}", path, error)


def _check_writable(variable: str, folder: Path) -> None:
    """By writing: neither the rights nor the owner tell about a read-only disk."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(texts.cannot_write_folder(variable, folder, error.strerror or "")) from error
