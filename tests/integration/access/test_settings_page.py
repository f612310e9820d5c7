"""/configuracion: what is stored, what is shown, what is refused."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import httpx
import pytest

from app.config import CONFIG_FILE, load_settings
from app.web import settings_page
from tests.access import PASSWORD, change, stored_in, token
from tests.support import make_settings
from tests.web import Site, running_site


async def save(browser: httpx.AsyncClient, **values: str) -> httpx.Response:
    return await browser.post("/configuracion", data={"csrf": await token(browser, "/configuracion"), **values})


async def test_secrets_are_stored_privately_and_never_shown(local: Site) -> None:
    data = local.house.settings.data_dir
    async with local.browser() as browser:
        saved = await save(browser, GROQ_API_KEY="gsk_muysecreta'\\x", TELEGRAM_USER_ID="42")
        page = await browser.get(saved.headers["location"])
        kept = await save(browser, GROQ_API_KEY="", TELEGRAM_USER_ID="43")
        after = stored_in(local)
        removed = await save(browser, quitar="GROQ_API_KEY", TELEGRAM_USER_ID="")
    assert "se aplicará al reiniciar" in page.text.lower()
    assert "muysecreta" not in page.text
    assert "Guardado: escribe" in page.text
    assert [kept.status_code, removed.status_code] == [303, 303]
    assert after == {"GROQ_API_KEY": "gsk_muysecreta'\\x", "TELEGRAM_USER_ID": "43"}
    assert stored_in(local) == {}
    assert sys.platform == "win32" or stat.S_IMODE((data / CONFIG_FILE).stat().st_mode) == 0o600


async def test_everything_else_is_shown_and_comes_back_at_the_next_start(local: Site) -> None:
    values = {
        "GROQ_MODEL": "openai/gpt-oss-20b",
        "ANTHROPIC_MODEL": "claude-sonnet-5-5",
        "LOCAL_LLM_BASE_URL": "http://localhost:11434/v1",
        "LOCAL_LLM_MODEL": "qwen3:8b",
        "DAILY_BUDGET_USD": "2.5",
        "TIMEZONE": "America/Bogota",
    }
    async with local.browser() as browser:
        assert (await save(browser, **values)).status_code == 303
        page = await browser.get("/configuracion")
        assert (await save(browser, LOCAL_LLM_MODEL="")).status_code == 303
    assert all(f'value="{value}"' in page.text for value in values.values())
    data = local.house.settings.data_dir
    settings = load_settings(_env_file=None, data_dir=data, workspace_dir=data.parent / "home")
    assert (settings.groq_model, settings.anthropic_model) == ("openai/gpt-oss-20b", "claude-sonnet-5-5")
    assert (settings.local_llm_base_url, settings.local_llm_model) == ("http://localhost:11434/v1", "default")
    assert (settings.daily_budget_usd, settings.timezone) == (2.5, "America/Bogota")


async def test_an_address_with_a_password_in_it_is_a_secret(local: Site) -> None:
    address = "http://ana:s3creta@servidor.example/v1"
    async with local.browser() as browser:
        await save(browser, LOCAL_LLM_BASE_URL=address)
        page = await browser.get("/configuracion")
        await save(browser, LOCAL_LLM_BASE_URL="", TIMEZONE="Europe/Madrid")
    assert "s3creta" not in page.text
    assert stored_in(local) == {"LOCAL_LLM_BASE_URL": address, "TIMEZONE": "Europe/Madrid"}


async def test_what_the_environment_fixes_is_locked(local: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_delentorno")
    monkeypatch.setenv("DASHBOARD_PASSWORD", PASSWORD)
    async with local.browser() as browser:
        page = await browser.get("/configuracion")
        await save(browser, GROQ_API_KEY="gsk_intrusa", quitar="GROQ_API_KEY")
        changed = await change(browser, "una nueva y larga")
    assert 'name="GROQ_API_KEY"' not in page.text
    assert 'name="GROQ_MODEL"' in page.text
    assert 'name="again"' not in page.text
    assert "fijado por el entorno" in page.text
    assert "delentorno" not in page.text
    assert changed.status_code == 409
    assert stored_in(local) == {}


async def test_a_locked_value_that_is_no_secret_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_MODEL", "del/entorno")
    async with running_site(make_settings(tmp_path)) as site, site.browser() as browser:
        page = await browser.get("/configuracion")
    assert "<code>del/entorno</code>" in page.text
    assert 'name="GROQ_MODEL"' not in page.text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GROQ_API_KEY", "corta", "al menos 8"),
        ("GROQ_API_KEY", "con un espacio", "ningún espacio"),
        ("GROQ_API_KEY", "con\nsalto-de-linea", "ningún espacio"),
        ("GROQ_API_KEY", "abc${HOME}xyzw1", "no se pueden guardar"),
        ("TELEGRAM_TOKEN", "no-es-un-token", "@BotFather"),
        ("TELEGRAM_USER_ID", "-5", "TELEGRAM_USER_ID debe ser mayor que 0"),
        ("TELEGRAM_USER_ID", "<script>alert(1)</script>", "debe ser un número entero"),
        ("LOCAL_LLM_BASE_URL", "localhost:11434", "http://"),
        ("DAILY_BUDGET_USD", "-1", "DAILY_BUDGET_USD debe ser 0"),
        ("DAILY_BUDGET_USD", "inf", "DAILY_BUDGET_USD"),
        ("DAILY_BUDGET_USD", "mucho", "debe ser un número"),
        ("TIMEZONE", "Marte/Olympus", "zona horaria"),
    ],
)
async def test_a_wrong_value_is_named_and_nothing_is_stored(local: Site, name: str, value: str, says: str) -> None:
    async with local.browser() as browser:
        refused = await save(browser, GROQ_MODEL="uno/bueno", **{name: value})
    assert refused.status_code == 422
    assert says in refused.text
    assert refused.text.count('role="alert"') == 1
    assert "<script>alert" not in refused.text
    assert 'value="uno/bueno"' in refused.text, "what was typed stays"
    assert ("API_KEY" in name and value in refused.text) is False
    assert not (local.house.settings.data_dir / CONFIG_FILE).exists()


async def test_what_no_file_can_hold_is_no_inner_failure(local: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is noticed."""
    monkeypatch.setattr(settings_page, "_problem", lambda *_: "")
    async with local.browser() as browser:
        refused = await save(browser, GROQ_API_KEY="abc${HOME}xyzw1")
    assert refused.status_code == 422
    assert "GROQ_API_KEY tiene caracteres que no se pueden guardar" in refused.text
