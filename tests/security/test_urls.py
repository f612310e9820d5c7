"""The corpus of URLs, judged by what was really connected to: see urls/trial.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from app.safety.addresses import is_public
from tests.security.urls import corpus

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")

Trial = dict[str, Any]
STOPPED = ("DIRECT", "STRANGE", "OWN", "ANSWERS", "LEAKS")
# Where the plain client gets: what it cannot reach (multicast, a scoped address…) proves nothing about the guard.
REACHED = {"DIRECT": 170, "OWN": 12, "ANSWERS": 48, "REDIRECTS": 22, "LEAKS": 30}


@pytest.fixture(scope="module")
def outcome() -> dict[str, list[Trial]]:
    environment = {
        **os.environ,
        "SSL_CERT_FILE": str(ROOT / "tests/security/urls/site.crt"),
        "HTTP_PROXY": "http://10.1.2.3:8080", "HTTPS_PROXY": "http://10.1.2.3:8080", "ALL_PROXY": "http://10.1.2.3:8080",
        "http_proxy": "http://10.1.2.3:8080", "https_proxy": "http://10.1.2.3:8080",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.security.urls.trial"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=55, check=False)
    if done.stderr.startswith("no network namespace"):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def strays(trial: Trial) -> list[list[Any]]:
    """Connections that were not with the good site (or the one that starts with TLS) itself."""
    good = ([corpus.GOOD, 80, "publico.net"], [corpus.GOOD, 443, "docs.example.com"])
    return [call for call in trial["calls"] if call[:3] not in good]


@pytest.mark.parametrize("group", STOPPED)
def test_an_attack_reaches_nothing(outcome: dict[str, list[Trial]], group: str) -> None:
    for trial in outcome[group]:
        assert strays(trial) == [], trial
        assert trial["said"].startswith("refused: "), trial


def test_a_good_site_leads_nowhere_else(outcome: dict[str, list[Trial]]) -> None:
    for trial in outcome["REDIRECTS"]:
        assert strays(trial) == [], trial
    downgrade = outcome["REDIRECTS"][-1]
    assert (len(downgrade["calls"]), "https a http" in downgrade["said"]) == (1, True)


def test_a_secret_does_not_even_leave_as_a_name(outcome: dict[str, list[Trial]]) -> None:
    assert [trial for trial in outcome["LEAKS"] if trial["asked"] or trial["calls"]] == []


@pytest.mark.parametrize("group", ["DIRECT", "STRANGE"])
def test_a_bad_host_is_not_even_looked_up(outcome: dict[str, list[Trial]], group: str) -> None:
    assert [trial for trial in outcome[group] if trial["asked"]] == []


def test_a_name_that_turns_is_only_met_where_it_was_checked(outcome: dict[str, list[Trial]]) -> None:
    called = [call[0] for trial in outcome["REBINDING"] for call in trial["calls"]]
    assert called == [corpus.GOOD] * 2
    assert [trial["said"][:7] for trial in outcome["REBINDING"]] == ["text: h", "refused"] * 2


def test_ordinary_urls_arrive_at_their_own_site(outcome: dict[str, list[Trial]]) -> None:
    for trial in outcome["ORDINARY"]:
        assert trial["said"].startswith("text: h"), trial
        address, _, host, _, server_name = trial["calls"][-1]
        assert is_public(ip_address(address)), trial
        asked = urlsplit(trial["url"].strip())
        if len(trial["calls"]) == 1 and asked.netloc.isascii():
            name = (asked.hostname or "").rstrip(".")
            default = ":443" if asked.scheme == "https" else ":80"
            assert host == asked.netloc.lower().removesuffix(default).replace("0220:0001:0000::", "220:1::"), trial
            assert server_name == (name if asked.scheme == "https" and name[-1].isalpha() else ""), trial


def test_control_a_client_without_these_rules_gets_there(outcome: dict[str, list[Trial]]) -> None:
    reached = {group: sum(bool(_reached(trial, group)) for trial in outcome[f"{group} control"]) for group in REACHED}
    assert all(reached[group] >= least for group, least in REACHED.items()), reached


def test_figures(outcome: dict[str, list[Trial]], record_property: Callable[[str, str], None]) -> None:
    attacks = [trial for group in (*STOPPED, "REDIRECTS") for trial in outcome[group]]
    stopped = sum(not strays(trial) for trial in attacks)
    works = sum(trial["said"].startswith("text: ") for trial in outcome["ORDINARY"])
    reached = sum(bool(_reached(trial, group)) for group in REACHED for trial in outcome[f"{group} control"])
    figures = f"URLs: {stopped}/{len(attacks)} attacks stopped (a plain client lets {reached} through), "
    record_property("figures", f"{figures}{works}/{len(outcome['ORDINARY'])} ordinary ones work")
    assert len(attacks) + len(outcome["ORDINARY"]) >= 400


def _reached(trial: Trial, group: str) -> list[list[Any]]:
    """For a leak any call counts; a redirect with a mark of where it led."""
    return trial["calls"] if group == "LEAKS" else strays(trial)
