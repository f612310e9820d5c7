"""Delivery: everything arrives in order, once; a possible repeat says so."""

from __future__ import annotations

from pathlib import Path

from app.cloud.delivery import Delivery, choice_data, parse_choice
from app.cloud.sessions import SessionManager
from app.core.contexts import Contexts
from app.core.errors import ChatGone, DeliveryError, Flood, NotSent, Uncertain
from app.core.events import AssistantLine, DeliveredLine, Line, SendStartedLine, UserLine
from tests.fakes.channel import FakeChannel
from tests.support import CHAT, kinds, until

ASKED = UserLine(content="x", reply_to=CHAT)
ANSWER = AssistantLine(content="la respuesta", covers=1, final=True, reply_to=CHAT)


class Delivered:
    """What delivering the open lines of a log did: the lines it added, and how long it would have waited."""

    def __init__(self) -> None:
        self.added: list[str] = []
        self.waits: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.waits.append(seconds)


async def deliver(tmp_path: Path, channel: FakeChannel, *lines: Line) -> Delivered:
    done = Delivered()
    store = SessionManager(tmp_path)
    await store.append("telegram_42", *lines)
    delivery = Delivery(store, Contexts(store), {"telegram": channel}, done.pause)
    delivery.lanes.wake("telegram_42")
    await until(lambda: not delivery.lanes.busy)
    assert not (await store.load_session("telegram_42")).is_busy
    done.added = (await kinds(store, "telegram_42"))[len(lines) :]
    return done


async def test_each_send_is_announced_before_and_confirmed_after(tmp_path: Path) -> None:
    channel = FakeChannel(part_size=5)
    assert (await deliver(tmp_path, channel, ASKED, ANSWER)).added == ["send_started", "delivered"] * 3
    assert [s.text for s in channel.sent] == ["la re", "spues", "ta"]


async def test_only_the_missing_parts_go_out(tmp_path: Path) -> None:
    channel = FakeChannel(part_size=5)
    done = [SendStartedLine(of=2, part=0), DeliveredLine(of=2, part=0, parts=3, message_id=1)]
    await deliver(tmp_path, channel, ASKED, ANSWER, *done)
    assert [(s.text, s.repeat) for s in channel.sent] == [("spues", False), ("ta", False)]


async def test_a_send_whose_outcome_nobody_saw_is_repeated_marked(tmp_path: Path) -> None:
    channel = FakeChannel()
    await deliver(tmp_path, channel, ASKED, ANSWER, SendStartedLine(of=2, part=0))
    assert [(s.text, s.repeat) for s in channel.sent] == [("la respuesta", True)]


async def test_a_failure_that_is_certain_is_simply_retried(tmp_path: Path) -> None:
    channel = FakeChannel(trouble=[NotSent("sin red")] * 9)
    done = await deliver(tmp_path, channel, ASKED, ANSWER)
    assert [s.repeat for s in channel.sent] == [False] and done.added.count("send_failed") == 9
    assert done.waits[:4] == [1.0, 2.0, 4.0, 8.0] and max(done.waits) == 60.0


async def test_an_uncertain_send_is_repeated_marked_in_the_same_process(tmp_path: Path) -> None:
    channel = FakeChannel(trouble=[Uncertain("sin respuesta")], arrives_anyway=True)
    await deliver(tmp_path, channel, ASKED, ANSWER)
    assert [s.repeat for s in channel.sent] == [False, True]


async def test_flood_is_waited_for_as_long_as_told(tmp_path: Path) -> None:
    channel = FakeChannel(trouble=[Flood("calma", retry_after=17)])
    done = await deliver(tmp_path, channel, ASKED, ANSWER)
    assert [s.repeat for s in channel.sent] == [False] and done.waits[0] == 17


async def test_a_gone_chat_ends_quietly(tmp_path: Path) -> None:
    channel = FakeChannel(part_size=5, trouble=[ChatGone("bloqueado")])
    assert (await deliver(tmp_path, channel, ASKED, ANSWER)).added == ["send_started", "delivered"]
    assert channel.sent == []


async def test_what_is_refused_even_as_plain_text_is_given_up(tmp_path: Path) -> None:
    channel = FakeChannel(trouble=[DeliveryError("no vale")])
    assert (await deliver(tmp_path, channel, ASKED, ANSWER)).added == ["send_started", "send_failed", "delivered"]


def test_choices_round_trip() -> None:
    assert parse_choice(choice_data("telegram_42_2", 17, allow=True)) == ("telegram_42_2", 17, True)
    assert parse_choice(choice_data("telegram_42_2", 17, allow=False)) == ("telegram_42_2", 17, False)
    for bad in ("", "si", "si|x", "si|x|y", "quizá|x|1"):
        assert parse_choice(bad) is None
