"""One command run by the helper: the same shape as process.Job."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast

from loguru import logger

from app.core import texts_safety
from app.core import texts_sandbox as texts
from app.core.contracts import CommandResult
from app.core.errors import SandboxError
from app.safety.capture import Capture
from app.safety.confine import wire
from app.safety.confine.plan import Plan, dump
from app.safety.helper import Helper
from app.safety.programs import find_program

_DRAIN = 5.0  # s for output that is still under way when everything has ended: on a busy machine its reader is late
_PATIENCE = 30.0  # s after the deadline: the monitor, which keeps it, is lost
_STOP = b"s"
_CODES = {1: "EPERM", 2: "ENOENT", 7: "E2BIG", 8: "ENOEXEC", 11: "EAGAIN", 12: "ENOMEM", 13: "EACCES", 20: "ENOTDIR"}


class ConfinedJob:
    """`execute()` blocks its thread; `stop()` may be called from any other, before or after."""

    def __init__(self, plan: Plan, helper: Helper, output_bytes: int) -> None:
        self._plan = plan
        self._helper = helper
        self._output_bytes = output_bytes
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._stopped = False

    def execute(self) -> CommandResult:
        """Raises SandboxError when the program cannot be started, or its end is not known."""
        began = time.monotonic()
        if self._stopped:
            raise SandboxError(texts_safety.cannot_start(" ".join(self._plan.argv[:1]), "ECANCELED"))
        program = find_program(self._plan.argv, Path(self._plan.cwd), self._plan.env.get("PATH", ""))
        plan = replace(self._plan, argv=[program, *self._plan.argv[1:]])
        request = dump(plan)
        # A helper that dies with a request unread has begun nothing: that alone is asked again.
        output, channel = self._start(request) or self._start(request) or self._refuse()
        with channel:
            answer = _answer(channel)
        text, dropped = output.stop(_DRAIN)
        self._check(answer, text)
        reason = answer["reason"]
        if reason in {"memory", "processes", "disk"}:
            text += texts.stopped_command(reason)
        return CommandResult(
            answer["code"], text.replace("\r\n", "\n"), time.monotonic() - began, dropped, timed_out=reason == "time"
        )

    def stop(self) -> None:
        """Asks everything to end; the monitor ends it a moment later. Does not block."""
        with self._lock:
            self._stopped = True
            if self._channel is not None:
                with suppress(OSError):
                    self._channel.send(_STOP)

    def kill(self) -> None:
        """At once, for the end of the server."""
        with self._lock, suppress(OSError):
            if self._channel is not None:
                self._channel.shutdown(socket.SHUT_RDWR)

    def _start(self, request: bytes) -> tuple[Capture, socket.socket] | None:
        """None when nothing has begun."""
        read, write = os.pipe()
        with os.fdopen(read, "rb", 0) as pipe, os.fdopen(write, "wb", 0):
            channel = self._helper.submit(write)
            channel.settimeout(self._plan.seconds + _PATIENCE)
            if not _is_taken(channel, request):
                channel.close()
                return None
            output = Capture(os.fdopen(os.dup(pipe.fileno()), "rb", 0), self._output_bytes)
        with self._lock, suppress(OSError):  # stop() speaks on it from now on
            self._channel = channel
            if self._stopped:
                channel.send(_STOP)
        return output, channel

    def _refuse(self) -> NoReturn:
        raise SandboxError(texts.SANDBOX_NO_HELPER)

    def _check(self, answer: dict[str, Any], output: str) -> None:
        if not answer:
            raise SandboxError(texts.SANDBOX_GONE)
        error = answer.get("error")
        if error is None:
            return
        name = self._plan.argv[0]
        if error.isdigit() and (code := _CODES.get(int(error))):
            logger.info("a command did not start: {} {}", code, answer["detail"])
            raise SandboxError(texts_safety.cannot_start(name, code))
        logger.error("a command could not be confined ({}): {} {}", self._plan.layer, answer["detail"], output.strip())
        raise SandboxError(texts.SANDBOX_FAILED)


def _is_taken(channel: socket.socket, request: bytes) -> bool:
    """A monitor has read it all, and begins."""
    try:
        wire.send(channel, request)
        return channel.recv(1) == wire.TAKEN
    except OSError:
        return False


def _answer(channel: socket.socket) -> dict[str, Any]:
    """Nothing when the monitor is gone."""
    with suppress(OSError):
        return cast("dict[str, Any]", json.loads(wire.receive(channel) or b"{}"))
    return {}
