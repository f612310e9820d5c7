"""Runs programs. This version separates and limits them; what confines them comes under the same contract."""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from app.core import texts_safety as texts
from app.core.contracts import CommandResult, RunLimits
from app.core.errors import SandboxError
from app.safety.environment import clean_environment
from app.safety.paths import code_of
from app.safety.process import Job
from app.safety.shell import find_shell

T = TypeVar("T")


class ProcessSandbox:
    """`home`: the commands' own HOME. `ceilings`: where git stops looking for a repository (the roots' parents).

    `env`: plain values for every command (git's identity…), never a key.
    """

    def __init__(
        self,
        home: Path,
        *,
        timezone: str = "UTC",
        ceilings: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home
        self._env = clean_environment(home, timezone, ceilings) | dict(env or {})
        self._shell = find_shell(self._env["PATH"])
        self._jobs: WeakSet[Job] = WeakSet()
        atexit.register(_kill_all, self._jobs)

    @property
    def confined(self) -> bool:
        return False

    @property
    def description(self) -> str:
        return texts.UNCONFINED

    @property
    def shell_name(self) -> str:
        return self._shell.name

    def shell(self, command: str) -> list[str]:
        return self._shell.argv(command)

    async def run(self, argv: Sequence[str], cwd: Path, limits: RunLimits) -> CommandResult:
        """Cancelled: the process group has ended before CancelledError leaves here (not what left it by setsid)."""
        job = Job(argv, cwd, self._env | limits.env, limits)
        self._jobs.add(job)
        done = _in_thread(lambda: self._execute(job))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            job.stop()
            await asyncio.wait([done])
            raise

    def _execute(self, job: Job) -> CommandResult:
        try:
            (self._home / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SandboxError(texts.disk_problem(str(self._home), code_of(error))) from error
        return job.execute()


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """In a thread of its own: a command of minutes must not hold one of the default executor's few."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(lambda done: done.exception())  # a cancelled caller does not ask for it

    def settle(result: T | None, error: Exception | None) -> None:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # T itself when there is no error

    def body() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as caught:  # noqa: BLE001  the thread's boundary: it is raised in the task that waits
            error = caught
        with suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=body, name="nanobot-command", daemon=True).start()
    return future


def _kill_all(jobs: WeakSet[Job]) -> None:
    for job in list(jobs):
        job.kill()
