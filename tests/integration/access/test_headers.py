"""What every response says to a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.access import token
from tests.support import make_settings
from tests.web import Site, running_site


@pytest.mark.parametrize("path", ["/", "/static/base.css", "/api/status", "/api/sessions", "/nada", "/api/sessions/x"])
async def test_every_response_is_strict_about_what_a_browser_may_do(local: Site, path: str) -> None:
    async with local.browser() as browser:
        response = await browser.get(path)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["cache-control"] == ("no-cache" if path.startswith("/static") else "no-store")


async def test_pages_carry_no_inline_code_and_nothing_from_elsewhere(local: Site) -> None:
    async with local.browser() as browser:
        for path in ("/", "/sesiones", "/estado", "/configuracion", "/nada"):
            html = (await browser.get(path)).text
            assert not re.search(r"\son\w+=|style=|<style|javascript:", html), path
            scripts = re.findall(r"<script([^>]*)>", html)
            assert all("src=" in script or "application/json" in script for script in scripts), path
            assert not re.search(r'(?:src|href)="(?:https?:)?//[^"]*"(?! rel="noopener)', html), path


async def test_a_key_saved_in_the_dashboard_is_hidden_at_once(tmp_path: Path) -> None:
    async with running_site(make_settings(tmp_path)) as site, site.browser() as browser:
        form = {"GROQ_API_KEY": "clave-nueva-0123456789", "csrf": await token(browser, "/configuracion")}
        assert (await browser.post("/configuracion", data=form)).status_code == 303
        assert "clave-nueva" not in site.house.parts.machine.redactor.redact("la clave-nueva-0123456789 es")
