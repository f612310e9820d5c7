from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.core.contracts import ModelRequest, ToolSchema
from app.core.messages import Message, ToolCall, Usage
from app.core.usage import (
    UNKNOWN_PRICE,
    Ledger,
    TokenMeter,
    count_message,
    count_request,
    count_text,
    count_tool,
    price,
)
from tests.fakes.clock import FakeClock

MILLION = 1_000_000


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        ("Hola, ¿qué hay en mi proyecto? Enséñame los archivos más grandes.", 13, 30),
        ("def main() -> None:\n    print('hello')\n" * 10, 90, 160),
        ("漢字かな交じり文", 6, 16),
    ],
)
def test_the_estimate_is_in_the_right_region(text: str, low: int, high: int) -> None:
    assert low <= count_text(text) <= high


def test_a_request_counts_everything_that_is_sent() -> None:
    message = Message(
        role="assistant", content="x" * 350, tool_calls=(ToolCall(id="1", name="n", arguments="y" * 350),)
    )
    tool = ToolSchema("read_file", "Lee", {"type": "object", "properties": {"path": {"type": "string"}}})
    request = ModelRequest([message], system="s" * 700, tools=[tool])
    assert count_message(message) >= 200
    assert count_request(request) >= count_message(message) + count_tool(tool) + 200


def test_the_meter_learns_each_models_tokenizer() -> None:
    meter = TokenMeter()
    assert meter.estimate("claude", 1000) == 1000
    meter.learn("claude", 1000, 1300)
    assert meter.estimate("claude", 1000) == 1300
    assert meter.estimate("groq", 1000) == 1000
    for _ in range(30):
        meter.learn("claude", 1000, 900)
    assert meter.estimate("claude", 1000) == pytest.approx(900, abs=2)


@pytest.mark.parametrize(("raw", "reported"), [(0, 100), (100, 0), (-5, 10)])
def test_the_meter_learns_nothing_from_nothing(raw: int, reported: int) -> None:
    meter = TokenMeter()
    meter.learn("m", raw, reported)
    assert meter.estimate("m", 100) == 100


def test_a_mad_report_does_not_lead_it_astray() -> None:
    meter = TokenMeter()
    meter.learn("m", 100, 50_000)
    assert meter.estimate("m", 100) <= 300


def test_prices_of_known_models() -> None:
    usage = Usage(input=12_000, output=1_000, cached=2_000)
    assert price("anthropic", "claude-haiku-5-5", usage, cache_writes=1_000) == pytest.approx(0.001545)
    assert price("anthropic", "claude-haiku-5-5", Usage(input=MILLION // 20)) == pytest.approx(0.005)


def test_an_unknown_model_is_taken_to_be_dear_and_a_local_one_is_free() -> None:
    usage = Usage(input=MILLION, output=MILLION)
    assert price("anthropic", "claude-nobody-knows", usage) == sum(UNKNOWN_PRICE)
    assert price("local", "qwen3:8b", usage) == 0


def test_nonsense_usage_still_has_a_price() -> None:
    assert price("anthropic", "claude-haiku-5-5", Usage(input=10, cached=50)) > 0


def at(text: str) -> FakeClock:
    return FakeClock(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_the_ledger_adds_up_today_and_forgets_at_the_owners_midnight() -> None:
    clock = at("2026-11-22T22:30:00")
    ledger = Ledger("Europe/Madrid", clock)  # 23:30 there
    ledger.add(Usage(usd=0.25))
    ledger.add(Usage(usd=0.5))
    assert ledger.today() == 0.75
    clock.now += 29 * 60
    assert ledger.today() == 0.75
    clock.now += 2 * 60
    assert ledger.today() == 0
    ledger.add(Usage(usd=0.1))
    assert ledger.today() == 0.1


def test_what_is_reserved_counts_until_it_is_spent_or_not() -> None:
    ledger = Ledger("UTC", at("2026-11-22T10:00:00"))
    ledger.add(Usage(usd=0.25))
    with pytest.raises(KeyError), ledger.reserved(0.5), ledger.reserved(0.125):
        assert (ledger.committed(), ledger.today()) == (0.875, 0.25)
        raise KeyError
    assert ledger.committed() == ledger.today() == 0.25


def test_the_ledger_is_restored_from_the_logs_once_or_twice() -> None:
    ledger = Ledger("UTC", at("2026-11-22T10:00:00"))
    ledger.restore(0.4)
    ledger.restore(0.4)
    assert ledger.today() == 0.4
    ledger.add(Usage(usd=0.1))
    assert ledger.today() == pytest.approx(0.5)


def test_the_ledger_knows_whose_money_it_was() -> None:
    clock = at("2026-11-22T10:00:00")
    ledger = Ledger("UTC", clock)
    ledger.restore(0.5, {"42": 0.25, "77": 0.125})
    ledger.add(Usage(usd=0.125), "77")
    with ledger.reserved(1.0, "77"):
        assert (ledger.committed("77"), ledger.committed("42"), ledger.committed()) == (1.25, 0.25, 1.625)
    assert (ledger.today("77"), ledger.today("nobody"), ledger.today()) == (0.25, 0.0, 0.625)
    clock.now += 86_400
    assert ledger.today("77") == ledger.today() == 0.0
