"""What a command leaves that runs later, outside its confinement: only what somebody has said yes to stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.channel import FakeChannel
from tests.support import CHAT, make_settings, running_house

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confined by the operating system")
ALIAS = "config alias.st status"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "home/proyectos"
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    return folder


async def asked(tmp_path: Path, *steps: tuple[str, dict[str, object]]) -> list[str]:
    """What the model is told of each call; every question is answered with yes."""
    brain, channel = ScriptedBrain(*map(calls, steps), text("listo")), FakeChannel()
    async with running_house(make_settings(tmp_path, sandbox="auto"), brain, channel) as house:
        await house.inbox.message("telegram_42", "hazlo", "42", reply_to=CHAT)
        seen = 0
        while "listo" not in [message.text for message in await channel.wait_for(seen + 1)]:
            question = (await channel.wait_for(seen + 1))[seen]
            await house.inbox.decision("telegram_42", int(question.choices[0].data.split("|")[2]), "allow", "42")
            seen += 1
    return [request.messages[-1].content for request in brain.requests[1:]]


async def test_what_git_changes_stays_when_it_was_permitted(tmp_path: Path, project: Path) -> None:
    [told] = await asked(tmp_path, ("git_operation", {"cmd": ALIAS}))
    assert "deshecho" not in told
    assert "st = status" in (project / ".git/config").read_text()


async def test_a_shell_that_was_permitted_something_else_leaves_nothing(tmp_path: Path, project: Path) -> None:
    """Whoever permits an installation has not read what its scripts do."""
    hooks = f"git {ALIAS}; echo id > .git/hooks/pre-commit; echo id > .envrc"
    [told] = await asked(tmp_path, ("execute_shell", {"command": hooks, "network": True}))
    assert "Nanobot ha deshecho" in told
    assert "alias" not in (project / ".git/config").read_text()
    assert not (project / ".envrc").exists() and not (project / ".git/hooks/pre-commit").exists()
