"""Chromium drives the dashboard: what streams is seen, what is hostile stays text, nothing leaves a phone's screen."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from loguru import logger
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from app.core.contracts import CallOptions, LiveEvent, ModelRequest
from app.core.events import AssistantLine, UserLine
from app.core.messages import Reply, Usage
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.support import kinds, make_settings
from tests.web import Site, listening, running_site

pytestmark = pytest.mark.needs("chromium")

ROOM = "web_0123456789ab"
PASSWORD = "una contraseña larga"
NASTY = '<img src=x onerror="window.hurt = 1"><script>window.hurt = 1</script>'
WIDE = "palabra_larguísima_" * 30


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        path = os.environ["NANOBOT_CHROMIUM"]
        chromium = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        await chromium.close()


@asynccontextmanager
async def open_page(
    browser: Browser, site: Site, path: str = f"/?sesion={ROOM}", width: int = 1200
) -> AsyncGenerator[Page]:
    async with listening(site.app, site.house.hub) as base, page_at(browser, base, path, width) as page:
        yield page


@asynccontextmanager
async def page_at(
    browser: Browser, base: str, path: str = f"/?sesion={ROOM}", width: int = 1200
) -> AsyncGenerator[Page]:
    """Any error of the page's own code, and anything its policy had to stop, fails the test."""
    context = await browser.new_context(viewport={"width": width, "height": 740}, locale="es-ES", base_url=base)
    page = await context.new_page()
    page.set_default_timeout(5_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    await page.goto(path)
    yield page
    assert problems == []
    assert await page.evaluate("window.hurt") is None
    await context.close()


async def say(page: Page, words: str) -> None:
    await expect(page.get_by_role("button", name="Enviar")).to_be_enabled()
    await page.get_by_label("Mensaje").fill(words)
    await page.keyboard.press("Enter")


async def test_the_answer_is_seen_while_it_streams(browser: Browser, tmp_path: Path) -> None:
    wrong, right, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slowly(request: ModelRequest, call: CallOptions) -> Reply:
        call.emit(LiveEvent("delta", "Una **mala** idea"))
        await wrong.wait()
        call.emit(LiveEvent("reset"))
        call.emit(LiveEvent("status", "Groq en pausa, 38 s"))
        await right.wait()
        call.emit(LiveEvent("status"))
        call.emit(LiveEvent("delta", "Tu proyecto "))
        await done.wait()
        call.emit(LiveEvent("delta", "tiene **tres** carpetas."))
        call.emit(LiveEvent("reset"))
        return text("Tu proyecto tiene **tres** carpetas.", usage=Usage(input=2134, output=35, usd=0.0012))

    async with running_site(make_settings(tmp_path), ScriptedBrain(slowly)) as site, open_page(browser, site) as page:
        await say(page, "¿qué hay en mi proyecto?")
        await expect(page.locator(".bubble.mine")).to_contain_text("¿qué hay en mi proyecto?")
        await expect(page.get_by_label("Mensaje")).to_have_value("")
        preview = page.locator(".streaming")
        await expect(preview.locator("strong")).to_have_text("mala")
        await expect(page.get_by_role("button", name="Parar")).to_be_visible()
        wrong.set()
        await expect(preview).to_have_count(0)
        await expect(page.get_by_text("Groq en pausa, 38 s")).to_be_visible()
        right.set()
        await expect(preview).to_contain_text("Tu proyecto")
        assert not [line for line in await site.house.store.read_lines(ROOM) if line.type == "assistant"]
        done.set()
        await expect(page.locator(".answer:not(.streaming)")).to_have_text("Tu proyecto tiene tres carpetas.")
        await expect(preview).to_have_count(0)
        await expect(page.locator(".cost")).to_contain_text("2134 → 35 tokens · 0,0012 $")
        await expect(page.get_by_role("button", name="Parar")).to_be_hidden()


async def test_tools_and_questions_are_seen_as_they_happen(browser: Browser, tmp_path: Path) -> None:
    brain = ScriptedBrain(
        calls(("list_dir", {"path": "."}), words="Miro la carpeta."),
        calls(("execute_shell", {"command": f"echo '{NASTY}' | tee fuera"})),
        text("Hecho."),
    )
    async with running_site(make_settings(tmp_path), brain) as site, open_page(browser, site) as page:
        await say(page, "hazlo")
        looked, ran = page.locator(".tool").nth(0), page.locator(".tool").nth(1)
        await expect(looked).to_contain_text("hecho")
        await expect(ran).to_contain_text("pendiente")
        await expect(page.locator(".question")).to_contain_text(NASTY)
        await page.get_by_role("button", name="Permitir", exact=True).click()
        await expect(page.locator(".question .verdict")).to_have_text("Permitido")
        await expect(page.get_by_role("button", name="Permitir", exact=True)).to_have_count(0)
        await expect(page.locator(".answer").last).to_have_text("Hecho.")
        await ran.locator("summary").click()
        await expect(ran.locator("pre").last).to_contain_text(NASTY)
        assert await page.locator(".talk img, .talk script").count() == 0


async def test_while_a_question_is_open_the_chat_waits_for_you(browser: Browser, tmp_path: Path) -> None:
    script = "\n".join(f"echo {number:03}" for number in range(60)) + "\necho " + "largo" * 60 + "; rm -rf el_final"
    brain = ScriptedBrain(calls(("execute_shell", {"command": script})), text("De acuerdo."))
    async with running_site(make_settings(tmp_path), brain) as site, open_page(browser, site, width=360) as page:
        await say(page, "hazlo")
        state, question = page.get_by_role("status"), page.get_by_role("article", name="Nanobot pide permiso")
        await expect(state).to_have_text("Espera tu permiso")
        await page.reload()
        await expect(state).to_have_text("Espera tu permiso")
        await expect(question.locator("pre").first).to_contain_text("el_final")
        hidden = "(node) => node.scrollHeight > node.clientHeight + 1 || node.scrollWidth > node.clientWidth + 1"
        assert not await question.locator("pre").evaluate_all(f"nodes => nodes.some({hidden})")
        await page.get_by_role("button", name="Rechazar", exact=True).press("Enter")
        await expect(question.get_by_text("Rechazado")).to_be_focused()
        await expect(page.locator(".answer").last).to_have_text("De acuerdo.")
        await expect(state).to_have_text("")


async def test_a_question_is_permitted_for_good_and_that_is_taken_back(browser: Browser, tmp_path: Path) -> None:
    command = ("execute_shell", {"command": "echo hola >> saludo"})
    brain = ScriptedBrain(calls(command), text("Uno."), calls(command), text("Dos."))
    async with running_site(make_settings(tmp_path), brain) as site, open_page(browser, site, width=390) as page:
        await say(page, "hazlo")
        await page.get_by_role("button", name="Permitir siempre esto").click()
        await expect(page.locator(".question .verdict")).to_have_text("Permitido siempre")
        await expect(page.locator(".answer").last).to_have_text("Uno.")
        await say(page, "otra vez")
        await expect(page.locator(".answer").last).to_have_text("Dos.")
        await expect(page.locator(".question")).to_have_count(1)
        await page.goto("/permisos")
        await expect(page.locator(".permitted")).to_contain_text("«echo hola >> saludo»")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.get_by_role("button", name="Quitar el permiso 1").click()
        await expect(page.locator(".empty")).to_contain_text("No hay ninguno")


async def test_who_refuses_may_say_why(browser: Browser, tmp_path: Path) -> None:
    brain = ScriptedBrain(calls(("execute_shell", {"command": "echo hola >> saludo"})), text("Vale."))
    async with running_site(make_settings(tmp_path), brain) as site, open_page(browser, site, width=390) as page:
        await say(page, "hazlo")
        await page.get_by_role("button", name="Rechazar y decir por qué").click()
        await expect(page.get_by_label("¿Por qué no?")).to_be_focused()
        await page.keyboard.type(f"hoy no {NASTY}")
        await page.locator(".why-not").get_by_role("button", name="Rechazar").click()
        await expect(page.locator(".question .verdict")).to_have_text(f"Rechazado: «hoy no {NASTY}»")
        await expect(page.locator(".answer").last).to_have_text("Vale.")
    assert f"hoy no {NASTY}" in brain.requests[1].messages[-1].content


def much(unit: str, size: int = 30_000) -> str:
    return unit * (size // len(unit))


HOSTILE = {
    "heading": "# a" + much(" ") + "x",
    "hashes": "# " + much("#") + "x",
    "rule": "- - " + much(" ") + "x",
    "fence": "```" + much(" ") + "`",
    "tildes": "~~~" + much("~") + "`",
    "fences": much("```\n"),
    "table": "|a|\n" + much("|-") + "x",
    "spaces under a table's head": "|a|\n" + much(" ") + "x",
    "item": "- " + much(" ", 15_000) + much("x", 15_000) + "\u2028",
    "items": much("- a\n"),
    "deep items": "\n".join(" " * depth * 2 + "- a" for depth in range(170)),
    "quotes": much("> "),
    "bold that never ends": much("**a "),
    "bold that code swallows": much("`**a` ", 300_000) + "x**",
    "bold without spaces": much("**a"),
    "bold, old style": much("__a "),
    "struck": much("~~a "),
    "deep emphasis": much("**a ~~b __c ", 15_000) + much("c__ b~~ a**", 15_000),
    "stars": much("*a"),
    "ticks": "`" + much("a`` "),
    "runs of ticks": "a".join("`" * length for length in range(1, 245)),
    "brackets": much("["),
    "links": much("[a](http://x"),
    "images": much("![a](http://x"),
    "exclamations": much("!["),
    "parentheses": "[a](http://" + much("(a)"),
    "dots": "https://" + much("."),
    "escapes": much("\\*"),
}


async def test_no_text_hangs_the_page(browser: Browser, tmp_path: Path) -> None:
    """The heading took a minute, others seconds: time must grow with the length, not with its square."""
    measure = """async (texts) => {
        const { markdown } = await import("/static/markdown.js");
        const seconds = {};
        for (const [name, text] of Object.entries(texts)) {
            const began = performance.now();
            markdown(text);
            seconds[name] = (performance.now() - began) / 1000;
        }
        return seconds;
    }"""
    async with running_site(make_settings(tmp_path)) as site, open_page(browser, site) as page:
        seconds = await page.evaluate(measure, HOSTILE)
    assert {name: took for name, took in seconds.items() if took > 1} == {}


async def test_a_long_hostile_transcript_opens(browser: Browser, tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path)) as site:
        answer = AssistantLine(content="**a " * 7_500 + "\n\n# a" + " " * 30_000 + "x\n\nfin")
        await site.house.store.append(ROOM, UserLine(content="hola"), answer)
        async with open_page(browser, site, f"/sesiones/{ROOM}") as page:
            await expect(page.locator(".answer p").last).to_have_text("fin")


async def test_what_a_model_writes_is_formatted_and_inert(browser: Browser, tmp_path: Path) -> None:
    answer = f"""# Título {NASTY}

Un [enlace](https://example.com/a_b), [otro](javascript:window.hurt=1), [más](data:text/html,x) y https://example.org/x_y.
![gráfico](https://example.net/p?d=1) ![](javascript:1)

1. uno con `código {NASTY}`
   - dentro **de {NASTY}**
2. dos

| a {NASTY} | b |
|---|---|
| **c** | ~~d~~ |

```html
{NASTY}
```

> cita _en cursiva_ y nombre_de_variable
"""
    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(text(answer))) as site,
        open_page(browser, site) as page,
    ):
        await say(page, NASTY)
        bubble = page.locator(".answer:not(.streaming)")
        await expect(bubble.locator("h3")).to_have_text(f"Título {NASTY}")
        assert await bubble.locator("a").evaluate_all("nodes => nodes.map((n) => [n.href, n.rel])") == [
            ["https://example.com/a_b", "noopener noreferrer nofollow"],
            ["https://example.org/x_y", "noopener noreferrer nofollow"],
            ["https://example.net/p?d=1", "noopener noreferrer nofollow"],
        ]
        await expect(bubble).to_contain_text("gráfico: https://example.net/p?d=1")  # seen, and not loaded
        assert await bubble.locator("ol > li").count() == 2
        await expect(bubble.locator("ol ul strong")).to_have_text(f"de {NASTY}")
        await expect(bubble.locator("td strong")).to_have_text("c")
        await expect(bubble.locator("pre code")).to_have_text(NASTY)
        await expect(bubble.locator("blockquote em")).to_have_text("en cursiva")
        await expect(bubble.locator("blockquote")).to_contain_text("nombre_de_variable")
        await expect(page.locator(".mine")).to_contain_text(NASTY)
        assert await page.locator(".talk img, .talk script").count() == 0


