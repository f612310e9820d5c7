"""What the brain does about each failure: every row of the table in issue A, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.cloud.providers import ProviderManager
from app.core.contracts import ModelRequest
from app.core.errors import (
    AllFailed,
    CredentialRejected,
    ModelGone,
    NoProvider,
    OverBudget,
    TooLarge,
    TurnPostponed,
    Unreachable,
)
from app.core.messages import Message, Usage
from tests.contract.conftest import GROQ_KEY, READ_FILE, Turn
from tests.fakes.clock import FakeClock
from tests.fakes.llm import FakeLLM

Make = Callable[..., ProviderManager]
BIG, SMALL, CLAUDE = "openai/gpt-oss-120b", "openai/gpt-oss-20b", "claude-haiku-5-5"
ASK = ModelRequest([Message(role="user", content="¿qué hay en mi proyecto?")], tools=[READ_FILE], max_tokens=2000)
NO_CLAUDE: dict[str, Any] = {"anthropic_api_key": None}

DOWN = {"status": 503, "body": {"error": {"message": "down"}}}
CUT = {"text": "Esto se corta a la mitad", "fault": "cut", "after": 3}
PLAIN_TOO_LARGE = {"status": 413, "body": {"error": {"message": "Request too large: Limit 8000, Requested 9200"}}}


def limited(seconds: float | None, **more: Any) -> dict[str, Any]:
    headers = {} if seconds is None else {"retry-after": str(seconds)}
    body = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded", "type": "tokens"}}
    return {"status": 429, "headers": headers, "body": body} | more


def headers(left: int, limit: int = 8000, reset: str = "30s") -> dict[str, str]:
    return {
        "x-ratelimit-limit-tokens": str(limit),
        "x-ratelimit-remaining-tokens": str(left),
        "x-ratelimit-reset-tokens": reset,
    }


def bad_call(failed: str, **more: Any) -> dict[str, Any]:
    error = {"message": "Failed to call a function", "code": "tool_use_failed", "failed_generation": failed}
    return {"status": 400, "body": {"error": error}} | more


# ---------------------------------------------------------------- short trouble


@pytest.mark.parametrize(
    "trouble",
    [
        DOWN,
        {"status": 500},
        {"status": 502},
        {"status": 529},
        {"status": 498},
        {"fault": "refuse"},
        CUT,
        {"text": "Sin final", "fault": "truncate", "after": 2},
        {"text": "Basura", "fault": "malformed", "after": 2},
        {"text": "Error", "fault": "error", "error": {"error": {"message": "internal"}}, "after": 2},
        limited(2),
    ],
)
async def test_passing_trouble_is_tried_again_twice_with_growing_jittered_pauses(
    trouble: dict[str, Any], llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    llm.say(trouble, trouble, {"text": "Aquí estoy"})
    reply = await make_manager().complete(ASK, turn.options)
    assert (reply.text, reply.model) == ("Aquí estoy", BIG)
    assert llm.asked() == [BIG] * 3
    assert len(clock.slept) == 2 and sum(clock.slept) < 5
    assert turn.shown == "Aquí estoy"


@pytest.mark.parametrize("trouble", [DOWN, CUT, limited(2)])
async def test_after_two_retries_the_next_provider_answers(
    trouble: dict[str, Any], llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.say(*[trouble | {"api": "groq"}] * 9, {"api": "anthropic", "text": "Soy Claude"})
    reply = await make_manager(groq_fallback_models=[]).complete(ASK, turn.options)
    assert (reply.text, reply.provider) == ("Soy Claude", "anthropic")
    assert llm.asked() == [BIG] * 3 + [CLAUDE]
    assert turn.shown == "Soy Claude"


async def test_the_retries_belong_to_the_provider_and_its_other_models_come_last(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.say(
        *[DOWN | {"api": "groq", "model": BIG}] * 9, DOWN | {"api": "anthropic"}, *[DOWN | {"api": "anthropic"}] * 2
    )
    reply = await make_manager().complete(ASK, turn.options)
    assert llm.asked() == [BIG] * 3 + [CLAUDE] * 3 + [SMALL]
    assert reply.model == SMALL


async def test_pauses_never_go_beyond_the_deadline(llm: FakeLLM, make_manager: Make, clock: FakeClock) -> None:
    llm.say(*[limited(4)] * 9)
    with pytest.raises(TurnPostponed):
        await make_manager(**NO_CLAUDE).complete(ASK, Turn(seconds=3).options)
    assert clock.slept == []


async def test_an_answer_must_begin_before_the_deadline(llm: FakeLLM, make_manager: Make) -> None:
    llm.say(*[{"delay": 4}] * 3)
    began = asyncio.get_running_loop().time()
    with pytest.raises(AllFailed) as caught:
        await make_manager(**NO_CLAUDE, groq_fallback_models=[]).complete(ASK, Turn(seconds=0.2).options)
    assert isinstance(caught.value.attempts[0], Unreachable)
    assert asyncio.get_running_loop().time() - began < 2


async def test_streamed_text_is_replaced_not_repeated(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    llm.say(CUT, {"text": "Respuesta entera"})
    reply = await make_manager().complete(ASK, turn.options)
    assert turn.kinds() == ["delta", "reset", "delta"]
    assert reply.text == turn.shown == "Respuesta entera"


async def test_a_half_received_call_is_never_handed_out(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    call = {"name": "read_file", "arguments": {"path": "a-long-enough-name.txt"}}
    llm.say(
        *[{"api": "groq", "calls": [call], "fault": "cut", "after": 4}] * 9,
        {"api": "anthropic", "text": "No hace falta"},
    )
    reply = await make_manager(groq_fallback_models=[]).complete(ASK, turn.options)
    assert reply.tool_calls == () and reply.text == "No hace falta"


async def test_what_a_cut_reply_cost_is_told(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager(groq_api_key=None)
    llm.say({"text": "Esto cuesta dinero aunque no sirva", "fault": "cut", "after": 5}, {"text": "bien"})
    reply = await manager.complete(ASK, turn.options)
    [(provider, model, usage)] = turn.usages
    assert (provider, model) == ("anthropic", CLAUDE)
    assert usage.input > 0 and usage.output > 0 and usage.usd > 0
    assert manager.ledger.today() == pytest.approx(usage.usd + reply.usage.usd)


async def test_stopping_a_turn_gives_up_at_once(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    llm.say({"text": "uno dos tres", "fault": "stall", "after": 3})
    task = asyncio.create_task(make_manager().complete(ASK, turn.options))
    while not turn.shown:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert turn.shown == "" and len(turn.usages) == 1


# ---------------------------------------------------------------- circuit breaker


async def test_a_provider_that_keeps_failing_is_left_alone_then_probed_once(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    manager = make_manager(groq_fallback_models=[])
    llm.say(*[DOWN | {"api": "groq"}] * 4)
    await manager.complete(ASK, turn.options)
    llm.requests.clear()
    await manager.complete(ASK, turn.options)
    assert llm.asked() == [CLAUDE]  # open: not even tried
    assert manager.routes()[0].state == "resting"

    clock.now += 31
    llm.requests.clear()
    await manager.complete(ASK, turn.options)
    assert llm.asked() == [BIG, CLAUDE]  # half open: one probe, which failed
    llm.requests.clear()
    await manager.complete(ASK, turn.options)
    assert llm.asked() == [CLAUDE]

    clock.now += 31
    llm.requests.clear()
    await manager.complete(ASK, turn.options)
    await manager.complete(ASK, turn.options)
    assert llm.asked() == [BIG, BIG]  # the probe succeeded: closed again


async def test_an_open_breaker_is_better_than_no_answer(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager(**NO_CLAUDE, groq_fallback_models=[])
    llm.say(*[DOWN] * 3)
    with pytest.raises(AllFailed):
        await manager.complete(ASK, turn.options)
    assert (await manager.complete(ASK, turn.options)).text == "ok"


# ---------------------------------------------------------------- limits


async def test_a_long_limit_is_the_models_and_the_next_groq_model_answers_at_once(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    manager = make_manager()
    llm.say(limited(1453, api="groq"))
    assert (await manager.complete(ASK, turn.options)).model == SMALL
    assert clock.slept == []
    resting = manager.routes()[0]
    assert (resting.model, resting.state, resting.resting_until) == (BIG, "resting", clock.now + 1453)
    assert (await manager.complete(ASK, turn.options)).model == SMALL
    clock.now += 1454
    assert (await manager.complete(ASK, turn.options)).model == BIG


async def test_every_groq_model_limited_goes_to_claude_at_once(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    llm.say(*[limited(60, api="groq")] * 2)
    reply = await make_manager().complete(ASK, turn.options)
    assert reply.provider == "anthropic" and clock.slept == []
    assert llm.asked() == [BIG, SMALL, CLAUDE]


async def test_alone_it_waits_visibly_within_the_deadline(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    llm.say(limited(38, model=BIG), limited(55, model=SMALL))
    reply = await make_manager(**NO_CLAUDE).complete(ASK, turn.options)
    assert reply.model == BIG and clock.slept == [38]
    assert [e.text for e in turn.events if e.kind == "status"] == ["Groq en pausa, 38 s", ""]


async def test_alone_beyond_the_deadline_the_turn_stays_open(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    llm.say(limited(1453, model=BIG), limited(90, model=SMALL))
    with pytest.raises(TurnPostponed) as caught:
        await make_manager(**NO_CLAUDE).complete(ASK, turn.options)
    assert caught.value.until == clock.now + 90
    assert str(caught.value) == "Groq en pausa, 90 s. Seguiré con tu mensaje en cuanto vuelva."


async def test_a_provider_that_is_only_down_is_not_waited_for_until_tomorrow(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.say(*[limited(40_000, api="groq")] * 2, *[DOWN | {"api": "anthropic"}] * 3)
    with pytest.raises(AllFailed, match="Claude no responde"):
        await make_manager().complete(ASK, turn.options)


async def test_a_limit_without_a_length_rests_for_a_moment(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    llm.say(limited(None))
    assert (await make_manager().complete(ASK, turn.options)).model == SMALL


async def test_exhausted_tokens_are_known_before_calling(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    manager = make_manager()
    llm.say(*[{"model": model, "text": "una", "headers": headers(left=100, reset="10m")} for model in (BIG, SMALL)])
    for _ in range(3):
        await manager.complete(ASK, turn.options)
    assert llm.asked() == [BIG, SMALL, CLAUDE]
    assert [route.state for route in manager.routes()] == ["resting", "resting", "ready"]
    clock.now += 60
    assert (await manager.complete(ASK, turn.options)).model == BIG


async def test_a_cramped_model_lets_its_sibling_go_first(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager()
    llm.say({"text": "una", "headers": headers(left=900)})
    await manager.complete(ASK, turn.options)
    assert (await manager.complete(ASK, turn.options)).model == SMALL
    assert manager.routes()[0].state == "ready"


async def test_requests_of_the_day_used_up(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager()
    used_up = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2h3m"}
    llm.say({"text": "una", "headers": used_up | headers(left=7000)})
    await manager.complete(ASK, turn.options)
    assert (await manager.complete(ASK, turn.options)).model == SMALL


async def test_max_tokens_fits_what_is_left(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager(groq_fallback_models=[])
    llm.say({"text": "una", "headers": headers(left=1000)})
    await manager.complete(ASK, turn.options)
    await manager.complete(ASK, turn.options)
    first, second = (body["max_completion_tokens"] for body in llm.calls())
    assert first == 2000
    assert 256 <= second < 1000
    assert manager.window_tokens() == 8000  # tokens a minute bound a request


async def test_calls_at_the_same_time_share_what_is_left(llm: FakeLLM, make_manager: Make) -> None:
    manager = make_manager(groq_fallback_models=[])
    llm.say({"text": "una", "headers": headers(left=2500)})
    await manager.complete(ASK, Turn().options)
    await asyncio.gather(*(manager.complete(ASK, Turn().options) for _ in range(2)))
    assert sum(body["max_completion_tokens"] for body in llm.calls("groq")[1:]) <= 2500


async def test_too_large_for_groq_goes_where_it_fits_and_is_remembered(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    manager = make_manager()
    long = ModelRequest([Message(role="user", content="palabra " * 4500)])
    llm.say(*[PLAIN_TOO_LARGE | {"api": "groq"}] * 2)
    assert (await manager.complete(long, turn.options)).provider == "anthropic"
    assert llm.asked() == [BIG, SMALL, CLAUDE]
    assert manager.window_tokens() == 8000
    llm.requests.clear()
    await manager.complete(long, turn.options)
    assert llm.asked() == [CLAUDE]


async def test_too_large_only_because_of_the_room_for_the_answer(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    llm.say(PLAIN_TOO_LARGE)
    request = ModelRequest([Message(role="user", content="corto")], max_tokens=9000)
    reply = await make_manager().complete(request, turn.options)
    assert reply.model == BIG
    assert llm.asked() == [BIG, BIG]
    assert llm.calls()[1]["max_completion_tokens"] < 8000


async def test_the_limit_of_a_refused_request_is_in_its_headers_too(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    manager = make_manager()
    llm.say({"status": 413, "headers": headers(left=8000)})
    await manager.complete(ASK, turn.options)
    assert manager.window_tokens() == 8000


async def test_the_estimate_learns_from_what_is_reported(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager()
    before = manager.meter.estimate(BIG, 1000)
    llm.say({"text": "a", "usage": {"prompt_tokens": 5000}})
    await manager.complete(ASK, turn.options)
    assert manager.meter.estimate(BIG, 1000) > before


async def test_too_large_for_everybody_is_the_loops_business(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    long = ModelRequest([Message(role="user", content="palabra " * 4500)])
    llm.say(*[PLAIN_TOO_LARGE] * 2)
    with pytest.raises(TooLarge) as caught:
        await make_manager(**NO_CLAUDE).complete(long, turn.options)
    assert caught.value.limit == 8000


# ---------------------------------------------------------------- badly written tool calls


@pytest.mark.parametrize("in_stream", [False, True])
async def test_a_bad_call_that_can_be_read_is_repaired(
    in_stream: bool, llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    step = bad_call('<function=read_file={"path": "a.txt"}</function>')
    if in_stream:
        step = {"text": "Voy a ello", "fault": "error", "error": step["body"], "after": 3}
    llm.say(step)
    reply = await make_manager().complete(ASK, turn.options)
    [call] = reply.tool_calls
    assert (call.name, call.arguments, reply.stop_reason) == ("read_file", '{"path":"a.txt"}', "tool_calls")
    assert len(llm.calls()) == 1 and turn.shown == ""


async def test_a_bad_call_that_cannot_be_read_is_explained_once_to_the_model(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.say(bad_call("import os; os.listdir()"), {"text": "Perdón"})
    reply = await make_manager().complete(ASK, turn.options)
    assert (reply.text, reply.model) == ("Perdón", BIG)
    first, second = llm.calls()
    assert second["messages"][:-1] == first["messages"]
    assert second["messages"][-1]["role"] == "user" and "import os" in second["messages"][-1]["content"]


async def test_a_bad_call_twice_goes_to_the_next_provider_without_the_note(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.say(bad_call("nada"), bad_call("nada otra vez"))
    reply = await make_manager().complete(ASK, turn.options)
    assert reply.provider == "anthropic"
    assert llm.asked() == [BIG, BIG, CLAUDE]
    assert len(llm.calls("anthropic")[0]["messages"]) == 1


async def test_no_call_is_repaired_when_none_may_be_made(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    llm.say(bad_call('{"name": "read_file", "arguments": {"path": "a"}}'), {"text": "Resumo"})
    request = ModelRequest(ASK.messages, tools=[READ_FILE], tool_choice="none")
    assert (await make_manager().complete(request, turn.options)).text == "Resumo"
    assert llm.calls()[0]["tool_choice"] == "none"


# ---------------------------------------------------------------- models and keys


async def test_a_switched_off_model_is_replaced_remembered_and_told_once(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    manager = make_manager()
    told: list[str] = []
    manager.on_notice = told.append
    llm.say({"status": 404, "body": {"error": {"message": "The model does not exist", "code": "model_not_found"}}})
    assert (await manager.complete(ASK, turn.options)).model == SMALL
    assert (await manager.complete(ASK, turn.options)).model == SMALL
    assert llm.asked() == [BIG, SMALL, SMALL]
    assert len(told) == 1 and BIG in told[0] and SMALL in told[0]
    assert manager.routes()[0].state == "gone"


async def test_a_rejected_key_goes_to_the_next_provider_and_names_the_setting(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    manager = make_manager()
    told: list[str] = []
    manager.on_notice = told.append
    llm.say({"api": "groq", "status": 401, "body": {"error": {"message": f"Invalid API Key {GROQ_KEY}"}}})
    assert (await manager.complete(ASK, turn.options)).provider == "anthropic"
    assert llm.asked() == [BIG, CLAUDE]
    await manager.complete(ASK, turn.options)
    assert llm.asked() == [BIG, CLAUDE, CLAUDE]
    assert told == ["Groq rechaza la clave de GROQ_API_KEY"]
    assert [r.state for r in manager.routes()] == ["rejected", "rejected", "ready"]


async def test_a_rejected_key_is_tried_again_later(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    manager = make_manager(**NO_CLAUDE)
    told: list[str] = []
    manager.on_notice = told.append
    llm.say({"status": 403})
    with pytest.raises(AllFailed) as caught:
        await manager.complete(ASK, turn.options)
    assert isinstance(caught.value.attempts[0], CredentialRejected)
    with pytest.raises(AllFailed, match="GROQ_API_KEY"):
        await manager.complete(ASK, turn.options)
    clock.now += 601
    llm.say({"status": 403})
    with pytest.raises(AllFailed):
        await manager.complete(ASK, turn.options)
    assert len(told) == 1
    clock.now += 601
    assert (await manager.complete(ASK, turn.options)).text == "ok"


async def test_the_list_of_models_replaces_one_that_is_gone(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager()
    told: list[str] = []
    manager.on_notice = told.append
    llm.models["groq"] = [{"id": SMALL, "context_window": 131072}, {"id": BIG, "active": False}]
    await manager.check_models()
    await manager.check_models()
    assert (await manager.complete(ASK, turn.options)).model == SMALL
    assert len(told) == 1 and BIG in told[0] and SMALL in told[0]
    llm.models["groq"] = [{"id": SMALL}, {"id": BIG}]
    await manager.check_models()
    assert (await manager.complete(ASK, turn.options)).model == BIG


@pytest.mark.parametrize("listing", [[], [{"id": "gpt-4"}], 500, 404])
async def test_a_list_that_proves_nothing_changes_nothing(listing: Any, llm: FakeLLM, make_manager: Make) -> None:
    manager = make_manager()
    llm.models |= {"groq": listing, "anthropic": listing}
    await manager.check_models()
    assert {route.state for route in manager.routes()} == {"ready"}


async def test_the_list_shows_a_rejected_key_early(llm: FakeLLM, make_manager: Make) -> None:
    manager = make_manager()
    told: list[str] = []
    manager.on_notice = told.append
    llm.models["anthropic"] = 401
    await manager.check_models()
    assert told == ["Claude rechaza la clave de ANTHROPIC_API_KEY"]


async def test_an_alias_is_in_service_without_being_listed(llm: FakeLLM, make_manager: Make) -> None:
    manager = make_manager(anthropic_model="claude-haiku", anthropic_fallback_models=[CLAUDE, "claude-gone"])
    llm.models["aliases"] = ["claude-haiku"]
    await manager.check_models()
    states = {route.model: route.state for route in manager.routes() if route.provider == "anthropic"}
    assert states == {"claude-haiku": "ready", CLAUDE: "ready", "claude-gone": "gone"}


async def test_the_local_model_called_default_is_the_first_that_the_server_has(
    llm: FakeLLM, make_manager: Make, turn: Turn
) -> None:
    llm.models["local"] = [{"id": "qwen3:8b", "max_model_len": 40960}]
    only_local = {"groq_api_key": None, "anthropic_api_key": None, "local_llm_base_url": llm.local_url}
    manager = make_manager(**only_local)
    await manager.check_models()
    assert (await manager.complete(ASK, turn.options)).provider == "local"
    assert llm.asked() == ["qwen3:8b"]
    assert manager.window_tokens() == 40960


# ---------------------------------------------------------------- money


async def test_over_the_budget_paid_models_are_skipped(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager(groq_api_key=None, local_llm_base_url=llm.local_url, daily_budget_usd=0.5)
    manager.ledger.add(Usage(usd=0.5))
    assert (await manager.complete(ASK, turn.options)).provider == "local"
    assert llm.calls("anthropic") == []


async def test_over_the_budget_with_nothing_else_says_so(
    llm: FakeLLM, make_manager: Make, clock: FakeClock, turn: Turn
) -> None:
    manager = make_manager(groq_api_key=None, daily_budget_usd=0.5)
    manager.ledger.restore(0.75)
    with pytest.raises(OverBudget, match="0,50 \\$, DAILY_BUDGET_USD"):
        await manager.complete(ASK, turn.options)
    clock.now += 86_400
    assert (await manager.complete(ASK, turn.options)).provider == "anthropic"


async def test_one_users_budget_is_his_own(llm: FakeLLM, make_manager: Make, turn: Turn, clock: FakeClock) -> None:
    manager = make_manager(groq_api_key=None)
    manager.ledger.add(Usage(usd=0.1), "77")
    guest, other = (replace(turn.options, user=user, user_budget_usd=0.1) for user in ("77", "78"))
    with pytest.raises(OverBudget, match="tu límite de gasto de hoy \\(0,10"):
        await manager.complete(ASK, guest)
    assert (await manager.complete(ASK, other)).provider == "anthropic"
    assert manager.ledger.today("78") > 0 and manager.ledger.today() == manager.ledger.today("78") + 0.1
    assert (await manager.complete(ASK, replace(guest, user_budget_usd=None))).provider == "anthropic"
    clock.now += 86_400
    assert (await manager.complete(ASK, guest)).provider == "anthropic"


async def test_groq_is_free_and_claude_is_counted(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    manager = make_manager()
    await manager.complete(ASK, turn.options)
    assert manager.ledger.today() == 0
    llm.say(*[limited(60, api="groq")] * 2)
    reply = await manager.complete(ASK, turn.options)
    assert reply.usage.usd > 0 and manager.ledger.today() == reply.usage.usd
    assert turn.usages == []  # the reply tells its own


@pytest.mark.parametrize("pays", [True, False])
async def test_payment_is_asked_for_once(pays: bool, llm: FakeLLM, make_manager: Make) -> None:
    turn = Turn(pays=pays)
    manager = make_manager(ask_before_paid=True, anthropic_fallback_models=["claude-sonnet-5-5"])
    llm.say(*[DOWN | {"api": "groq"}] * 9, *[{"api": "anthropic", "model": CLAUDE} | limited(60)])
    if pays:
        assert (await manager.complete(ASK, turn.options)).model == "claude-sonnet-5-5"
    else:
        with pytest.raises(AllFailed, match="No hay permiso"):
            await manager.complete(ASK, turn.options)
        assert llm.calls("anthropic") == []
    assert turn.asked == ["anthropic"]


async def test_the_time_a_person_takes_to_decide_is_not_the_models(
    llm: FakeLLM, make_manager: Make, clock: FakeClock
) -> None:
    turn = Turn(seconds=60)
    turn.while_asking = lambda: clock.sleep(1000)
    manager = make_manager(ask_before_paid=True, groq_api_key=None)
    assert (await manager.complete(ASK, turn.options)).provider == "anthropic"


async def test_without_options_nothing_is_paid_unasked(llm: FakeLLM, make_manager: Make) -> None:
    assert (await make_manager().complete(ASK)).text == "ok"
    with pytest.raises(AllFailed, match="No hay permiso"):
        await make_manager(groq_api_key=None, ask_before_paid=True).complete(ASK)


# ---------------------------------------------------------------- nobody left


async def test_all_fail_tells_what_was_tried(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    llm.say(
        *[DOWN | {"api": "groq"}] * 9, {"api": "anthropic", "status": 404, "body": {"error": {"message": "model: x"}}}
    )
    with pytest.raises(AllFailed) as caught:
        await make_manager().complete(ASK, turn.options)
    text = str(caught.value)
    assert text.startswith("Parece que hay un problema")
    assert "Groq no responde" in text and f"Claude ya no ofrece el modelo {CLAUDE}" in text and "/reintentar" in text
    assert {type(error) for error in caught.value.attempts} == {Unreachable, ModelGone}


async def test_with_no_provider_it_says_what_to_do(make_manager: Make, turn: Turn) -> None:
    manager = make_manager(groq_api_key=None, anthropic_api_key=None)
    with pytest.raises(NoProvider, match="GROQ_API_KEY"):
        await manager.complete(ASK, turn.options)
    with pytest.raises(NoProvider):
        manager.get_provider()
    assert manager.routes() == [] and manager.window_tokens() > 0


async def test_primary_and_fallback(make_manager: Make) -> None:
    manager = make_manager()
    assert (manager.get_provider().name, manager.get_provider("fallback").name) == ("groq", "anthropic")
    assert make_manager(provider_order=["anthropic", "groq"]).get_provider("primary").name == "anthropic"
    with pytest.raises(NoProvider):
        make_manager(**NO_CLAUDE).get_provider("fallback")


async def test_a_wanted_model_comes_first(llm: FakeLLM, make_manager: Make, turn: Turn) -> None:
    reply = await make_manager().complete(ModelRequest(ASK.messages, model=CLAUDE), turn.options)
    assert reply.model == CLAUDE
    assert (await make_manager().complete(ModelRequest(ASK.messages, model="unknown"), turn.options)).model == BIG


async def test_retry_logic_serves_any_operation(make_manager: Make, clock: FakeClock) -> None:
    tries: list[int] = []

    async def operation() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise Unreachable("no responde")
        return "hecho"

    assert await make_manager().retry_logic(operation) == "hecho"
    assert len(clock.slept) == 2
