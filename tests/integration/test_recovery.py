"""What a start finds in the logs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.cloud.sessions import SessionManager
from app.core.events import AssistantLine, ResumedLine, SummaryLine, UsageLine, UserLine
from app.core.messages import Usage
from app.core.recovery import spent_today
from tests.fakes.brain import ScriptedBrain, text
from tests.fakes.channel import FakeChannel
from tests.support import CHAT, lines_of, make_settings, running_house

SESSION = "telegram_42"


async def test_todays_money_is_added_up_from_every_kind_of_call(tmp_path: Path) -> None:
    now = time.time()
    manager = SessionManager(tmp_path, clock=lambda: now)
    paid = Usage(input=1, output=1, usd=0.25)
    now -= 2 * 86_400
    await manager.append("web_a", UserLine(content="a"), AssistantLine(content="b", covers=1, final=True, usage=paid))
    now += 2 * 86_400
    await manager.append("web_a", UsageLine(usage=paid), SummaryLine(content="r", upto=2, usage=paid))
    await manager.append("web_b", AssistantLine(content="b", usage=paid))
    assert await spent_today(manager, "UTC", now) == pytest.approx(0.75)


async def test_one_session_that_cannot_go_on_does_not_keep_the_others_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(tmp_path)
    async with running_house(settings, ScriptedBrain()) as house:
        for name in ("telegram_41", SESSION):
            await house.store.append(name, UserLine(content="hola", reply_to=CHAT))
    (tmp_path / "data" / "sessions" / "telegram_41.jsonl").unlink()
    (tmp_path / "data" / "sessions" / "telegram_41.jsonl").mkdir()
    channel = FakeChannel()
    async with running_house(settings, ScriptedBrain(text("aquí")), channel):
        [answer] = await channel.wait_for(1)
    assert answer.text == "aquí"


async def test_a_start_says_whether_the_process_before_had_left_by_itself(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    async with running_house(settings, ScriptedBrain()) as house:
        await house.store.append(SESSION, UserLine(content="hola", reply_to=CHAT))
    async with running_house(settings, ScriptedBrain(text("aquí")), FakeChannel()) as house:
        await house.runner.lanes.idle()
        resumed = [line for line in await lines_of(house.store, SESSION) if isinstance(line, ResumedLine)]
    assert [line.clean for line in resumed] == [True]
