from __future__ import annotations

import json
import time

import pytest

from app.cloud.history import wire_name
from app.cloud.limits import RateLimits, parse_duration
from app.cloud.retrying import SHORT_WAIT, backoff, pause_before_retry, retry
from app.cloud.route import Breaker
from app.cloud.tool_repair import repaired_calls, retry_note
from app.core import texts
from app.core.contracts import ToolSchema
from app.core.errors import (
    BadToolCall,
    BrokenReply,
    CredentialRejected,
    ProviderError,
    RateLimited,
    RequestRefused,
    Unreachable,
)
from tests.fakes.clock import FakeClock

# ---------------------------------------------------------------- rate limits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7.66s", 7.66), ("2m59.56s", 179.56), ("1h2m3s", 3723), ("120ms", 0.12), ("6m0s", 360), ("30", 30),
        ("1d", 86_400), ("1.5", 1.5), ("", None), ("soon", None), ("m", None), ("inf", None), ("nan", None),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


def limits(left: int, limit: int = 8000, reset: str = "60s", more: dict[str, str] | None = None) -> RateLimits:
    headers = {
        "x-ratelimit-limit-tokens": str(limit),
        "x-ratelimit-remaining-tokens": str(left),
        "x-ratelimit-reset-tokens": reset,
    }
    found = RateLimits.from_headers(headers | (more or {}), 100.0)
    assert found
    return found


def test_no_headers_no_limits() -> None:
    assert RateLimits.from_headers({"content-type": "text/event-stream"}, 0) is None


def test_tokens_come_back_steadily() -> None:
    known = limits(left=2000, limit=8000, reset="60s")  # 100 a second
    assert known.tokens_at(100) == 2000
    assert known.tokens_at(130) == 5000
    assert known.tokens_at(500) == 8000
    assert known.wait_for(2000, 100) == 0
    assert known.wait_for(3000, 100) == pytest.approx(10)
    assert known.wait_for(3000, 105) == pytest.approx(5)
    assert known.wait_for(3000, 111) == 0


def test_requests_of_the_day_bind_as_well() -> None:
    daily = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2m"}
    known = limits(left=8000, more=daily)
    assert known.wait_for(100, 100) == 120
    assert known.wait_for(100, 221) == 0


def test_what_is_booked_is_gone_until_it_comes_back() -> None:
    known = limits(left=2000, limit=8000, reset="60s")
    known.spend(1500, 110)  # 3000 were there
    assert known.tokens_at(110) == 1500
    assert known.tokens_at(120) == pytest.approx(2500)
    assert known.tokens_at(400) == 8000


def test_headers_that_say_half() -> None:
    only_left = RateLimits.from_headers({"x-ratelimit-remaining-tokens": "50"}, 0)
    assert only_left and only_left.wait_for(40, 0) == 0
    full = limits(left=8000, limit=8000, reset="0s")
    assert full.wait_for(8000, 100) == 0
    full.spend(8000, 100)


# ---------------------------------------------------------------- circuit breaker


def test_the_breaker_opens_probes_and_closes() -> None:
    breaker = Breaker()
    for _ in range(Breaker.FAILURES - 1):
        breaker.record(False, 0)
    assert breaker.closed and not breaker.blocks(0)
    breaker.record(True, 0)
    for _ in range(Breaker.FAILURES):
        breaker.record(False, 10)
    assert breaker.blocks(10) and breaker.blocks(10 + Breaker.OPEN_SECONDS - 1)
    later = 10 + Breaker.OPEN_SECONDS
    assert not breaker.blocks(later)
    breaker.probe(later)
    assert breaker.blocks(later)  # for everybody but the one who probes
    breaker.record(True, later + 1)
    assert breaker.closed and not breaker.blocks(later + 1) and breaker.open_until == 0


# ---------------------------------------------------------------- retries


def test_backoff_has_full_jitter_and_a_cap() -> None:
    for attempt, most in ((0, 0.5), (1, 1.0), (2, 2.0), (20, 8.0)):
        pauses = [backoff(attempt) for _ in range(300)]
        assert 0 <= min(pauses) < most * 0.1 and most * 0.9 < max(pauses) <= most


@pytest.mark.parametrize(
    ("error", "retried"),
    [
        (Unreachable("x"), True),
        (BrokenReply("x"), True),
        (Unreachable("x", retry_after=3), True),
        (Unreachable("x", retry_after=60), False),
        (RateLimited("x", retry_after=SHORT_WAIT), True),
        (RateLimited("x", retry_after=SHORT_WAIT + 1), False),
        (RateLimited("x"), False),
        (CredentialRejected("x"), False),
        (RequestRefused("x"), False),
        (BadToolCall("x"), False),
    ],
)
def test_what_is_worth_another_try(error: ProviderError, retried: bool) -> None:
    pause = pause_before_retry(error, 0)
    assert (pause is not None) is retried
    asked = getattr(error, "retry_after", None)
    assert pause is None or asked is None or pause >= asked


async def test_retries_end_when_there_is_no_more_hope() -> None:
    clock = FakeClock(0)
    tries: list[float] = []

    async def operation() -> None:
        tries.append(clock())
        raise Unreachable("x")

    for hope, expected in (([], 1), ([True], 1), ([True, True], 2)):  # asked before a pause and after it
        tries.clear()
        answers = iter([*hope, False])
        with pytest.raises(Unreachable):
            await retry(
                operation,
                retries=5,
                until=99,
                clock=clock,
                sleep=clock.sleep,
                hopeful=lambda: next(answers),  # noqa: B023
            )
        assert len(tries) == expected


