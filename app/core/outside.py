"""Where a tool's result comes from: the web, the network, a repository that the agent has cloned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from app.core import texts_taint as texts
from app.core.contracts import Clones
from app.core.errors import ToolError
from app.core.gates import Gate, Handler, Invocation
from app.core.git_rules import understand
from app.core.machine import folder, machine
from app.core.risk import plain_words
from app.core.toolkit import Risk
from app.core.tools import split_git

_COMMANDS = frozenset({"execute_shell", "git_operation"})
_NETWORKED = frozenset({Risk.NETWORK, Risk.OUTSIDE})
_MOST_WORDS = 300
_WORD = re.compile(r"[^\s;|&<>()$`'\"={},]+")
_PATTERN = re.compile(r"[*?\[]")
# Those that open nothing but what they are given the name of.
_NARROW = frozenset(
    [
        "ls",
        "pwd",
        "cat",
        "head",
        "tail",
        "wc",
        "echo",
        "whoami",
        "uname",
        "stat",
        "df",
        "which",
        "date",
        "mkdir",
        "touch",
        "rm",
        "mv",
        "cp",
        "true",
        "false",
    ]
)
# Only for commands that nothing confines: the others say that they want the network.
_SPEAKS = re.compile(
    r"\b(?:https?|ftp|wss?)://|\b(?:curl|wget|aria2c|ssh|scp|sftp|rsync|nc|ncat|telnet|ftp|gh|pip3?|pipx|uv|poetry|npm"
    r"|npx|pnpm|yarn|cargo|gem|brew|apt|apt-get|docker|podman|Invoke-WebRequest|iwr|irm)\b"
    r"|\bgit\b.{0,200}\b(?:clone|fetch|pull|push|ls-remote|submodule)\b",
    re.IGNORECASE,
)


def watched(clones: Clones) -> Gate:
    """Notes beside the call where its result comes from, and on the disk which repositories it has brought here."""

    def wrap(handler: Handler) -> Handler:
        async def gate(invocation: Invocation) -> str:
            networked = _is_networked(invocation)
            invocation.origins.extend(filter(None, [texts.NETWORKED if networked else "", await _read(invocation)]))
            async with clones.watching(folder()) if networked or _clones(invocation) else nullcontext():
                result = await handler(invocation)
            if invocation.tool.name == "web_fetch":  # a refusal is our own word
                invocation.origins.append(urlsplit(str(invocation.arguments.get("url", ""))).hostname or "web")
            return result

        async def _read(invocation: Invocation) -> str:
            try:
                return await _origin(invocation, clones)
            except ToolError:
                return ""  # the tool will say so itself

        return gate

    return wrap


def _is_networked(invocation: Invocation) -> bool:
    if invocation.tool.name not in _COMMANDS:
        return False
    if invocation.risk in _NETWORKED:
        return True
    free = machine().sandbox.confined or invocation.risk not in {Risk.EXECUTE, Risk.DESTRUCTIVE}
    return not free and bool(_SPEAKS.search(str(invocation.arguments.get("command", ""))))


def _clones(invocation: Invocation) -> bool:
    """Without the network as well: from a folder."""
    return invocation.tool.name in _COMMANDS and "clone" in str(list(invocation.arguments.values()))


async def _origin(invocation: Invocation, clones: Clones) -> str:
    arguments = invocation.arguments
    match invocation.tool.name:
        case "read_file" | "list_dir":
            return await clones.origin([machine().workspace.resolve(str(arguments.get("path", ".")), folder())])
        case "git_operation":
            return await clones.origin([_git_folder(str(arguments.get("cmd", "")))])
        case "execute_shell":
            return await _of_command(str(arguments.get("command", "")), clones)
        case _:
            return ""


def _git_folder(cmd: str) -> Path:
    return folder() / understand(split_git(cmd)).folder


async def _of_command(command: str, clones: Clones) -> str:
    """It may read wherever it likes; what it names, and where it runs, is what it will read."""
    words = plain_words(command)
    names: Sequence[str] = words[1:] if words else _WORD.findall(command)
    everywhere = not words or words[0] not in _NARROW
    inside = await clones.origin([folder()])
    return inside or await clones.origin(
        [*(folder() / _fixed(name) for name in names[:_MOST_WORDS]), *([folder()] if everywhere else [])], around=True
    )


def _fixed(name: str) -> str:
    """Of a pattern, the folder that it begins in; `~+` is the shell's word for where it stands."""
    name = name.removeprefix("~+/")
    found = _PATTERN.search(name)
    if found is None:
        return name
    above, slash, _ = name[: found.start()].rpartition("/")
    return above or slash or "."
