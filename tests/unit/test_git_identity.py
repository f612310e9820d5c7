"""A commit carries the user's name although commands cannot see his configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.core.machine import use_machine
from app.core.tools import execute_shell, git_operation
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


def test_plain_values_are_passed_on_and_programs_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        '[core]\n\tautocrlf = input\n\tpager = less\n[safe]\n\tdirectory = /a\n\tdirectory = "*"\n[user]\n\tname = x\n'
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "config", "user.name", "el del repositorio"], check=True)
    assert git_identity() == {
        "GIT_AUTHOR_NAME": "x", "GIT_COMMITTER_NAME": "x", "GIT_CONFIG_COUNT": "3",
        "GIT_CONFIG_KEY_0": "core.autocrlf", "GIT_CONFIG_VALUE_0": "input",
        "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "/a",
        "GIT_CONFIG_KEY_2": "safe.directory", "GIT_CONFIG_VALUE_2": "*",
    }  # fmt: skip
    env = os.environ | git_identity() | {"GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", "config", "core.autocrlf"], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "input\n"


def test_nobody_said_who_he_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    assert git_identity() == {}


async def test_a_shell_line_starts_no_hook_and_no_editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = x\n\temail = x@y\n[safe]\n\tdirectory = *\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    use_machine(build_machine(make_settings(tmp_path)))
    project = tmp_path / "home" / "proyectos"
    subprocess.run(["git", "init", "-q", str(project)], check=True)
    for place in ("hooks/pre-commit", "editor"):
        (project / ".git/hooks").mkdir(exist_ok=True)
        (project / ".git" / place).write_text(f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
        (project / ".git" / place).chmod(0o755)
    subprocess.run(["git", "config", "core.editor", str(project / ".git/editor")], cwd=project, check=True)
    said = await execute_shell(
        "touch a && git add a && git commit -m uno && git commit --amend && git log --format=%an"
    )
    assert "código de salida 0" in said and "\nx\n" in said
    assert not (tmp_path / "pwned").exists()


async def test_the_repositorys_own_identity_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "gitconfig"
    config.write_text(
        "[user]\n\tname = global\n\temail = g@x\n[pull]\n\trebase = true\n[init]\n\tdefaultBranch = tronco\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    use_machine(build_machine(make_settings(tmp_path)))
    project = tmp_path / "home" / "proyectos"
    await git_operation("init")
    assert "tronco" in await git_operation("symbolic-ref HEAD")
    subprocess.run(["git", "config", "user.email", "trabajo@x"], cwd=project, check=True)
    subprocess.run(["git", "config", "pull.rebase", "false"], cwd=project, check=True)
    await git_operation("commit --allow-empty -m uno")
    assert "global <trabajo@x>" in await git_operation("log --format='%an <%ae>'")
    assert "false" in await git_operation("config pull.rebase")
