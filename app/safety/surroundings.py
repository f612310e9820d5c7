"""What the system prompt tells about this machine: system, shell, the projects there are, the user's notes."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

from app.core.contracts import Project

MEMORY_FILES = ("SOUL.md", "USER.md", "AGENTS.md", "MEMORY.md")
_MARKERS = (".git", "pyproject.toml", "package.json", "Cargo.toml", "go.mod", "pom.xml", "Gemfile", "composer.json")
_MEMORY_BYTES = 16_000
_FRESH_SECONDS = 15.0
_SYSTEMS = {"Darwin": "macOS"}


class LocalSurroundings:
    """Implements Surroundings. The disk is looked at again every quarter of a minute, or when somebody asks for now."""

    def __init__(
        self, workspace: Path, roots: Sequence[Path], shell: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace = workspace
        self._roots = roots
        self._clock = clock
        self._looked = float("-inf")
        self._projects: list[Project] = []
        self._memory = ""
        self.shell = shell
        self.system = _SYSTEMS.get(platform.system(), platform.system())

    async def projects(self, *, now: bool = False) -> Sequence[Project]:
        await self._look(now=now)
        return self._projects

    async def memory(self) -> str:
        await self._look()
        return self._memory

    async def _look(self, *, now: bool = False) -> None:
        if now or self._clock() - self._looked > _FRESH_SECONDS:
            self._projects, self._memory = await asyncio.to_thread(lambda: (self._find(), self._read()))
            self._looked = self._clock()

    def _find(self) -> list[Project]:
        """Folders directly below a root that look like a project, and a root that is one itself."""
        found: dict[str, Project] = {}
        for root in self._roots:
            with _skipped(root):
                for folder in (root, *sorted(root.iterdir())):
                    with _skipped(folder):
                        if _is_project(folder):
                            found.setdefault(folder.name, Project(folder.name, folder))
        return list(found.values())

    def _read(self) -> str:
        texts: list[str] = []
        for name in MEMORY_FILES:
            path = self._workspace / name
            with _skipped(path):
                if path.is_file():
                    with path.open("rb") as file:
                        texts.append(f"# {name}\n{file.read(_MEMORY_BYTES).decode('utf-8', 'replace').strip()}")
        return "\n\n".join(texts)


@contextmanager
def _skipped(path: Path) -> Generator[None]:
    """What cannot be read or has just vanished is left out; everything else is still told."""
    try:
        yield
    except OSError as error:
        logger.debug("left out {}: {}", path, error)


def _is_project(folder: Path) -> bool:
    return folder.is_dir() and any((folder / marker).exists() for marker in _MARKERS)