async def test_a_page_opened_again_goes_on_where_the_log_is(browser: Browser, tmp_path: Path) -> None:
    more = asyncio.Event()

    async def slowly(request: ModelRequest, call: CallOptions) -> Reply:
        call.emit(LiveEvent("delta", "A medias"))
        await more.wait()
        return text(" y del todo")

    brain = ScriptedBrain(text("primera"), slowly)
    async with running_site(make_settings(tmp_path), brain) as site, open_page(browser, site, "/") as page:
        await say(page, "uno")
        await expect(page.locator(".answer:not(.streaming)")).to_have_text("primera")
        await say(page, "dos")
        await expect(page.locator(".streaming")).to_have_text("A medias")
        await page.reload()
        await expect(page.locator(".streaming")).to_have_text("A medias")
        assert await page.locator(".mine").count() == 2
        more.set()
        await expect(page.locator(".answer").last).to_have_text("y del todo")


async def test_a_broken_connection_loses_and_doubles_nothing(browser: Browser, tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path)) as site, open_page(browser, site) as page:
        await site.house.store.append(ROOM, UserLine(content="antes"))
        await expect(page.locator(".mine")).to_have_count(1)
        for subscription in list(site.house.hub._subscriptions):  # pyright: ignore[reportPrivateUsage]
            subscription.end()
        await site.house.store.append(ROOM, UserLine(content="durante"))
        await expect(page.locator(".mine")).to_have_count(2)
        await site.house.store.append(ROOM, UserLine(content="después"))
        await expect(page.locator(".mine p")).to_have_text(["antes", "durante", "después"])


