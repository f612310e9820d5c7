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
_WAY = r"^(http|remote|push|credential|ssh|core\.sshcommand)(\.|$)"  # proxies, certificates, mirrors…
# Options without a value: a word behind one is a remote, and none says where to.
_BOTH = frozenset({"-q", "--quiet", "-v", "--verbose", "--progress"})
_FETCH = _BOTH | {"-p", "--prune", "-t", "--tags", "--no-tags", "--dry-run"}
_PLAIN = {
    "fetch": _FETCH,
    "pull": _FETCH | {"--rebase", "--no-rebase", "-r", "--ff", "--ff-only", "--no-ff", "--no-edit", "--autostash"},
    "push": _BOTH
    | {"-u", "--set-upstream", "-f", "--force", "--force-with-lease", "--tags", "--follow-tags", "-n", "--dry-run"},
}


async def rule_of(invocation: Invocation) -> Rule | None:
    """Calls with the same key do the same, as far as it can be said beforehand."""
    arguments = invocation.arguments
    match invocation.tool.name:
        case "execute_shell" if arguments.get("network"):
            return None  # what it does there is also up to ~/.curlrc and its like, which other commands can write
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
    another address behind the same name is asked again, and so is another way there. Whatever goes where the
    repository's configuration says is asked every time: any command can change that.
    """
    try:
        call = understand(argv)
        where = str(git_run.place_of(call))
        said = f"git {shlex.join(argv)}"
        if not needs_network(call.argv):
            return Rule(key=digest("git", shlex.join(argv), where), words=texts.call_in(said, where))
        remote = _named(call)
        places = (await _remotes(call)).get(remote) if remote else None
        if not places:
            return None
        way = await _asked(call, "config", "--null", "--get-regexp", _WAY)
    except ToolError:
        return None
    key = digest("git", shlex.join(argv), f"{where}\0{places}\0{way}")
    shown = dict.fromkeys(_USER.sub("//", place) for place in places)
    return Rule(key=key, words=texts.push_in(said, where, list(shown)))


def _named(call: GitCall) -> str:
    """The remote that the command names itself; '' when it may go elsewhere, or when what it sends is not said."""
    options = [word for word in call.argv[1:] if word.startswith("-")]
    words = [word for word in call.argv[1:] if not word.startswith("-")]
    if call.values or call.verb not in _PLAIN or not _PLAIN[call.verb].issuperset(options):
        return ""
    return words[0] if len(words) > (call.verb == "push") else ""


async def _remotes(call: GitCall) -> dict[str, list[str]]:
    """Each remote's name and addresses, as git would use them. Raises ToolError."""
    found: dict[str, list[str]] = {}
    for row in (await _asked(call, "remote", "-v")).splitlines():
        name, _, place = row.partition("\t")
        found.setdefault(name, []).append(place.rpartition(" ")[0])
    return found


async def _asked(call: GitCall, *words: str) -> str:
    """Raises ToolError when git does not answer in full."""
    options = ["-C", call.folder] if call.folder else []
    command = await git_run.prepared([*options, *words])
    limits = RunLimits(seconds=_SECONDS, output_bytes=_MOST_BYTES, env=command.env)
    result = await machine().sandbox.run(command.argv, command.folder, limits)
    if result.exit_code or result.dropped or result.timed_out:
        raise ToolError(result.output)
    return result.output
