"""Which git commands exist for the model: known verbs, no option and no subcommand that names a program to run.

Not a judgement of risk (risk_git.py) and no confinement (the sandbox): the first of the layers that keep git from
starting anything but itself. Source: the manual pages of git 2.39 to 2.51.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.core import texts
from app.core.errors import ToolError
from app.core.git_neutral import is_value

VERBS = frozenset(
    re.findall(
        r"\S+",
        """add am annotate apply archive bisect blame branch bundle cat-file check-attr check-ignore check-mailmap
    check-ref-format checkout checkout-index cherry cherry-pick clean clone commit commit-graph commit-tree config
    count-objects describe diff diff-files diff-index diff-tree fetch for-each-ref format-patch fsck gc grep
    hash-object init interpret-trailers log ls-files ls-remote ls-tree maintenance merge merge-base merge-file
    merge-tree mktag mktree mv name-rev notes pack-objects pack-refs patch-id prune prune-packed pull push range-diff
    read-tree rebase reflog remote repack replace rerere reset restore rev-list rev-parse revert rm shortlog show
    show-branch show-index show-ref sparse-checkout stage stash status stripspace submodule switch symbolic-ref tag
    unpack-file unpack-objects update-index update-ref update-server-info var verify-commit verify-pack verify-tag
    version whatchanged worktree write-tree""",
    )
)
# Long options, whichever way they are shortened; letters, also in a bundle; and words that start a program.
_LONG = {
    "archive": ("remote", "exec"),
    "clone": ("upload-pack", "config", "template"),
    "config": ("edit",),
    "fetch": ("upload-pack",),
    "grep": ("open-files-in-pager",),
    "init": ("template",),
    "ls-remote": ("upload-pack", "exec"),
    "pull": ("upload-pack",),
    "push": ("receive-pack", "exec"),
    "rebase": ("exec",),
}
_EVERYWHERE = ("ext-diff", "help")
_LETTERS = {"clone": "uc", "config": "e", "grep": "O", "rebase": "x"}
_WITH_VALUE = {"clone": "boj", "grep": "efmABC", "rebase": "CsXS"}  # the rest of the bundle is its value
_WORDS = {
    "bisect": {"run", "visualize", "view"},
    "maintenance": {"start", "stop", "register", "unregister"},
    "submodule": {"foreach"},
}
_PLAIN_GLOBALS = frozenset({"--no-pager", "-P", "--no-optional-locks", "--literal-pathspecs", "--no-replace-objects"})


@dataclass(frozen=True, slots=True)
class GitCall:
    """`argv` begins with the verb. `folder` is what -C said, '' for nothing; `values` what -c said, key=value."""

    argv: tuple[str, ...]
    folder: str = ""
    options: tuple[str, ...] = ()
    values: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        return self.argv[0]


def understand(argv: Sequence[str]) -> GitCall:
    """`argv` without the leading `git`. Raises ToolError with what to do instead."""
    rest, folder = list(argv), ""
    options: list[str] = []
    values: list[str] = []
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word in {"--version", "-v"}:
            return GitCall(("version",))
        if word == "-C" and rest:
            folder = f"{folder}/{rest.pop(0)}" if folder else rest.pop(0)
        elif word == "-c" and rest and is_value(rest[0]):
            values.append(rest.pop(0))
        elif word in _PLAIN_GLOBALS:
            options.append(word)
        else:
            raise ToolError(texts.git_option_refused(" ".join([word, *rest[:1]]) if word == "-c" else word))
    if not rest:
        raise ToolError(texts.EMPTY_COMMAND)
    _check(rest)
    return GitCall(tuple(rest), folder, tuple(options), tuple(values))


def _check(argv: Sequence[str]) -> None:
    verb = argv[0]
    if verb not in VERBS:
        raise ToolError(texts.git_verb_refused(verb))
    for word in _words(argv):
        if word in _WORDS.get(verb, ()) or _is_refused_option(verb, word):
            raise ToolError(texts.git_option_refused(f"{verb} {word}"))


def _words(argv: Sequence[str]) -> Iterator[str]:
    """Up to `--`: what follows names paths."""
    for word in argv[1:]:
        if word == "--":
            return
        yield word


def _is_refused_option(verb: str, word: str) -> bool:
    if word.startswith("--"):
        name = word[2:].partition("=")[0]
        return bool(name) and any(refused.startswith(name) for refused in (*_LONG.get(verb, ()), *_EVERYWHERE))
    if not word.startswith("-"):
        return False
    for letter in word[1:]:
        if letter in _LETTERS.get(verb, ""):
            return True
        if letter in _WITH_VALUE.get(verb, ""):
            return False
    return False