async def test_a_page_left_open_goes_on_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with AsyncExitStack() as stack:
        async with (
            running_site(settings, ScriptedBrain(text("primera"))) as site,
            listening(site.app, site.house.hub) as base,
        ):
            page = await stack.enter_async_context(page_at(browser, base))
            await page.get_by_label("Contraseña").fill(PASSWORD)
            await page.get_by_role("button", name="Entrar").click()
            await say(page, "uno")
            await expect(page.locator(".answer:not(.streaming)")).to_have_text("primera")
        await expect(page.get_by_role("status")).to_contain_text("Sin conexión")
        port = int(base.rpartition(":")[2])
        async with running_site(settings, ScriptedBrain(text("segunda"))) as site:
            await site.house.store.append(ROOM, UserLine(content="entretanto"))
            async with listening(site.app, site.house.hub, port):
                await expect(page.locator(".mine p")).to_have_text(["uno", "entretanto"], timeout=20_000)
                await say(page, "dos")
                await expect(page.locator(".answer").last).to_have_text("segunda")
                await expect(page.locator(".mine")).to_have_count(3)


async def test_two_browsers_show_the_same_conversation(browser: Browser, tmp_path: Path) -> None:
    brain = ScriptedBrain(calls(("execute_shell", {"command": "echo hola > a"})), text("Hecho."))
    async with (
        running_site(make_settings(tmp_path), brain) as site,
        listening(site.app, site.house.hub) as base,
        page_at(browser, base) as one,
        page_at(browser, base) as two,
    ):
        await say(one, "hazlo")
        await expect(two.locator(".mine p")).to_have_text("hazlo")
        await two.get_by_role("button", name="Permitir", exact=True).click()
        for page in (one, two):
            await expect(page.locator(".verdict")).to_have_text("Permitido")
            await expect(page.locator(".answer").last).to_have_text("Hecho.")
            await expect(page.locator(".mine")).to_have_count(1)


