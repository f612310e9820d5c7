"""What the prompt tells about this machine: whatever cannot be looked at is left out, nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.safety.surroundings import LocalSurroundings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("antes", "cerrado", "tarde"):
        (tmp_path / "proyectos" / name / ".git").mkdir(parents=True)
    (tmp_path / "proyectos" / "notas.txt").touch()
    (tmp_path / "proyectos" / "sin nada").mkdir()
    (tmp_path / "SOUL.md").write_text("alma", "utf-8")
    (tmp_path / "USER.md").write_text("quién", "utf-8")
    return tmp_path / "proyectos"


def failing(monkeypatch: pytest.MonkeyPatch, method: str, path: Path, error: OSError) -> None:
    """As a folder without rights does it (which do not bind root): for `path` and what is below it."""
    real: Callable[..., Any] = getattr(Path, method)

    def method_that_fails(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path or path in self.parents:
            raise error
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, method, method_that_fails)


async def told(*roots: Path) -> tuple[list[str], str]:
    surroundings = LocalSurroundings(roots[0].parent, roots, "bash")
    return [project.name for project in await surroundings.projects()], await surroundings.memory()


async def test_folders_that_look_like_projects_and_the_notes(root: Path) -> None:
    projects, memory = await told(root, root / "antes")
    assert projects == ["antes", "cerrado", "tarde"]
    assert memory == "# SOUL.md\nalma\n\n# USER.md\nquién"


@pytest.mark.parametrize("method", ["is_dir", "exists"])
async def test_a_folder_that_cannot_be_looked_into_is_left_out(
    root: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    failing(monkeypatch, method, root / "cerrado", PermissionError(13, "Permission denied"))
    assert (await told(root))[0] == ["antes", "tarde"]


async def test_a_root_that_is_no_folder_or_gone_or_closed_is_left_out(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = root.parent / "otros"
    (closed / "uno" / ".git").mkdir(parents=True)
    failing(monkeypatch, "iterdir", closed, PermissionError(13, "Permission denied"))
    projects, _ = await told(root, root / "notas.txt", root / "no existe", closed)
    assert projects == ["antes", "cerrado", "tarde"]


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("is_file", PermissionError(13, "Permission denied")),
        ("open", PermissionError(13, "Permission denied")),
        ("open", FileNotFoundError(2, "No such file or directory")),  # it vanished in between
    ],
)
async def test_a_note_that_cannot_be_read_is_left_out(
    root: Path, monkeypatch: pytest.MonkeyPatch, method: str, error: OSError
) -> None:
    failing(monkeypatch, method, root.parent / "SOUL.md", error)
    assert (await told(root))[1] == "# USER.md\nquién"
