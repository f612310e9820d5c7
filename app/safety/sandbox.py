"""Runs programs, confined by the strongest layer that holds on this machine (see probe.py)."""

from __future__ import annotations

import asyncio
import atexit
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from loguru import logger

from app.core import texts_safety
from app.core import texts_sandbox as texts
from app.core.contracts import CommandResult, RunLimits
from app.core.errors import SandboxError
from app.safety import toolchains
from app.safety.confine.home import make_usable
from app.safety.environment import clean_environment
from app.safety.ground import AnyJob, Backend, Ground
from app.safety.paths import code_of
from app.safety.shell import find_shell
from app.safety.verdict import Mode, Verdict

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Confinement:
    """`roots`: where commands may write. `hidden`: what they never see, also inside.

    `mode`: the layer asked for. `unconfined`: the shell works even when nothing confines it.
    """

    roots: Sequence[Path]
    hidden: Sequence[Path] = ()
    mode: Mode = "auto"
    unconfined: bool = False


class ProcessSandbox:
    """`home`: the commands' own HOME. `ceilings`: where git stops looking for a repository (the roots' parents).

    `env`: plain values for every command (git's identity…), never a key. Which layer holds is found out when it is
    first needed, or by start().
    """

    def __init__(
        self,
        home: Path,
        confinement: Confinement,
        *,
        timezone: str = "UTC",
        ceilings: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home.resolve()
        self._confinement = confinement
        self._env = clean_environment(self._home, timezone, ceilings) | dict(env or {})
        self._shell = find_shell(self._env["PATH"])
        self._backend = _backend(self._home, self._env, confinement)
        self._jobs: WeakSet[AnyJob] = WeakSet()
        self._verdict: Verdict | None = None
        self._trial = threading.Lock()
        atexit.register(_kill_all, self._jobs)

    @property
    def confined(self) -> bool:
        return self._verdict is not None and self._verdict.confined

    @property
    def description(self) -> str:
        if self._verdict is None:
            return texts.SANDBOX_CHECKING
        return self._verdict.description(allow_unconfined=self._confinement.unconfined)

    @property
    def shell_name(self) -> str:
        return self._shell.name

    def shell(self, command: str) -> list[str]:
        return self._shell.argv(command)

    def start(self) -> None:
        """Begins to find out which layer holds, without waiting for it."""
        threading.Thread(target=self._try_to_decide, name="nanobot-sandbox", daemon=True).start()

    async def ready(self, *, shell: bool = False) -> None:
        verdict = self._verdict or await _in_thread(self._decide)
        refusal = verdict.refusal()
        if shell:
            refusal = refusal or verdict.shell_refusal(allow_unconfined=self._confinement.unconfined)
        if refusal:
            raise SandboxError(refusal)

    async def run(self, argv: Sequence[str], cwd: Path, limits: RunLimits) -> CommandResult:
        """Cancelled: everything that the command started has ended before CancelledError leaves here."""
        await self.ready()
        assert self._verdict is not None
        job = self._backend.job(self._verdict, argv, cwd, limits)
        self._jobs.add(job)
        done = _in_thread(lambda: self._execute(job))
        try:
            return await asyncio.shield(done)
        except asyncio.CancelledError:
            job.stop()
            await asyncio.wait([done])
            raise

    def _decide(self) -> Verdict:
        """Blocks; once."""
        with self._trial:
            if self._verdict is None:
                self._make_home()
                self._verdict = self._backend.choose(self._confinement.mode)
                logger.info("commands: {}", self.description)
            return self._verdict

    def _try_to_decide(self) -> None:
        try:
            self._decide()
        except (SandboxError, OSError) as error:  # the first command tries again, and says so
            logger.error("cannot find out what confines commands: {}", error)

    def _execute(self, job: AnyJob) -> CommandResult:
        self._make_home()
        return job.execute()

    def _make_home(self) -> None:
        try:
            make_usable(str(self._home))
        except OSError as error:
            raise SandboxError(texts_safety.disk_problem(str(self._home), code_of(error))) from error


def _backend(home: Path, env: dict[str, str], confinement: Confinement) -> Backend:
    """`env` gets what the user's own programs need to find themselves."""
    found: list[Path] = []
    if sys.platform != "win32":
        kept = [*confinement.roots, *confinement.hidden, home]
        found = toolchains.toolchains(env["PATH"], Path.home(), kept)
    env |= toolchains.environment(found)
    roots = [root.resolve() for root in confinement.roots]
    ground = Ground(home, env, roots, confinement.hidden, found)
    if sys.platform == "linux":
        from app.safety.linux import LinuxBackend

        return LinuxBackend(ground)
    from app.safety.elsewhere import ElsewhereBackend

    return ElsewhereBackend(ground)


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """In a thread of its own: a command of minutes must not hold one of the default executor's few."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    future.add_done_callback(lambda done: done.cancelled() or done.exception())  # a cancelled caller does not ask

    def settle(result: T | None, error: Exception | None) -> None:
        if future.cancelled():
            return
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


def _kill_all(jobs: WeakSet[AnyJob]) -> None:
    for job in list(jobs):
        job.kill()