async def test_nuevo_in_a_telegram_conversation_opens_another_here(browser: Browser, tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path), ScriptedBrain(text("uno"), text("dos"))) as site:
        await site.house.inbox.message("telegram_42", "desde Telegram", "42", key="tg:1")
        await site.house.runner.lanes.idle()
        async with open_page(browser, site, "/?sesion=telegram_42") as page:
            await expect(page.locator(".answer")).to_have_text("uno")
            await say(page, "/nuevo")
            await expect(page).to_have_url(re.compile(r"sesion=web_"))
            await expect(page.locator(".talk > *")).to_have_count(0)
            await expect(page.get_by_label("Mensaje")).to_have_value("")
            await say(page, "hola")
            await expect(page.locator(".answer").last).to_have_text("dos")


async def test_a_lost_answer_and_a_reload_do_not_double_the_message(browser: Browser, tmp_path: Path) -> None:
    async def arrives_but_says_nothing(route: Route) -> None:
        await route.fetch()
        await route.abort()

    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(text("ya"))) as site,
        open_page(browser, site) as page,
    ):
        await page.route("**/api/v1/chat", arrives_but_says_nothing)
        await say(page, "una vez")
        await expect(page.get_by_role("alert")).to_contain_text("No se ha podido enviar")
        await page.unroute("**/api/v1/chat")
        await page.reload()
        await page.get_by_label("Mensaje").press("Enter")
        await expect(page.get_by_label("Mensaje")).to_have_value("")
        await expect(page.locator(".answer").last).to_have_text("ya")
        await expect(page.locator(".mine")).to_have_count(1)
        assert (await kinds(site.house.store, ROOM)).count("user") == 1


