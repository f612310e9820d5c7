"""Plain looks with the shell, judged by effect: what is free shows nothing from outside and nothing masked.

Every attack is also run as a plain shell command (the positive control): it must succeed there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.core.machine import machine, use_folder, use_machine
from app.core.risk import shell_risk
from app.core.risk_git import FREE
from app.core.tools import execute_shell
from tests.support import make_settings

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands are written for sh")
SECRET = "TOPSECRET"
KEY = "gsk_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4hJ6kL8n"


@dataclass
class Ground:
    base: Path
    project: Path


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """The projects folder holds Nanobot's own data, links to the outside, and a file with a key."""
    project = tmp_path / "home/proyectos"
    data = project / "nanobot/data"
    use_machine(build_machine(make_settings(tmp_path, data_dir=data)))
    use_folder(project)
    outside = tmp_path / "fuera"
    outside.mkdir()
    for file in (outside / "x.txt", data / "config.env"):
        file.write_text(f"{SECRET}\n")
    (project / "d").mkdir()
    (project / "d/enlace").symlink_to(outside)
    (project / "enlace").symlink_to(outside)
    (project / "archivo").symlink_to(outside / "x.txt")
    (project / "-salida").symlink_to(outside / "x.txt")
    (project / "lista").write_bytes(f"{outside}/x.txt\0".encode())
    (project / "a.txt").write_text("TOPSECRET no está aquí\n".replace(SECRET, "nada"))
    (project / "clave").write_text(f"K={KEY}\n")
    yield Ground(tmp_path, project)
    use_folder(None)


LEAKS = [
    "cat archivo", "cat enlace/x.txt", "cat ../../fuera/x.txt", "cat d/enlace/x.txt", "cat nanobot/data/config.env",
    "head -n 3 archivo", "tail archivo", "cat -- -salida", "cat ./-salida", "grep --der TOPSECRET d -r",
    "grep --dereference-recursive TOPSECRET d", "grep -R TOPSECRET d", "grep -nrR TOPSECRET d",
    "grep -d recurse TOPSECRET d/enlace/", "grep -r TOPSECRET d/enlace/", "grep -r TOPSECRET nanobot",
    "grep -rn TOPSECRET .", "grep -rn TOPSECRET", "grep -r TOPSECRET enlace/", "grep -f a.txt archivo -v",
    "wc archivo", "ls enlace/", "ls -L enlace", "ls -RL d", "ls -R nanobot", "ls -R", "du -aL d", "du -a nanobot",
    "du -a", "ls -H enlace", "wc --files0-from=lista", "du --files0-from=lista", "ls nanobot/data",
]  # fmt: skip
_SHOWN = (SECRET, "x.txt", "config.env", "18 archivo", "10 archivo")


@pytest.mark.parametrize("command", LEAKS)
async def test_what_is_free_shows_nothing_from_outside(ground: Ground, command: str) -> None:
    if shell_risk({"command": command}) in FREE:
        output = await execute_shell(command)
        assert not any(sign in output for sign in _SHOWN)


@pytest.mark.parametrize("command", LEAKS)
def test_a_plain_shell_shows_it(ground: Ground, command: str) -> None:
    done = subprocess.run(["sh", "-c", command], cwd=ground.project, capture_output=True, text=True, check=False)
    assert any(sign in done.stdout for sign in _SHOWN)


@pytest.mark.parametrize(
    "command",
    ["grep -o . clave", "grep -oE gsk_aB3dE clave", "grep -nbo K clave", "grep -ob gsk clave", "head -c 12 clave",
     "tail -c 30 clave", "head -c12 clave", "cat clave", "grep gsk clave", "grep --only-matching . clave"],
)  # fmt: skip
async def test_a_key_is_not_shown_in_pieces(ground: Ground, command: str) -> None:
    if shell_risk({"command": command}) in FREE:
        output = machine().redactor.redact(await execute_shell(command))
        joined = output.replace("\n", "")
        assert KEY[:12] not in joined
        assert KEY[-12:] not in joined


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("cat 'a.txt'", "nada no está aquí"), ("echo \"a | b\" '$HOME'", "a | b $HOME"), ("pwd", "proyectos"),
        ("ls", "a.txt"), ("grep -n 'está' a.txt", "1:nada"), ("ls -la d", "enlace"), ("wc -l a.txt", "1 a.txt"),
    ],
)  # fmt: skip
async def test_a_free_command_is_run_word_for_word(ground: Ground, command: str, said: str) -> None:
    assert shell_risk({"command": command}) in FREE
    assert said in await execute_shell(command)
