"""Who asks at the door: the password, the outside, and what a browser does to log in."""

from __future__ import annotations

import re

import httpx

from app.config import CONFIG_FILE
from app.web.configfile import read_config
from tests.web import Site

PASSWORD = "una contraseña larga"
OUTSIDE = "203.0.113.7"


async def token(browser: httpx.AsyncClient, page: str) -> str:
    """The form token of a page."""
    found = re.search(r'name="csrf" value="([\w-]+)"', (await browser.get(page)).text)
    assert found
    return found[1]


async def log_in(browser: httpx.AsyncClient, password: str = PASSWORD, after: str = "") -> httpx.Response:
    form = {"csrf": await token(browser, "/login"), "password": password, "a": after}
    return await browser.post("/login", data=form)


async def change(browser: httpx.AsyncClient, new: str, current: str = "", again: str = "") -> httpx.Response:
    csrf = await token(browser, "/configuracion")
    form = {"csrf": csrf, "current": current, "password": new, "again": again or new}
    return await browser.post("/configuracion/contrasena", data=form)


def stored_in(site: Site) -> dict[str, str]:
    return read_config(site.house.settings.data_dir / CONFIG_FILE)


async def make_token(browser: httpx.AsyncClient, name: str = "mi programa", scope: str = "leer") -> str:
    """Through the page, as a person does."""
    address = "/configuracion/accesos"
    form = {"csrf": await token(browser, address), "name": name, "scope": scope}
    made = await browser.post(address, data=form)
    found = re.search(r"nanobot_[0-9a-f]{12}_[\w-]{43}", made.text)
    assert found, made.text
    return found[0]
