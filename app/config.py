"""Settings: environment > .env > DATA_DIR/config.env. Every limit carries its unit in its description."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

from dotenv import dotenv_values
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.core import texts
from app.core.errors import ConfigError

CODE_DIR = Path(__file__).resolve().parent.parent
CONFIG_FILE = "config.env"


def _split(value: object, pattern: str) -> object:
    return [part.strip() for part in re.split(pattern, value) if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Raises ConfigError (through load_settings) with one Spanish line that names the variable."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore",
        populate_by_name=True, hide_input_in_errors=True,
    )  # fmt: skip

    # Telegram
    telegram_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("telegram_token", "telegram_bot_token")
    )
    telegram_user_id: int | None = Field(None, gt=0)
    telegram_allowed_users: Annotated[list[int], NoDecode] = Field(default_factory=list[int])
    telegram_api_base_url: str = "https://api.telegram.org"
    telegram_mode: Literal["auto", "polling", "webhook"] = "auto"
    public_url: str | None = None

    # Models
    groq_api_key: SecretStr | None = None
    groq_model: str = "openai/gpt-oss-120b"
    groq_fallback_models: Annotated[list[str], NoDecode] = Field(default_factory=lambda: ["openai/gpt-oss-20b"])
    groq_base_url: str = "https://api.groq.com"
    anthropic_api_key: SecretStr | None = None
    anthropic_model: str = "claude-haiku-5-5"
    anthropic_fallback_models: Annotated[list[str], NoDecode] = Field(default_factory=list[str])
    anthropic_base_url: str = "https://api.anthropic.com"
    local_llm_base_url: str | None = None
    local_llm_model: str = "default"
    provider_order: Annotated[list[str], NoDecode] = Field(default_factory=lambda: ["groq", "anthropic", "local"])
    ask_before_paid: bool = False
    daily_budget_usd: float = Field(1.0, ge=0)
    max_output_tokens: int = Field(4096, ge=256, le=64_000)
    first_token_seconds: float = Field(30, gt=0, description="s without a first token before the next try")
    stall_seconds: float = Field(20, gt=0, description="s without a byte in the middle of a stream")

    # Folders
    data_dir: Path = Path("data")
    workspace_dir: Path = Path("~/nanobot")
    projects_dirs: Annotated[list[Path], NoDecode] = Field(default_factory=lambda: [Path("~/nanobot/proyectos")])

    # Limits of a turn and of its tools
    approvals: Literal["siempre", "riesgo", "nunca"] = "riesgo"
    approval_minutes: float = Field(60, gt=0)
    turn_seconds: float = Field(600, gt=0)
    turn_max_steps: int = Field(25, ge=1)
    turn_max_tool_calls: int = Field(60, ge=1)
    turn_budget_usd: float = Field(0.5, ge=0)
    tool_seconds: float = Field(60, gt=0)
    tool_output_chars: int = Field(12_000, ge=1_000)
    tools_per_minute: int = Field(60, ge=1)

    # Server
    timezone: str = "UTC"
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    environment: Literal["development", "production", "test"] = "development"
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    dashboard_password: SecretStr | None = None
    session_retention_days: int | None = Field(None, ge=1)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        data_dir = (init_settings() | dotenv_settings() | env_settings()).get("data_dir", "data")
        stored = DotEnvSettingsSource(settings_cls, env_file=Path(str(data_dir)).expanduser() / CONFIG_FILE)
        return init_settings, env_settings, dotenv_settings, stored

    @field_validator(
        "telegram_allowed_users",
        "groq_fallback_models",
        "anthropic_fallback_models",
        "provider_order",
        mode="before",
    )
    @classmethod
    def _comma_list(cls, value: object) -> object:
        return _split(value, r"[,\s]+")

    @field_validator("projects_dirs", mode="before")
    @classmethod
    def _path_list(cls, value: object) -> object:
        return _split(value, r"[;\n]")

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("groq_base_url", "anthropic_base_url", "local_llm_base_url", "telegram_api_base_url", "public_url")
    @classmethod
    def _http_url(cls, value: str | None) -> str | None:
        if value is not None and not re.match(r"https?://[^/\s]+", value):
            raise ValueError(texts.MUST_BE_URL)
        return value.rstrip("/") if value else None

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(texts.MUST_BE_TIMEZONE) from None
        return value

    @field_validator("provider_order")
    @classmethod
    def _known_providers(cls, value: list[str]) -> list[str]:
        if unknown := set(value) - {"groq", "anthropic", "local"}:
            raise ValueError(texts.unknown_providers(sorted(unknown)))
        return value

    @field_validator("data_dir", "workspace_dir", "projects_dirs")
    @classmethod
    def _absolute(cls, value: Path | list[Path]) -> Path | list[Path]:
        if isinstance(value, list):
            return [p.expanduser().resolve() for p in value]
        return value.expanduser().resolve()

    @field_validator("workspace_dir", "projects_dirs")
    @classmethod
    def _outside_the_code(cls, value: Path | list[Path]) -> Path | list[Path]:
        # uvicorn --reload would restart the server when the agent edits a .py file; git would find our repository
        for path in value if isinstance(value, list) else [value]:
            if path == CODE_DIR or CODE_DIR in path.parents:
                raise ValueError(texts.folder_below_code(path))
        return value

    @model_validator(mode="after")
    def _some_project_root(self) -> Settings:
        if not self.projects_dirs:
            raise ValueError(texts.NO_PROJECTS_DIRS)
        return self

    @property
    def sessions_dir(self) -> Path:
        return self.data_dir / "sessions"

    @property
    def owners(self) -> frozenset[int]:
        """Every Telegram user who may write; empty means nobody."""
        owner = [self.telegram_user_id] if self.telegram_user_id else []
        return frozenset(owner + self.telegram_allowed_users)

    def secrets(self) -> list[str]:
        """The values that may never appear in a log, an answer or a file."""
        values = [value for _, value in self if isinstance(value, SecretStr)]
        return [v for s in values if len(v := s.get_secret_value()) >= 4]


def load_settings(**values: Any) -> Settings:
    """Raises ConfigError with one Spanish line that names the malformed variable, never its value."""
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "PROJECTS_DIRS"
        raise ConfigError(
            texts.bad_setting(name, first["type"], cast("dict[str, object]", first.get("ctx", {})))
        ) from None


def fixed_by_environment(settings: Settings) -> frozenset[str]:
    """Names (lower case) that the environment or .env set: the dashboard shows them locked."""
    import os

    stored = set(dotenv_values(settings.data_dir / CONFIG_FILE))
    names = {name for name in Settings.model_fields if os.environ.get(name.upper())}
    names |= {name.lower() for name, value in dotenv_values(".env").items() if value}
    if "telegram_bot_token" in names or os.environ.get("TELEGRAM_BOT_TOKEN"):
        names.add("telegram_token")
    return frozenset(names) - {name.lower() for name in stored if name.lower() not in names}
