"""Settings: sources and their order, clear errors in Spanish, no secret in any of them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from loguru import logger

from app.config import CODE_DIR, Settings, fixed_by_environment, load_settings
from app.core.errors import ConfigError
from tests.support import make_settings

SECRET = "gsk_secreto"


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*Settings.model_fields, "telegram_bot_token"]:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def refusal() -> str:
    """The line that stops the start."""
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


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
    assert fixed_by_environment(settings) == {"groq_model", "anthropic_model"}


def test_config_env_is_looked_for_where_the_data_really_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("given", "environment", "file"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.env").write_text(f"LOCAL_LLM_MODEL={name}\n", "utf-8")
    Path(".env").write_text("DATA_DIR=./file\n", "utf-8")
    assert load_settings().local_llm_model == "file"
    monkeypatch.setenv("DATA_DIR", "./environment")
    assert load_settings().local_llm_model == "environment"
    assert load_settings(data_dir=tmp_path / "given").local_llm_model == "given"


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=9000\nGROQ_API_KEY=\n", "utf-8")
    monkeypatch.setenv("GROQ_API_KEY", "")
    monkeypatch.setenv("PORT", "")
    settings = load_settings()
    assert settings.groq_api_key is None and settings.port == 9000
    assert fixed_by_environment(settings) == {"port"}


def test_the_token_has_an_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("data").mkdir()
    Path("data/config.env").write_text("TELEGRAM_TOKEN=3:stored\n", "utf-8")
    Path(".env").write_text("TELEGRAM_TOKEN=2:file\n", "utf-8")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:abc")
    settings = load_settings()
    assert settings.telegram_token is not None and settings.telegram_token.get_secret_value() == "1:abc"
    assert "telegram_token" in fixed_by_environment(settings) and "1:abc" not in repr(settings)
    assert load_settings(_env_file=None).secrets() == ["1:abc"]
    monkeypatch.delenv("TELEGRAM_BOT_TOKEN")
    assert load_settings(_env_file=None).secrets() == ["3:stored"]


def test_the_alias_in_the_env_file_is_fixed_too() -> None:
    Path(".env").write_text("telegram_bot_token=2:file\n", "utf-8")
    settings = load_settings()
    assert settings.secrets() == ["2:file"] and fixed_by_environment(settings) == {"telegram_token"}


def test_lists_and_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TELEGRAM_USER_ID", "1")
    monkeypatch.setenv("TELEGRAM_ALLOWED_USERS", "2, 3")
    monkeypatch.setenv("PROJECTS_DIRS", f"{tmp_path / 'a b'};{tmp_path / 'ñ'}")
    settings = load_settings()
    assert settings.owners == {1, 2, 3}
    assert settings.projects_dirs == [tmp_path / "a b", tmp_path / "ñ"]


def test_windows_paths_are_split_at_the_semicolon_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECTS_DIRS", "C:\\a;D:\\b;")
    assert load_settings().projects_dirs == [Path("C:\\a").resolve(), Path("D:\\b").resolve()]


NOT_UTF8 = b"\xff".decode("utf-8", "surrogateescape")  # how the environment shows it
MALFORMED = [
    ("TELEGRAM_TOKEN", "1:abc def", "sin espacios"),
    ("TELEGRAM_USER_ID", "@yo", "número entero"),
    ("TELEGRAM_USER_ID", "0", "mayor que 0"),
    ("TELEGRAM_USER_ID", "9" * 20, "menor que"),
    ("TELEGRAM_USER_ID", "9" * 5000, "número entero"),
    ("TELEGRAM_ALLOWED_USERS", "1,@yo", "número entero"),
    ("TELEGRAM_ALLOWED_USERS", "-5", "mayor que 0"),
    ("TELEGRAM_GUESTS", "@ana", "número entero"),
    ("TELEGRAM_API_BASE_URL", "api.telegram.org", "http"),
    ("TELEGRAM_MODE", "paloma", "'auto', 'polling' o 'webhook'"),
    ("PUBLIC_URL", "ftp://ejemplo.com", "http"),
    ("PUBLIC_URL", "https://", "http"),
    ("PUBLIC_URL", "https://ejemplo.com/?a=b", "http"),
    ("GROQ_API_KEY", "clave ñ", "sin espacios"),
    ("GROQ_MODEL", "  ", "vacío"),
    ("GROQ_FALLBACK_MODELS", NOT_UTF8, "no se entiende"),
    ("GROQ_BASE_URL", "groq.com", "http"),
    ("GROQ_BASE_URL", "http://x:puerto", "http"),
    ("GROQ_BASE_URL", "http://x:99999", "http"),
    ("ANTHROPIC_API_KEY", "sk-ant\nX: y", "sin espacios"),
    ("ANTHROPIC_MODEL", "  ", "vacío"),
    ("ANTHROPIC_FALLBACK_MODELS", NOT_UTF8, "no se entiende"),
    ("ANTHROPIC_BASE_URL", "http://[::1", "http"),
    ("LOCAL_LLM_BASE_URL", "http://mi equipo/v1", "http"),
    ("LOCAL_LLM_BASE_URL", "http://a..b/v1", "http"),
    ("LOCAL_LLM_MODEL", "  ", "vacío"),
    ("PROVIDER_ORDER", "groq,openai", "groq, anthropic o local"),
    ("PROVIDER_ORDER", ",", "groq, anthropic o local"),
    ("ASK_BEFORE_PAID", "quizá", "true o false"),
    ("DAILY_BUDGET_USD", "-1", "0 o más"),
    ("MAX_OUTPUT_TOKENS", "10", "256 o más"),
    ("DATA_DIR", "~nadie/x", "ninguna carpeta"),
    ("DATA_DIR", "file", "archivo"),
    ("DATA_DIR", "x" * 300, "a mi alcance"),
    ("DATA_DIR", "a\tb", "comillas dobles"),
    ("DATA_DIR", str(CODE_DIR), "contener el código"),
    ("DATA_DIR", CODE_DIR.anchor, "contener el código"),
    ("WORKSPACE_DIR", "~nadie", "ninguna carpeta"),
    ("WORKSPACE_DIR", "file", "archivo"),
    ("WORKSPACE_DIR", str(CODE_DIR / "app" / "{x}"), "dentro del código"),
    ("PROJECTS_DIRS", "ok;~nadie", "ninguna carpeta"),
    ("PROJECTS_DIRS", "ok;file", "archivo"),
    ("PROJECTS_DIRS", str(CODE_DIR), "dentro del código"),
    ("PROJECTS_DIRS", "C:\nuevo", "comillas dobles"),
    ("PROJECTS_DIRS", ";", "al menos una carpeta"),
    ("APPROVALS", "casi", "'siempre', 'riesgo' o 'nunca'"),
    ("SANDBOX", "docker", "'auto', 'bubblewrap', 'landlock' o 'ninguno'"),
    ("ALLOW_UNCONFINED_SHELL", "quizá", "true o false"),
    ("NETWORK_HOSTS", "github.com,*", "nombres de sitios"),
    ("NETWORK_HOSTS", "https://github.com", "nombres de sitios"),
    ("NETWORK_HOSTS", "*.com", "nombres de sitios"),
    ("NETWORK_HOSTS", "localhost", "nombres de sitios"),
    ("NETWORK_HOSTS", "10.0.0.1", "nombres de sitios"),
    ("NETWORK_HOSTS", "10.0.0.0/8", "nombres de sitios"),
    ("NETWORK_HOSTS", "a.*.com", "nombres de sitios"),
    ("NETWORK_HOSTS", "github.com:22", "nombres de sitios"),
    ("TURN_MAX_STEPS", "0", "1 o más"),
    ("TURN_MAX_TOOL_CALLS", "1.5", "número entero"),
    ("TOOL_OUTPUT_CHARS", "10", "1000 o más"),
    ("TOOLS_PER_MINUTE", "muchas", "número entero"),
    ("UNDO_DAYS", "-1", "0 o más"),
    ("UNDO_MAX_MB", "5", "10 o más"),
    ("MESSAGES_PER_MINUTE", "0", "1 o más"),
    ("USER_DAILY_BUDGET_USD", "-1", "0 o más"),
    ("GUEST_MESSAGES_PER_MINUTE", "0", "1 o más"),
    ("GUEST_TOOLS_PER_MINUTE", "0", "1 o más"),
    ("TIMEZONE", "Marte/Base", "zona horaria"),
    ("TIMEZONE", "../etc/passwd", "zona horaria"),
    ("HOST", "no es un host", "127.0.0.1"),
    ("HOST", "999.1.1.1", "127.0.0.1"),
    ("HOST", "http://localhost", "127.0.0.1"),
    ("PORT", "ocho", "número entero"),
    ("PORT", "99999", "65535 o menos"),
    ("ENVIRONMENT", "casa", "'development', 'production' o 'test'"),
    ("LOG_LEVEL", "mucho", "'DEBUG'"),
    ("DASHBOARD_PASSWORD", f"contrase{NOT_UTF8}a", "UTF-8"),
    ("SESSION_RETENTION_DAYS", "0", "1 o más"),
]
FLOATS = [name.upper() for name, field in Settings.model_fields.items() if field.annotation is float]
NOT_FINITE = [(name, value, "infinito") for name in FLOATS for value in ("inf", "nan", "1e999")]
NOT_A_NUMBER = [(name, "mucho", "un número") for name in FLOATS]


@pytest.mark.parametrize(("name", "value", "hint"), MALFORMED + NOT_FINITE + NOT_A_NUMBER)
def test_a_malformed_value_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, hint: str
) -> None:
    Path("file").touch()
    monkeypatch.setenv(name, value)
    line = refusal()
    assert line.startswith(f"Configuración: {name} ") and hint in line


@pytest.mark.parametrize(("name", "value"), [("TELEGRAM_USER_ID", "7"), ("TELEGRAM_ALLOWED_USERS", "5,7")])
def test_nobody_is_owner_and_guest(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("TELEGRAM_GUESTS", "8 9")
    settings = load_settings()
    assert settings.telegram_guests == [8, 9] and not settings.owners & {8, 9}
    monkeypatch.setenv("TELEGRAM_GUESTS", "8,7")
    assert "TELEGRAM_GUESTS nombra a alguien que ya está" in refusal()


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("DATA_DIR", "code", "contener el código"),
        ("WORKSPACE_DIR", "code/x", "dentro del código"),
        ("PROJECTS_DIRS", "ok;code", "dentro del código"),
    ],
)
@pytest.mark.parametrize("source", ["environment", "file"])
def test_links_are_followed(monkeypatch: pytest.MonkeyPatch, source: str, name: str, value: str, hint: str) -> None:
    Path("code").symlink_to(CODE_DIR)
    if source == "environment":
        monkeypatch.setenv(name, value)
    else:
        Path(".env").write_text(f"{name}={value}\n", "utf-8")
    line = refusal()
    assert line.startswith(f"Configuración: {name} ") and hint in line


def test_every_setting_has_a_malformed_value_in_the_table() -> None:
    assert {name for name, *_ in MALFORMED} | {*FLOATS} == {n.upper() for n in Settings.model_fields}


@pytest.mark.parametrize("name", [".env", "data/config.env"])
def test_a_malformed_value_in_a_file_is_named_too(name: str) -> None:
    Path("data").mkdir()
    Path(name).write_text("TELEGRAM_BOT_TOKEN='1:a b'\n", "utf-8")
    assert "TELEGRAM_TOKEN" in refusal()
    Path(name).write_text('WORKSPACE_DIR="C:\\temp"\n', "utf-8")  # a tab, for whoever reads .env files
    assert "WORKSPACE_DIR" in refusal()


@pytest.mark.parametrize("value", ["::1", "0.0.0.0", "localhost", "mi-equipo.local", "nanobot_1"])
def test_what_a_server_may_listen_on(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOST", value)
    assert load_settings().host == value


@pytest.mark.parametrize(
    "value", ["http://localhost:11434/v1", "HTTPS://Ejemplo.com", "http://[::1]:8080", "https://ñandú.es/a/b"]
)
def test_addresses_of_services(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LOCAL_LLM_BASE_URL", f"{value}/")
    assert load_settings().local_llm_base_url == value


@pytest.mark.parametrize("name", ["TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN", "GROQ_API_KEY", "ANTHROPIC_API_KEY"])
def test_a_key_loses_what_was_copied_around_it_and_is_never_shown(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, f" {SECRET}\n")
    assert load_settings().secrets() == [SECRET]
    monkeypatch.setenv(name, f"{SECRET} ñ")
    assert SECRET not in refusal()


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields if "model" not in name])
def test_an_error_never_shows_a_value(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Not even that of a key that was pasted into the wrong line."""
    monkeypatch.chdir(CODE_DIR)  # a folder of this name would be below the code
    monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("TURN_SECONDS", SECRET)  # in case the name itself takes it
    with pytest.raises(ConfigError) as caught:
        load_settings(_env_file=None)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", [".env", "data/config.env"])
