"""/configuracion: what may be set from the browser. A stored secret is never shown again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from pydantic import SecretStr
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from app.config import CONFIG_FILE, Settings, fixed_by_environment, load_settings
from app.core import texts_web
from app.core.errors import ConfigError
from app.web.configfile import quoted, read_config, update_config
from app.web.csrf import CheckedForm
from app.web.login_pages import too_many
from app.web.parts import AccessHere, PartsHere, WebParts
from app.web.passwords import LONGEST, SHORTEST, unfit
from app.web.rendering import page

PASSWORD = "DASHBOARD_PASSWORD"  # noqa: S105
_is_key = re.compile(r"[!-~]{8,400}").fullmatch
_is_token = re.compile(r"[0-9]{3,20}:[\w-]{20,100}", re.ASCII).fullmatch


@dataclass(frozen=True)
class Field:
    """`fits` is stricter than Settings; `problem` says in Spanish what the value should be."""

    variable: str
    fits: Callable[[str], object] = bool
    problem: str = ""
    secret: bool = False
    keyboard: str = "text"  # what a phone shows

    @property
    def name(self) -> str:
        return self.variable.lower()


FIELDS = (
    Field("GROQ_API_KEY", _is_key, texts_web.NOT_A_KEY, secret=True),
    Field("GROQ_MODEL"),
    Field("ANTHROPIC_API_KEY", _is_key, texts_web.NOT_A_KEY, secret=True),
    Field("ANTHROPIC_MODEL"),
    Field("LOCAL_LLM_BASE_URL", keyboard="url"),
    Field("LOCAL_LLM_MODEL"),
    Field("DAILY_BUDGET_USD", keyboard="decimal"),
    Field("TELEGRAM_TOKEN", _is_token, texts_web.NOT_A_TOKEN, secret=True),
    Field("TELEGRAM_USER_ID", keyboard="numeric"),
    Field("TIMEZONE"),
)


@dataclass(frozen=True)
class FieldState:
    """`state`: locked (the environment or .env says it) | stored (here) | empty. `value`: what may be shown of it."""

    field: Field
    state: str
    value: str = ""
    default: str = ""
    hidden: bool = False
    error: str = ""


router = APIRouter(include_in_schema=False)


@router.get("/configuracion")
async def show(request: Request, parts: PartsHere, guardado: str = "") -> Response:
    return await _page(request, parts, saved=guardado)


@router.post("/configuracion", dependencies=[CheckedForm])
async def save(request: Request, parts: PartsHere) -> Response:
    """A secret left empty stays as it is; `quitar` removes what is stored. One wrong value, and nothing is written."""
    form = await request.form()
    fields = await asyncio.to_thread(_fields, parts.settings)
    given = {state.field.variable: value for state in fields if (value := _given(state, form)) is not None}
    checked = await asyncio.to_thread(_checked, fields, given, parts.settings)
    if any(state.error for state in checked):
        return await _page(request, parts, 422, fields=checked)
    parts.redactor.add(given[state.field.variable] for state in fields if state.field.secret and _is_new(state, given))
    await asyncio.to_thread(update_config, parts.settings.data_dir / CONFIG_FILE, given)
    return RedirectResponse("/configuracion?guardado=ajustes", 303)


@router.post("/configuracion/contrasena", dependencies=[CheckedForm])
async def change_password(
    request: Request,
    parts: PartsHere,
    access: AccessHere,
    current: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    """In force at once: every other browser is out."""
    if await asyncio.to_thread(_password_is_fixed, parts.settings):
        raise HTTPException(409, texts_web.PASSWORD_IS_FIXED)
    if problem := unfit(password, again):
        return await _page(request, parts, 422, password_error=problem)
    if access.mode == "password":
        guesser, stranger = access.guesser(request)
        if wait := access.attempts.wait(guesser, stranger=stranger):
            error = texts_web.too_many_attempts(wait)
            return too_many(await _page(request, parts, 429, password_error=error), wait)
        if not await access.check_password(current):
            return await _page(request, parts, 403, password_error=texts_web.WRONG_PASSWORD)
        access.attempts.forgive(guesser)
    await access.change_password(password)
    parts.redactor.add([password])
    response = RedirectResponse("/configuracion?guardado=contrasena", 303)
    await access.log_in(request, response)
    return response


async def _page(request: Request, parts: WebParts, status: int = 200, **shown: object) -> Response:
    if "fields" not in shown:
        shown["fields"] = await asyncio.to_thread(_fields, parts.settings)
    fixed = await asyncio.to_thread(_password_is_fixed, parts.settings)
    always = {"password_fixed": fixed, "shortest": SHORTEST, "longest": LONGEST}
    return page(request, "settings.html", status, **({"saved": "", "password_error": ""} | always | shown))


def _fields(settings: Settings) -> list[FieldState]:
    """Blocks: reads .env and config.env."""
    fixed = fixed_by_environment(settings)
    stored = read_config(settings.data_dir / CONFIG_FILE)
    return [_field(field, settings, fixed, stored.get(field.variable, "")) for field in FIELDS]


def _field(field: Field, settings: Settings, fixed: frozenset[str], stored: str) -> FieldState:
    state = "locked" if field.name in fixed else "stored" if stored else "empty"
    value = _text(getattr(settings, field.name)) if state == "locked" else stored
    hidden = field.secret or "@" in value  # an address may carry a user and a password
    default = _text(Settings.model_fields[field.name].default)
    return FieldState(field, state, "" if hidden else value, default, hidden)


def _text(value: object) -> str:
    if value is None or isinstance(value, SecretStr):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _is_new(state: FieldState, given: dict[str, str]) -> bool:
    return bool(given.get(state.field.variable))


def _given(state: FieldState, form: FormData) -> str | None:
    """What is to be stored, '' to remove it; None when it stays as it is."""
    variable = state.field.variable
    if state.state == "locked":
        return None
    if value := str(form.get(variable, "")).strip():
        return value
    removed = variable in form.getlist("quitar") or (variable in form and not state.hidden)
    return "" if removed else None


def _checked(fields: list[FieldState], given: dict[str, str], settings: Settings) -> list[FieldState]:
    """With what was typed, unless it is secret, and what is wrong with it."""
    return [_with(state, given.get(state.field.variable), settings) for state in fields]


def _with(state: FieldState, value: str | None, settings: Settings) -> FieldState:
    if value is None:
        return state
    error = _problem(state.field, value, settings) if value else ""
    return replace(state, value="" if state.hidden or "@" in value else value, error=error)


def _problem(field: Field, value: str, settings: Settings) -> str:
    """By the real Settings: those in force, with this one value."""
    if not field.fits(value):
        return field.problem
    try:
        quoted(field.variable, value)
        load_settings(**(dict(settings) | {field.name: value}))
    except ConfigError as error:
        return str(error)
    return ""


def _password_is_fixed(settings: Settings) -> bool:
    return PASSWORD.lower() in fixed_by_environment(settings)
