"""How risky a call looks: it only decides when to ask the user. What a call can reach is decided by app/safety."""

from __future__ import annotations

import shlex

from app.core.errors import ToolError
from app.core.machine import folder, machine
from app.core.toolkit import Arguments, Risk

_GIT_READS = frozenset(
    [
        "annotate",
        "blame",
        "cat-file",
        "check-ignore",
        "count-objects",
        "describe",
        "diff",
        "diff-tree",
        "for-each-ref",
        "grep",
        "log",
        "ls-files",
        "ls-tree",
        "merge-base",
        "name-rev",
        "rev-list",
        "rev-parse",
        "shortlog",
        "show",
        "show-ref",
        "status",
        "version",
        "whatchanged",
    ]
)
# subcommands that read with these words alone, and change things with others
_GIT_LISTINGS: dict[str, frozenset[str]] = {
    "branch": frozenset(
        ["-a", "--all", "-r", "--remotes", "-v", "-vv", "--list", "--show-current", "--merged", "--no-merged"]
    ),
    "tag": frozenset(["-l", "--list", "-n"]),
    "remote": frozenset(["-v", "show", "get-url", "origin", "upstream"]),
    "stash": frozenset(["list", "show", "-p", "--stat"]),
    "reflog": frozenset(["show", "HEAD"]),
}
_GIT_WRITES = frozenset(["add", "init", "mv", "switch"])
_GIT_NETWORK = frozenset(["fetch", "pull", "clone", "ls-remote", "submodule"])
_GIT_FORCE = frozenset(["-f", "--force", "--discard-changes", "-C"])
# options that make a reading subcommand write a file or start a program
_GIT_TRAPS = (
    "--output",
    "--upload-pack",
    "--receive-pack",
    "--exec",
    "--ext-diff",
    "--textconv",
    "-O",
    "--open-files",
)

_SHELL_READS = frozenset(
    ["ls", "pwd", "cat", "head", "tail", "wc", "grep", "echo", "whoami", "uname", "stat", "du", "df", "which"]
)
_SHELL_SPECIAL = frozenset(";|&<>$`\\\n\r*?[]{}()!~#=%^")


def shell_risk(arguments: Arguments) -> Risk:
    """A plain look at the project is free; whatever a shell would interpret is not judged, it asks."""
    command = str(arguments.get("command", ""))
    argv = _split(command)
    if not argv or _SHELL_SPECIAL & set(command):
        return Risk.EXECUTE
    if argv[0] == "git":
        return max(git_risk({"cmd": command}), Risk.READ, key=list(Risk).index)
    if argv[0] not in _SHELL_READS or not all(_stays_inside(word) for word in argv[1:]):
        return Risk.EXECUTE
    follows_links = argv[0] == "grep" and any(w.startswith("-") and ("R" in w or "deref" in w) for w in argv[1:])
    return Risk.EXECUTE if follows_links else Risk.READ


def git_risk(arguments: Arguments) -> Risk:
    argv = _split(str(arguments.get("cmd", "")))
    argv = argv[1:] if argv[:1] == ["git"] else argv
    if not argv:
        return Risk.READ  # the tool refuses it
    verb, rest = argv[0], argv[1:]
    if verb == "push":
        return Risk.OUTSIDE
    if verb in _GIT_NETWORK:
        return Risk.NETWORK
    if verb.startswith("-") or any(word.startswith(_GIT_TRAPS) for word in rest):
        return Risk.DESTRUCTIVE  # -c, -C, --git-dir…: not judged, asked
    if verb in _GIT_READS or (verb in _GIT_LISTINGS and _only_lists(verb, rest)):
        return Risk.READ
    if verb in _GIT_WRITES and not _GIT_FORCE & set(rest):
        return Risk.WRITE
    return Risk.DESTRUCTIVE


def _only_lists(verb: str, rest: list[str]) -> bool:
    if verb == "stash" and not rest:
        return False  # a bare stash takes the changes away
    return all(word in _GIT_LISTINGS[verb] for word in rest)


def _stays_inside(word: str) -> bool:
    """A flag, or a path that really lies in the allowed folders (links followed)."""
    if word.startswith("-"):
        return "/" not in word
    try:
        machine().workspace.resolve(word, folder())
    except ToolError:
        return False
    return True


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []
