"""/configuracion: what may be set from the browser. A stored value is never shown again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from app.config import CONFIG_FILE, Settings, fixed_by_environment
from app.core import texts_web
from app.web.configfile import read_config, update_config
from app.web.csrf import CheckedForm
from app.web.parts import PartsHere
from app.web.rendering import page

_is_key = re.compile(r"[!-~]{8,400}").fullmatch
_is_number = re.compile(r"[1-9][0-9]{0,18}").fullmatch


@dataclass(frozen=True)
class Field:
    """`valid` judges what the user typed; `problem` says in Spanish what it should be."""

    variable: str
    valid: Callable[[str], object]
    problem: str
    secret: bool = True


FIELDS = (
    Field("GROQ_API_KEY", _is_key, texts_web.NOT_A_KEY),
    Field("ANTHROPIC_API_KEY", _is_key, texts_web.NOT_A_KEY),
    Field("TELEGRAM_TOKEN", re.compile(r"[0-9]{3,20}:[\w-]{20,100}", re.ASCII).fullmatch, texts_web.NOT_A_TOKEN),
    Field("TELEGRAM_USER_ID", _is_number, texts_web.NOT_A_USER_ID, secret=False),
)


@dataclass(frozen=True)
class FieldState:
    """`state`: locked (the environment or .env says it) | stored (here) | empty."""

    field: Field
    state: str
    error: str = ""


router = APIRouter(include_in_schema=False)


@router.get("/configuracion")
async def show(request: Request, parts: PartsHere, guardado: bool = False) -> Response:
    fields = await asyncio.to_thread(_fields, parts.settings)
    return page(request, "settings.html", fields=fields, saved=guardado)


@router.post("/configuracion", dependencies=[CheckedForm])
async def save(request: Request, parts: PartsHere) -> Response:
    """A field left empty stays as it is; `quitar` removes what is stored."""
    form = await request.form()
    given = {field.variable: str(form.get(field.variable, "")).strip() for field in FIELDS}
    fields = await asyncio.to_thread(_fields, parts.settings)
    checked = [_checked(state, given[state.field.variable]) for state in fields]
    if any(state.error for state in checked):
        return page(request, "settings.html", 422, fields=checked, saved=False)
    removed = {str(name) for name in form.getlist("quitar")}
    open_fields = [state.field.variable for state in fields if state.state != "locked"]
    changes = {name: given[name] for name in open_fields if given[name] or name in removed}
    await asyncio.to_thread(update_config, parts.settings.data_dir / CONFIG_FILE, changes)
    return RedirectResponse("/configuracion?guardado=1", 303)


def _fields(settings: Settings) -> list[FieldState]:
    """Blocks: reads .env and config.env."""
    fixed = fixed_by_environment(settings)
    stored = read_config(settings.data_dir / CONFIG_FILE)
    return [FieldState(field, _state(field.variable, fixed, stored)) for field in FIELDS]


def _state(variable: str, fixed: frozenset[str], stored: dict[str, str]) -> str:
    if variable.lower() in fixed:
        return "locked"
    return "stored" if variable in stored else "empty"


def _checked(state: FieldState, value: str) -> FieldState:
    wrong = bool(value) and state.state != "locked" and not state.field.valid(value)
    return FieldState(state.field, state.state, state.field.problem if wrong else "")
