"""What an edit would change, as a diff: what the user decides about."""

from __future__ import annotations

import asyncio
from difflib import unified_diff

from app.core.errors import WorkspaceError
from app.core.gates import Invocation
from app.core.machine import folder, machine

_MOST_LINES = 20_000
_MOST_CHARS = 200_000  # comparing more takes too long; then the texts themselves are shown


async def diff_of(invocation: Invocation) -> str:
    """'' for what is no edit, and where a diff would not say it all."""
    arguments = invocation.arguments
    match invocation.tool.name:
        case "edit_file":
            before, after = await _edited(str(arguments["path"]), str(arguments["old"]), str(arguments["new"]))
        case "write_file":
            before, after = await _present(str(arguments["path"])), str(arguments["content"])
        case _:
            return ""
    if len(before) + len(after) > _MOST_CHARS:
        return ""
    return await asyncio.to_thread(_diff, before, after)


async def _edited(path: str, old: str, new: str) -> tuple[str, str]:
    """With what stands around it, where that can be told."""
    text = await _present(path)
    return (text, text.replace(old, new)) if text.count(old) == 1 else (old, new)


async def _present(path: str) -> str:
    """'' for a new file, and for one that is no text: it is replaced whole."""
    try:
        return (await machine().workspace.read(path, folder(), limit=_MOST_LINES)).text
    except WorkspaceError:
        return ""


def _diff(before: str, after: str) -> str:
    rows = unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    return "\n".join(list(rows)[2:])  # the first two name files