def test_files_in_any_encoding_that_names_itself(name: str, encoding: str) -> None:
    Path("data").mkdir()
    bom = b"\xfe\xff" if encoding == "utf-16-be" else b""
    Path(name).write_bytes(bom + 'GROQ_MODEL=ñu\r\nLOCAL_LLM_MODEL="x"\r\n'.encode(encoding))
    settings = load_settings()
    assert (settings.groq_model, settings.local_llm_model) == ("ñu", "x")
    assert ("groq_model" in fixed_by_environment(settings)) == (name == ".env")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", [".env", "data/config.env"])
def test_a_file_in_another_encoding_is_named(name: str, encoding: str) -> None:
    Path("data").mkdir()
    Path(name).write_bytes(f"GROQ_API_KEY={SECRET}\nDASHBOARD_PASSWORD=contraseña\n".encode(encoding))
    line = refusal()
    assert name in line and "UTF-8" in line and SECRET not in line


def test_a_settings_file_that_cannot_be_read_is_named() -> None:
    Path("data/config.env").mkdir(parents=True)
    assert "config.env" in refusal()
    Path(".env").mkdir()
    assert ".env" in refusal()


def test_not_even_a_traceback_with_variables_shows_a_key() -> None:
    """What a program sees that uses Nanobot as a library, with loguru as it comes."""
    Path(".env").write_text(f"GROQ_API_KEY={SECRET}\nPORT=ocho\n", "utf-8")
    said: list[str] = []
    sink = logger.add(said.append, diagnose=True, backtrace=True)
    try:
        for content in (None, f"GROQ_API_KEY={SECRET}ñ\n".encode("latin-1")):
            if content:
                Path(".env").write_bytes(content)
            with pytest.raises(ConfigError) as caught:
                load_settings()
            logger.opt(exception=caught.value).error("no settings")
    finally:
        logger.remove(sink)
    assert "ConfigError" in said[0] and "ConfigError" in said[1] and SECRET not in "".join(said)


