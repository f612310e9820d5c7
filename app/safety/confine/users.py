"""Under which user what runs. Only a helper that is root has a choice."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from dataclasses import dataclass

from app.safety.confine.plan import Layer
from app.safety.confine.syscalls import close_to_peers, keep_capabilities, no_new_privileges

NOBODY = 65533  # for the commands of a server that runs as root: nobody else's, on a usual system


@dataclass(frozen=True, slots=True)
class Users:
    """`server`: whose the server is. `tools` and `group`: of the commands, where they have a user of their own."""

    server: int
    tools: int = NOBODY
    group: int = NOBODY

    @property
    def server_is_root(self) -> bool:
        return self.server == 0

    def attend_as_server(self, layer: Layer) -> None:
        """A monitor is root only where it has to be: to give a command to another user, and to end it."""
        if os.geteuid() == 0 and not self.server_is_root and layer != "landlock-uid":
            become(self.server, self.group)


def become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    close_to_peers(closed=False)


def lose_everything() -> None:
    """No capability, and no program gives one back."""
    keep_capabilities(0)
    no_new_privileges()
