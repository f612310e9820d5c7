"""Settings: environment > .env > DATA_DIR/config.env. Every limit carries its unit in its description."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.core import texts
from app.core.errors import ConfigError
from app.envfile import EnvFile
from app.sites import DEFAULT_SITES, is_site
from app.urls import is_host, is_http_url

CODE_DIR = Path(__file__).resolve().parent.parent
CONFIG_FILE = "config.env"
_ENV_FILE = Path(".env")

_is_key = re.compile(r"[!-~]+").fullmatch  # what an HTTP header can carry
_has_control = re.compile(r"[\x00-\x1f\x7f]").search
_Value = TypeVar("_Value", str, SecretStr)


def _must(fits: Callable[[str], object], problem: str) -> AfterValidator:
    """`problem` is the rest of a sentence that begins with the variable's name."""

    def check(value: _Value) -> _Value:
        if not fits(value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise ValueError(problem)
        return value

    return AfterValidator(check)


def _stripped(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _is_timezone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        return False


_Model = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Host = Annotated[str, _must(is_host, texts.MUST_BE_HOST)]
_Site = Annotated[str, _must(is_site, texts.MUST_BE_SITES)]
_Url = Annotated[str, _must(is_http_url, texts.MUST_BE_URL), AfterValidator(lambda url: url.rstrip("/"))]
_Zone = Annotated[str, _must(_is_timezone, texts.MUST_BE_TIMEZONE)]
_Key = Annotated[SecretStr, BeforeValidator(_stripped), _must(_is_key, texts.MUST_BE_KEY)]
_Password = Annotated[SecretStr, _must(str.isprintable, texts.MUST_BE_PASSWORD)]
_UserId = Annotated[int, Field(gt=0, lt=2**52)]  # Telegram promises at most 52 bits; groups have negative ids


def _split(value: object, pattern: str) -> object:
    return [part.strip() for part in re.split(pattern, value) if part.strip()] if isinstance(value, str) else value


_COMMAS = BeforeValidator(lambda value: _split(value, r"[,\s]+"))


def _home() -> Path:
    """~/nanobot; a folder beside it when the code itself was cloned there."""
    home = Path("~/nanobot")
    try:
        real = home.expanduser().resolve()
    except (RuntimeError, OSError):
        return home  # its validator says why
    return Path("~/nanobot-datos") if real == CODE_DIR or CODE_DIR in real.parents else home


def _folder(path: Path) -> Path:
    """Absolute, links resolved. Raises ValueError with the rest of the sentence."""
    if _has_control(str(path)):
        raise ValueError(texts.CONTROL_IN_PATH)
    try:
        folder = path.expanduser().resolve()
        is_file = folder.exists() and not folder.is_dir()
    except RuntimeError:  # ~nobody, or links that go round
        raise ValueError(texts.MUST_BE_PATH) from None
    except OSError as error:
        raise ValueError(texts.unusable_folder(error.strerror or "")) from None
    if is_file:
        raise ValueError(texts.folder_is_a_file(path))
    return folder


class Settings(BaseSettings):
    """Raises ConfigError (through load_settings) with one Spanish line that names the variable."""

    model_config = SettingsConfigDict(
        env_file=(),  # .env is read below, see EnvFile; _env_file=None leaves it out
        env_ignore_empty=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True, allow_inf_nan=False,
    )  # fmt: skip

    # Telegram
    telegram_token: _Key | None = Field(None, validation_alias=AliasChoices("telegram_token", "telegram_bot_token"))
    telegram_user_id: _UserId | None = None
    telegram_allowed_users: Annotated[list[_UserId], NoDecode, _COMMAS] = Field(default_factory=list[int])
    telegram_guests: Annotated[list[_UserId], NoDecode, _COMMAS] = Field(default_factory=list[int])
    telegram_api_base_url: _Url = "https://api.telegram.org"
    telegram_mode: Literal["auto", "polling", "webhook"] = "auto"
    public_url: _Url | None = None

    # Models
    groq_api_key: _Key | None = None
    groq_model: _Model = "openai/gpt-oss-120b"
    groq_fallback_models: Annotated[list[_Model], NoDecode, _COMMAS] = Field(["openai/gpt-oss-20b"])
    groq_base_url: _Url = "https://api.groq.com"
    anthropic_api_key: _Key | None = None
    anthropic_model: _Model = "claude-haiku-5-5"
    anthropic_fallback_models: Annotated[list[_Model], NoDecode, _COMMAS] = Field(default_factory=list[str])
    anthropic_base_url: _Url = "https://api.anthropic.com"
    local_llm_base_url: _Url | None = None
    local_llm_model: _Model = "default"
    provider_order: Annotated[list[str], NoDecode, _COMMAS] = Field(
        default_factory=lambda: ["groq", "anthropic", "local"]
    )
    ask_before_paid: bool = False
    daily_budget_usd: float = Field(1.0, ge=0)
    max_output_tokens: int = Field(4096, ge=256, le=64_000)
    first_token_seconds: float = Field(30, gt=0, description="s without a first token before the next try")
    stall_seconds: float = Field(20, gt=0, description="s without a byte in the middle of a stream")

    # Folders
    data_dir: Path = Path("data")
    workspace_dir: Path = Field(default_factory=_home)
    projects_dirs: Annotated[list[Path], NoDecode] = Field(default_factory=lambda: [_home() / "proyectos"])

    # Limits of a turn and of its tools
    approvals: Literal["siempre", "riesgo", "nunca"] = "riesgo"
    approval_minutes: float = Field(60, gt=0)
    turn_seconds: float = Field(600, gt=0)
    turn_max_steps: int = Field(25, ge=1)
    turn_max_tool_calls: int = Field(60, ge=1)
    turn_budget_usd: float = Field(0.5, ge=0)
    sandbox: Literal["auto", "bubblewrap", "landlock", "ninguno"] = "auto"
    allow_unconfined_shell: bool = False
    network_hosts: Annotated[list[_Site], NoDecode, _COMMAS] = Field(default_factory=lambda: list(DEFAULT_SITES))
    tool_seconds: float = Field(60, gt=0)
    tool_output_chars: int = Field(12_000, ge=1_000)
    tools_per_minute: int = Field(60, ge=1, description="calls of one user")
    messages_per_minute: int = Field(30, ge=1, description="answers to one user; what comes faster waits")
    user_daily_budget_usd: float | None = Field(None, ge=0, description="of each user; None: the global one alone")
    guest_messages_per_minute: int = Field(6, ge=1)
    guest_tools_per_minute: int = Field(20, ge=1)
    guest_daily_budget_usd: float = Field(0.1, ge=0, description="of each guest, within the global one")

    # Server
    timezone: _Zone = "UTC"
    host: _Host = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    environment: Literal["development", "production", "test"] = "development"
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    dashboard_password: _Password | None = None
    session_retention_days: int | None = Field(None, ge=1)

    # Undo
    undo_days: int = Field(14, ge=0, description="days; 0 keeps nothing")
    undo_max_mb: int = Field(2_000, ge=10, description="on disk, of all projects together")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        given = cast("DotEnvSettingsSource", dotenv_settings).env_file
        path = Path(given) if isinstance(given, str | Path) else _ENV_FILE
        local = EnvFile(settings_cls, None if given is None else path)
        data_dir = (local() | env_settings() | init_settings()).get("data_dir", "data")
        try:
            config = _folder(Path(str(data_dir))) / CONFIG_FILE
        except ValueError:  # its own validator says so
            config = None
        host = InitSettingsSource(settings_cls, {"public_url": os.environ.get("RENDER_EXTERNAL_URL") or None})
        return init_settings, env_settings, local, EnvFile(settings_cls, config), host

    @field_validator("telegram_guests")
    @classmethod
    def _no_owner_among_guests(cls, value: list[int], info: ValidationInfo) -> list[int]:
        owners = {info.data.get("telegram_user_id"), *info.data.get("telegram_allowed_users", [])}
        if owners & set(value):
            raise ValueError(texts.GUEST_IS_OWNER)
        return value

    @field_validator("projects_dirs", mode="before")
    @classmethod
    def _path_list(cls, value: object) -> object:
        return _split(value, ";")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("provider_order")
    @classmethod
    def _known_providers(cls, value: list[str]) -> list[str]:
        if not value or set(value) - {"groq", "anthropic", "local"}:
            raise ValueError(texts.MUST_BE_PROVIDERS)
        return value

    @field_validator("data_dir", "workspace_dir", "projects_dirs")
    @classmethod
    def _absolute(cls, value: Path | list[Path]) -> Path | list[Path]:
        if isinstance(value, list):
            return [_folder(path) for path in value]
        return _folder(value)

    @field_validator("workspace_dir", "projects_dirs")
    @classmethod
    def _outside_the_code(cls, value: Path | list[Path]) -> Path | list[Path]:
        # uvicorn --reload would restart the server when the agent edits a .py file; git would find our repository
        for path in value if isinstance(value, list) else [value]:
            if path == CODE_DIR or CODE_DIR in path.parents:
                raise ValueError(texts.folder_below_code(CODE_DIR))
        return value

    @field_validator("projects_dirs")
    @classmethod
    def _some_project_root(cls, value: list[Path]) -> list[Path]:
        if not value:
            raise ValueError(texts.NO_PROJECTS_DIRS)
        return value

    @field_validator("data_dir")
    @classmethod
    def _not_around_the_code(cls, value: Path) -> Path:
        # it is closed to other users, and masked: neither should happen to /, /opt or the code itself
        if value == CODE_DIR or value in CODE_DIR.parents:
            raise ValueError(texts.data_around_code(CODE_DIR))
        return value

    @property
    def sessions_dir(self) -> Path:
        return self.data_dir / "sessions"

    @property
    def owners(self) -> frozenset[int]:
        """The Telegram users who may do everything. Nobody else but `telegram_guests` may write at all."""
        owner = [self.telegram_user_id] if self.telegram_user_id else []
        return frozenset(owner + self.telegram_allowed_users)

    def secrets(self) -> list[str]:
        """The values that may never appear in a log, an answer or a file."""
        values = [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]
        values += [urlsplit(str(value)).password or "" for name, value in self if value and name.endswith("_url")]
        return [value for value in values if len(value) >= 4]


def load_settings(**values: Any) -> Settings:
    """Raises ConfigError with one Spanish line that names the malformed variable, never its value."""
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        details = cast("dict[str, object]", first.get("ctx", {}))
        raise ConfigError(texts.bad_setting(str(first["loc"][0]).upper(), first["type"], details)) from None


def fixed_by_environment(settings: Settings) -> frozenset[str]:
    """Names (lower case) that the environment or .env set: the dashboard shows them locked. Raises ConfigError."""
    kind = type(settings)
    return frozenset(EnvSettingsSource(kind)() | EnvFile(kind, _ENV_FILE)())
