"""The layers that this machine offers, each with the users it can have, and a ground full of things to reach for.

As root every layer is tried twice: for a server that is root and for one that is not (a helper of root's gives its
monitors that user, exactly as in a container). Otherwise for the user there is.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.contracts import CommandResult, RunLimits
from app.safety.environment import clean_environment
from app.safety.ground import Ground
from app.safety.verdict import Kind, Verdict

if TYPE_CHECKING:
    from app.safety.confine.plan import Ceilings
    from app.safety.helper import Helper
    from app.safety.linux import LinuxBackend

SERVER, TOOLS = 64001, 64002
ROOT = sys.platform == "linux" and os.geteuid() == 0
OLD = 2  # Landlock as Debian 12 has it: without truncate, network and signals
CELLS: list[tuple[Kind, int, int]] = []  # layer, user, version of Landlock (0: as it is)
if ROOT:
    CELLS = [
        ("bubblewrap", 0, 0), ("bubblewrap", SERVER, 0), ("landlock", 0, 0), ("landlock", SERVER, 0),
        ("landlock-uid", SERVER, 0), ("landlock", SERVER, OLD),
    ]  # fmt: skip
elif sys.platform == "linux":
    CELLS = [("bubblewrap", os.geteuid(), 0), ("landlock", os.geteuid(), 0), ("landlock", os.geteuid(), OLD)]
IDS = [f"{layer}{version or ''}-{'root' if uid == 0 else 'user'}" for layer, uid, version in CELLS]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_numbers = itertools.count()


@dataclass
class Bait:
    """`token` stands in every file that must not be read, and in the neighbour's environment."""

    token: str
    neighbour: subprocess.Popen[bytes]
    tcp: socket.socket
    udp: socket.socket
    unix: socket.socket
    abstract: socket.socket


@dataclass
class Cell:
    """One layer for one user. `project`: where commands work; `masked` lies beside it, `deep` a folder further down."""

    layer: Kind
    uid: int
    folder: Path
    helper: Helper
    bait: Bait

    @property
    def root(self) -> Path:
        return self.folder / "proyectos"

    @property
    def project(self) -> Path:
        return self.root / "app"

    @property
    def outside(self) -> Path:
        return self.folder / "fuera"

    @property
    def masked(self) -> list[Path]:
        return [self.root / "nanobot", self.root / "mio/copia/nanobot"]

    def backend(self, most: Ceilings | None = None) -> LinuxBackend:
        from app.safety.linux import LinuxBackend

        home = self.folder / "casa"
        env = clean_environment(home, "UTC", []) | {"PATH": PATH}
        return LinuxBackend(Ground(home, env, [self.root], self.masked, []), self.helper, most)

    def sh(
        self, command: str, most: Ceilings | None = None, *, control: bool = False, **limits: object
    ) -> CommandResult:
        """`control`: nothing confines it, for the same user."""
        verdict = Verdict("auto", "none" if control else self.layer)
        run = RunLimits(**{"seconds": 20.0, **limits})  # type: ignore[arg-type]
        return self.backend(most).job(verdict, ["bash", "-c", command], self.project, run).execute()


@contextmanager
def cell(layer: Kind, uid: int, version: int = 0) -> Iterator[Cell]:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="nanobot-capas-", dir=os.environ.get("NANOBOT_TEST_DIR")))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bait = _bait(stack, folder, uid)
        yield Cell(layer, uid, folder, stack.enter_context(helper_for(uid, folder, version)), bait)


@contextmanager
def helper_for(uid: int, folder: Path, version: int) -> Iterator[Helper]:
    from app.safety.helper import Helper

    process = None
    if uid == os.geteuid() and not version:
        helper = Helper()
    else:
        helper = Helper(
            started(f"landlock.abi = lambda: {version}" if version else "", uid), str(folder / "casa-herramientas")
        )
    try:
        with _few_processes(helper):
            yield helper
    finally:
        helper.close()
        if process:
            process.wait()


@contextmanager
def _few_processes(helper: Helper) -> Iterator[None]:
    """A net below the tests, where there are cgroups: a bomb that is not stopped does not take the machine along."""
    folder = Path("/sys/fs/cgroup/pids/nanobot-pruebas")
    pid = last_started() if helper.privileged else _pid_of(helper)
    if ROOT and folder.parent.is_dir():
        with suppress(OSError):
            folder.mkdir(exist_ok=True)
            (folder / "pids.max").write_text("3000")
            (folder / "cgroup.procs").write_text(str(pid))
    yield
    with suppress(OSError):  # another helper may still be in it
        (folder / "cgroup.procs").exists() and (folder.parent / "cgroup.procs").write_text(str(pid))
        folder.rmdir()


def _pid_of(helper: Helper) -> int:
    """Of a helper that is started only when it is needed."""
    helper._connected()
    return helper.pid or 0


def started(change: str, uid: int) -> int:
    """A helper of this process's user for a server of another; `change`: what is different in it."""
    from app.safety.helper import command

    ours, theirs = socket.socketpair()
    with theirs:
        whole = command(theirs.fileno(), uid, TOOLS, uid)
        at = whole.index("-c") + 1
        before, after = whole[at].split("; from", 1)
        whole[at] = f"{before}; from app.safety.confine import bubblewrap, landlock; {change or 'pass'}; from{after}"
        process = subprocess.Popen(whole, pass_fds=[theirs.fileno()], cwd="/")
    _started.append(process)
    return ours.detach()


def last_started() -> int:
    return _started[-1].pid


_started: list[subprocess.Popen[bytes]] = []  # they end with their socket


def _bait(stack: ExitStack, folder: Path, uid: int) -> Bait:
    token = secrets.token_hex(8)
    folder.chmod(0o755)
    for name in ("proyectos/app", "proyectos/nanobot", "proyectos/mio/copia/nanobot", "fuera", "casa/tmp"):
        (folder / name).mkdir(parents=True)
    (folder / "casa-herramientas").mkdir(mode=0o700)
    for name in ("proyectos/nanobot", "proyectos/mio/copia/nanobot", "fuera"):
        (folder / name / "secreto").write_text(token)
        (folder / name / "secreto").chmod(0o640)
    listeners = _listeners(stack, folder)
    os.chmod(folder / "fuera/enchufe", 0o777)
    for path in (folder / "proyectos", *(folder / "proyectos").rglob("*")):
        if path.is_dir() and "nanobot" not in path.parts[len(folder.parts) :]:
            path.chmod(0o775)
    if ROOT:
        for path in (folder, *folder.rglob("*")):
            os.lchown(path, uid, uid)
        os.chown(folder / "casa-herramientas", TOOLS, uid)
    user = uid if ROOT else None
    neighbour = subprocess.Popen(["sleep", "1000"], env={"PATH": PATH, "CLAVE": token}, user=user, group=user)
    stack.callback(_end, neighbour)
    return Bait(token, neighbour, *listeners)


def _listeners(stack: ExitStack, folder: Path) -> tuple[socket.socket, ...]:
    tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    unix, abstract = (stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2))
    unix.bind(str(folder / "fuera/enchufe"))
    abstract.bind(f"\0{folder.name}")
    for listener in (tcp, udp, unix, abstract):
        listener.setblocking(False)
        if listener is not udp:
            listener.listen()
    return tcp, udp, unix, abstract


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def unique(seconds: int = 300) -> str:
    """Seconds to sleep that nothing else on this machine sleeps."""
    return f"{seconds}.{os.getpid()}{next(_numbers)}"


def running(word: str) -> list[int]:
    """Processes with this word in their command line, whatever their number inside is."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found
