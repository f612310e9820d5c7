"""Starts a server that is not root beside a helper that was: `python -m app.safety.confine.launch <command> …`

For a container that starts as root. The helper keeps three capabilities, to give commands a user of their own and to end
them; the server gives up root before it begins. Users: `nanobot` for the server, `herramientas` for the commands, in
one group, so that both can write what is in the projects.
"""

from __future__ import annotations

import os
import pwd
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from app.safety.confine.syscalls import CAP_KILL, CAP_SETGID, CAP_SETUID, keep_capabilities, no_new_privileges
from app.safety.confine.users import become

assert sys.platform == "linux"

SERVER, TOOLS = "nanobot", "herramientas"
VARIABLE = "NANOBOT_HELPER"
_KEPT = 1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from app.safety.confine.forkserver import main; main(*map(int, sys.argv[2:]))"
)
_CODE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


@dataclass(frozen=True, slots=True)
class Accounts:
    """`home`: of the commands."""

    server: int
    tools: int
    group: int
    home: str

    @classmethod
    def of_the_image(cls) -> Accounts:
        server, tools = pwd.getpwnam(SERVER), pwd.getpwnam(TOOLS)
        return cls(server.pw_uid, tools.pw_uid, server.pw_gid, tools.pw_dir)


def main(command: Sequence[str], accounts: Accounts | None = None) -> None:
    """Becomes the server."""
    accounts = accounts or Accounts.of_the_image()
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
