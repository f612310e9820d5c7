"""One command from start to end, in a process of its own: it starts it, watches it, and leaves nothing of it behind.

It ends with the command, with the server (the channel closes) or at the deadline.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from app.safety.confine import bridge, cull, enter, shared, tree, wire
from app.safety.confine.emulate import Emulator
from app.safety.confine.owner import Owner
from app.safety.confine.plan import Plan, load
from app.safety.confine.syscalls import adopt_orphans, die_with_parent
from app.safety.confine.users import Users, become
from app.safety.confine.watch import TICK, Watch

GRACE = 1.0  # s between the request to end and the end
STOP = b"s"
_PATIENCE = 10.0  # s for the request to arrive


def attend(channel: socket.socket, output: int, users: Users) -> None:
    """Answers with one JSON object: what became of the command, or why it did not start."""
    adopt_orphans()
    channel.settimeout(_PATIENCE)
    plan = load(wire.receive(channel))
    channel.settimeout(None)
    channel.send(wire.TAKEN)
    users.attend_as_server(plan.layer)
    answer = _Command(plan, channel, output, users).run()
    with suppress(OSError):
        wire.send(channel, json.dumps(answer).encode())


class _Command:
    def __init__(self, plan: Plan, channel: socket.socket, output: int, users: Users) -> None:
        self._plan = plan
        self._channel = channel
        self._output = output
        self._users = users
        self._child = 0
        self._reason = ""
        self._ending: float | None = None
        self._asked: set[int] = set()
        self._apart: set[int] = set()  # processes of ours
        self._cull: socket.socket | None = None

    def run(self) -> dict[str, object]:
        status, said = os.pipe()
        try:
            failure = self._start(said)
            os.close(said)
            os.close(self._output)
            if failure:
                return {"error": failure[0], "detail": failure[1]}
            self._wait()
            code = self._reap()
        finally:
            tree.end()
            if self._plan.layer == "landlock-uid":
                shared.clear(self._users)
        if self._plan.layer == "bubblewrap" and not self._reason and not _has_run(status):
            return {"error": "setup", "detail": ""}
        return {"code": code, "reason": self._reason}

    # ---------------------------------------------------------------- start

    def _start(self, status: int) -> tuple[str, str] | None:
        """None when it runs; else an errno (or 0) and what the system said."""
        ours, theirs = socket.socketpair()
        failed, errors = os.pipe()
        port, listener = self._way_out()
        culled = self._prepare_to_cull()
        parent = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            ends = enter.Ends(self._output, errors, status, theirs, port, culled)
            enter.run(self._plan, self._users, ends, parent)
        for end in (theirs, *([culled] if culled else [])):
            end.close()
        os.close(errors)
        self._attend_inside(ours, listener, port)
        said = b"".join(iter(lambda: os.read(failed, 4096), b""))
        if not said:
            return None
        code, _, detail = said.decode("utf-8", "replace").partition(" ")
        return code, detail

    def _prepare_to_cull(self) -> socket.socket | None:
        """The command's end of it."""
        if self._plan.layer != "landlock" or os.geteuid() != 0 or not cull.is_possible():
            return None
        self._cull, theirs = socket.socketpair()
        return theirs

    def _way_out(self) -> tuple[int | None, int]:
        """Without a network of its own the command gets a port of the machine's loopback."""
        if self._plan.proxy is None or self._plan.layer == "bubblewrap":
            return None, -1
        listener = bridge.listen(0)
        return bridge.port_of(listener), listener

    def _attend_inside(self, ours: socket.socket, listener: int, port: int | None) -> None:
        """What the child hands over: the port inside its network, or the calls that are done for it."""
        plan = self._plan
        if plan.layer in {"landlock", "landlock-uid"} or plan.proxy is not None:
            with ours:
                given = socket.recv_fds(ours, 1, 1)[1]
            if plan.layer == "bubblewrap":
                listener = given[0] if given else -1
            elif given:
                self._beside(lambda: self._emulate(given[0], port))
        else:
            ours.close()
        if listener >= 0 and (proxy := plan.proxy) is not None:
            self._beside(lambda: bridge.serve(listener, proxy))
            os.close(listener)

    def _emulate(self, listener: int, port: int | None) -> None:
        other = None
        if self._plan.layer == "landlock-uid":
            other = Owner(self._plan, self._users)
            become(self._users.tools, self._users.group)
        Emulator(listener, self._plan, port, other).serve()

    def _beside(self, work: Callable[[], None]) -> None:
        """In a process of its own, ended with everything else."""
        parent = os.getpid()
        if pid := os.fork():
            self._apart.add(pid)
            return
        try:
            die_with_parent(parent)
            os.close(self._output)
            self._channel.close()
            work()
        finally:
            os._exit(0)

    # ---------------------------------------------------------------- watch

    def _wait(self) -> None:
        deadline = time.monotonic() + self._plan.seconds
        memory = shared.FOLDER if self._plan.layer == "landlock-uid" else None
        folders = [*self._plan.writable, self._plan.home]
        watch = Watch(self._plan.ceilings, folders, memory, self._apart)
        ended = os.pidfd_open(self._child)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(self._channel, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(TICK * 1000)}
            if ended in ready:
                break
            if ready:
                self._heed(poll)
            elif not self._reason and (excess := watch.excess()):
                self._kill(excess)
            if self._ending is None and time.monotonic() >= deadline:
                self._terminate("time")
            if self._ending is not None:
                self._ask_to_end()
                if time.monotonic() >= self._ending:
                    self._kill(self._reason)
        os.close(ended)

    def _heed(self, poll: select.poll) -> None:
        try:
            word = self._channel.recv(1)
        except OSError:
            word = b""
        if word == STOP:
            self._terminate("stopped")
        else:
            poll.unregister(self._channel)
            self._kill("abandoned")

    def _terminate(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._ending = self._ending or time.monotonic() + GRACE
        self._ask_to_end()

    def _ask_to_end(self) -> None:
        """Each once, what comes only now as well. Bubblewrap's own end would be everybody's, at once."""
        kept = {self._child} if self._plan.layer == "bubblewrap" else set[int]()
        for pid in set(tree.descendants(os.getpid())) - self._asked - kept:
            tree.send(pid, signal.SIGTERM)
            self._asked.add(pid)

    def _kill(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._cull:
            cull.end(self._cull)
        tree.send(self._child, signal.SIGKILL)
        tree.end(keep=self._child)

    def _reap(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        return 128 - code if code < 0 else code


def _has_run(status: int) -> bool:
    """Whether bubblewrap got as far as the command: it says so when that ends."""
    os.set_blocking(status, False)
    with suppress(BlockingIOError):
        return b'"exit-code"' in os.read(status, 65_536)
    return False
