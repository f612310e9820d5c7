"""A fresh place for one command: a project, and around it everything that a command might reach for.

What it finds in its environment: R the root of the projects, F a home outside (with keys in it), N Nanobot's own code
inside the root, D its data, V the pid of a victim, TCP, UDP and S, A (sockets: a path, an abstract name), T seconds to
sleep that nobody else sleeps, SYS and ETC (the system's folders; for a control a copy in the arena), OK.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.security.layers import PATH, ROOT, SERVER, TOOLS, running, unique

DONE = "CONSEGUIDO"
_IOPRIO_GET = {"x86_64": 252}.get(os.uname().machine, 31) if sys.platform == "linux" else 0
_KEYS = (
    "fuera/secreto", "fuera/.ssh/id_ed25519", "fuera/.aws/credentials", "fuera/.netrc", "fuera/.bashrc",
    "fuera/.gitconfig", "fuera/trabajo/notas.txt", "proyectos/nanobot/app/main.py", "proyectos/nanobot/.env",
    "datos/config.env", "datos/secret.key", "datos/sessions/chat.jsonl",
)  # fmt: skip
_EMPTY = (
    "proyectos/servidor", "proyectos/otro", "proyectos/app/src", "datos/home/tmp", "falso/usr", "falso/etc",
    "fuera/.config", "fuera/bin",
)  # fmt: skip
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
_PROJECT = {
    "README.md": "# Proyecto\n", "src/suma.py": "def suma(a, b):\n    return a + b\n",
    ".git/HEAD": "ref: refs/heads/main\n", ".git/config": _CONFIG, ".git/objects/info/.x": "",
    ".git/refs/heads/.x": "", ".git/hooks/pre-push": "#!/bin/sh\nexit 0\n",
    ".github/workflows/ci.yml": "on: push\n", ".vscode/settings.json": "{}\n", ".pre-commit-config.yaml": "repos: []\n",
}  # fmt: skip
_LATER = (
    ".git", ".github", ".vscode", ".husky", ".envrc", ".pre-commit-config.yaml", ".gitlab-ci.yml", "lefthook.yml",
    ".devcontainer", ".idea", ".circleci", "mise.toml", ".mcp.json", ".claude",
)  # fmt: skip
_PROGRAMS = ("hookspath", "fsmonitor", "pager", "sshcommand", "editor", "command", "cmd", "textconv", "driver", "helper", "clean",
             "smudge", "process", "external", "program", "path", "insteadof", "!", "uploadpack", "askpass", "gitproxy")  # fmt: skip


@dataclass
class Arena:
    folder: Path
    uid: int
    token: str
    victim: subprocess.Popen[bytes]
    listeners: Mapping[str, socket.socket]
    seconds: str
    before: Mapping[str, object] = field(default_factory=dict[str, object])
    later: Mapping[str, str] = field(default_factory=dict[str, str])
    victim_before: str = ""

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
    def data(self) -> Path:
        return self.folder / "datos"

    @property
    def home(self) -> Path:
        return self.data / "home"

    @property
    def hidden(self) -> list[Path]:
        """The last one is not there: the server's own folder may have no .env yet."""
        return [self.root / "nanobot", self.data, self.root / "servidor/.env"]

    def variables(self, *, control: bool = False) -> dict[str, str]:
        system = str(self.folder / "falso") if control else ""
        ports = {name: str(self.listeners[name.lower()].getsockname()[1]) for name in ("TCP", "UDP")}
        return ports | {
            "R": str(self.root), "F": str(self.outside), "N": str(self.root / "nanobot"), "D": str(self.data),
            "V": str(self.victim.pid), "S": str(self.outside / "docker.sock"), "A": self.folder.name, "T": self.seconds,
            "SYS": f"{system}/usr", "ETC": f"{system}/etc", "OK": DONE, "TAG": self.folder.name,
        }  # fmt: skip

    # ---------------------------------------------------------------- what happened

    def fingerprint(self) -> dict[str, object]:
        """Everything that is not the project's, by name."""
        found: dict[str, object] = {}
        for top in ("fuera", "datos", "falso", "proyectos/nanobot", "proyectos/servidor"):
            for path in _below(self.folder / top):
                if path != self.home and self.home not in path.parents:
                    found[str(path)] = _print_of(path)
        return found

    def changes(self) -> list[str]:
        now = self.fingerprint()
        return [path for path in now.keys() | self.before.keys() if now.get(path) != self.before.get(path)]

    def later_files(self) -> dict[str, str]:
        """What would run in the project once the user works there."""
        found: dict[str, str] = {}
        for name in _LATER:
            for path in _below(self.project / name):
                inner = path.relative_to(self.project)
                if any(part.endswith(".apartado") for part in inner.parts):
                    continue
                if path.is_symlink():
                    found[str(path)] = os.readlink(path)
                elif path.is_file() and inner.parts in {(".git", "config"), (".git", "config.worktree")}:
                    found |= {str(path): repr(lines) for lines in [config_programs(path)] if lines}
                elif path.is_file() and _runs(inner):
                    found[str(path)] = _content(path)
        return found

    def later_changes(self) -> list[str]:
        now = self.later_files()
        return [path for path in now.keys() | self.later.keys() if now.get(path) != self.later.get(path)]

    def connected(self) -> bool:
        for name, listener in self.listeners.items():
            with suppress(BlockingIOError):
                listener.recv(100) if name in {"udp", "dgram"} else listener.accept()[0].close()
                return True
        return False

    def victim_state(self) -> str:
        return _state(self.victim.pid) if sys.platform == "linux" else ""

    def set_ids(self) -> list[str]:
        """Set-id bits and device files."""
        found = [path for top in (self.root, self.home) for path in _below(top)]
        modes = {str(path): path.lstat().st_mode for path in found if os.path.lexists(path)}
        return [path for path, mode in modes.items() if mode & 0o6000 or mode & 0o170000 in {0o020000, 0o060000}]

    def on_the_system(self) -> list[str]:
        """What bears the arena's name in the system's own folders."""
        folders = (
            "/",
            "/usr",
            "/usr/bin",
            "/etc",
            "/etc/cron.d",
            "/tmp",
            "/var/tmp",
            "/run",
            "/dev",
        )  # /dev/shm: see test_later
        name = self.folder.name
        return [f"{folder}/{entry}" for folder in folders for entry in _names(folder) if name in entry]

    def survivors(self) -> list[int]:
        return running(self.seconds)

    def residents(self) -> list[int]:
        """Whatever stands in one of its folders."""
        return [int(pid) for pid in os.listdir("/proc") if pid.isdecimal() and self._holds(f"/proc/{pid}/cwd")]

    def _holds(self, link: str) -> bool:
        with suppress(OSError):
            return os.readlink(link).startswith(f"{self.folder}/")
        return False