async def test_a_message_that_cannot_be_sent_is_not_lost(browser: Browser, tmp_path: Path) -> None:
    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(text("ya"))) as site,
        open_page(browser, site) as page,
    ):
        await page.route("**/api/v1/chat", lambda route: route.abort())
        await say(page, "importante")
        await expect(page.get_by_role("alert")).to_contain_text("Tu texto sigue aquí")
        await expect(page.get_by_label("Mensaje")).to_have_value("importante")
        await page.unroute("**/api/v1/chat")
        await page.reload()
        await expect(page.get_by_label("Mensaje")).to_have_value("importante")
        await page.get_by_label("Mensaje").press("Enter")
        await expect(page.locator(".answer").last).to_have_text("ya")
        await expect(page.get_by_label("Mensaje")).to_have_value("")


async def test_what_is_typed_before_the_script_arrives_stays(browser: Browser, tmp_path: Path) -> None:
    arrives = asyncio.Event()

    async def late(route: Route) -> None:
        await arrives.wait()
        await route.continue_()

    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(text("ya"))) as site,
        open_page(browser, site) as page,
    ):
        await page.route("**/static/chat.js", late)
        await page.reload(wait_until="commit")
        await page.get_by_label("Mensaje").fill("con prisa")
        await expect(page.get_by_role("button", name="Enviar")).to_be_disabled()
        arrives.set()
        await page.get_by_role("button", name="Enviar").click()
        await expect(page.locator(".mine p")).to_have_text("con prisa")


async def test_stop_and_retry_are_one_press_each(browser: Browser, tmp_path: Path) -> None:
    async def forever(request: ModelRequest, call: CallOptions) -> Reply:
        await asyncio.Event().wait()
        return text("nunca")

    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(forever, text("por fin"))) as site,
        open_page(browser, site) as page,
    ):
        await say(page, "hola")
        await page.get_by_role("button", name="Parar").click()
        await page.get_by_role("button", name="Reintentar").click()
        await expect(page.locator(".answer").last).to_have_text("por fin")
        await expect(page.get_by_role("button", name="Reintentar")).to_have_count(0)


async def test_shift_enter_makes_a_line_and_enter_sends(browser: Browser, tmp_path: Path) -> None:
    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(text("ya"))) as site,
        open_page(browser, site) as page,
    ):
        await page.get_by_label("Mensaje").press_sequentially("uno")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("dos")
        await page.keyboard.press("Enter")
        await expect(page.locator(".mine p")).to_have_text("uno\ndos", use_inner_text=True)


