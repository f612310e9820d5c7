"""A repository that attacks, and a canary that tells whether an attack ran."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.core.machine import use_folder, use_machine
from tests.support import make_settings

SECRET = "TOPSECRET"


@dataclass
class Ground:
    """A repository with two commits and a change; `payload` leaves a trace when it is run."""

    base: Path
    project: Path

    @property
    def trace(self) -> Path:
        return self.base / "pwned"

    @property
    def payload(self) -> str:
        return f"touch {self.trace}; cat"

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        env = os.environ | {
            "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.base), "GIT_PAGER": "cat",
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
        }  # fmt: skip
        done = subprocess.run(
            ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
            cwd=cwd or self.project, env=env, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=20,
        )  # fmt: skip
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def config(self, text: str, folder: str = ".git") -> None:
        with (self.project / folder / "config").open("a") as file:
            file.write(text)

    def script(self, path: str) -> Path:
        file = self.base / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch {self.trace}\nexit 1\n")
        file.chmod(0o755)
        return file

    def was_run(self) -> bool:
        found = self.trace.exists()
        self.trace.unlink(missing_ok=True)
        return found

    def touch(self) -> None:
        """Same size, other time: git has to look inside."""
        for file in (self.project / "a.txt", self.project / "sm/s.txt"):
            if file.exists():
                os.utime(file, (1_000_000_000, 1_000_000_000))


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    use_machine(build_machine(make_settings(tmp_path)))
    project = tmp_path / "home/proyectos/p"
    project.mkdir()
    use_folder(project)
    ground = Ground(tmp_path, project)
    (tmp_path / "fuera.txt").write_text(f"{SECRET}\n")
    ground.git("init", "-q")
    (project / "a.txt").write_text("uno\n")
    (project / "d").mkdir()
    (project / "d/f").write_text("público\n")
    ground.git("add", ".")
    ground.git("commit", "-qm", "uno")
    ground.git("branch", "otra")
    (project / "b.txt").write_text("b\n")
    ground.git("add", ".")
    ground.git("commit", "-qm", "dos")
    (project / "a.txt").write_text("dos\n")
    yield ground
    use_folder(None)
