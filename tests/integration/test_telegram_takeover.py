"""A bot that is used elsewhere: told, asked about once, taken only after a yes, which outlives restarts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from telegram.error import Conflict, TelegramError

from app.cloud import telegram_poller, telegram_webhook
from tests.access import log_in, token
from tests.contract.test_telegram_fake import make_bot
from tests.fakes.brain import ScriptedBrain, text
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import FRIEND, OWNER, bot, hurry, people
from tests.fakes.telegram_site import ORIGIN, PASSWORD, Hooked, hooked_bot
from tests.fakes.telegram_wire import Json
from tests.support import until

FOREIGN = "https://otro.example/hook/123456:secreto-del-otro"


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        fake.lives_at("https://otro.example", "http://127.0.0.1:9")
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.delenv("RENDER_EXTERNAL_URL", raising=False)


def taken_by(telegram: FakeTelegram, url: str = FOREIGN) -> None:
    telegram.webhook = {"url": url, "secret_token": "x", "max_connections": 40}


async def question_of(telegram: FakeTelegram) -> tuple[Json, str, str]:
    question = await telegram.wait_for_message("¿Lo uso aquí?", chat_id=OWNER)
    yes, no = question["reply_markup"]["inline_keyboard"][0]
    assert (yes["text"], no["text"]) == ("Usarlo aquí", "Dejarlo")
    return question, yes["callback_data"], no["callback_data"]


def questions(telegram: FakeTelegram) -> int:
    return sum("¿Lo uso aquí?" in words or "De acuerdo" in words for words in telegram.texts(OWNER))


@asynccontextmanager
async def another_poller(telegram: FakeTelegram, pause: float = 0.01) -> AsyncIterator[list[int]]:
    """A careless one, that never stands back. It hands on nothing: what it is given it does not confirm."""
    conflicts: list[int] = []

    async def poll() -> None:
        while True:
            try:
                await other.get_updates(timeout=30)
            except Conflict:
                conflicts.append(1)
            except TelegramError:
                pass
            await asyncio.sleep(pause)

    async with make_bot(telegram) as other:
        task = asyncio.create_task(poll())
        await telegram.wait_until_polled()
        yield conflicts
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


# ---------------------------------------------------------------- a webhook of another server


@pytest.mark.parametrize("public", [False, True])
async def test_a_foreign_webhook_is_told_asked_about_once_and_left(
    tmp_path: Path, telegram: FakeTelegram, public: bool
) -> None:
    taken_by(telegram)
    opened = hooked_bot if public else bot
    for _ in range(2):  # a restart does not ask again
        async with opened(tmp_path, telegram, ScriptedBrain()) as both:
            service = both.service if isinstance(both, Hooked) else both[1]
            await question_of(telegram)
            await until(lambda service=service: "lo usa otro servidor (otro.example)" in service.state()[0])
            assert service.rival == "otro.example" and not service.state()[1]
            await asyncio.sleep(0.3)
    assert questions(telegram) == 1
    assert telegram.webhook["url"] == FOREIGN and not telegram.calls_of("deleteWebhook")
    assert not telegram.calls_of("setWebhook")
    assert "secreto-del-otro" not in (tmp_path / "data" / "telegram.json").read_text()


@pytest.mark.parametrize("public", [False, True])
async def test_after_a_yes_it_is_taken_and_pending_updates_come(
    tmp_path: Path, telegram: FakeTelegram, public: bool
) -> None:
    taken_by(telegram)
    telegram.user_says(OWNER, "¿hay alguien?")
    opened = hooked_bot if public else bot
    async with opened(tmp_path, telegram, ScriptedBrain(text("yo"), text("sigo"))) as both:
        service = both.service if isinstance(both, Hooked) else both[1]
        await question_of(telegram)
        assert await service.decide(take=True)
        await telegram.wait_for_message("yo")
        await until(lambda: service.state()[1] and service.rival == "")
        assert telegram.webhook.get("url", "") == (both.address.url if isinstance(both, Hooked) else "")
    taken_by(telegram)  # the other one comes back: the word still holds
    telegram.user_says(OWNER, "¿y ahora?")
    async with opened(tmp_path, telegram, ScriptedBrain(text("aquí"))) as both:
        await telegram.wait_for_message("aquí")
    assert questions(telegram) == 1
    taken_by(telegram, "https://tercero.example/x")
    async with bot(tmp_path, telegram, ScriptedBrain()):  # but for that one only
        await until(lambda: questions(telegram) == 2)
        assert telegram.webhook["url"] == "https://tercero.example/x"


async def test_a_no_is_kept_as_well(tmp_path: Path, telegram: FakeTelegram) -> None:
    taken_by(telegram)
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await question_of(telegram)
        assert await service.decide(take=False)
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await until(lambda: service.rival == "otro.example")
        await asyncio.sleep(0.1)
        assert telegram.webhook["url"] == FOREIGN and questions(telegram) == 1
        assert await service.decide(take=True), "the page may still change it"
        await until(lambda: telegram.webhook == {})


async def test_a_foreign_webhook_that_goes_away_is_noticed(tmp_path: Path, telegram: FakeTelegram) -> None:
    taken_by(telegram)
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("ya"))) as hooked:
        await question_of(telegram)
        telegram.webhook = {}
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("ya")
        await until(lambda: telegram.webhook.get("url") == hooked.address.url and hooked.service.rival == "")
        taken_by(telegram)  # while we run
        await until(lambda: hooked.service.rival == "otro.example" and not hooked.service.state()[1])
        assert telegram.webhook["url"] == FOREIGN
    assert questions(telegram) == 1


async def test_a_webhook_that_appears_while_we_look_around_is_not_overwritten(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_webhook, "ALONE_SECONDS", 0.5)
    async with hooked_bot(tmp_path, telegram, ScriptedBrain()) as hooked:
        await until(lambda: hooked.service.state()[1])  # it polls
        taken_by(telegram)
        await until(lambda: "otro.example" in hooked.service.state()[0])
        await asyncio.sleep(0.8)
        assert telegram.webhook["url"] == FOREIGN and not telegram.calls_of("setWebhook")


async def test_our_own_address_is_ours_even_with_another_key(tmp_path: Path, telegram: FakeTelegram) -> None:
    """A data folder that was lost, as on an instance without a disk."""
    taken_by(telegram, f"{ORIGIN}/telegram/{'0' * 32}")
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("hola"))) as hooked:
        await until(lambda: telegram.webhook["url"] == hooked.address.url)
    assert questions(telegram) == 0


# ---------------------------------------------------------------- another poller


async def test_another_poller_is_told_and_asked_about(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_poller, "LEFT_PAUSE", 3600.0)
    async with bot(tmp_path, telegram, ScriptedBrain(text("otra vez"))) as (_, service):
        await until(lambda: service.state()[1])
        async with another_poller(telegram) as conflicts:
            question, _, _ = await question_of(telegram)
            assert "otro programa" in question["text"] and service.rival == "otro programa"
            assert "Otro programa" in service.state()[0]
            assert await service.decide(take=False)
            await asyncio.sleep(0.2)
            count = len(conflicts)
            await asyncio.sleep(0.3)
            assert len(conflicts) == count, "left in peace"
            assert await service.decide(take=True)
            await until(lambda: len(conflicts) > count + 3)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("otra vez")
    assert questions(telegram) == 1


async def test_the_press_itself_decides_when_it_reaches_us(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        async with another_poller(telegram):
            question, yes, _ = await question_of(telegram)
        await until(lambda: service.state()[1])
        telegram.presses(question, yes, user_id=FRIEND)
        await telegram.wait_for_call("answerCallbackQuery", lambda c: "ya no está" in c.params.get("text", ""))
        telegram.presses(question, "aqui|0123456789abcdef")
        telegram.presses(question, yes)
        shown = await telegram.wait_for_message("De acuerdo: lo uso aquí.")
        assert shown["message_id"] == question["message_id"] and "reply_markup" not in shown
        [entry] = json.loads((tmp_path / "data" / "telegram.json").read_text()).values()
        assert entry == {"where": "otro programa", "take": True}


async def test_a_webhook_does_not_push_another_poller_out_unasked(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_webhook, "ALONE_SECONDS", 0.3)
    async with another_poller(telegram), hooked_bot(tmp_path, telegram, ScriptedBrain(text("yo"))) as hooked:
        await question_of(telegram)
        await until(lambda: "Otro programa" in hooked.service.state()[0] and not hooked.service.state()[1])
        assert not telegram.calls_of("setWebhook")
        assert await hooked.service.decide(take=True)
        await until(lambda: telegram.webhook.get("url") == hooked.address.url)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("yo")
        await until(lambda: hooked.service.state()[1])


async def test_a_passing_conflict_asks_nothing(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with bot(tmp_path, telegram, ScriptedBrain(text("sigo"))) as (_, service):
        await telegram.wait_until_polled()
        telegram.fail("getUpdates", 409, "Conflict: terminated by other getUpdates request", times=2)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("sigo")
        await until(lambda: service.state() == ("Conectado como @nanobot_test_bot.", True))
    assert questions(telegram) == 0 and not (tmp_path / "data" / "telegram.json").exists()


async def test_nobody_is_asked_when_nobody_is_the_owner(tmp_path: Path, telegram: FakeTelegram) -> None:
    taken_by(telegram)
    async with bot(tmp_path, telegram, ScriptedBrain(), telegram_user_id=None) as (_, service):
        await until(lambda: service.rival == "otro.example")
        await asyncio.sleep(0.1)
    assert questions(telegram) == 0


async def test_a_damaged_file_only_asks_again(tmp_path: Path, telegram: FakeTelegram) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "telegram.json").write_text("[")
    taken_by(telegram)
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await question_of(telegram)
        assert await service.decide(take=True)
        await until(lambda: telegram.webhook == {})


async def test_a_question_that_was_not_sent_is_asked_later(tmp_path: Path, telegram: FakeTelegram) -> None:
    telegram.drop("sendMessage", times=2)
    taken_by(telegram)
    async with bot(tmp_path, telegram, ScriptedBrain()):
        await question_of(telegram)
    assert questions(telegram) == 1


async def test_an_answer_that_overtakes_its_question_is_kept(tmp_path: Path, telegram: FakeTelegram) -> None:
    gate = telegram.hold("sendMessage")
    taken_by(telegram)
    async with bot(tmp_path, telegram, ScriptedBrain()) as (_, service):
        await question_of(telegram)
        assert await service.decide(take=True)
        gate.set()
        await until(lambda: telegram.webhook == {})
        await asyncio.sleep(0.1)
    [entry] = json.loads((tmp_path / "data" / "telegram.json").read_text()).values()
    assert entry["take"] is True


# ---------------------------------------------------------------- the dashboard


async def test_the_owner_decides_in_the_dashboard(tmp_path: Path, telegram: FakeTelegram) -> None:
    taken_by(telegram)
    path = "/api/v1/telegram/takeover"
    async with hooked_bot(tmp_path, telegram, ScriptedBrain()) as hooked:
        await question_of(telegram)
        transport = httpx.ASGITransport(hooked.app, client=("203.0.113.7", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN}) as browser:
            assert (await browser.get(path)).status_code == 401
            assert (await browser.post(path, json={})).status_code == 401
            assert telegram.webhook["url"] == FOREIGN
            assert (await log_in(browser, PASSWORD)).status_code == 303
            assert (await browser.get(path)).json() == {"rival": "otro.example"}
            foreign = await browser.post(path, json={}, headers={"origin": "https://malo.example"})
            assert foreign.status_code == 403
            assert (await browser.post(path, json={"take": "quizá"})).status_code == 422
            assert (await browser.post(path, json={"take": True})).status_code == 200
            await until(lambda: telegram.webhook["url"] == hooked.address.url)
            await until(lambda: hooked.service.rival == "")
            assert (await browser.get(path)).json() == {"rival": ""}
            refused = await browser.post(path, json={})
            assert (refused.status_code, refused.json()) == (409, {"error": "Nadie más está usando el bot ahora."})


@pytest.mark.parametrize("wish", ["si", "no"])
async def test_the_status_page_offers_the_decision_as_buttons(
    tmp_path: Path, telegram: FakeTelegram, wish: str
) -> None:
    taken_by(telegram)
    async with hooked_bot(tmp_path, telegram, ScriptedBrain()) as hooked:
        await question_of(telegram)
        transport = httpx.ASGITransport(hooked.app, client=("203.0.113.7", 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"origin": ORIGIN}) as browser:
            await log_in(browser, PASSWORD)
            assert "otro.example" in (await browser.get("/estado")).text
            assert (await browser.post("/estado/telegram", data={"usar": wish})).status_code == 403, "no CSRF token"
            form = {"usar": wish, "csrf": await token(browser, "/estado")}
            assert (await browser.post("/estado/telegram", data=form)).headers["location"] == "/estado"
            if wish == "si":
                await until(lambda: telegram.webhook["url"] == hooked.address.url)
            else:
                assert telegram.webhook["url"] == FOREIGN
