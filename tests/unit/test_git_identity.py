"""A commit carries the user's name although commands cannot see his configuration."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.core.machine import use_machine
from app.core.tools import git_operation
from app.safety.git_identity import git_identity
from tests.support import make_settings


async def test_a_commit_of_the_agent_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        '[user]\n\tname = José Núñez\n\temail = jose@example.com\n[core]\n\tpager = "touch /tmp/no"\n', "utf-8"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert git_identity()["GIT_AUTHOR_NAME"] == "José Núñez"
    use_machine(build_machine(make_settings(tmp_path)))
    project = tmp_path / "home" / "proyectos"
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    (project / "a.txt").write_text("a")
    await git_operation("add .")
    assert "código de salida 0" in await git_operation("commit -m primero")
    assert "José Núñez <jose@example.com>" in await git_operation("log --format='%an <%ae>'")


def test_nobody_said_who_he_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    assert git_identity() == {}
