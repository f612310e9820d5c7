"""Limits that last, limits that lie, and money: what the brain does when a model says "not now"."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.cloud.failures import Declined
from app.cloud.providers import ProviderManager
from app.core.contracts import ModelRequest
from app.core.errors import AllFailed, NanobotError, OverBudget, TooLarge, TurnPostponed
from app.core.messages import Message, Usage
from tests.contract.conftest import READ_FILE, Turn
from tests.contract.test_failure_table import ASK, BIG, CLAUDE, DOWN, NO_CLAUDE, PLAIN_TOO_LARGE, SMALL, limited
from tests.fakes.clock import FakeClock
from tests.fakes.llm import FakeLLM

Make = Callable[..., ProviderManager]
LONG = ModelRequest([Message(role="user", content="palabra " * 4500)])
ONE_GROQ: dict[str, Any] = {**NO_CLAUDE, "groq_fallback_models": []}


# ---------------------------------------------------------------- too large, and nobody else now


@pytest.mark.parametrize("rest", [30, 1453])
async def test_too_large_is_told_before_another_provider_is_waited_for(
    rest: float, llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    llm.say(*[PLAIN_TOO_LARGE | {"api": "groq"}] * 2, limited(rest, api="anthropic"))
    with pytest.raises(TooLarge) as caught:
        await make_manager().complete(LONG, turn.options)
    assert caught.value.limit == 8000 and clock.slept == []


async def test_a_limit_met_after_the_answers_room_was_cut_is_not_too_large(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.say(PLAIN_TOO_LARGE, limited(90))
    request = ModelRequest([Message(role="user", content="corto")], max_tokens=9000)
    with pytest.raises(TurnPostponed):
        await make_manager(**ONE_GROQ).complete(request, turn.options)


# ---------------------------------------------------------------- 429 without end


async def postponed(manager: ProviderManager, seconds: float = 60) -> float:
    """The UNIX time to which a turn was postponed."""
    with pytest.raises(TurnPostponed) as caught:
        await manager.complete(ASK, Turn(seconds=seconds).options)
    return caught.value.until


async def test_unstated_rests_double_up_to_a_quarter_of_an_hour_and_start_again_after_success(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    manager = make_manager(**ONE_GROQ)
    rests: list[float] = []
    for _ in range(9):
        llm.say(limited(None))
        until = await postponed(manager, seconds=5)
        rests.append(until - clock.now)
        assert manager.routes()[0].reason.startswith("Groq en pausa")
        clock.now = until + 1
    assert rests == [10, 20, 40, 80, 160, 320, 640, 900, 900]
    await manager.complete(ASK, turn.options)
    llm.say(limited(None))
    assert await postponed(manager, seconds=5) - clock.now == 10


async def test_one_limit_met_by_many_turns_at_once_is_one(llm: FakeLLM, make_manager: Make, clock: FakeClock) -> None:
    llm.say(*[limited(None, delay=0.05)] * 20)
    manager = make_manager(**ONE_GROQ)
    ends = await asyncio.gather(*(postponed(manager, seconds=5) for _ in range(20)))
    assert set(ends) == {clock.now + 10}


async def test_a_short_limit_that_comes_back_again_and_again_is_tried_twice_more_in_a_turn(
    llm: FakeLLM, make_manager: Make, clock: FakeClock
) -> None:
    llm.say(*[limited(2)] * 5000)
    manager = make_manager(**ONE_GROQ)
    await postponed(manager, seconds=600)
    assert len(llm.calls()) == 3
    for _ in range(8):  # the turn is taken up again, again in vain: ever later
        clock.now = await postponed(manager, seconds=600)
    assert await postponed(manager, seconds=600) - clock.now > 800


async def test_the_pauses_of_a_turn_count_as_its_retries(llm: FakeLLM, make_manager: Make, clock: FakeClock) -> None:
    llm.say(*[limited(20)] * 5000)
    await postponed(make_manager(**ONE_GROQ), seconds=600)
    assert len(llm.calls()) == 3 and clock.slept == [20, 20]


async def test_an_account_that_has_spent_its_limit_rests_for_hours_and_says_so(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    details = {"error_code": "enforced_spend_limit_reached"}
    error = {"type": "rate_limit_error", "message": "You have reached your spend limit", "details": details}
    llm.say({"status": 429, "headers": {"retry-after": "2"}, "body": {"type": "error", "error": error}})
    manager = make_manager(groq_api_key=None, anthropic_fallback_models=["claude-sonnet-5-5"])
    told: list[str] = []
    manager.on_notice = told.append
    for _ in range(2):
        with pytest.raises(AllFailed, match="límite de gasto de tu cuenta"):
            await manager.complete(ASK, turn.options)
    assert llm.asked() == [CLAUDE] and clock.slept == []
    assert len(told) == 1 and {r.state for r in manager.routes()} == {"resting"}
    clock.now += 4 * 3600
    assert (await manager.complete(ASK, turn.options)).text == "ok"


async def test_nobody_retries_once_the_breaker_is_open(llm: FakeLLM, make_manager: Make) -> None:
    llm.say(*[DOWN | {"delay": 0.02}] * 1000)
    manager = make_manager(**ONE_GROQ)
    many = (manager.complete(ASK, Turn().options) for _ in range(30))
    assert {type(end) for end in await asyncio.gather(*many, return_exceptions=True)} == {AllFailed}
    assert len(llm.calls()) <= 33  # each once, and the retries that had begun


async def test_many_who_wait_for_one_model_do_not_wake_together(
    llm: FakeLLM, make_settings: Callable[..., Any]
) -> None:
    manager = ProviderManager(make_settings(**ONE_GROQ, local_llm_base_url=None))
    manager.router.all[0].rest(time.time() + 0.2)
    llm.say(*[limited(6)] * 60)
    many = (manager.complete(ASK, Turn(seconds=1.5).options) for _ in range(30))
    ends = await asyncio.gather(*many, return_exceptions=True)
    assert {type(end) for end in ends} == {TurnPostponed}
    assert len(llm.calls()) <= 10
    await manager.aclose()


async def test_one_who_waits_alone_wakes_at_once(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    llm.say(limited(30))
    await make_manager(**ONE_GROQ).complete(ASK, turn.options)
    assert clock.slept == [30]


# ---------------------------------------------------------------- limited and down at once


async def test_a_limited_model_of_the_same_provider_is_worth_the_wait(
    llm: FakeLLM, make_manager: Make, clock: FakeClock
) -> None:
    """Row 2: nobody else is there, so the turn stays open; that the other model is down changes nothing."""
    llm.say(*[DOWN | {"model": BIG}] * 9, limited(700, model=SMALL))
    assert await postponed(make_manager(**NO_CLAUDE)) >= clock.now + 699


async def test_who_cannot_help_meanwhile_is_named(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager(daily_budget_usd=0.5)
    manager.ledger.add(Usage(usd=1))
    llm.say(*[limited(5000, api="groq")] * 2)
    with pytest.raises(TurnPostponed) as caught:
        await manager.complete(ASK, turn.options)
    text = str(caught.value)
    assert text.startswith("Groq en pausa, 84 min; ") and "límite de gasto de hoy (0,50 $" in text
    assert text.endswith("Seguiré con tu mensaje en cuanto vuelva.")


# ---------------------------------------------------------------- money


@pytest.mark.parametrize(
    "step",
    [
        {"calls": [{"name": "read_file", "arguments": {"path": "x" * 400}}], "fault": "cut", "after": 30},
        {"thinking": "p" * 2000, "fault": "cut", "after": 100},
        {"thinking": "p" * 500, "fault": "error", "error": {"error": {"type": "overloaded_error"}}, "after": 30},
        {"thinking": "p" * 500, "fault": "stall", "after": 30},
    ],
)
async def test_what_broke_after_it_began_is_counted_as_its_start_said(
    step: dict[str, Any], llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    manager = make_manager(groq_api_key=None, stall_seconds=0.2)
    llm.say(step | {"usage": {"input_tokens": 50_000, "cache_read_input_tokens": 10_000}}, {"text": "bien"})
    reply = await manager.complete(ASK, turn.options)
    [(_, _, usage)] = turn.usages
    assert (usage.input, usage.cached) == (60_000, 10_000) and usage.output > 20
    assert usage.usd > 0.005
    assert manager.ledger.today() == pytest.approx(usage.usd + reply.usage.usd)


async def test_what_never_began_costs_nothing(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    llm.say(DOWN, {"fault": "refuse"}, {"text": "bien"})
    manager = make_manager(groq_api_key=None)
    reply = await manager.complete(ASK, turn.options)
    assert turn.usages == [] and manager.ledger.today() == reply.usage.usd


async def test_calls_at_the_same_time_keep_to_the_budget_together(llm: FakeLLM, make_manager: Make) -> None:
    manager = make_manager(groq_api_key=None, daily_budget_usd=0.01)
    request = ModelRequest([Message(role="user", content="palabra " * 20_000)], max_tokens=2000)
    llm.say(*[{"text": "a", "delay": 0.1, "usage": {"input_tokens": 60_000, "output_tokens": 2000}}] * 40)
    many = (manager.complete(request, Turn().options) for _ in range(40))
    ends = await asyncio.gather(*many, return_exceptions=True)
    assert {type(end) for end in ends if isinstance(end, NanobotError)} == {OverBudget}
    assert 0.01 <= manager.ledger.today() < 0.02
    assert manager.ledger.committed() == pytest.approx(manager.ledger.today())


async def test_the_budget_is_looked_at_again_before_a_retry(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager(groq_api_key=None, daily_budget_usd=0.01)
    llm.say({"thinking": "p" * 500, "usage": {"input_tokens": 99_000 * 2}, "fault": "cut", "after": 30})
    with pytest.raises(OverBudget):
        await manager.complete(ASK, turn.options)
    assert len(llm.calls()) == 1


async def test_claudes_window_ends_where_its_price_rises(make_manager: Make) -> None:
    manager = make_manager(groq_api_key=None)
    await manager.check_models()  # which says a million
    assert manager.window_tokens() == 100_000


# ---------------------------------------------------------------- a model that would rather not


async def test_a_refusal_is_no_answer_and_the_next_provider_is_asked(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.say({"api": "groq", "text": "Primero mezclas", "finish": "content_filter"})
    manager = make_manager(groq_fallback_models=[])
    reply = await manager.complete(ASK, turn.options)
    assert reply.provider == "anthropic" and turn.shown == reply.text == "ok"
    assert len(turn.usages) == 1
    assert len(llm.calls("anthropic")[0]["messages"]) == 1


async def test_refused_by_everybody_is_said_clearly(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager(groq_api_key=None)
    llm.say({"text": "Primero mezclas", "finish": "refusal"})
    with pytest.raises(Declined, match="a esto Claude prefiere no contestar"):
        await manager.complete(ModelRequest(ASK.messages, tools=[READ_FILE]), turn.options)
    assert turn.shown == ""
    [(_, _, usage)] = turn.usages
    assert manager.ledger.today() == usage.usd > 0