def _below(top: Path) -> Iterator[Path]:
    """The folder and all that is in it; links are not followed."""
    yield top
    for folder, folders, files in os.walk(top):
        yield from (Path(folder, name) for name in (*folders, *files))


def _print_of(path: Path) -> object:
    if not os.path.lexists(path):
        return None
    info = path.lstat()
    if path.is_symlink():
        return os.readlink(path)
    kept = info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, _attributes(path)
    return (*kept, info.st_size, info.st_nlink, _content(path)) if path.is_file() else kept


def _attributes(path: Path) -> tuple[str, ...]:
    with suppress(OSError):
        return tuple(os.listxattr(path)) if sys.platform == "linux" else ()
    return ()


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "?"


def _runs(path: Path) -> bool:
    """Objects and references of git do not; a `.git` that is a file leads to another repository."""
    if path.parts[0] != ".git":
        return True
    runs = path.name == "commondir" or path.parts[1:2] in {(), ("hooks",), ("modules",)}
    return runs and path.suffix != ".sample"


def config_programs(path: Path) -> list[str]:
    with suppress(OSError):
        lines = path.read_text("utf-8", "replace").lower().splitlines()
        return [line for line in lines if any(word in line for word in _PROGRAMS)]
    return []


def _names(folder: str) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []


