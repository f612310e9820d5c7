"""Delivery: everything arrives in order, once; a possible repeat says so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest

from app.cloud.delivery import Delivery
from app.cloud.question_buttons import Pressed, choice_data, parse_choice
from app.cloud.sessions import SessionManager
from app.core import texts
from app.core.contexts import Contexts
from app.core.contracts import Part
from app.core.errors import ChatGone, DeliveryError, Flood, NotSent, Uncertain
from app.core.events import (
    ApprovalAskedLine,
    AssistantLine,
    DeliveredLine,
    Line,
    ReplyTo,
    SendFailedLine,
    SendStartedLine,
    UserLine,
)
from app.core.messages import ToolCall
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
    assert [s.repeat for s in channel.sent] == [False] and done.waits == [pytest.approx(17, abs=1)]


async def test_a_gone_chat_ends_quietly(tmp_path: Path) -> None:
    channel = FakeChannel(part_size=5, trouble=[ChatGone("bloqueado")])
    assert (await deliver(tmp_path, channel, ASKED, ANSWER)).added == ["send_started", "delivered"]
    assert channel.sent == []


async def test_what_is_refused_even_as_plain_text_is_given_up(tmp_path: Path) -> None:
    channel = FakeChannel(trouble=[DeliveryError("no vale")])
    refused = ["send_started", "send_failed", "reply", "delivered"]
    assert (await deliver(tmp_path, channel, ASKED, ANSWER)).added == [*refused, "send_started", "delivered"]
    assert [s.text for s in channel.sent] == [texts.PART_REFUSED]


def test_choices_round_trip() -> None:
    for pressed in get_args(Pressed):
        assert parse_choice(choice_data("telegram_42_2", 17, pressed)) == ("telegram_42_2", 17, pressed)
    for bad in ("", "si", "si|x", "si|x|y", "quizá|x|1"):
        assert parse_choice(bad) is None


async def test_a_later_certain_failure_does_not_hide_an_uncertain_send(tmp_path: Path) -> None:
    """Uncertain, then not sent, then the process dies: the first may have arrived."""
    channel = FakeChannel()
    earlier = [SendStartedLine(of=2, part=0), SendStartedLine(of=2, part=0), SendFailedLine(of=2, part=0)]
    await deliver(tmp_path, channel, ASKED, ANSWER, *earlier)
    assert [(s.text, s.repeat) for s in channel.sent] == [("la respuesta", True)]


async def test_all_sends_failed_for_certain_is_no_repeat(tmp_path: Path) -> None:
    channel = FakeChannel()
    earlier = [SendStartedLine(of=2, part=0), SendFailedLine(of=2, part=0)] * 2
    await deliver(tmp_path, channel, ASKED, ANSWER, *earlier)
    assert [s.repeat for s in channel.sent] == [False]


class AwayChannel(FakeChannel):
    """Not reachable for the next `away` questions."""

    away = 0

    async def reachable(self) -> bool:
        self.away -= 1
        return self.away < 0


@pytest.mark.parametrize("error", [NotSent("sin red"), Uncertain("sin respuesta")])
async def test_a_long_outage_costs_two_attempts_worth_of_lines(tmp_path: Path, error: DeliveryError) -> None:
    channel = AwayChannel(trouble=[error])
    channel.away = 100
    done = await deliver(tmp_path, channel, ASKED, ANSWER)
    failed = ["send_failed"] if isinstance(error, NotSent) else []
    assert done.added == ["send_started", *failed, "send_started", "delivered"]
    assert len(done.waits) == 101 and max(done.waits) == 60.0
    assert [s.repeat for s in channel.sent] == [not failed]


async def test_a_flood_is_the_chats_whichever_session_caused_it(tmp_path: Path) -> None:
    store, channel = SessionManager(tmp_path), FakeChannel(trouble=[Flood("calma", retry_after=30)])
    resting, gate = asyncio.Event(), asyncio.Event()

    async def pause(_seconds: float) -> None:
        resting.set()
        await gate.wait()

    delivery = Delivery(store, Contexts(store), {"telegram": channel}, pause)
    elsewhere = ReplyTo(channel="telegram", chat_id=43)
    for session_id, place in (("telegram_42", CHAT), ("telegram_42-t7", CHAT), ("telegram_43", elsewhere)):
        await store.append(session_id, ASKED, ANSWER.model_copy(update={"reply_to": place}))
        delivery.lanes.wake(session_id)
        await resting.wait()
    await until(lambda: bool(channel.sent))
    assert [s.to.chat_id for s in channel.sent] == [43]
    assert (await kinds(store, "telegram_42-t7"))[2:] == [], "nothing is announced while the chat rests"
    gate.set()
    await until(lambda: not delivery.lanes.busy)
    assert [s.to.chat_id for s in channel.sent] == [43, 42, 42]
    await store.close()


async def test_a_question_that_is_too_long_is_cut_to_one_message_and_not_permitted_there(tmp_path: Path) -> None:
    channel = FakeChannel(part_size=2_000)
    asked = ApprovalAskedLine(
        call_id="c", question="¿" + "x" * 19_000 + "?", digest="d", expires=2e9, reply_to=CHAT, kind="run"
    )
    store = SessionManager(tmp_path)
    await store.append("telegram_42", ASKED, asked)
    delivery = Delivery(store, Contexts(store), {"telegram": channel})
    delivery.lanes.wake("telegram_42")
    await until(lambda: not delivery.lanes.busy)
    sent = channel.sent
    assert len(sent) == 1 and [choice.label for choice in sent[0].choices] == ["Rechazar", "Rechazar y decir por qué"]
    assert sent[0].text[0] == "¿" and sent[0].text[-1] == "?" and "17502 caracteres más" in sent[0].text
    await store.close()


async def test_parts_of_a_version_that_cut_differently_come_to_an_end(tmp_path: Path) -> None:
    done = [SendStartedLine(of=2, part=0), DeliveredLine(of=2, part=0, parts=3, message_id=1)]
    assert (await deliver(tmp_path, FakeChannel(), ASKED, ANSWER, *done)).added == ["delivered"]


async def test_splitting_a_long_answer_holds_nobody_up(tmp_path: Path) -> None:
    threads: list[bool] = []

    class Splitting(FakeChannel):
        def split(self, text: str) -> Sequence[Part]:
            threads.append(threading.current_thread() is threading.main_thread())
            return super().split(text)

    await deliver(tmp_path, Splitting(part_size=50_000), ASKED, ANSWER.model_copy(update={"content": "x" * 20_000}))
    assert threads == [False]


async def test_a_part_that_is_refused_costs_only_itself_and_is_told(tmp_path: Path) -> None:
    refusals: list[Exception] = [DeliveryError("can't parse")]
    channel = FakeChannel(part_size=5)
    channel.trouble = refusals
    await deliver(tmp_path, channel, ASKED, ANSWER)
    texts = [s.text for s in channel.sent]
    assert texts[:2] == ["spues", "ta"] and "".join(texts[2:]).startswith("Telegram no acepta una parte")


async def test_copies_of_what_never_gets_an_answer_come_to_an_end(tmp_path: Path) -> None:
    channel = FakeChannel(arrives_anyway=True, trouble=[Uncertain("?")] * 50)
    await deliver(tmp_path, channel, ASKED, ANSWER)
    assert [s.repeat for s in channel.sent] == [False] + [True] * 5


async def test_a_question_that_never_left_is_dropped_when_the_turn_has_ended(tmp_path: Path) -> None:
    call = ToolCall(id="b", name="execute_shell")
    asked = ApprovalAskedLine(call_id="b", question="¿Lo permito?", digest="d", expires=9e9, reply_to=CHAT)
    stopped = AssistantLine(content="Detenido.", covers=1, final=True, failed=True, reply_to=CHAT)
    channel = FakeChannel()
    await deliver(tmp_path, channel, ASKED, AssistantLine(tool_calls=(call,), covers=1), asked, stopped)
    assert [s.text for s in channel.sent] == ["Detenido."]