async def test_the_deadline_ends_the_retries() -> None:
    clock = FakeClock(0)
    tries: list[float] = []

    async def operation() -> None:
        tries.append(clock())
        raise RateLimited("x", retry_after=4)

    with pytest.raises(RateLimited):
        await retry(operation, retries=5, until=10, clock=clock, sleep=clock.sleep)
    assert len(tries) == 3 and clock() < 10


# ---------------------------------------------------------------- badly written tool calls

PATH = {"path": "a.txt"}
TOOLS = [
    ToolSchema("read_file", "", {"properties": {"path": {}, "offset": {}}, "required": ["path"]}),
    ToolSchema("now", "", {"properties": {}}),
]


@pytest.mark.parametrize(
    "failed",
    [
        '{"name": "read_file", "arguments": {"path": "a.txt"}}',
        '{"name": "read_file", "parameters": {"path": "a.txt"}}',
        '{"name": "read_file", "arguments": "{\\"path\\": \\"a.txt\\"}"}',
        '[{"name": "read_file", "arguments": {"path": "a.txt"}}]',
        '{"tool_calls": [{"id": "x", "function": {"name": "read_file", "arguments": {"path": "a.txt"}}}]}',
        '```json\n{"name": "read_file", "arguments": {"path": "a.txt"}}\n```',
        '<function=read_file={"path": "a.txt"}</function>',
        '<function=read_file>{"path": "a.txt"}</function>',
        '<function=read_file{"path": "a.txt"}</function>',
        '<function=read_file{"path": "a.txt"}></function>',
        '<function(read_file){"path": "a.txt"}</function>',
        'Voy a leerlo. <function=read_file={"path": "a.txt"}</function>',
        '<function=read_file={"path": "a.txt"}<function>',
        '<tool_call>\n{"name": "read_file", "arguments": {"path": "a.txt"}}\n</tool_call>',
        '{"name": "functions.read_file", "arguments": {"path": "a.txt"}}',
        '{"name": "read_file<|channel|>commentary", "arguments": {"path": "a.txt"}}',
    ],
)
def test_readable_calls_are_repaired(failed: str) -> None:
    [call] = repaired_calls(failed, TOOLS)
    assert (call.name, json.loads(call.arguments)) == ("read_file", PATH)
    assert call.id


def test_several_calls_and_nested_objects() -> None:
    failed = '<function=read_file={"path": "a {b}"}</function><function=now={}</function>'
    assert [(c.name, c.arguments) for c in repaired_calls(failed, TOOLS)] == [
        ("read_file", '{"path":"a {b}"}'),
        ("now", "{}"),
    ]
    nested = '<function=read_file={"path": "a", "offset": {"deep": {"er": 1}}}</function>'
    assert json.loads(repaired_calls(nested, TOOLS)[0].arguments)["offset"] == {"deep": {"er": 1}}


@pytest.mark.parametrize(
    "failed",
    [
        "",
        "import os",
        "null",
        "[]",
        "{}",
        '{"path": "a.txt"}',
        '{"name": "rm_rf", "arguments": {}}',
        '{"name": "read_file", "arguments": {}}',
        '{"name": "read_file", "arguments": ["a.txt"]}',
        '{"name": "read_file", "arguments": {"path": "a.txt", "invented": 1}}',
        '{"name": "read_file", "arguments": "{broken"}',
        '[{"name": "read_file", "arguments": {"path": "a"}}, {"name": "rm_rf", "arguments": {}}]',
        '<function=read_file={"path": "a.t</function>',
        '{"name": "read_file", "arguments": {"path": "a.txt"}',
    ],
)
def test_doubtful_calls_are_not(failed: str) -> None:
    assert repaired_calls(failed, TOOLS) == ()
    assert repaired_calls('{"name": "read_file", "arguments": {"path": "a"}}', []) == ()


@pytest.mark.parametrize(
    "failed",
    [
        '<function=read_file={"path": "a"}</function><function=read_file={"path": "b", "offset": "abc',
        '<function=read_file={"path": "a"}</function><function=rm_rf>no json</function>',
        '<function=read_file={"path": "a"}</function> y luego <function',
        '<tool_call>{"name": "now", "arguments": {}}</tool_call><tool_call>{"name": "read_file", "argu',
        '{"name": "now", "arguments": {}} <function=read_file={"path": "a',
        '{"name": "read_file", "arguments": {"path": "' + "a" * 20_000 + '"}}',
    ],
)
def test_one_half_received_call_spoils_them_all(failed: str) -> None:
    assert repaired_calls(failed, TOOLS) == ()


@pytest.mark.parametrize(
    "piece", ["<function=a{", "<function=a{}", "<function= ", "<tool_call> ", "[", '{"a":', "```", "a", " ", "}>"]
)
def test_no_text_makes_the_repair_slow(piece: str) -> None:
    began = time.perf_counter()
    for text in (piece * (16_000 // len(piece)), "<function" + piece * (16_000 // len(piece)) + "a" + " " * 300):
        assert repaired_calls(text, TOOLS) == ()
    assert time.perf_counter() - began < 0.2


def test_a_tool_whose_name_was_translated_is_recognized() -> None:
    odd = ToolSchema("repo.browse", "", {"properties": {}})
    [call] = repaired_calls(json.dumps({"name": wire_name("repo.browse"), "arguments": {}}), [odd])
    assert call.name == "repo.browse"


def test_the_note_quotes_a_little_of_what_was_written() -> None:
    note = retry_note(BadToolCall("x", failed_generation="z" * 5000))
    assert note.role == "user" and "z" * 100 in note.content and len(note.content) < 1000


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (37.2, "38 s"), (119, "119 s"), (1453, "25 min"), (7200, "2 h"), (11_100, "3 h 5 min")],
)
def test_how_long_a_pause_is(seconds: float, words: str) -> None:
    assert texts.pause_length(seconds) == words
    assert texts.provider_paused("local", seconds) == f"El modelo local en pausa, {words}"
