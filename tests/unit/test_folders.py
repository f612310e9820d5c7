"""The folders of the settings: made, closed to others, masked; a useless one is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.config import load_settings
from app.core.errors import ConfigError, WorkspaceError
from app.folders import prepare_folders
from tests.support import make_settings

FIELDS = {"DATA_DIR": "data_dir", "WORKSPACE_DIR": "workspace_dir", "PROJECTS_DIRS": "projects_dirs"}


@pytest.mark.parametrize("variable", FIELDS)
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, variable: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    value = [tmp_path / "ok", folder] if variable == "PROJECTS_DIRS" else folder
    with pytest.raises(ConfigError) as caught:
        build_machine(make_settings(tmp_path, **{FIELDS[variable]: value}))
    assert variable in str(caught.value) and str(folder) in str(caught.value)
    assert not any(other in str(caught.value) for other in FIELDS if other != variable)


def test_links_that_go_round_are_named(tmp_path: Path) -> None:
    """By the settings or, from Python 3.13 on, when the folder is made."""
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(ConfigError, match="DATA_DIR"):
        prepare_folders(load_settings(_env_file=None, data_dir=tmp_path / "round", workspace_dir=tmp_path / "w"))


if os.name == "posix":

    def mode(path: Path) -> int:
        return path.stat().st_mode & 0o7777

    def test_a_data_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
        folder = tmp_path / "sealed"
        folder.mkdir(0o500)
        if os.geteuid() == 0:  # rights do not bind root, the kernel's own folders do
            folder = Path("/proc/self/fdinfo")
        with pytest.raises(ConfigError, match=r"DATA_DIR .* escribir"):
            build_machine(make_settings(tmp_path, data_dir=folder))

    def test_data_is_closed_to_others_whatever_it_was(tmp_path: Path) -> None:
        settings = make_settings(tmp_path, data_dir=tmp_path / "a" / "b")
        prepare_folders(settings)
        assert mode(settings.data_dir) == 0o700
        config = settings.data_dir / "config.env"
        config.touch()
        config.chmod(0o644)
        settings.data_dir.chmod(0o755)
        prepare_folders(settings)
        assert mode(settings.data_dir) == 0o700 and mode(config) == 0o600

    def test_a_folder_shared_on_purpose_stays_so(tmp_path: Path) -> None:
        settings = make_settings(tmp_path)
        settings.data_dir.mkdir()
        settings.data_dir.chmod(0o1777)
        prepare_folders(settings)
        assert mode(settings.data_dir) == 0o1777

    def test_rights_that_a_disk_does_not_know_stop_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: Path, mode: int) -> None:
            raise PermissionError(1, "Operation not permitted")

        settings = make_settings(tmp_path)
        settings.data_dir.mkdir(0o755)
        monkeypatch.setattr(Path, "chmod", refuse)
        prepare_folders(settings)


async def test_data_inside_a_projects_folder_is_masked(tmp_path: Path) -> None:
    root = tmp_path / "proyectos"
    settings = make_settings(tmp_path, data_dir=root / "data", projects_dirs=[root])
    workspace = build_machine(settings).workspace
    (root / "data" / "config.env").write_text("GROQ_API_KEY=gsk_secreto\n", "utf-8")
    (root / "notas.txt").write_text("hola", "utf-8")
    assert (await workspace.read("notas.txt", root)).text == "hola"
    with pytest.raises(WorkspaceError):
        await workspace.read("data/config.env", root)
    entries, _ = await workspace.list_dir(".", root)
    assert [entry.name for entry in entries] == ["notas.txt"]
