"""The quick look says idle only of logs in which nothing is open, and says it of most of those."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from app.cloud.idle import surely_idle
from app.core.context import fold
from app.core.events import (
    ApprovalAskedLine,
    ApprovalGivenLine,
    AssistantLine,
    CommandLine,
    DeliveredLine,
    Line,
    ReplyLine,
    ReplyTo,
    RetryLine,
    SendStartedLine,
    UserLine,
    dump_line,
    parse_line,
)
from app.core.messages import ToolCall

CHAT = ReplyTo(channel="telegram", chat_id=42)
PLACES = st.sampled_from([CHAT, None])
SEQS = st.integers(0, 12)
LINES = st.one_of(
    st.builds(UserLine, content=st.sampled_from(["hola", '","type":"user"', "\n{"]), reply_to=PLACES),
    st.builds(AssistantLine, covers=SEQS, final=st.booleans(), failed=st.booleans(), reply_to=PLACES),
    st.builds(AssistantLine, covers=SEQS, tool_calls=st.just((ToolCall(id="c", name="x", arguments="{}"),))),
    st.builds(CommandLine, name=st.just("ayuda")),
    st.builds(ReplyLine, content=st.just("ya"), to=SEQS, reply_to=PLACES),
    st.builds(RetryLine, to=SEQS),
    st.builds(lambda to: ApprovalAskedLine(call_id="c", question="¿?", digest="d", expires=9.0, reply_to=to), PLACES),
    st.builds(ApprovalGivenLine, asked=SEQS, call_id=st.just("c"), decision=st.just("allow")),
    st.builds(SendStartedLine, of=SEQS, part=st.integers(0, 1)),
    st.builds(DeliveredLine, of=SEQS, part=st.integers(0, 1), parts=st.integers(1, 2), gone=st.booleans()),
)  # fmt: skip


def log(lines: list[Line]) -> bytes:
    numbered = [line.model_copy(update={"seq": seq, "ts": 1_795_000_000.5 + seq}) for seq, line in enumerate(lines, 1)]
    return b"".join(map(dump_line, numbered))


def is_busy(data: bytes) -> bool:
    return fold("telegram_42", [parse_line(raw) for raw in data.splitlines()]).is_busy


@settings(max_examples=3000, deadline=None, derandomize=True)
@given(st.lists(LINES, max_size=12))
def test_what_it_calls_idle_has_nothing_open(lines: list[Line]) -> None:
    data = log(lines)
    assert not (surely_idle(data) and is_busy(data))


def conversation(turns: int) -> list[Line]:
    """A message, a step with a tool, an answer in two parts; and a command."""
    lines: list[Line] = []
    for _ in range(turns):
        asked = len(lines) + 1
        lines += [
            UserLine(content='cita "type":"user" y\nsalto', reply_to=CHAT),
            AssistantLine(covers=asked, tool_calls=(ToolCall(id="c", name="list_dir", arguments="{}"),)),
            AssistantLine(covers=asked, content="ya", final=True, reply_to=CHAT),
            *(DeliveredLine(of=asked + 2, part=part, parts=2, message_id=5) for part in range(2)),
            CommandLine(name="estado", reply_to=CHAT),
            ReplyLine(content="bien", to=asked + 5, reply_to=CHAT),
            DeliveredLine(of=asked + 6, part=0, parts=1, message_id=6),
        ]
    return lines


def test_a_finished_conversation_is_idle_and_each_of_its_beginnings_is_judged_right() -> None:
    lines = conversation(3)
    assert surely_idle(log(lines))
    for end in range(len(lines)):
        assert surely_idle(log(lines[:end])) == (not is_busy(log(lines[:end])))


def test_what_was_asked_again_is_open() -> None:
    failed = [UserLine(content="hola"), AssistantLine(covers=1, final=True, failed=True, content="no pude")]
    assert surely_idle(log(failed))
    assert not surely_idle(log([*failed, RetryLine(to=2)]))


def test_a_flipped_byte_hides_nothing_that_is_still_to_do() -> None:
    """The damaged line itself may be taken for what it was; the fold, which cannot read it, would do more."""
    chance, lines = random.Random(5), [*conversation(2), UserLine(content="abierta", reply_to=CHAT)]
    data = log(lines)
    for _ in range(3000):
        at = chance.randrange(len(data) - 200)
        assert not surely_idle(data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :])


def test_what_is_torn_or_of_another_version_is_left_to_the_fold() -> None:
    data = log(conversation(1))
    assert not surely_idle(data[:-1])
    assert not surely_idle(data.replace(b'{"v":1,', b'{"v":2,', 1))
    assert not surely_idle(data + b"\0\0\0\n")
    assert surely_idle(b"")