async def test_the_transcript_shows_everything_and_leads_back(browser: Browser, tmp_path: Path) -> None:
    brain = ScriptedBrain(calls(("list_dir", {"path": "."})), text("Vacía.", usage=Usage(input=90, output=7, usd=0.5)))
    async with running_site(make_settings(tmp_path), brain) as site:
        await site.house.inbox.session_message(ROOM, "¿qué hay?", "web")
        await site.house.runner.lanes.idle()
        async with open_page(browser, site, "/sesiones") as page:
            await page.get_by_role("link", name="¿qué hay?").click()
            await expect(page.locator(".mine")).to_contain_text("¿qué hay?")
            await page.locator(".tool summary").click()
            await expect(page.locator(".tool pre").last).to_contain_text("vacía")
            await expect(page.locator(".cost")).to_contain_text("100 → 12 tokens · 0,5000 $")
            await page.get_by_role("link", name="Continuar aquí").click()
            await expect(page.get_by_label("Mensaje")).to_be_visible()
            await expect(page.locator(".answer")).to_have_text("Vacía.")


async def test_without_a_model_the_chat_says_what_to_do(browser: Browser, tmp_path: Path) -> None:
    brain = ScriptedBrain()
    brain.routes = list  # type: ignore[method-assign]
    async with running_site(make_settings(tmp_path), brain) as site, open_page(browser, site, "/") as page:
        await expect(page.get_by_role("heading", name="Falta un modelo")).to_be_visible()
        await expect(page.get_by_role("link", name="https://console.groq.com/keys")).to_be_visible()
        await page.get_by_role("link", name="Poner una clave").click()
        await page.get_by_label("Zona horaria").fill("Marte")
        await page.get_by_role("button", name="Guardar").click()
        await expect(page.get_by_role("alert")).to_contain_text("TIMEZONE")
        await page.get_by_label("Zona horaria").fill("Europe/Madrid")
        await page.get_by_label("Clave de Groq").fill("gsk_1234567890")
        await page.get_by_role("button", name="Guardar").click()
        await expect(page.get_by_role("status")).to_contain_text("al reiniciar")


async def test_setting_up_logging_out_and_in_again(browser: Browser, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, host="0.0.0.0")
    log: list[str] = []
    sink = logger.add(lambda message: log.append(str(message)))
    async with running_site(settings, ScriptedBrain(text("ya"))) as site, open_page(browser, site, "/") as page:
        code = re.search(r"[2-9A-Z]{5}-[2-9A-Z]{5}", "".join(log))
        assert code
        await page.get_by_label("Código").fill(code[0])
        await page.get_by_label("Contraseña nueva").fill("una contraseña larga")
        await page.get_by_label("Otra vez").fill("una contraseña larga")
        await page.get_by_role("button", name="Empezar").click()
        await say(page, "hola")
        await expect(page.locator(".answer").last).to_have_text("ya")
        await page.get_by_role("button", name="Salir").click()
        await page.get_by_label("Contraseña").fill("una contraseña larga")
        await page.get_by_role("button", name="Entrar").click()
        await expect(page.get_by_label("Mensaje")).to_be_visible()
    logger.remove(sink)


async def test_logging_out_elsewhere_closes_this_page_and_coming_back_finds_the_text(
    browser: Browser, tmp_path: Path
) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, open_page(browser, site, width=360) as page:
        await page.get_by_label("Contraseña").fill(PASSWORD)
        await page.get_by_role("button", name="Entrar").click()
        await expect(page).to_have_url(re.compile(f"sesion={ROOM}"))
        await page.get_by_label("Mensaje").press_sequentially("a medias")
        for path in ("/estado", "/configuracion", "/"):
            other = await page.context.new_page()
            await other.goto(path)
            assert await other.evaluate("document.documentElement.scrollWidth") <= 360
            heights = await other.locator(".top nav > *").evaluate_all("nodes => nodes.map((n) => n.offsetHeight)")
            assert max(heights) < 45, "the words of the menu stay whole"
        await other.get_by_role("button", name="Salir").click()
        await expect(page.get_by_role("alert")).to_contain_text("Tu sesión ha caducado")
        await page.get_by_role("link", name="Entrar").click()
        await page.get_by_label("Contraseña").fill(PASSWORD)
        await page.get_by_role("button", name="Entrar").click()
        await expect(page.get_by_label("Mensaje")).to_have_value("a medias")


