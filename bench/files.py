"""What a file tool costs, by both ways of resolving: five folders down, three masked places, as the model calls it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from app.safety import openat2
from app.safety.workspace import Workspace

_TIMES = 1_000


async def files(folder: Path) -> list[tuple[str, str]]:
    root = folder / "proyectos"
    where = root / "a/b/c/d"
    for made in (where, root / "nanobot", folder / "datos"):
        made.mkdir(parents=True)
    (where / "f.txt").write_text("hola\n" * 40)
    (folder / ".env").touch()
    workspace = Workspace([root], hidden=[root / "nanobot", folder / "datos", folder / ".env"])
    rows: list[tuple[str, str]] = []
    has_it = openat2.works
    for way in ("openat2", "paso a paso") if has_it() else ("paso a paso",):
        openat2.works = has_it if way == "openat2" else lambda: False
        for label, act, times in _acts(workspace, root):
            rows.append((f"{label}, {way} (mediana, p90)", await _measured(act, times)))
    openat2.works = has_it
    return rows


def _acts(workspace: Workspace, root: Path) -> list[tuple[str, Callable[[], Awaitable[object]], int]]:
    path = "a/b/c/d/f.txt"
    return [
        ("leer 40 líneas", lambda: workspace.read(path, root), _TIMES),
        ("listar", lambda: workspace.list_dir("a/b/c/d", root), _TIMES),
        ("escribir 200 bytes", lambda: workspace.write(path, root, "hola\n" * 40), _TIMES // 5),
        ("archivo que no existe", lambda: _refused(workspace, root), _TIMES),
    ]


async def _refused(workspace: Workspace, root: Path) -> None:
    try:
        await workspace.read("a/b/c/d/nada", root)
    except Exception:
        return


async def _measured(act: Callable[[], Awaitable[object]], times: int) -> str:
    taken: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        await act()
        taken.append((time.perf_counter() - began) * 1000)
    return f"{median(taken):.2f} ms, {sorted(taken)[times * 9 // 10]:.2f} ms"
