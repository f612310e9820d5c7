"""What asks the user and what does not. Wrong answers here cost a tap or a surprise, never confinement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.core.machine import use_folder, use_machine
from app.core.risk import git_risk, shell_risk
from app.core.toolkit import Risk
from tests.support import make_settings


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home" / "proyectos"
    use_machine(build_machine(make_settings(tmp_path)))
    use_folder(folder)
    (folder / "a b.txt").write_text("x")
    (folder / "salida").symlink_to("/etc/passwd")
    yield folder
    use_folder(None)


FREE_GIT = """status|status -sb|git status|log --oneline -5|diff|diff HEAD~1 -- a.py|show HEAD|blame a.py|branch
branch -a|tag|remote -v|stash list|reflog|rev-parse HEAD|ls-files|shortlog -sn|grep palabra|describe --tags"""
ASKING_GIT = """commit -m x|push|push --force|reset --hard|reset|clean -fd|branch -D x|branch nueva|tag v1|checkout main
checkout -- .|restore a.py|stash|stash pop|rebase main|merge x|fetch|pull|clone https://x/y|remote add o u|config -l
-c core.pager=x log|-C /etc status|log --output=/tmp/x|diff --ext-diff|grep -Oless x|filter-branch|gc|rm a.py
reflog expire --all|update-ref -d x|switch -f main|submodule update|bisect start|am x|cherry-pick x"""
FREE_SHELL = (
    "ls|ls -la|pwd|cat 'a b.txt'|head -n 3 'a b.txt'|wc -l 'a b.txt'|grep -rn hola .|git status|echo hola|du -sh ."
)
ASKING_SHELL = """rm -rf .|cat /etc/passwd|cat ../../x|cat salida|cat ~/.ssh/id_rsa|ls; rm x|echo $HOME|echo `id`
echo a > b|grep -R x .|python x.py|make|npm test|pytest|git push|git commit -m x|env|printenv|find . -delete|tee x
ls && x|cat $(id)|ls --color=always|ls /|'rm' x|/bin/ls|./ls"""


def each(block: str) -> list[str]:
    return [command for line in block.splitlines() for command in line.split("|")]


@pytest.mark.parametrize("cmd", each(FREE_GIT))
def test_looking_at_a_repository_is_free(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) is Risk.READ


@pytest.mark.parametrize("cmd", each(ASKING_GIT))
def test_changing_history_work_or_remotes_asks(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) in {Risk.DESTRUCTIVE, Risk.NETWORK, Risk.OUTSIDE}


@pytest.mark.parametrize("cmd", ["add .", "add -A", "init", "switch -c nueva", "mv a b"])
def test_harmless_changes_do_not_ask(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) is Risk.WRITE


@pytest.mark.parametrize("command", each(FREE_SHELL))
def test_looking_at_the_project_is_free(command: str) -> None:
    assert shell_risk({"command": command}) is Risk.READ


@pytest.mark.parametrize("command", [*each(ASKING_SHELL), "ls\nrm x", "cat a | sh", "", "ls 'x"])
def test_whatever_a_shell_interprets_asks(command: str) -> None:
    assert shell_risk({"command": command}) not in {Risk.READ, Risk.WRITE}