async def test_a_token_is_made_seen_once_used_and_revoked(browser: Browser, tmp_path: Path) -> None:
    settings = make_settings(tmp_path, dashboard_password=PASSWORD)
    async with running_site(settings) as site, open_page(browser, site, "/configuracion/accesos", width=360) as page:
        await page.get_by_label("Contraseña").fill(PASSWORD)
        await page.get_by_role("button", name="Entrar").click()
        await page.goto("/configuracion")
        await page.get_by_role("link", name="Accesos").click()
        await page.get_by_label("Nombre del token").fill(NASTY[:50])
        await page.get_by_label("Lee y escribe").check()
        await page.get_by_role("button", name="Crear token").click()
        made = await page.locator("#token").inner_text()
        assert re.fullmatch(r"nanobot_[0-9a-f]{12}_[\w-]{43}", made) and made not in page.url
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(wide), "it fits on a phone"
        address = page.url.replace("/configuracion/accesos", "/api/sessions")
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {made}"}) as program:
            assert (await program.get(address)).status_code == 200
            await page.goto("/configuracion/accesos")
            assert made[21:] not in await page.content()
            item = page.get_by_role("listitem").filter(has_text="usado por última vez")
            await expect(item).to_contain_text(NASTY[:50])
            await item.get_by_role("button", name="Revocar").click()
            await expect(page.get_by_text("No hay ninguno.")).to_be_visible()
            assert (await program.get(address)).status_code == 401
        await page.get_by_role("button", name="Salir en todos los navegadores").click()
        await expect(page.get_by_label("Contraseña")).to_be_visible()


@pytest.mark.parametrize(
    "path",
    [f"/?sesion={ROOM}", f"/sesiones/{ROOM}", "/sesiones", "/estado", "/configuracion", "/configuracion/accesos"],
)
async def test_nothing_is_wider_than_a_phone(browser: Browser, tmp_path: Path, path: str) -> None:
    table = "|" + " ancho |" * 12 + "\n|" + "---|" * 12 + "\n|" + " celda |" * 12
    brain = ScriptedBrain(
        calls(("execute_shell", {"command": WIDE})), text(f"{WIDE}\n\n`{WIDE}`\n\n```\n{WIDE}\n```\n\n{table}")
    )
    async with running_site(make_settings(tmp_path, approvals="nunca"), brain) as site:
        await site.house.inbox.session_message(ROOM, WIDE, "web")
        await site.house.runner.lanes.idle()
        async with open_page(browser, site, path, width=360) as page:
            await page.wait_for_load_state("networkidle" if "sesion=" not in path else "load")
            if ROOM in path:
                await expect(page.locator(".answer table")).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") <= 360
            wide = "(node) => node.scrollWidth > node.clientWidth"
            assert not await page.evaluate(f"[...document.querySelectorAll('main, #scroller')].some({wide})")


async def test_what_a_turn_changed_is_undone_by_its_button(browser: Browser, tmp_path: Path) -> None:
    write = calls(("write_file", {"path": "a.txt", "content": "del modelo\n"}))
    file = tmp_path / "home/proyectos/a.txt"
    async with (
        running_site(make_settings(tmp_path), ScriptedBrain(write, text("hecho"))) as site,
        open_page(browser, site) as page,
    ):
        await page.get_by_label("Mensaje").fill("escribe")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Deshacer").click()
        await expect(page.get_by_text("a.txt: nuevo")).to_be_visible()
        await page.get_by_role("button", name="Cancelar").click()
        await expect(page.get_by_text("lo dejo como está")).to_be_visible()
        assert file.exists()
        await page.get_by_label("Mensaje").fill("/deshacer")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Deshacer").click()
        await expect(page.get_by_role("button", name="Rehacer")).to_be_visible()
        assert not file.exists()
        await page.reload()
        await expect(page.get_by_role("button", name="Rehacer")).to_be_visible()
        await expect(page.get_by_role("button", name="Deshacer")).to_have_count(0)
        await page.get_by_role("button", name="Rehacer").click()
        await expect(page.get_by_text("Rehecho: 1 archivo")).to_be_visible()
        assert file.read_text() == "del modelo\n"
