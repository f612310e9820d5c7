"""Starts a server that is not root beside a helper that was: `python -m app.safety.confine.launch <command> …`

For a container that starts as root. The helper keeps three capabilities, to give commands a user of their own and to
end them; the server gives up root before it begins. Both users are in one group: both can write in the projects.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from app.safety.confine.syscalls import CAP_KILL, CAP_SETGID, CAP_SETUID, keep_capabilities, no_new_privileges
from app.safety.confine.users import become

VARIABLE = "NANOBOT_HELPER"
_KEPT = 1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from app.safety.confine.forkserver import main; main(*map(int, sys.argv[2:]))"
)
_CODE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


@dataclass(frozen=True, slots=True)
class Accounts:
    """As the image has them. `home`: of the commands."""

    server: int = 1000
    tools: int = 1001
    group: int = 1000
    home: str = "/home/herramientas"


def main(command: Sequence[str], accounts: Accounts = Accounts()) -> None:
    """Becomes the server."""
    ours, theirs = socket.socketpair()
    os.umask(0o002)
    if os.fork() == 0:
        ours.close()
        _help(theirs, [accounts.server, accounts.tools, accounts.group])
    theirs.close()
    become(accounts.server, accounts.group)
    keep_capabilities(0)
    no_new_privileges()
    os.set_inheritable(ours.fileno(), True)
    os.environ[VARIABLE] = f"{ours.fileno()}:{accounts.home}"
    os.execvp(command[0], list(command))


def _help(requests: socket.socket, numbers: Sequence[int]) -> None:
    """A clean environment: the server's has the keys in it."""
    os.setsid()
    os.chdir("/")
    keep_capabilities(_KEPT)
    no_new_privileges()
    os.set_inheritable(requests.fileno(), True)
    clean = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
    arguments = [_CODE, str(requests.fileno()), *map(str, numbers)]
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", _MAIN, *arguments], clean)


if __name__ == "__main__":
    main(sys.argv[1:])
