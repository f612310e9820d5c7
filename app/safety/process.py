"""One command from start to end, in threads of its own: it works on any event loop, uvicorn's on Windows too."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from app.core import texts_safety as texts
from app.core.contracts import CommandResult, RunLimits
from app.core.errors import SandboxError
from app.safety.capture import Capture
from app.safety.paths import code_of

GRACE = 1.0  # s between the request to end and the end
DRAIN = 0.3  # s for output that is still under way when the program has ended


class Job:
    """`execute()` blocks its thread; `stop()` may be called from any other, before or after."""

    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], limits: RunLimits) -> None:
        self._argv = list(argv)
        self._cwd = cwd
        self._env = dict(env)
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._ended = threading.Event()
        self._timed_out = False

    def execute(self) -> CommandResult:
        """Raises SandboxError when the program cannot be started."""
        began = time.monotonic()
        with self._lock:
            process = self._process = self._start()
        deadline = threading.Timer(self._limits.seconds, self._expire)
        deadline.daemon = True
        try:
            assert process.stdout is not None
            output = Capture(process.stdout, self._limits.output_bytes)
            deadline.start()
            _wait_without_reaping(process)
            output.wait(DRAIN)
        finally:
            deadline.cancel()
            self._ended.set()
            _signal_tree(process, hard=True)  # what left its process group (setsid) still outlives it
            process.wait()
        text, dropped = output.stop(DRAIN)
        return CommandResult(
            exit_code=_shell_code(process.returncode), output=text.replace("\r\n", "\n"),
            seconds=time.monotonic() - began, dropped=dropped, timed_out=self._timed_out,
        )  # fmt: skip

    def stop(self) -> None:
        """Asks the process group to end, and ends it a moment later. Does not block."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                threading.Thread(target=self._terminate, args=(self._process,), daemon=True).start()

    def kill(self) -> None:
        """At once, for the end of the server."""
        if self._process is not None and not self._ended.is_set():
            _signal_tree(self._process, hard=True)

    def _start(self) -> subprocess.Popen[bytes]:
        if not self._argv:
            raise SandboxError(texts.NO_COMMAND)
        if self._stopped:
            raise SandboxError(texts.cannot_start(self._argv[0], "ECANCELED"))
        if not self._cwd.is_dir():
            raise SandboxError(texts.no_such_folder(self._cwd))
        try:
            return subprocess.Popen(
                self._argv, cwd=self._cwd, env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, close_fds=True, start_new_session=True, creationflags=_creation_flags(),
            )  # fmt: skip
        except FileNotFoundError:
            raise SandboxError(texts.no_such_program(self._argv[0])) from None
        except (OSError, ValueError) as error:
            code = code_of(error) if isinstance(error, OSError) else "EINVAL"
            raise SandboxError(texts.cannot_start(self._argv[0], code)) from None

    def _expire(self) -> None:
        process = self._process
        if process is not None and not self._ended.is_set():
            self._timed_out = True
            self._terminate(process)

    def _terminate(self, process: subprocess.Popen[bytes]) -> None:
        if not self._ended.is_set():
            _signal_tree(process, hard=False)
        if not self._ended.wait(GRACE):
            _signal_tree(process, hard=True)


def _signal_tree(process: subprocess.Popen[bytes], *, hard: bool) -> None:
    """To the process group, whose number is the leader's: taken by nobody else while the leader is not reaped."""
    if sys.platform == "win32":
        if process.poll() is None:
            command = ["taskkill", "/T", "/F", "/PID", str(process.pid)]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            process.kill()
        return
    import signal

    with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM for a group of zombies
        os.killpg(process.pid, signal.SIGKILL if hard else signal.SIGTERM)


def _wait_without_reaping(process: subprocess.Popen[bytes]) -> None:
    """So that the group can still be signalled safely after its leader has ended."""
    if sys.platform == "linux":
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            return
    process.wait()


def _creation_flags() -> int:
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW


def _shell_code(returncode: int) -> int:
    """As a shell says it: 128 + the signal's number."""
    return 128 - returncode if returncode < 0 else returncode