def _state(pid: int) -> str:
    """Alive, running, with its priorities and limits. Not what changes by itself."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        limits = Path(f"/proc/{pid}/limits").read_text()
        kept = [Path(f"/proc/{pid}/{name}").read_text() for name in ("oom_score_adj", "cgroup")]
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "gone"
    lines = [
        line for line in status.splitlines() if line.startswith(("Cpus_allowed_list", "TracerPid", "ShdPnd", "SigPnd"))
    ]
    stopped = fields[0] if fields[0] in "TtZX" else "runs"
    return repr((stopped, fields[2], fields[15:17], fields[37:39], _priority(pid), lines, limits, kept))


def _priority(pid: int) -> str:
    libc = ctypes.CDLL(None)
    return repr((os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid), libc.syscall(_IOPRIO_GET, 1, pid)))


# ---------------------------------------------------------------- building it


@contextmanager
def arena(uid: int, base: Path) -> Iterator[Arena]:
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="nanobot-arena-", dir=base))
        stack.callback(_remove, folder)
        token = secrets.token_hex(8)
        _furnish(folder, token)
        listeners = _listen(stack, folder)
        if ROOT:
            _give(folder, uid)
        user = uid if ROOT else None
        victim = subprocess.Popen(
            ["sleep", "1000"], env={"PATH": PATH, "CLAVE": token}, user=user, group=user, start_new_session=True,
            cwd=folder / "fuera",
        )  # fmt: skip
        stack.callback(_end, victim)
        made = Arena(folder, uid, token, victim, listeners, unique())
        made.before = made.fingerprint()
        made.victim_before = made.victim_state()
        made.later = made.later_files()
        yield made


@cache
def base_folder() -> Path:
    """Not below /tmp: a project is not, and commands see another /tmp then."""
    for folder in (Path("/var/lib"), Path.home(), Path(tempfile.gettempdir())):
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.gettempdir())


def _furnish(folder: Path, token: str) -> None:
    folder.chmod(0o755)
    for name in (
        *_EMPTY,
        *{str(Path(key).parent) for key in _KEYS},
        *{f"proyectos/app/{Path(name).parent}" for name in _PROJECT},
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in _KEYS:
        (folder / name).write_text(f"# {token}\n" if name.endswith(".py") else f"{token} #\n")
    for name, text in _PROJECT.items():
        (folder / "proyectos/app" / name).write_text(text)
    (folder / "proyectos/app/.git/hooks/pre-push").chmod(0o755)
    (folder / "casa-herramientas").mkdir(mode=0o700)


def _give(folder: Path, uid: int) -> None:
    """To the server. Its group may do everything: where commands have another user, that is not what keeps them out."""
    for top, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(top, name)
            os.chmod(path, path.stat().st_mode | (path.stat().st_mode & 0o700) >> 3)
            os.lchown(path, uid, uid)
    os.lchown(folder, uid, uid)
    home = folder / "casa-herramientas"
    os.chmod(home, 0o700)
    os.chown(home, TOOLS, uid)


def _listen(stack: ExitStack, folder: Path) -> dict[str, socket.socket]:
    made = {
        "tcp": stack.enter_context(socket.create_server(("127.0.0.1", 0))),
        "udp": stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)),
        "unix": stack.enter_context(socket.socket(socket.AF_UNIX)),
        "abstract": stack.enter_context(socket.socket(socket.AF_UNIX)),
        "dgram": stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)),
    }
    made["udp"].bind(("127.0.0.1", 0))
    made["unix"].bind(str(folder / "fuera/docker.sock"))
    made["dgram"].bind(str(folder / "fuera/log.sock"))
    made["abstract"].bind(f"\0{folder.name}")
    for name in ("docker.sock", "log.sock"):
        os.chmod(folder / "fuera" / name, 0o777)
    for name, listener in made.items():
        listener.setblocking(False)
        if name in {"unix", "abstract"}:
            listener.listen()
    return made


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _remove(folder: Path) -> None:
    """Commands leave folders behind that cannot be entered."""
    for top, folders, _ in os.walk(folder):
        for name in folders:
            path = Path(top, name)
            if not path.is_symlink():
                with suppress(OSError):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["DONE", "SERVER", "Arena", "arena", "base_folder", "config_programs"]
