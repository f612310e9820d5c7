"""Updates by webhook, through the real application on a real server: each once, durable, and nothing else opened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
from loguru import logger

from app.cloud import telegram_hook
from app.cloud.telegram_hook import Address
from app.core.errors import ConfigError, StorageError
from app.web.telegram_hook import MOST_UPDATE_BYTES
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.telegram import FakeTelegram
from tests.fakes.telegram_house import FRIEND, KEY, OWNER, bot, hurry, people
from tests.fakes.telegram_site import ORIGIN, Hooked, address_of, hooked_bot
from tests.fakes.telegram_webhook import BAD_CERTIFICATE
from tests.support import kinds, lines_of, make_settings, until

SECRET = "X-Telegram-Bot-Api-Secret-Token"


@pytest.fixture
async def telegram() -> AsyncGenerator[FakeTelegram]:
    async with people() as fake:
        yield fake


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch)
    monkeypatch.delenv("RENDER_EXTERNAL_URL", raising=False)


async def post(
    hooked: Hooked, body: bytes, secret: str | bytes | None = None, path: str | None = None
) -> httpx.Response:
    """As Telegram posts it, unless told otherwise."""
    wanted = hooked.address.secret if secret is None else secret
    headers = {SECRET.encode(): wanted if isinstance(wanted, bytes) else wanted.encode(), b"host": b"nanobot.example"}
    async with httpx.AsyncClient() as client:
        url = hooked.url + (path or f"/telegram/{hooked.address.name}")
        return await client.post(url, content=body, headers=headers)


async def webhook_works(hooked: Hooked) -> None:
    await until(lambda: "webhook" in hooked.service.state()[0] and hooked.service.state()[1])


async def user_lines(hooked: Hooked, chat: int = OWNER) -> list[str]:
    return [x.content for x in await lines_of(hooked.house.store, f"telegram_{chat}") if x.type == "user"]


# ---------------------------------------------------------------- the way in


async def test_a_message_comes_by_webhook_and_is_answered(tmp_path: Path, telegram: FakeTelegram) -> None:
    telegram.user_says(OWNER, "antes de arrancar")
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("uno"), text("dos"))) as hooked:
        await telegram.wait_for_message("uno")
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("dos")
        await until(
            lambda: (
                hooked.service.state() == ("Conectado como @nanobot_test_bot; los mensajes llegan por webhook.", True)
            )
        )
        await telegram.wait_for_call("setMyCommands")
    call, *again = telegram.calls_of("setWebhook")
    assert all(other.params == call.params for other in again), "a first delivery that failed sets it once more"
    assert call.params["url"] == f"{ORIGIN}/telegram/{address_of(telegram).name}"
    assert (call.params["max_connections"], json.loads(call.params["allowed_updates"])) == (
        "1", ["message", "edited_message", "callback_query"],
    )  # fmt: skip
    assert call.params.get("drop_pending_updates", "false") == "false"
    assert telegram.token not in call.params["url"] and call.params["secret_token"] not in call.params["url"]
    assert not telegram.calls_of("deleteWebhook"), "it stays over a restart"


async def test_buttons_come_by_webhook_as_well(tmp_path: Path, telegram: FakeTelegram) -> None:
    risky = calls(("execute_shell", {"command": "echo x > y"}))
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(risky, text("fin"))):
        telegram.user_says(OWNER, "hazlo")
        question = await telegram.wait_for_message("¿Lo permito?")
        telegram.presses(question, question["reply_markup"]["inline_keyboard"][0][1]["callback_data"])
        await telegram.wait_for_message("fin")


async def test_the_same_update_again_and_by_both_ways_is_one(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(text("una vez"), text("dos veces"))
    async with hooked_bot(tmp_path, telegram, brain) as hooked:
        update = telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("una vez")
        statuses = await asyncio.gather(*(post(hooked, json.dumps(update).encode()) for _ in range(5)))
        assert {response.status_code for response in statuses} == {200}
    telegram.deliver_again(update["update_id"])
    async with bot(tmp_path, telegram, brain) as (house, service):  # now by polling
        await until(lambda: service.state()[1] and not telegram.unconfirmed)
        await house.runner.lanes.idle()
    assert telegram.texts(OWNER) == ["una vez"] and len(brain.requests) == 1


# ---------------------------------------------------------------- durable before 200


async def test_a_disk_that_refuses_means_503_and_it_comes_again(tmp_path: Path, telegram: FakeTelegram) -> None:
    log = tmp_path / "data" / "sessions" / f"telegram_{OWNER}.jsonl"
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("amigo"), text("guardado"))) as hooked:
        await webhook_works(hooked)
        log.mkdir()
        telegram.user_says(OWNER, "no me pierdas")
        await until(lambda: "No puedo" in hooked.service.state()[0] and not hooked.service.state()[1])
        telegram.user_says(FRIEND, "hola")
        await telegram.wait_for_message("amigo", chat_id=FRIEND)
        assert len(telegram.unconfirmed) == 1
        assert {d.status for d in telegram.sender.deliveries} == {503, 200}
        log.rmdir()
        await telegram.wait_for_message("guardado")
        await until(lambda: not telegram.unconfirmed and hooked.service.state()[1])
        assert await user_lines(hooked) == ["no me pierdas"]


async def test_the_answer_waits_for_the_line(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a second delivery meanwhile is not answered before the first, whose write may still fail."""
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("ya"))) as hooked:
        await webhook_works(hooked)
        real, gate, faults = hooked.house.store.append, asyncio.Event(), [StorageError("No puedo guardar")]

        async def slow(session_id: str, *lines: Any) -> Any:
            if getattr(lines[0], "content", "") == "hola":
                await gate.wait()
                if faults:
                    raise faults.pop()
            return await real(session_id, *lines)

        monkeypatch.setattr(hooked.house.store, "append", slow)
        message = {
            "message_id": 7,
            "from": {"id": OWNER, "is_bot": False, "first_name": "x"},
            "date": 1,
            "text": "hola",
        }
        update = {"update_id": 5, "message": message | {"chat": {"id": OWNER, "type": "private"}}}
        posts = [asyncio.create_task(post(hooked, json.dumps(update).encode())) for _ in range(2)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in posts)
        gate.set()
        assert sorted([(await task).status_code for task in posts]) == [200, 503]
        await telegram.wait_for_message("ya")
        assert await user_lines(hooked) == ["hola"]


