"""Which git commands can lose work or change what git does from then on: they ask even where commands are confined.

Whatever is not known to keep everything counts as a loss. What is committed, stashed or branched is never lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEEPS = frozenset(
    re.findall(
        r"\S+",
        """am annotate apply archive bisect blame bundle cat-file check-attr check-ignore check-mailmap check-ref-format
    cherry cherry-pick commit commit-graph count-objects describe diff diff-files diff-index diff-tree for-each-ref
    format-patch fsck grep hash-object init interpret-trailers log ls-files ls-tree merge merge-base merge-tree name-rev
    patch-id range-diff rebase rerere rev-list rev-parse revert shortlog show show-branch show-ref stage status
    stripspace var verify-commit verify-pack verify-tag version whatchanged add""",
    )
)
# Of these verbs only the calls of which no word matches.
_LOSING = {
    verb: re.compile(words)
    for verb, words in {
        "branch": r"-[A-Za-z]*[dDfmMC][A-Za-z]*|--[dfmcue].*",
        "mv": r"-[A-Za-z]*f[A-Za-z]*|--f.*",
        "notes": r"remove|prune|merge|-[A-Za-z]*f|--f.*",
        "reflog": r"expire|delete|drop",
        "remote": r"remove|rm|rename|prune|set-.*|update|--mirror.*|-f",
        "reset": r"--(h|m[e]|k).*",
        "stash": r"drop|clear",
        "switch": r"-[A-Za-z]*[fC].*|--f.*|--d[^e].*|--m.*|--o.*|--recurse.*|-[a-z]*m",
        "tag": r"-[A-Za-z]*[df]|--[df].*",
        "worktree": r"remove|prune|move|-[A-Za-z]*[fB]|--f.*",
    }.items()
}


def may_lose(argv: Sequence[str]) -> bool:
    verb, words = argv[0], argv[1:]
    if verb in _KEEPS:
        return False
    if losing := _LOSING.get(verb):
        return any(losing.fullmatch(word) for word in words)
    match verb:
        case "checkout":  # a word may be a path, whose changes would be lost; a new branch loses nothing
            return not {"-b", "--detach", "--orphan"} & set(words) or bool({"-f", "--force", "-B", "--"} & set(words))
        case "restore":
            return not {"-S", "--staged"} & set(words) or bool({"-W", "--worktree"} & set(words))
        case "rm":
            return "--cached" not in words
        case _:
            return True
