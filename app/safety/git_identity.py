"""The user's git identity, as plain values: commands have a HOME of their own and do not see his configuration."""

from __future__ import annotations

import subprocess

_VARIABLES = {
    "user.name": ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"),
    "user.email": ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"),
}


def git_identity() -> dict[str, str]:
    """Environment variables for git; none when git is missing or the user never said who he is. Blocks briefly."""
    command = ["git", "config", "--global", "--null", "--get-regexp", r"^user\.(name|email)$"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, str] = {}
    for entry in done.stdout.decode("utf-8", "replace").split("\0"):
        key, _, value = entry.partition("\n")
        found |= dict.fromkeys(_VARIABLES.get(key, ()), value)
    return found
