"""Settings: sources and their order, clear errors in Spanish, no secret in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import CODE_DIR, Settings, fixed_by_environment, load_settings
from app.core.errors import ConfigError


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*Settings.model_fields, "telegram_bot_token"]:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_it_starts_with_nothing_configured() -> None:
    settings = load_settings()
    assert settings.owners == frozenset() and settings.host == "127.0.0.1"
    assert settings.data_dir == Path.cwd() / "data" and settings.groq_model == "openai/gpt-oss-120b"
    assert settings.projects_dirs == [Path("~/nanobot/proyectos").expanduser().resolve()]


def test_environment_beats_env_file_beats_config_env(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data").mkdir()
    Path("data/config.env").write_text("GROQ_MODEL=c\nANTHROPIC_MODEL=c\nLOCAL_LLM_MODEL=c\n", "utf-8")
    Path(".env").write_text("GROQ_MODEL=b\nANTHROPIC_MODEL=b\n", "utf-8")
    monkeypatch.setenv("GROQ_MODEL", "a")
    settings = load_settings()
    assert (settings.groq_model, settings.anthropic_model, settings.local_llm_model) == ("a", "b", "c")
    fixed = fixed_by_environment(settings)
    assert {"groq_model", "anthropic_model"} <= fixed and "local_llm_model" not in fixed


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "")
    monkeypatch.setenv("PORT", "")
    assert load_settings().groq_api_key is None and load_settings().port == 8000


def test_the_token_has_an_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:abc")
    settings = load_settings()
    assert settings.telegram_token is not None and settings.telegram_token.get_secret_value() == "1:abc"
    assert "telegram_token" in fixed_by_environment(settings) and "1:abc" not in repr(settings)


def test_lists_and_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELEGRAM_USER_ID", "1")
    monkeypatch.setenv("TELEGRAM_ALLOWED_USERS", "2, 3")
    monkeypatch.setenv("PROJECTS_DIRS", f"{tmp_path / 'a b'};{tmp_path / 'ñ'}")
    settings = load_settings()
    assert settings.owners == {1, 2, 3}
    assert settings.projects_dirs == [tmp_path / "a b", tmp_path / "ñ"]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("PORT", "ocho", "número entero"),
        ("PORT", "99999", "65535 o menos"),
        ("TELEGRAM_USER_ID", "@yo", "número entero"),
        ("TELEGRAM_ALLOWED_USERS", "1,@yo", "número entero"),
        ("TELEGRAM_MODE", "paloma", "'auto', 'polling' o 'webhook'"),
        ("ASK_BEFORE_PAID", "quizá", "true o false"),
        ("DAILY_BUDGET_USD", "-1", "0 o más"),
        ("TIMEZONE", "Marte/Base", "zona horaria"),
        ("GROQ_BASE_URL", "groq.com", "http"),
        ("PROVIDER_ORDER", "groq,openai", "openai"),
        ("WORKSPACE_DIR", str(CODE_DIR / "app"), "dentro del código"),
        ("PROJECTS_DIRS", str(CODE_DIR), "dentro del código"),
        ("PROJECTS_DIRS", ";", "al menos una carpeta"),
    ],
)
def test_a_malformed_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert name in str(caught.value) and hint in str(caught.value) and "\n" not in str(caught.value)


def test_an_error_never_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secreto")
    monkeypatch.setenv("PORT", "gsk_secreto")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert "gsk_secreto" not in str(caught.value)
    monkeypatch.delenv("PORT")
    assert load_settings().secrets() == ["gsk_secreto"]


def test_the_example_names_every_setting_and_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (CODE_DIR / ".env.example").read_text("utf-8")
    for name in Settings.model_fields:
        assert f"{name.upper()}=" in text, name
    shown = dict(
        line[2:].split("=", 1) for line in text.splitlines() if line.startswith("# ") and "=" in line.split()[1]
    )
    plain = load_settings()
    for name, value in shown.items():
        if value and not value.startswith(("~", "./")):
            monkeypatch.setenv(name, value)
    assert load_settings() == plain
