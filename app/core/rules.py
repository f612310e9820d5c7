"""What "siempre" would mean for a call: the call itself, or a narrow kind of it. None: it is asked every time."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from app.core import git_run
from app.core import texts_asking as texts
from app.core.approvals import digest
from app.core.contracts import RunLimits
from app.core.errors import ToolError
from app.core.fixed import is_fixed
from app.core.gates import Invocation
from app.core.git_rules import GitCall, understand
from app.core.machine import folder, machine
from app.core.permissions import Rule
from app.core.risk import plain_words
from app.core.risk_git import needs_network
from app.core.survey import survey
from app.core.toolkit import Risk
from app.core.tools import split_git

_USER = re.compile(r"//[^/@]*@")  # an address may carry a password
_SECONDS, _MOST_BYTES = 20.0, 20_000  # for the list of a repository's remotes


async def rule_of(invocation: Invocation) -> Rule | None:
    """Calls with the same key do the same, as far as it can be said beforehand."""
    arguments = invocation.arguments
    match invocation.tool.name:
        case "execute_shell":
            return await _command(invocation, str(arguments["command"]))
        case "git_operation":
            return await _git(split_git(str(arguments["cmd"])))
        case "write_file" | "edit_file":
            return _file(str(arguments["path"])) if invocation.risk is Risk.WRITE else None
        case name:
            return _exactly(invocation, texts.exact_call(name, str(folder())))


async def _command(invocation: Invocation, command: str) -> Rule | None:
    words = plain_words(command)
    if words[:1] == ["git"] and len(words) > 1:  # it runs as git_operation does
        return await _git(words[1:])
    return _exactly(invocation, texts.call_in(command, str(folder()))) if is_fixed(command) else None


def _exactly(invocation: Invocation, words: str) -> Rule:
    call = invocation.call
    return Rule(key=digest(call.name, call.arguments, str(folder())), words=words)


def _file(path: str) -> Rule | None:
    look = survey()
    real = look.lands(path, folder()) if look else None
    return Rule(key=digest("file", str(real), ""), words=texts.file_changes(str(real))) if real else None


async def _git(argv: Sequence[str]) -> Rule | None:
    """What starts programs never gets here: git_rules refuses it. Where a network command goes is part of the rule:
    another address behind the same name is asked again.
    """
    try:
        call = understand(argv)
        where = str(git_run.place_of(call))
        said = f"git {shlex.join(argv)}"
        if not needs_network(call.argv):
            return Rule(key=digest("git", shlex.join(argv), where), words=texts.call_in(said, where))
        remotes = await _remotes(call)
    except ToolError:
        return None
    named = [word for word in call.argv[1:] if not word.startswith("-")][:1]
    if call.argv[0] not in {"push", "pull", "fetch"} or not remotes or (named and named[0] not in remotes):
        return None
    places = remotes[named[0]] if named else [place for each in remotes.values() for place in each]
    key = digest("git", shlex.join(argv), f"{where}\0{remotes}")
    shown = dict.fromkeys(_USER.sub("//", place) for place in places)
    return Rule(key=key, words=texts.push_in(said, where, list(shown)))


async def _remotes(call: GitCall) -> dict[str, list[str]]:
    """Each remote's name and addresses, as git would use them. Raises ToolError."""
    options = ["-C", call.folder] if call.folder else []
    command = await git_run.prepared([*options, "remote", "-v"])
    limits = RunLimits(seconds=_SECONDS, output_bytes=_MOST_BYTES, env=command.env)
    result = await machine().sandbox.run(command.argv, command.folder, limits)
    found: dict[str, list[str]] = {}
    if result.exit_code or result.dropped:
        return found
    for row in result.output.splitlines():
        name, _, place = row.partition("\t")
        found.setdefault(name, []).append(place.rpartition(" ")[0])
    return found