async def test_what_cannot_be_read_is_kept_and_passed(tmp_path: Path, telegram: FakeTelegram) -> None:
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)))
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("sigo"))) as hooked:
        await webhook_works(hooked)
        odd = telegram.injects("message", {"message_id": 5, "chat": {"id": OWNER}, "text": "secreto"})
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("sigo")
        await until(lambda: not telegram.unconfirmed)
    logger.remove(sink)
    kept = json.loads((tmp_path / "data" / "telegram_unreadable.jsonl").read_text())
    assert kept["update"] == odd and "secreto" not in "".join(said)


async def test_nothing_is_taken_before_the_bot_knows_its_name_nor_when_it_leaves(
    tmp_path: Path, telegram: FakeTelegram
) -> None:
    telegram.fail("getMe", 500, "Internal Server Error", times=5)
    body = b'{"update_id": 1}'
    async with hooked_bot(tmp_path, telegram, ScriptedBrain()) as hooked:
        assert (await post(hooked, body)).status_code == 503
        await webhook_works(hooked)
        assert (await post(hooked, body)).status_code == 200
        await hooked.service.stop_polling()
        assert (await post(hooked, body)).status_code == 503


# ---------------------------------------------------------------- a narrow door


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"update_id": "1"}', b"\xff\xfe\x00", b"[" * 100_000, b'{"message": {}}']
)
async def test_what_is_no_update_is_refused_and_not_logged(tmp_path: Path, telegram: FakeTelegram, body: bytes) -> None:
    said: list[str] = []
    async with hooked_bot(tmp_path, telegram, ScriptedBrain()) as hooked:
        await webhook_works(hooked)
        sink = logger.add(lambda message: said.append(str(message)))
        assert (await post(hooked, body)).status_code == 400
        logger.remove(sink)
    assert said == [] and not (tmp_path / "data" / "telegram_unreadable.jsonl").exists()


