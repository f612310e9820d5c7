"""Which program a command names: looked up before it is confined, so that what is wrong can be said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from app.core import texts_safety as texts
from app.core.errors import SandboxError

_MAX_ARGUMENT = 131_072  # bytes, with its end: MAX_ARG_STRLEN


def find_program(argv: Sequence[str], cwd: Path, path: str) -> str:
    """Raises SandboxError."""
    if not argv:
        raise SandboxError(texts.NO_COMMAND)
    if not cwd.is_dir():
        raise SandboxError(texts.no_such_folder(cwd))
    for argument in argv:
        if "\0" in argument:
            raise SandboxError(texts.cannot_start(argv[0], "EINVAL"))
        if len(os.fsencode(argument)) >= _MAX_ARGUMENT:
            raise SandboxError(texts.cannot_start(argv[0], "E2BIG"))
    if "/" not in argv[0]:
        found = shutil.which(argv[0], path=path)
        if found is None:
            raise SandboxError(texts.no_such_program(argv[0]))
        return found
    program = cwd / argv[0]
    if not program.exists():
        raise SandboxError(texts.no_such_program(argv[0]))
    if program.is_dir() or not os.access(program, os.X_OK):
        raise SandboxError(texts.cannot_start(argv[0], "EACCES"))
    return argv[0]
