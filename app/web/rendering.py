"""Jinja2 pages. Everything is escaped; no page carries a script or a style of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from app.core import texts, texts_web
from app.web import csrf
from app.web.access import Access

HERE = Path(__file__).resolve().parent
_URL = re.compile(r"https://[^\s<>\"']+[^\s<>\"'.,;:)]")


def page(request: HTTPConnection, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Every page knows who looks (`trusted`), where (`path`) and how to get out (`mode`), and has a form token."""
    access = cast("Access", request.app.state.web.access)
    token, caller = csrf.token(request), request.state.caller
    text = (
        environment()
        .get_template(template)
        .render(
            values,
            path=request.scope["path"],
            mode=access.mode,
            trusted=request.state.trusted,
            csrf=token,
            page_token=access.page_token(caller) if caller else "",
            texts=texts_web,
        )
    )
    response = HTMLResponse(text, status)
    csrf.remember(request, response, token, secure=access.hosts.is_https(request))
    return response


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast("dict[str, Callable[..., object]]", made.filters)  # pyright: ignore[reportUnknownMemberType]
    filters |= {"size": texts_web.size, "money": texts_web.money, "moment": moment, "iso": iso, "links": links}
    filters |= {"pause": texts.pause_length, "provider": texts.provider_label}
    return made


def moment(timestamp: float, zone: ZoneInfo) -> str:
    return texts_web.moment(datetime.fromtimestamp(timestamp, zone))


def iso(timestamp: float, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(timestamp, zone).isoformat(timespec="seconds")


def links(text: str) -> Markup:
    """Our own sentences, with their https addresses made clickable."""
    link = Markup('<a href="{0}" rel="noopener noreferrer" target="_blank">{0}</a>')
    parts: list[Markup] = []
    end = 0
    for match in _URL.finditer(text):
        parts += [escape(text[end : match.start()]), link.format(match[0])]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])
