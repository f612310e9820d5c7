"""Which git commands are free: allowed options, words that stay inside, a repository that names no program.

A free command also runs guarded: see `command`. What is not free asks, and then runs as the user approved it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from app.core.machine import folder
from app.core.risk_options import LISTS, NAMED, READ_OPTIONS, WRITE_OPTIONS
from app.core.survey import Survey, survey
from app.core.toolkit import Risk

FREE = frozenset({Risk.READ, Risk.WRITE})
_NETWORK = frozenset({"fetch", "pull", "clone", "ls-remote", "submodule"})
_REMOTE_NETWORK = frozenset({"show", "update", "prune"})
_REFLOG_CHANGES = frozenset({"expire", "delete", "drop", "write", "exists", "list"})
_SIGNATURE = re.compile(r"%G|%\(signature")  # placeholders that start gpg
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")


def judge(argv: Sequence[str]) -> Risk:
    """`argv` without the leading `git`."""
    pair = " ".join(argv[:2])
    verb, rest = (pair, argv[2:]) if pair in READ_OPTIONS else (argv[0], argv[1:])
    if verb == "push":
        return Risk.OUTSIDE
    if verb in _NETWORK or (argv[0] == "remote" and len(argv) > 2 and argv[1] in _REMOTE_NETWORK):
        return Risk.NETWORK
    look = survey()
    risk = _judge_local(look, verb, rest) if look else Risk.DESTRUCTIVE
    if look and risk in FREE and not look.repository_is_plain(folder()):
        return Risk.EXECUTE  # the repository's configuration may start programs
    return risk


def _judge_local(look: Survey, verb: str, rest: Sequence[str]) -> Risk:
    if verb in READ_OPTIONS and _only_reads(look, verb, rest):
        return Risk.READ
    if verb in WRITE_OPTIONS and _only_adds(look, verb, rest):
        return Risk.WRITE
    return Risk.DESTRUCTIVE


def command(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The whole argv and what is added to the environment. Hooks, pagers and editors never run."""
    risk = judge(argv)
    if risk not in FREE:
        return [*_GIT, *argv], dict(_ENV)
    locks = {"GIT_OPTIONAL_LOCKS": "0"} if risk is Risk.READ else {}
    return [*_GIT, *_SAFE, argv[0], *_GUARDS.get(argv[0], ()), *argv[1:]], _ENV | _GUARDED_ENV | locks


_GIT = (
    "git", "--no-pager", "-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "color.ui=false",
)  # fmt: skip
_SAFE = ("-c", "safe.bareRepository=explicit")  # a folder that looks like a repository is not one
_ENV = {"GIT_EDITOR": "false", "GIT_SEQUENCE_EDITOR": "false"}
# No program of the user's or the system's configuration, no connection, not even for a missing object.
_GUARDED_ENV = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_SSH_COMMAND": "false",
    "GIT_ASKPASS": "false",
}
_NO_PROGRAMS = ("--no-ext-diff", "--no-textconv")
# In a submodule git would start another git, with the submodule's own configuration: only the option prevents it.
_NO_SUBMODULES = ("--ignore-submodules=dirty",)
_GUARDS = {
    "status": _NO_SUBMODULES,
    "diff": _NO_PROGRAMS + _NO_SUBMODULES,
    **dict.fromkeys(["log", "show", "whatchanged", "diff-tree"], _NO_PROGRAMS),
    **dict.fromkeys(["blame", "annotate", "grep"], ("--no-textconv",)),
    "switch": ("--no-overwrite-ignore",),  # an ignored file may be the only copy
}


def _only_reads(look: Survey, verb: str, rest: Sequence[str]) -> bool:
    words = _words(rest, READ_OPTIONS[verb])
    if words is None or not all(_harmless(look, word) for word in rest):
        return False
    if verb in LISTS and words:
        return verb in {"branch", "tag"} and any(w.partition("=")[0] in NAMED for w in rest)
    if verb == "reflog":
        return not _REFLOG_CHANGES & set(words)
    return verb != "grep" or not look.links_outside(folder())  # git grep follows a folder that became a link


def _only_adds(look: Survey, verb: str, rest: Sequence[str]) -> bool:
    if _words(rest, WRITE_OPTIONS[verb]) is None or look.has_submodules(folder()):
        return False
    return all(_harmless(look, word) and not look.in_repository(word, folder()) for word in rest)


def _words(rest: Sequence[str], allowed: re.Pattern[str]) -> list[str] | None:
    """What is not an option; None when an option is not known. After `--` there are only words."""
    end = rest.index("--") if "--" in rest else len(rest)
    words = [word for word in rest[:end] if word == "-" or not word.startswith("-")]
    if all(allowed.fullmatch(word) for word in rest[:end] if word != "-" and word.startswith("-")):
        return [*words, *rest[end + 1 :]]
    return None


def _harmless(look: Survey, word: str) -> bool:
    """As a revision, a text or a path, in the repository or outside any. Options too: git may take one for a path."""
    if _ABSOLUTE.match(word) or ".." in re.split(r"[/\\]", word) or _SIGNATURE.search(word):
        return False
    return look.stays_inside(word, folder(), deep=True)
