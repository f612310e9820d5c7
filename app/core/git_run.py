"""A git command of the model made ready: understood, its repository's programs taken out, nothing left to a shell.

Git and what looks at its configuration beforehand both run through the sandbox.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.core import git_neutral, texts
from app.core.contracts import RunLimits
from app.core.errors import ToolError
from app.core.git_neutral import EDITORS, STATIC, Entry
from app.core.git_rules import GitCall, understand
from app.core.machine import folder, machine
from app.core.risk_git import guards, is_reading, needs_network
from app.core.survey import survey

_MOST_CONFIG = 2_000_000  # bytes of configuration, or of an index's list
_MOST_SUBMODULES = 50
_SECONDS = 20.0
_LIST = ("config", "--list", "--null", "--show-scope")
_GITLINK = "160000 "

ENV = {
    **EDITORS,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TEMPLATE_DIR": "",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_SSH_VARIANT": "ssh",
}
_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}  # not even for a missing object
_ONLINE = {"GIT_ALLOW_PROTOCOL": "file:http:https:ssh"}  # no ext::, no git:// with its proxy command


@dataclass(frozen=True, slots=True)
class GitCommand:
    """`network`: it needs one. `note`: what the user should know of what was left out, '' for nothing."""

    argv: list[str]
    env: dict[str, str]
    folder: Path
    network: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Repository:
    """What is listed in `folder`: its own configuration and that of its submodules."""

    entries: list[Entry]
    nested: list[Entry]


async def prepared(argv: Sequence[str]) -> GitCommand:
    """`argv` without the leading `git`. Raises ToolError."""
    call = understand(argv)
    where = place_of(call)
    look = survey()
    if look and not look.repository_stays_inside(where):
        raise ToolError(texts.GIT_LEADS_OUTSIDE)
    network = needs_network(call.argv)
    repository = await _look(where)
    everything = [*repository.entries, *repository.nested]
    settings = [*STATIC, *call.values, *git_neutral.overrides(everything, network=network)]
    settings += git_neutral.submodules(everything)
    verb, rest = call.argv[0], [*guards(call), *call.argv[1:]]
    if network:
        settings += await _receivers(repository.entries, where)
        rest = [*await _receiver_option(call, where), *rest]
    env = ENV | (_ONLINE if network else _OFFLINE) | git_neutral.person(repository.entries)
    if is_reading(call, where):
        env["GIT_OPTIONAL_LOCKS"] = "0"
    words = ["git", "--no-pager", *call.options, *_as_options(settings), verb, *rest]
    return GitCommand(words, env, where, network, _note(everything, where))


def place_of(call: GitCall) -> Path:
    """Raises WorkspaceError when -C leads out of the workspace."""
    return machine().workspace.resolve(call.folder, folder()) if call.folder else folder()


async def _look(where: Path) -> _Repository:
    entries, nested = await _list(where), list[Entry]()
    look = survey()
    pending = await _submodules(where) if look is None or look.has_submodules(where) else []
    seen = 0
    while pending:
        inner = pending.pop()
        seen += 1
        if seen > _MOST_SUBMODULES:
            raise ToolError(texts.GIT_TOO_MANY_SUBMODULES)
        if (inner / ".git").exists():
            nested += await _list(inner)
            pending += await _submodules(inner)
    return _Repository(entries, nested)


async def _list(where: Path) -> list[Entry]:
    return git_neutral.parse(await _ask(where, *_LIST))


async def _submodules(where: Path) -> list[Path]:
    """Everywhere in the work tree, whatever part of it the call is about."""
    top = (await _ask(where, "rev-parse", "--show-cdup")).strip()
    listed = await _ask(where, "ls-files", "-s", "-z", "--full-name", top or ".")
    return [where / top / entry.partition("\t")[2] for entry in listed.split("\0") if entry.startswith(_GITLINK)]


async def _ask(where: Path, *words: str) -> str:
    """A question to git that starts nothing. Raises ToolError when it is not answered in full."""
    limits = RunLimits(_SECONDS, _MOST_CONFIG, ENV | _OFFLINE | {"GIT_OPTIONAL_LOCKS": "0"})
    argv = ["git", "--no-pager", *_as_options(STATIC), *words]
    result = await machine().sandbox.run(argv, where, limits)
    if result.dropped or result.timed_out:
        raise ToolError(texts.GIT_CONFIG_UNREADABLE)
    if result.exit_code:
        raise ToolError(texts.command_report(result.output, result.exit_code, result.seconds, timed_out=False))
    return result.output


async def _receivers(entries: Sequence[Entry], where: Path) -> list[str]:
    """A push into a folder starts that repository's hooks, outside this git's settings: it gets settings of its own."""
    found = [(name, address) for name, address in git_neutral.local_remotes(entries) if "=" not in name]
    return [f"remote.{name}.receivepack={await _receiver(where / address)}" for name, address in found]


async def _receiver_option(call: GitCall, where: Path) -> list[str]:
    target = next((word for word in call.argv[1:] if not word.startswith("-")), "")
    if call.verb != "push" or not target or not git_neutral.is_folder(target) or not (where / target).is_dir():
        return []
    return [f"--receive-pack={await _receiver(where / target)}"]


async def _receiver(place: Path) -> str:
    """The settings of the repository at `place` are asked of git there, as it will see them."""
    settings = [s for s in STATIC if not s.startswith("safe.")]
    if await asyncio.to_thread(place.is_dir):
        bare = ["-c", "safe.bareRepository=all"]
        limits = RunLimits(_SECONDS, _MOST_CONFIG, ENV | _OFFLINE)
        result = await machine().sandbox.run(["git", *bare, *_LIST], place, limits)
        if result.exit_code or result.dropped:
            raise ToolError(texts.GIT_CONFIG_UNREADABLE)
        settings += git_neutral.overrides(git_neutral.parse(result.output), network=False)
    return git_neutral.receiver(settings)


def _as_options(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("-c", setting)]


def _note(entries: Sequence[Entry], where: Path) -> str:
    look = survey()
    named = git_neutral.filters(entries) | (look.filters_named(where) if look else frozenset[str]())
    return texts.git_filters(sorted(named)) if named else ""
