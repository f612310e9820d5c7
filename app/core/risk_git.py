"""Which git commands are free: allowed options, words that stay inside, a repository that leads nowhere else.

What is not free asks. Free or not, no program of any configuration runs: see git_run.py.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import ToolError
from app.core.git_losses import may_lose
from app.core.git_rules import GitCall, understand
from app.core.machine import folder, machine
from app.core.risk_options import LISTS, NAMED, READ_OPTIONS, WRITE_OPTIONS
from app.core.survey import Survey, survey
from app.core.toolkit import Risk

FREE = frozenset({Risk.READ, Risk.WRITE})
_NETWORK = frozenset({"fetch", "pull", "clone", "ls-remote", "submodule"})
_REMOTE_NETWORK = frozenset({"show", "update", "prune"})
_REFLOG_CHANGES = frozenset({"expire", "delete", "drop", "write", "exists", "list"})
_SIGNATURE = re.compile(r"%G|%\(signature")  # placeholders that start gpg
_ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")

_NO_EXTERNAL = ("--no-ext-diff",)
_NO_PROGRAMS = ("--no-ext-diff", "--no-textconv")
# In a submodule git would start another git, with the submodule's own configuration.
_NO_SUBMODULES = ("--ignore-submodules=dirty",)
_GUARDS = {
    "status": _NO_SUBMODULES,
    "diff": _NO_PROGRAMS + _NO_SUBMODULES,
    **dict.fromkeys(["log", "show", "whatchanged", "diff-tree", "diff-index", "diff-files"], _NO_PROGRAMS),
    **dict.fromkeys(["blame", "annotate", "grep"], ("--no-textconv",)),
    "format-patch": _NO_EXTERNAL,
    "switch": ("--no-overwrite-ignore",),  # an ignored file may be the only copy
}


def judge(argv: Sequence[str]) -> Risk:
    """`argv` without the leading `git`. What the tool refuses runs nothing: it counts as a read."""
    try:
        call = understand(argv)
        where = machine().workspace.resolve(call.folder, folder()) if call.folder else folder()
    except ToolError:
        return Risk.READ
    return _judge(call, where)


def is_reading(call: GitCall, where: Path) -> bool:
    return _judge(call, where) is Risk.READ


def needs_network(argv: Sequence[str]) -> bool:
    remote = argv[0] == "remote" and len(argv) > 2 and argv[1] in _REMOTE_NETWORK
    return argv[0] == "push" or argv[0] in _NETWORK or remote


def guards(call: GitCall) -> tuple[str, ...]:
    """Options that stand behind the verb, in front of the model's own."""
    return _GUARDS.get(call.verb, ())


def _judge(call: GitCall, where: Path) -> Risk:
    argv = call.argv
    pair = " ".join(argv[:2])
    verb, rest = (pair, argv[2:]) if pair in READ_OPTIONS else (argv[0], argv[1:])
    if verb == "push":
        return Risk.OUTSIDE
    if needs_network(argv):
        return Risk.NETWORK
    look = survey()
    risk = _Local(look, where).judge(verb, rest) if look else Risk.DESTRUCTIVE
    if look and risk in FREE and not look.repository_is_plain(where):
        return Risk.EXECUTE  # the repository's configuration says what is not certain to be harmless
    return risk


@dataclass(frozen=True, slots=True)
class _Local:
    """A command that needs nothing from elsewhere, in the folder `where`."""

    look: Survey
    where: Path

    def judge(self, verb: str, rest: Sequence[str]) -> Risk:
        if verb in READ_OPTIONS and self._only_reads(verb, rest):
            return Risk.READ
        if verb in WRITE_OPTIONS and self._only_adds(verb, rest):
            return Risk.WRITE
        return Risk.DESTRUCTIVE if may_lose([*verb.split(), *rest]) else Risk.EXECUTE

    def _only_reads(self, verb: str, rest: Sequence[str]) -> bool:
        words = _words(rest, READ_OPTIONS[verb])
        if words is None or not all(map(self._harmless, rest)):
            return False
        if verb in LISTS and words:
            return verb in {"branch", "tag"} and any(w.partition("=")[0] in NAMED for w in rest)
        if verb == "reflog":
            return not _REFLOG_CHANGES & set(words)
        return verb != "grep" or not self.look.links_outside(self.where)  # git grep follows a folder made a link

    def _only_adds(self, verb: str, rest: Sequence[str]) -> bool:
        if _words(rest, WRITE_OPTIONS[verb]) is None or self.look.has_submodules(self.where):
            return False
        return all(self._harmless(word) and not self.look.in_repository(word, self.where) for word in rest)

    def _harmless(self, word: str) -> bool:
        """As a revision, a text or a path, in the repository or outside any. Git may take an option for a path."""
        if _ABSOLUTE.match(word) or ".." in re.split(r"[/\\]", word) or _SIGNATURE.search(word):
            return False
        return self.look.stays_inside(word, self.where, deep=True)


def _words(rest: Sequence[str], allowed: re.Pattern[str]) -> list[str] | None:
    """What is not an option; None when an option is not known. After `--` there are only words."""
    end = rest.index("--") if "--" in rest else len(rest)
    words = [word for word in rest[:end] if word == "-" or not word.startswith("-")]
    if all(allowed.fullmatch(word) for word in rest[:end] if word != "-" and word.startswith("-")):
        return [*words, *rest[end + 1 :]]
    return None
