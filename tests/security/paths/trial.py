"""python -m tests.security.paths.trial openat2|walk UID SCALE FOLDER: runs the corpus and the races; prints JSON.

A process of its own: it gives up root when told to, and (as root) has mounts of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from app.core.errors import WorkspaceError
from app.safety import openat2
from app.safety.workspace import Workspace
from tests.security.paths import corpus, naive, races
from tests.security.paths.stage import NEIGHBOUR, SECRET, Impossible, Stage

_NEWNS, _MS_REC, _MS_PRIVATE = 0x20000, 0x4000, 0x40000
Acts = dict[str, Callable[[], Awaitable[object]]]


def main(way: str, uid: int, scale: float, folder: str) -> None:
    assert openat2.works(), "this kernel has openat2"
    if way == "walk":
        openat2.works = lambda: False
    os.umask(0o022)
    top = Path(folder)
    for name in ("escenario", "carreras"):
        (top / name).mkdir()
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEWNS) or libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
            sys.exit("no mount namespace")
        _become(uid, top)
    stage = Stage(top / "escenario")
    found: dict[str, object] = {"uid": os.geteuid()}
    for name, part in (
        ("attacks", attacks), ("strange", strange), ("blocking", blocking), ("ordinary", ordinary), ("names", names),
    ):  # fmt: skip
        found[name] = asyncio.run(part(stage))
        stage.clear()
    found["races"] = [races.run(race, top / "carreras", race.seconds * scale) for race in races.RACES]
    json.dump(found, sys.stdout)


def _become(uid: int, top: Path) -> None:
    for path in (top, *top.iterdir()):
        os.chown(path, uid, uid)
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def acts(workspace: Workspace, base: Path, path: str) -> Acts:
    return {
        "read": lambda: workspace.read(path, base),
        "write": lambda: workspace.write(path, base, "mío"),
        "edit": lambda: workspace.edit(path, base, naive.OLD, naive.NEW),
        "create": lambda: workspace.write(naive.beside(path), base, "mío"),
        "create a folder": lambda: workspace.write(f"{naive.folder_beside(path)}/x", base, "mío"),
        "list": lambda: workspace.list_dir(naive.parent(path), base),
    }


async def judged(stage: Stage, act: Callable[[], Awaitable[object]]) -> tuple[str, str]:
    """What was said, and what harm was done: '' for none."""
    try:
        told = str(await act())
        said = "done"
    except WorkspaceError as error:
        told = said = str(error)
    leaked = SECRET in told or NEIGHBOUR in told or "CANARIO" in told
    return said, f"told: {told}" if leaked else stage.harm()


def reached(stage: Stage, operation: naive.Operation, path: str) -> bool:
    """Whether the control does harm."""
    told = ""
    with suppress(OSError, ValueError):
        told = str(operation(stage.project, path))
    if changed := stage.harm():
        stage.mend()
    return bool(changed) or "CANARIO" in told or "\0" in told  # \0: an environment


async def attacks(stage: Stage) -> list[object]:
    cases = [(case, target) for case in corpus.FORMS for target in corpus.TARGETS]
    cases += [(case, "") for case in corpus.SPECIAL]
    found: list[object] = []
    for case, target in cases:
        stage.build()
        try:
            path = case.path.format_map(stage.prepare(case.steps, corpus.TARGETS.get(target, "")))
        except Impossible as error:
            found.append({"name": case.name, "impossible": str(error)})
            continue
        assert stage.workspace is not None
        for name, act in acts(stage.workspace, stage.project, path).items():
            said, harm = await judged(stage, act)
            if harm:
                stage.mend()
            control = reached(stage, naive.OPERATIONS[name], path)
            found.append(
                {"name": f"{case.name} → {target}", "op": name, "said": said, "harm": harm, "control": control}
            )
    return found


async def strange(stage: Stage) -> list[object]:
    found: list[object] = []
    stage.build()
    assert stage.workspace is not None
    for path in corpus.STRANGE:
        for name, act in acts(stage.workspace, stage.project, path).items():
            said, harm = await judged(stage, act)
            found.append(
                {"name": path.encode("utf-8", "replace").decode()[:80], "op": name, "said": said, "harm": harm}
            )
    return found


async def blocking(stage: Stage) -> list[object]:
    """What waits for somebody when it is opened, or is not a file at all."""
    stage.build()
    os.mkfifo(stage.project / "tubo")
    (stage.project / "l").symlink_to("tubo")
    (stage.project / "carpeta").mkdir()
    os.chdir(stage.project)
    server = socket.socket(socket.AF_UNIX)
    server.bind("enchufe")
    names = ["tubo", "l", "carpeta", "enchufe"]
    for name, major, minor in (("nulo", 1, 3), ("cero", 1, 5), ("terminal", 5, 0), ("disco", 7, 0)):
        kind = stat.S_IFBLK if name == "disco" else stat.S_IFCHR
        with suppress(PermissionError):
            os.mknod(stage.project / name, kind | 0o666, os.makedev(major, minor))
            names.append(name)
    devices = Workspace([stage.project, Path("/dev")])
    found: list[object] = []
    for path in [*names, "/dev/zero", "/dev/tty", "/dev/full", "/dev/stdin"]:
        for name, act in acts(devices, stage.project, path).items():
            if name in {"read", "write", "edit"}:
                began = time.monotonic()
                said, _ = await judged(stage, act)
                found.append({"name": path, "op": name, "said": said, "seconds": time.monotonic() - began})
    devices._threads.shutdown()
    server.close()
    return found


async def ordinary(stage: Stage) -> list[object]:
    found: list[object] = []
    for case in corpus.THERE:
        stage.build()
        try:
            path = case.path.format_map(stage.prepare(case.steps))
        except Impossible as error:
            found.append({"name": case.name, "impossible": str(error)})
            continue
        found.append({"name": case.name, "problem": await _works(stage, path, "uno")})
    return found


async def names(stage: Stage) -> list[object]:
    found: list[object] = []
    for name in corpus.NAMES:
        stage.build()
        assert stage.workspace is not None
        try:
            created = await stage.workspace.write(name, stage.project, "uno")
        except WorkspaceError as error:
            found.append({"name": name, "problem": str(error)})
            continue
        problem = await _works(stage, name, "uno") if created == "creado" else created
        found.append({"name": name[:80], "problem": problem})
    return found


async def _works(stage: Stage, path: str, holds: str) -> str:
    """'' when it is read, edited, replaced and listed, as plain open() sees it too."""
    assert stage.workspace is not None
    workspace, base = stage.workspace, stage.project
    file = Path(base, path)
    mode = stat.S_IMODE(file.stat().st_mode)
    try:
        if (await workspace.read(path, base)).text != holds:
            return "read something else"
        await workspace.edit(path, base, holds, "dos")
        if file.read_text() != "dos":
            return "the edit is not there"
        if await workspace.write(path, base, "tres") != "reemplazado" or file.read_text() != "tres":
            return "the write is not there"
        entries, _ = await workspace.list_dir(naive.parent(path), base)
    except WorkspaceError as error:
        return str(error)
    if len(entries) != sum(1 for _ in file.parent.iterdir()) - hidden_beside(stage, file.parent):
        return "not all is listed"
    if stat.S_IMODE(file.stat().st_mode) != mode & 0o777:
        return "the mode is another"
    return stage.harm()


def hidden_beside(stage: Stage, folder: Path) -> int:
    return 3 if folder.resolve() == stage.root else 0


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