async def test_a_body_that_is_too_long_is_refused_while_it_is_read(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with hooked_bot(tmp_path, telegram, ScriptedBrain()) as hooked:
        read = 0

        async def receive() -> dict[str, object]:
            nonlocal read
            read += 64 * 1024
            return {"type": "http.request", "body": b" " * 64 * 1024, "more_body": True}

        answers: list[Any] = []

        async def send(message: Any) -> None:
            answers.append(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": f"/telegram/{hooked.address.name}",
            "query_string": b"", "headers": [(SECRET.lower().encode(), hooked.address.secret.encode())],
        }  # fmt: skip
        await hooked.app(scope, receive, send)  # pyright: ignore[reportArgumentType]
        assert answers[0]["status"] == 413
        assert read <= MOST_UPDATE_BYTES + 2 * 64 * 1024
        assert (await post(hooked, b'{"update_id": 1, "x": "' + b"x" * MOST_UPDATE_BYTES + b'"}')).status_code == 413


async def test_without_both_secrets_it_is_an_address_like_any_other(tmp_path: Path, telegram: FakeTelegram) -> None:
    update = json.dumps(telegram.user_says(OWNER, "hola")).encode()
    telegram.webhook = {}
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("r")), telegram_user_id=None) as hooked:
        path = f"/telegram/{hooked.address.name}"

        def seen(response: httpx.Response) -> tuple[int, str, dict[str, str]]:
            headers = {k: v for k, v in response.headers.items() if k not in {"date", "location", "content-length"}}
            return response.status_code, response.text.replace(path, "?"), headers

        nowhere = seen(await post(hooked, update, path="/telegram/" + "0" * 32))
        assert nowhere[0] == 303, "to the login page, like everything here"
        for secret, where in (("", path), ("x", path), ("ñ", path), (hooked.address.secret, "/telegram/x")):
            assert seen(await post(hooked, update, secret=secret.encode(), path=where)) == nowhere
        async with httpx.AsyncClient(headers={SECRET: hooked.address.secret, "host": "nanobot.example"}) as client:
            assert (await client.get(hooked.url + path)).status_code == 303
            for closed in ("/api/v1/chat", "/api/v1/telegram/takeover", "/configuracion"):
                response = await client.post(hooked.url + closed, json={"text": "hola", "take": True})
                assert response.status_code in {303, 401}, closed
        assert await hooked.house.store.list_sessions() == []


async def test_no_secret_of_the_address_is_logged_and_nothing_is_compared_plainly(
    tmp_path: Path, telegram: FakeTelegram, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []
    real = telegram_hook.hmac.compare_digest
    monkeypatch.setattr(telegram_hook.hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    said: list[str] = []
    sink = logger.add(lambda message: said.append(str(message)), level="TRACE")
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("r"))) as hooked:
        await post(hooked, b"{}", path="/telegram/x", secret="x")
        assert {hooked.address.name.encode(), hooked.address.secret.encode()} <= set(compared)
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("r")
    logger.remove(sink)
    log = "".join(said)
    assert hooked.address.secret not in log and hooked.address.name not in log


def test_the_address_is_the_installations_own_and_stays() -> None:
    first = Address.derived(ORIGIN, "1:abc", KEY)
    assert first == Address.derived(ORIGIN, "1:abc", KEY)
    others = [Address.derived(ORIGIN, "1:abd", KEY), Address.derived(ORIGIN, "1:abc", b"x" * 32)]
    assert len({first.name, first.secret, *(a.name for a in others), *(a.secret for a in others)}) == 6
    assert "abc" not in first.url and first.url.startswith(f"{ORIGIN}/telegram/")


# ---------------------------------------------------------------- which way


def test_a_webhook_without_an_address_is_a_line_that_names_the_variable(tmp_path: Path) -> None:
    for url in (None, "http://nanobot.example", "https://nanobot.example:8000"):
        with pytest.raises(ConfigError, match="PUBLIC_URL"):
            telegram_hook.webhook_base(make_settings(tmp_path, telegram_mode="webhook", public_url=url))
        assert telegram_hook.webhook_base(make_settings(tmp_path, public_url=url)) == ""
    assert telegram_hook.webhook_base(make_settings(tmp_path, telegram_mode="polling", public_url=ORIGIN)) == ""
    assert telegram_hook.webhook_base(make_settings(tmp_path, public_url=f"{ORIGIN}:8443/")) == f"{ORIGIN}:8443"


def test_renders_own_address_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDER_EXTERNAL_URL", "https://x.onrender.com")
    assert telegram_hook.webhook_base(make_settings(tmp_path)) == "https://x.onrender.com"
    monkeypatch.setenv("PUBLIC_URL", ORIGIN)
    assert telegram_hook.webhook_base(make_settings(tmp_path)) == ORIGIN