UNITS = {"SECONDS": "segundos", "MINUTES": "minutos", "DAYS": "días", "USD": "dólares",
         "CHARS": "caracteres", "TOKENS": "tokens", "PER_MINUTE": "por minuto"}  # fmt: skip


def test_the_example_explains_every_setting_and_shows_its_default() -> None:
    lines = (CODE_DIR / ".env.example").read_text("utf-8").splitlines()
    shown: dict[str, str] = {}
    for before, line in pairwise(lines):
        if found := re.fullmatch(r"(?:# )?([A-Z_]+)=(.*)", line):
            name, shown[name] = found.groups()
            assert re.match(r"# [^=]*\w.*", before) and not re.match(r"# [A-Z_]+=", before), f"{name}: no comment"
            for ending, unit in UNITS.items():
                assert unit in before.lower() or not name.endswith(ending), f"{name}: no unit"
    assert shown.keys() == {name.upper() for name in Settings.model_fields}
    plain = load_settings()
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in shown.items()), "utf-8")
    assert load_settings() == plain
    unset = {name for name, value in plain if value is None or value == []}
    assert {name.lower() for name, value in shown.items() if not value} == unset, "a default that is not shown"


def test_a_password_in_an_address_is_a_secret(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, local_llm_base_url="http://ana:clave-larga@localhost:11434/v1")
    assert "clave-larga" in settings.secrets()


def test_code_cloned_into_the_default_folder_gets_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr("app.config.CODE_DIR", tmp_path / "nanobot")
    settings = Settings(_env_file=None, data_dir=tmp_path / "data")  # pyright: ignore[reportCallIssue]
    assert settings.workspace_dir == tmp_path / "nanobot-datos"
    assert settings.projects_dirs == [tmp_path / "nanobot-datos" / "proyectos"]
    with pytest.raises(ConfigError, match="WORKSPACE_DIR"):
        load_settings(_env_file=None, data_dir=tmp_path / "data", workspace_dir=tmp_path / "nanobot" / "x")
