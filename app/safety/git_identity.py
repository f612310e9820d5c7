"""What commands may know of the user's git configuration: plain values, passed on one by one.

They have a HOME of their own and do not see his files, which may name programs.
"""

from __future__ import annotations

import os
import subprocess

from app.core.git_neutral import EDITORS, STATIC

_VARIABLES = {
    "user.name": ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"),
    "user.email": ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"),
}
_VALUES = (
    "core.autocrlf", "core.eol", "core.quotepath", "init.defaultbranch", "merge.conflictstyle", "pull.ff",
    "pull.rebase", "push.autosetupremote", "push.default", "rebase.autostash", "safe.directory",
)  # fmt: skip
_NEUTRAL = [setting for setting in STATIC if not setting.startswith(("safe.", "color."))]
_WANTED = rf"^({'|'.join((*_VARIABLES, *_VALUES))})$".replace(".", r"\.")


def git_environment() -> dict[str, str]:
    """For every command: who the user is, and a git that starts no hook, editor, pager or helper of anybody.

    A line that a shell takes apart is git's own business; what the model asks of git itself goes further (git_run.py).
    """
    found = git_identity()
    first = int(found.get("GIT_CONFIG_COUNT", "0"))
    for number, setting in enumerate(_NEUTRAL, first):
        found[f"GIT_CONFIG_KEY_{number}"], _, found[f"GIT_CONFIG_VALUE_{number}"] = setting.partition("=")
    return found | {"GIT_CONFIG_COUNT": str(first + len(_NEUTRAL)), "GIT_CONFIG_NOSYSTEM": "1"} | EDITORS


def git_identity() -> dict[str, str]:
    """Environment variables for git; none when git is missing or the user never said who he is. Blocks briefly."""
    command = ["git", "config", "--null", "--get-regexp", _WANTED]
    nowhere = os.environ | {"GIT_DIR": os.devnull}  # the user's and the system's, not that of a repository here
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=5, check=False, stdin=subprocess.DEVNULL, env=nowhere
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    identity: dict[str, str] = {}
    values: dict[str, str] = {}
    for entry in done.stdout.decode("utf-8", "replace").split("\0"):
        key, _, value = entry.partition("\n")
        identity |= dict.fromkeys(_VARIABLES.get(key, ()), value)
        if key in _VALUES:
            number = len(values) // 2
            values |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return identity | ({"GIT_CONFIG_COUNT": str(len(values) // 2)} | values if values else {})
