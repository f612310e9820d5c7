"""A house with baits in it, built anew for each case, and what a case's words and steps mean.

<top>/casa/raíz and <top>/casa/otra are granted; in raíz lie, masked, nanobot, datos and .env. All else is outside.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from app.safety.workspace import Workspace
from tests.security.paths.corpus import TARGETS, Step

SECRET = "CANARIO: nadie debe leer esto"
NEIGHBOUR = "vecino-CANARIO-4711"  # lies in every folder that may not be listed; no path of the corpus names it
_MS_BIND, _MS_REC, _MNT_DETACH = 0x1000, 0x4000, 2
_libc = ctypes.CDLL(None, use_errno=True)


class Impossible(Exception):
    """This user may not do such a step."""


class Stage:
    def __init__(self, top: Path) -> None:
        self.top = top
        self.house, self.out, self.evil, self.home = (top / n for n in ("casa", "afuera", "mala", "usuario"))
        self.root, self.other = self.house / "raíz", self.house / "otra"
        self.project = self.root / "proyecto"
        self.dirfd = self.filefd = -1
        self.mounted: list[str] = []
        self.changed_modes: list[str] = []
        self.workspace: Workspace | None = None
        self._baits_now: list[Path] = []

    def build(self) -> None:
        self.clear()
        for folder in (self.project / "sub/hondo", self.other, self.home, self.out / "vacía"):
            folder.mkdir(parents=True)
        (self.project / "dentro.txt").write_text("dentro")
        self.do_bait()
        os.chdir(self.out)
        self.workspace = Workspace(
            [self.root, self.other],
            hidden=[self.root / "nanobot", self.root / "datos", self.root / ".env"],
            homes=[self.home],
        )

    def mend(self) -> None:
        """Brings the outside back to what it was."""
        for file in self.baits_now():
            file.write_text(SECRET)
            (file.parent / "nuevo.txt").unlink(missing_ok=True)
            shutil.rmtree(file.parent / "nueva", ignore_errors=True)

    def baits_now(self) -> list[Path]:
        """Where they are since the last step."""
        if not self._baits_now:
            self._baits_now = [self._now(file) for file in self.baits()]
        return self._baits_now

    def baits(self) -> list[Path]:
        words = self.words()
        files = [Path(t.format_map(words)) for t in TARGETS.values()]
        files += [self.evil / "raíz/clave.txt", self.evil / "raíz/proyecto/clave.txt"]
        folders = {file.parent for file in files} - {self.root}
        return files + [folder / NEIGHBOUR for folder in sorted(folders)]

    def clear(self) -> None:
        if self.workspace:
            self.workspace._threads.shutdown()
            self.workspace = None
        for descriptor in (self.dirfd, self.filefd):
            with suppress(OSError):
                os.close(descriptor)
        self.dirfd = self.filefd = -1
        while self.mounted:
            _libc.umount2(os.fsencode(self.mounted.pop()), _MNT_DETACH)
        while self.changed_modes:
            with suppress(OSError):
                os.chmod(self.changed_modes.pop(), 0o755)
        self._baits_now = []
        os.chdir(self.top)
        for folder in self.top.iterdir():
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)

    def words(self, target: str = "") -> dict[str, str]:
        words = {
            "out": self.out, "root": self.root, "other": self.other, "project": self.project, "house": self.house,
            "evil": self.evil, "home": self.home, "pid": str(os.getpid()),
        }  # fmt: skip
        digest = hashlib.sha512(b"uno").hexdigest()
        found = {key: str(value) for key, value in words.items()} | {"uno_hash": f"{digest[:2]}/{digest[2:]}"}
        if not target:
            return found
        file = Path(target.format_map(found))
        return found | {
            "target": str(file), "dir": str(file.parent), "base": file.name, "dirname": file.parent.name,
            "rel": os.path.relpath(file, self.project), "reldir": os.path.relpath(file.parent, self.project),
            "from_other": os.path.relpath(file, self.other), "from_cwd": os.path.relpath(file, self.out),
        }  # fmt: skip

    def prepare(self, steps: tuple[Step, ...], target: str = "") -> Mapping[str, str]:
        """Returns what the words mean. Raises Impossible."""
        words = self.words(target)
        if target:
            self.dirfd = os.open(words["dir"], os.O_RDONLY)
            self.filefd = os.open(words["target"], os.O_RDWR)
            words |= {"dirfd": str(self.dirfd), "filefd": str(self.filefd)}
        for verb, *arguments in steps:
            getattr(self, f"do_{verb}")(*(argument.format_map(words) for argument in arguments))
        self._baits_now = []
        return words

    # ---------------------------------------------------------------- steps

    def do_link(self, name: str, to: str) -> None:
        os.symlink(to, name)

    def do_hard(self, name: str, of: str) -> None:
        os.link(of, name)
        time.sleep(0.03)  # a link count is believed only when the file has settled

    def do_folder(self, name: str) -> None:
        os.makedirs(name, exist_ok=True)

    def do_file(self, name: str) -> None:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Path(name).write_text("uno")

    def do_mode(self, name: str, mode: str) -> None:
        os.chmod(name, int(mode, 8))
        self.changed_modes.append(name)

    def do_move(self, name: str, to: str) -> None:
        os.rename(name, to)

    def do_swap(self, name: str, to: str) -> None:
        """What was there has gone, and a link to `to` has come."""
        os.rename(name, f"{name}.antes")
        os.symlink(to.replace(f"{name}/", f"{name}.antes/"), name)

    def do_nowhere(self) -> None:
        os.mkdir(self.top / "efímera")
        os.chdir(self.top / "efímera")
        os.rmdir(self.top / "efímera")

    def do_bait(self) -> None:
        for file in self.baits():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(SECRET)

    def do_bind(self, name: str, what: str) -> None:
        os.mkdir(name)
        self._mount(name, what)

    def do_bindfile(self, name: str, what: str) -> None:
        Path(name).touch()
        self._mount(name, what)

    def _mount(self, name: str, what: str) -> None:
        if _libc.mount(os.fsencode(what), os.fsencode(name), None, _MS_BIND | _MS_REC, None):
            raise Impossible(f"mount: {os.strerror(ctypes.get_errno())}")
        self.mounted.append(name)

    # ---------------------------------------------------------------- judging

    def harm(self) -> str:
        """What of the outside is not as it was; '' for nothing."""
        for file in map(str, self.baits_now()):
            try:
                descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW)
            except OSError as error:
                return f"{error}"
            try:
                if os.read(descriptor, 100) != SECRET.encode():
                    return f"changed: {file}"
            finally:
                os.close(descriptor)
        allowed = {"x", "vacía", "sub", "sesiones", "raíz", "proyecto", "clave.txt", NEIGHBOUR}
        for folder in (self.out, self.evil, self.root / "nanobot", self.root / "datos"):
            for _, folders, files in os.walk(self._now(folder)):
                more = {*folders, *files} - allowed - {"app.py", "config.env", "log.jsonl"}
                if more:
                    return f"created: {more}"
        return ""

    def _now(self, path: Path) -> Path:
        """Where it is after a swap."""
        for moved in (self.house, self.root):
            if moved.is_symlink() and (path == moved or moved in path.parents):
                return Path(f"{moved}.antes") / path.relative_to(moved)
        return path