async def test_from_webhook_to_polling_and_back_nothing_is_lost(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(*(text(str(n)) for n in range(4)))
    async with hooked_bot(tmp_path, telegram, brain):
        telegram.user_says(OWNER, "cero")
        await telegram.wait_for_message("0")
    telegram.user_says(OWNER, "uno")
    async with bot(tmp_path, telegram, brain):
        await telegram.wait_for_message("1")
        await until(lambda: not telegram.unconfirmed)
    assert telegram.webhook == {}
    telegram.user_says(OWNER, "dos")
    async with hooked_bot(tmp_path, telegram, brain) as hooked:
        await telegram.wait_for_message("2")
        await until(lambda: bool(telegram.webhook))
        telegram.user_says(OWNER, "tres")
        await telegram.wait_for_message("3")
        assert await user_lines(hooked) == ["cero", "uno", "dos", "tres"]
    assert telegram.texts(OWNER) == ["0", "1", "2", "3"]
    dropped = [c.params.get("drop_pending_updates", "false") for c in telegram.calls if "webhook" in c.method]
    assert set(dropped) == {"false"}


async def test_a_refused_address_means_polling_unless_a_webhook_was_demanded(
    tmp_path: Path, telegram: FakeTelegram
) -> None:
    values: dict[str, object] = {"public_url": "https://nas.local"}
    async with bot(tmp_path, telegram, ScriptedBrain(text("por polling")), **values) as (_, service):
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("por polling")
        await until(lambda: service.state() == ("Conectado como @nanobot_test_bot.", True))
    async with bot(tmp_path, telegram, ScriptedBrain(), **values, telegram_mode="webhook") as (_, service):
        await until(lambda: "failed to resolve host" in service.state()[0].lower())
        telegram.lives_at("https://nas.local", "http://127.0.0.1:9")
        await until(lambda: service.state()[1])


# ---------------------------------------------------------------- it is kept


async def test_setting_it_is_tried_until_it_works_and_the_start_does_not_wait(
    tmp_path: Path, telegram: FakeTelegram
) -> None:
    telegram.fail("setWebhook", 500, "Internal Server Error", times=2)
    telegram.garble("getWebhookInfo", times=1)
    telegram.flood(None, 0, times=1, method="setWebhook")
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("por fin"))) as hooked:
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("por fin")
        await webhook_works(hooked)
        assert len(telegram.calls_of("setWebhook")) >= 4


async def test_a_webhook_that_was_removed_or_changed_is_set_again(tmp_path: Path, telegram: FakeTelegram) -> None:
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("sigo"))) as hooked:
        for changed in ({}, {"max_connections": 40}, {"url": f"{ORIGIN}/telegram/anterior"}):
            await until(lambda: telegram.webhook.get("url") == hooked.address.url)
            telegram.webhook = (telegram.webhook | changed) if changed else {}
            await until(
                lambda: telegram.webhook.get("url") == hooked.address.url and telegram.webhook["max_connections"] == 1
            )
        telegram.user_says(OWNER, "hola")
        await telegram.wait_for_message("sigo")


@pytest.mark.parametrize(
    ("trouble", "state"),
    [(BAD_CERTIFICATE, "no se fía del certificado"), ("Connection timed out", "no consigue entregarme")],
)
async def test_failed_deliveries_are_told_and_forgotten(
    tmp_path: Path, telegram: FakeTelegram, trouble: str, state: str
) -> None:
    async with hooked_bot(tmp_path, telegram, ScriptedBrain(text("llegó"))) as hooked:
        await webhook_works(hooked)
        there = telegram.sender.hosts[ORIGIN]
        count = len(telegram.calls_of("setWebhook"))
        await asyncio.sleep(1.1)  # Telegram tells whole seconds
        telegram.lives_at(ORIGIN, trouble)
        telegram.user_says(OWNER, "hola")
        await until(lambda: state in hooked.service.state()[0] and not hooked.service.state()[1])
        assert trouble in hooked.service.state()[0] and "1" in hooked.service.state()[0]
        assert len(telegram.calls_of("setWebhook")) > count
        telegram.lives_at(ORIGIN, there)
        await telegram.wait_for_message("llegó", timeout=20)
        await webhook_works(hooked)


async def test_the_order_of_a_chat_is_kept(tmp_path: Path, telegram: FakeTelegram) -> None:
    brain = ScriptedBrain(*[text("r")] * 30)
    async with hooked_bot(tmp_path, telegram, brain) as hooked:
        said = [f"mensaje {n}" for n in range(20)]
        for words in said:
            telegram.user_says(OWNER, words)
        await until(lambda: not telegram.unconfirmed)
        assert await user_lines(hooked) == said
        assert "user" in await kinds(hooked.house.store, f"telegram_{OWNER}")
