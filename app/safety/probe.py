"""Which layer holds: each is tried with a command that does honest work and then tries to get out.

What counts is what happened outside, never what is installed. The strongest that holds is taken.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from loguru import logger

from app.core import texts_sandbox as texts
from app.core.errors import SandboxError
from app.safety.confine import bubblewrap
from app.safety.confine.plan import Layer, Plan
from app.safety.confined import ConfinedJob
from app.safety.helper import Helper
from app.safety.verdict import Mode, Verdict

_SECONDS = 5.0
_WORKS = "dentro"
# Everything that a line prints is an escape, but for the last.
_SCRIPT = """
has() { [ "$(cat "$1" 2>/dev/null)" = "$FICHA" ] && echo "$2"; }
has "$FUERA/ficha" leer; has "$DENTRO/tapado/ficha" tapado
(echo mal > "$FUERA/nuevo") 2>/dev/null; (echo mal > "$FUERA/ficha") 2>/dev/null; chmod 777 "$FUERA/ficha" 2>/dev/null
grep -qs "CANARIO=$FICHA" "/proc/$VECINO/environ" && echo entorno
[ -d /proc/self/ns ] && [ "$(readlink /proc/self/ns/pid)" != "$NS" ] || kill -9 "$VECINO" 2>/dev/null
[ -n "$BASH_VERSION" ] && (exec 3<>"/dev/tcp/127.0.0.1/$PUERTO") 2>/dev/null
echo si > "$DENTRO/obra/hecho" && [ "$(cat "$DENTRO/obra/hecho")" = si ] && echo dentro
"""


@dataclass(frozen=True, slots=True)
class _Bait:
    """What a command must not reach. `neighbour`: a process of ours, with a word in its environment."""

    folder: Path
    token: str
    neighbour: subprocess.Popen[bytes]
    listener: socket.socket

    @property
    def inside(self) -> Path:
        return self.folder / "dentro"

    @property
    def outside(self) -> Path:
        return self.folder / "fuera"

    def environment(self) -> dict[str, str]:
        return {
            "FICHA": self.token,
            "FUERA": str(self.outside),
            "DENTRO": str(self.inside),
            "VECINO": str(self.neighbour.pid),
            "PUERTO": str(self.listener.getsockname()[1]),
            "NS": _pid_namespace(),
        }

    def escapes(self) -> Iterator[str]:
        """What can be seen from here."""
        if (self.outside / "nuevo").exists() or (self.outside / "ficha").read_text() != self.token:
            yield "escribir"
        if (self.outside / "ficha").stat().st_mode & 0o777 != 0o644:
            yield "permisos"
        if self.neighbour.poll() is not None:
            yield "matar"
        with suppress(BlockingIOError):
            self.listener.accept()[0].close()
            yield "red"


def choose(mode: Mode, plan: Callable[[Layer], Plan], helper: Helper) -> Verdict:
    """`plan`: of any command, as the server would run it. Blocks for some tens of milliseconds."""
    failures: list[str] = []
    for layer in _candidates(mode):
        failure = _missing(layer, helper) or _try(plan(layer), helper)
        if not failure:
            return Verdict(mode, layer, tuple(failures) if layer != "bubblewrap" else ())
        logger.info("{} does not confine commands here: {}", layer, failure)
        failures.append(texts.layer_failed(layer, failure))
    return Verdict(mode, "none" if mode == "auto" else None, tuple(failures))


def escapes_of(plan: Plan, helper: Helper) -> Sequence[str]:
    """What the trial could do under this plan's layer that it should not. Raises SandboxError when it did not run."""
    with ExitStack() as stack:
        bait = _lay_bait(stack)
        run = replace(
            plan, argv=[_shell(), "-c", _SCRIPT], cwd=str(bait.inside), env={**plan.env, **bait.environment()},
            writable=[*plan.writable, str(bait.inside)], masked=[*plan.masked, str(bait.inside / "tapado")],
            seconds=_SECONDS,
        )  # fmt: skip
        said = ConfinedJob(run, helper, 4096).execute().output.split()
        if _WORKS not in said:
            logger.info("the trial of {} said: {}", plan.layer, " ".join(said)[:500])
            raise SandboxError(texts.LAYER_DOES_NOT_RUN)
        return [word for word in said if word != _WORKS] + list(bait.escapes())


def _candidates(mode: Mode) -> Sequence[Layer]:
    weaker: Sequence[Layer] = ("landlock-uid", "landlock")
    return ["bubblewrap"] if mode == "bubblewrap" else weaker if mode == "landlock" else ["bubblewrap", *weaker]


def _missing(layer: Layer, helper: Helper) -> str:
    if layer == "bubblewrap":
        return "" if bubblewrap.program() else texts.LAYER_NOT_INSTALLED
    if layer == "landlock-uid" and not helper.privileged:
        return texts.LAYER_NO_HELPER
    return ""


def _try(plan: Plan, helper: Helper) -> str:
    """Why the layer does not do; '' when it holds."""
    try:
        escapes = escapes_of(plan, helper)
    except (SandboxError, OSError) as error:
        return str(error).rstrip(".").replace(texts.SANDBOX_FAILED.rstrip("."), texts.LAYER_DOES_NOT_RUN)
    return texts.layer_leaks(escapes) if escapes else ""


def _lay_bait(stack: ExitStack) -> _Bait:
    folder = Path(
        stack.enter_context(tempfile.TemporaryDirectory(prefix="nanobot-prueba-", ignore_cleanup_errors=True))
    )
    folder.chmod(0o755)
    token = secrets.token_hex(8)
    masked = folder / "dentro/tapado"
    masked.mkdir(parents=True)
    (folder / "fuera").mkdir()
    (folder / "dentro/obra").mkdir()
    for bait in (folder / "fuera/ficha", masked / "ficha"):
        bait.write_text(token)
        bait.chmod(0o644)
    (folder / "dentro/obra").chmod(0o777)  # another user works there
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    listener.setblocking(False)
    neighbour = subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env={"PATH": os.defpath, "CANARIO": token}
    )
    stack.callback(_end, neighbour)
    return _Bait(folder, token, neighbour, listener)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _shell() -> str:
    return shutil.which("bash") or "/bin/sh"


def _pid_namespace() -> str:
    if sys.platform == "linux":
        with suppress(OSError):
            return str(Path("/proc/self/ns/pid").readlink())
    return ""
