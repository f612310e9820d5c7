"""Tools with network: what asks, what a command gets then, and what its report says. On real confinement."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from app.assembly import build_machine, guest_machines
from app.core import network
from app.core.contracts import Grant, ModelRequest, Network, RunLimits
from app.core.errors import ConfigError, SandboxError, ToolError
from app.core.gates import build_handler, invoke
from app.core.machine import ToolLimits, machine, use_folder, use_machine
from app.core.messages import ToolCall
from app.core.toolkit import Risk, Toolbox
from app.core.tools import ALL_TOOLS, execute_shell, git_operation
from app.safety.elsewhere import ElsewhereBackend
from app.safety.ground import Ground
from app.safety.network import FilteredNetwork
from app.safety.verdict import Kind, Verdict
from app.sites import DEFAULT_SITES
from tests.fakes.brain import ScriptedBrain, calls, text
from tests.fakes.channel import FakeChannel
from tests.fakes.internet import Internet, internet
from tests.support import CHAT, make_settings, running_house, until

linux = pytest.mark.skipif(sys.platform != "linux", reason="confined with a proxy on a Unix socket")
SESSION = "telegram_42"
HOSTS = ("example.com", "*.example.org")


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Internet]:
    """The tools of this task have it for their internet, confined by whatever holds here."""
    async with internet(tmp_path / "servidor") as sites:
        here = build_machine(make_settings(tmp_path, sandbox="auto"))
        await here.sandbox.ready()
        assert here.sandbox.confined
        use_machine(replace(here, network=sites.network(*HOSTS)))
        use_folder(tmp_path / "home/proyectos")
        yield sites
    use_folder(None)


# ---------------------------------------------------------------- asking


@linux
async def test_a_command_with_network_asks_and_one_without_does_not(tmp_path: Path) -> None:
    way = "echo por:$http_proxy >> via.txt; tail -1 via.txt"
    free, granted = ("execute_shell", {"command": way}), ("execute_shell", {"command": way, "network": True})
    brain, channel = ScriptedBrain(calls(free), calls(granted), calls(granted), text("listo")), FakeChannel()
    async with running_house(make_settings(tmp_path, sandbox="auto"), brain, channel) as house:
        await house.inbox.message(SESSION, "hazlo", "42", reply_to=CHAT)
        [first] = await channel.wait_for(1)
        assert "usa la red" in first.text and "Con red, solo hasta github.com, " in first.text
        assert "network:" not in first.text
        assert said(brain.requests[-1]) == "por:"
        await house.inbox.decision(SESSION, int(first.choices[0].data.split("|")[2]), "deny", "42")
        second = (await channel.wait_for(2))[1]
        assert "ha rechazado" in said(brain.requests[-1])
        await house.inbox.decision(SESSION, int(second.choices[0].data.split("|")[2]), "allow", "42")
        await channel.wait_for(3)
        assert "\npor:http://127.0.0.1:" in brain.requests[-1].messages[-1].content  # framed as text from outside


def said(request: ModelRequest) -> str:
    return request.messages[-1].content.partition("\n[")[0]


@pytest.mark.parametrize(
    ("command", "without", "asked"),
    [
        ("ls", Risk.READ, Risk.NETWORK),
        ("pip install x", Risk.EXECUTE, Risk.NETWORK),
        ("git add .", Risk.WRITE, Risk.NETWORK),
        ("git fetch", Risk.NETWORK, Risk.NETWORK),
        ("git push", Risk.OUTSIDE, Risk.OUTSIDE),
        ("git reset --hard", Risk.DESTRUCTIVE, Risk.DESTRUCTIVE),
    ],
)
def test_the_risk_is_at_least_the_network(tmp_path: Path, command: str, without: Risk, asked: Risk) -> None:
    use_machine(build_machine(make_settings(tmp_path)))
    folder = tmp_path / "home/proyectos"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    use_folder(folder)
    risk = Toolbox(ALL_TOOLS).get("execute_shell").risk_of
    assert (risk({"command": command, "network": False}), risk({"command": command})) == (without, without)
    assert risk({"command": command, "network": True}) is asked
    use_folder(None)


# ---------------------------------------------------------------- what it gets


@linux
async def test_only_what_asks_for_it_has_a_network(sites: Internet) -> None:
    command = f"curl -sS -m 5 http://example.com:{sites.plain}/"
    assert (await execute_shell(command, network=True)).startswith("hola\n[código de salida 0")
    assert sites.visits == ["GET example.com/"]
    report = await execute_shell(command)
    assert "hola" not in report and len(sites.visits) == 1
    assert "[Esta orden no tenía red. Si la necesita, repítela con network=true.]" in report
    assert "no tenía red" not in await execute_shell(f"{command} || true")


@linux
async def test_what_was_refused_is_told(sites: Internet) -> None:
    urls = " ".join(f"http://{name}:{sites.plain}/" for name in ("otro.com", "otro.com", "example.com"))
    report = await execute_shell(f"curl -sS {urls} -o /dev/null -o /dev/null -o /dev/null", network=True)
    *_, told, last = report.splitlines()
    assert told == "[La red no permitió: «otro.com» (no está en NETWORK_HOSTS).]"
    assert last.startswith("[código de salida 0")
    many = " ".join(f"http://otro{n}.com/" for n in range(9))
    lines = (await execute_shell(f"curl -s {many} >/dev/null", network=True)).splitlines()
    assert [line[:25] for line in lines].count("[La red no permitió: «otr") == 5
    assert lines[-2] == "[… y 4 sitios más]"


@linux
async def test_a_long_report_keeps_what_was_refused(sites: Internet) -> None:
    box, handler = Toolbox(ALL_TOOLS), build_handler([])
    here = build_machine(make_settings(sites.repositories.parent, sandbox="auto", tool_output_chars=1_000))
    here = replace(here, network=sites.network(*HOSTS))
    use_machine(here)
    urls = " ".join(f"http://{'otro' * 10}{n}.com/" for n in range(5))
    arguments = f'{{"command": "curl -s {urls} >/dev/null; seq 9999", "network": true}}'
    result = await invoke(handler, box, here, ToolCall(id="1", name="execute_shell", arguments=arguments))
    assert len(result.content) <= 1_000
    assert result.content.count("[La red no permitió: «otrootro") == 5 and result.content.count("omitidos") == 1


@linux
async def test_git_goes_through_by_itself(sites: Internet) -> None:
    bare = sites.repositories / "x.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    url = f"http://example.com:{sites.plain}/git/x.git"
    assert "código de salida 0" in await git_operation(f"clone -q {url} copia")
    steps = (
        "-c user.name=a -c user.email=a@b commit --allow-empty -qm uno",
        "push -q origin HEAD:main",
        "fetch",
        "ls-remote",
    )
    for step in steps:
        assert "código de salida 0" in await git_operation(f"-C copia {step}"), step
    log = subprocess.run(
        ["git", "-C", str(bare), "log", "--format=%s", "main"], capture_output=True, text=True, check=True
    )
    assert log.stdout == "uno\n"
    assert "código de salida 0" in await execute_shell("git -C copia pull -q --ff-only")
    assert "código de salida 0" in await execute_shell(f"git clone -q {url} otra && ls otra", network=True)
    visits = len(sites.visits)
    assert "no tenía red" in await execute_shell(f"git clone -q {url} tercera; exit 1")
    assert len(sites.visits) == visits


@linux
@pytest.mark.parametrize("address", ["git@github.com:ana/x.git", "ssh://git@github.com/ana/x.git"])
async def test_ssh_is_refused_with_the_way_that_works(sites: Internet, address: str) -> None:
    for report in (
        await git_operation(f"clone {address}"),
        await execute_shell(f"cd . && git clone {address}", network=True),
    ):
        assert "[Por ssh no se puede: las órdenes solo tienen http y https. Usa la dirección https://" in report
    assert sites.asked == []


@linux
async def test_a_site_that_is_not_there_is_told(sites: Internet) -> None:
    report = await execute_shell(f"curl -s http://example.com:{sites.plain + 1}/ >/dev/null", network=True)
    assert f"[A «example.com» no se permite ir por el puerto {sites.plain + 1}.]" in report


@linux
async def test_secrets_are_not_told_as_names_of_sites(sites: Internet) -> None:
    key = "gsk_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4hJ6kL8n"
    here = replace(
        build_machine(make_settings(sites.repositories.parent, sandbox="auto", groq_api_key=key.lower())),
        network=sites.network(*HOSTS),
    )
    use_machine(here)
    arguments = f'{{"command": "curl -s http://{key.lower()}.com/ >/dev/null", "network": true}}'
    call = ToolCall(id="1", name="execute_shell", arguments=arguments)
    result = await invoke(build_handler([]), Toolbox(ALL_TOOLS), here, call)
    assert "La red no permitió" in result.content and key.lower() not in result.content


@dataclass
class Noting:
    """A network that remembers where its proxies were."""

    inner: Network
    proxies: list[str] = field(default_factory=list)

    @property
    def hosts(self) -> Sequence[str]:
        return self.inner.hosts

    @asynccontextmanager
    async def grant(self, seconds: float) -> AsyncGenerator[Grant]:
        async with self.inner.grant(seconds) as grant:
            self.proxies.append(grant.proxy)
            yield grant


@linux
@pytest.mark.parametrize("end", ["cancelled", "timed out"])
async def test_nothing_stays_open_when_a_command_is_ended(sites: Internet, end: str) -> None:
    noting = Noting(sites.network(*HOSTS))
    limits = ToolLimits(seconds=1.5 if end == "timed out" else 60)
    use_machine(replace(machine(), network=noting, limits=limits))
    command = f"curl -sS http://example.com:{sites.plain}/; sleep 50; curl http://example.com:{sites.plain}/"
    task = asyncio.ensure_future(execute_shell(command, network=True))
    await until(lambda: bool(sites.visits))
    [proxy] = noting.proxies
    (await asyncio.open_unix_connection(proxy))[1].close()
    if end == "cancelled":
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        assert "tiempo límite" in await task
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_unix_connection(proxy)
    assert len(sites.visits) == 1


# ---------------------------------------------------------------- who has none


async def test_guests_have_none(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, sandbox="auto", telegram_user_id=1, telegram_guests=[7])
    here = build_machine(settings)
    [guest] = guest_machines(settings, here).values()
    assert guest.network is None and here.network is not None
    use_machine(guest)
    use_folder(tmp_path)
    await guest.sandbox.ready()
    if guest.sandbox.confined:
        with pytest.raises(ToolError, match="no tienen red"):
            await execute_shell("true", network=True)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shell")
async def test_unconfined_it_is_not_filtered_and_says_so(tmp_path: Path) -> None:
    here = build_machine(make_settings(tmp_path))
    use_machine(here)
    use_folder(tmp_path / "home/proyectos")
    assert (await execute_shell('echo "[$http_proxy]"', network=True)).startswith("[]")
    assert network.reach(here) == "Con toda la red, también la de tu casa: aquí nada encierra las órdenes."
    assert "toda la red" in here.sandbox.description
    use_folder(None)


@linux
async def test_the_question_can_say_where_it_leads(tmp_path: Path) -> None:
    here = build_machine(make_settings(tmp_path, sandbox="auto", network_hosts=["github.com", "*.pypi.org"]))
    await here.sandbox.ready()
    assert network.reach(here) == "Con red, solo hasta github.com, *.pypi.org."
    assert network.reach(replace(here, network=None)).endswith("NETWORK_HOSTS no permite ningún sitio.")


@pytest.mark.parametrize("entry", ["git.internal", "*.git.local", "metadata.google.internal"])
def test_a_site_that_can_only_be_inside_is_a_bad_setting(tmp_path: Path, entry: str) -> None:
    with pytest.raises(ConfigError, match="Configuración: NETWORK_HOSTS"):
        build_machine(make_settings(tmp_path, network_hosts=["github.com", entry]))


def test_the_sites_by_default_can_all_be_allowed() -> None:
    assert FilteredNetwork(DEFAULT_SITES).hosts == DEFAULT_SITES


# ---------------------------------------------------------------- other loops, other systems


@linux
def test_it_works_on_the_loop_of_the_server(tmp_path: Path) -> None:
    import uvloop

    async def work() -> None:
        async with internet(tmp_path / "servidor") as sites:
            here = build_machine(make_settings(tmp_path, sandbox="auto"))
            use_machine(replace(here, network=sites.network(*HOSTS)))
            use_folder(tmp_path / "home/proyectos")
            assert "hola" in await execute_shell(f"curl -sS http://example.com:{sites.plain}/", network=True)

    uvloop.run(work())


@pytest.mark.skipif(sys.platform == "win32", reason="a script stands for sandbox-exec")
async def test_macos_opens_one_port_of_the_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sandbox-exec is not here: what it is told, and what the command is told, is."""
    fake = tmp_path / "sandbox-exec"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$2" > profile; shift 2; exec "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr("app.safety.seatbelt.PROGRAM", str(fake))
    backend = ElsewhereBackend(Ground(tmp_path, {"PATH": "/usr/bin:/bin"}, [tmp_path], [], []))

    def run(kind: Kind, proxy: str | None) -> str:
        argv = ["sh", "-c", "echo $https_proxy,$ALL_PROXY,$NO_PROXY"]
        return backend.job(Verdict("auto", kind), argv, tmp_path, RunLimits(proxy=proxy)).execute().output

    assert run("seatbelt", None) == ",,\n"
    assert (tmp_path / "profile").read_text().rstrip().endswith("(deny file-write-setugid network*)")
    url = "http://nanobot:clave@127.0.0.1:4321"
    assert run("seatbelt", url) == f"{url},{url},\n"
    last = (tmp_path / "profile").read_text().rstrip().splitlines()[-1]
    assert last == '(allow network-outbound (remote ip "localhost:4321"))'
    with pytest.raises(SandboxError, match="la red sería toda"):
        run("none", url)
