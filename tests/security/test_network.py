"""The network that a command is granted, on every layer of this machine: the sites of the list, and nothing else.

Judged by what arrived: at the sites, at canaries on the loopback and on this machine's own address. What a canary is
reached by is first tried without confinement (the positive control).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.contracts import CommandResult, Grant
from app.safety.addresses import is_public
from app.safety.network import FilteredNetwork
from app.safety.own import interface_addresses
from tests.fakes.internet import CERTIFICATE, Internet, internet
from tests.security import layers
from tests.security.layers import CELLS, IDS, Cell, cell, unique

pytestmark = pytest.mark.skipif(not CELLS, reason="Linux has these layers")
HOSTS = ("example.com", "*.example.org")


@pytest.fixture(scope="module", params=CELLS, ids=IDS)
def here(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with cell(*request.param) as made:
        certificate = made.project / "site.crt"
        shutil.copy(CERTIFICATE, certificate)
        certificate.chmod(0o644)
        yield made


@pytest.fixture
async def sites(tmp_path: Path) -> AsyncIterator[Internet]:
    async with internet(tmp_path) as sites:
        yield sites


@asynccontextmanager
async def granted(here: Cell, network: FilteredNetwork, seconds: float = 30) -> AsyncGenerator[Grant]:
    """As the server of this cell opens it."""
    async with AsyncExitStack() as stack:
        if layers.ROOT:
            os.seteuid(here.uid)
        try:
            grant = await stack.enter_async_context(network.grant(seconds))
        finally:
            if layers.ROOT:
                os.seteuid(0)
        yield grant


async def sh(here: Cell, command: str, grant: Grant | None = None, *, control: bool = False) -> CommandResult:
    network = {"env": dict(grant.env), "proxy": grant.proxy} if grant else {}
    return await asyncio.to_thread(lambda: here.sh(command, control=control, **network))


# ---------------------------------------------------------------- what works


async def test_pages_of_the_sites_arrive(here: Cell, sites: Internet) -> None:
    python = "import urllib.request as u; print(u.urlopen(u.Request('http://a.example.org:PORT/py')).read())"
    commands = [
        f"curl -sS http://example.com:{sites.plain}/uno",
        f"curl -sS --cacert site.crt https://example.com:{sites.tls}/dos",
        f'/usr/bin/python3 -I -S -c "{python.replace("PORT", str(sites.plain))}"',
        f"cat < <(curl -sS http://example.com:{sites.plain}/tubo) | tr a-z A-Z",
    ]
    async with granted(here, sites.network(*HOSTS)) as grant:
        done = [await sh(here, command, grant) for command in commands]
        assert [d.output for d in done] == ["hola\n", "hola\n", "b'hola\\n'\n", "HOLA\n"]
        assert grant.refusals == []
    assert sites.visits == [
        f"GET {a}" for a in ("example.com/uno", "example.com/dos", "a.example.org/py", "example.com/tubo")
    ]


async def test_git_clones_and_pushes(here: Cell, sites: Internet) -> None:
    bare = sites.repositories / "x.git"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    command = f"""
        set -e; rm -rf copia otra; export GIT_SSL_CAINFO=$PWD/site.crt; url=http://example.com:{sites.plain}/git/x.git
        git clone -q https://example.com:{sites.tls}/git/x.git copia 2>&1; cd copia
        git checkout -q -b main || true; head -c 2000000 /dev/urandom > grande; git add .
        git -c user.name=a -c user.email=a@b commit -qm uno; git push -q origin HEAD:main
        git clone -q -b main $url ../otra; cmp grande ../otra/grande && echo igual"""
    async with granted(here, sites.network(*HOSTS), 60) as grant:
        done = await sh(here, command, grant)
        assert (done.exit_code, done.output.splitlines()[-1]) == (0, "igual"), done.output
    listed = subprocess.run(
        ["git", "-C", str(bare), "log", "--oneline", "main"], check=True, capture_output=True, text=True
    )
    assert listed.stdout.rstrip().endswith(" uno")
    assert "POST example.com/git/x.git/git-receive-pack" in sites.visits


# ---------------------------------------------------------------- what does not


@dataclass
class Canary:
    """Listens where no command may get to."""

    tcp: socket.socket
    udp: socket.socket

    def tcp_port(self) -> int:
        return self.tcp.getsockname()[1]

    def udp_port(self) -> int:
        return self.udp.getsockname()[1]

    def sang(self) -> list[str]:
        heard: list[str] = []
        with suppress(BlockingIOError):
            while True:
                self.tcp.accept()[0].close()
                heard.append("tcp")
        with suppress(BlockingIOError):
            while True:
                heard.append("udp" if self.udp.recv(999) else "")
        return heard


OWN = [str(a) for a in interface_addresses() if a.version == 4 and a.is_private and not a.is_loopback]


@pytest.fixture(params=["127.0.0.1", *OWN[:1]], ids=["loopback", "own address"][: 1 + len(OWN[:1])])
def canary(request: pytest.FixtureRequest) -> Iterator[Canary]:
    where = request.param
    with socket.create_server((where, 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((where, 0))
        for listener in (tcp, udp):
            listener.setblocking(False)
        yield Canary(tcp, udp)


CONNECT = 'perl -MIO::Socket::INET -e \'IO::Socket::INET->new(PeerAddr=>"{a}:{t}",Timeout=>3) or print "no\\n"\''
DATAGRAM = 'perl -MSocket -e \'socket(S,2,2,0) && send(S,"x",0,pack_sockaddr_in({u},inet_aton("{a}")))\''


async def test_this_machine_is_not_reached_past_the_proxy(here: Cell, sites: Internet, canary: Canary) -> None:
    address = canary.tcp.getsockname()[0]
    for sound, template in (("tcp", CONNECT), ("udp", DATAGRAM)):
        command = template.format(a=address, t=canary.tcp_port(), u=canary.udp_port())
        await sh(here, command, control=True)
        assert canary.sang() == [sound], "the control"
        await sh(here, command)
        async with granted(here, sites.network(*HOSTS)) as grant:
            await sh(here, command, grant)
        assert canary.sang() == []


async def test_the_proxy_does_not_lead_to_this_machine(here: Cell, sites: Internet, canary: Canary) -> None:
    """By address, and by a name of the list that leads there: the rules are the real ones."""
    address, port = canary.tcp.getsockname()
    network = sites.network(*HOSTS, allow=is_public, plain=port)
    async with granted(here, network) as grant:
        for host in (
            address,
            "localhost",
            "0.0.0.0",
            "[::1]",
            "169.254.169.254",
            "10.0.0.1",
            "example.com",
            "nas.example.org",
        ):
            done = await sh(here, f"curl -sS -m 5 -o /dev/null -w '%{{http_code}}' http://{host}:{port}/", grant)
            assert done.output.startswith("403"), (host, done.output)
        told = "\n".join(grant.refusals)
    assert canary.sang() == []
    assert "«example.com» no es una dirección pública" in told
    assert "«169.254.169.254» (no está en NETWORK_HOSTS)" in told
    async with granted(
        here, sites.network(*HOSTS, plain=port)
    ) as grant:  # the control: with an open policy it is there
        if address == "127.0.0.1":
            await sh(here, f"curl -sS -m 2 http://example.com:{port}/", grant)
            assert canary.sang() == ["tcp"]


REFUSED = {
    "another host": "curl -sS -m 5 http://otro.com:{plain}/",
    "another host by TLS": "curl -sS -k -m 5 https://otro.com:{tls}/",
    "a name above": "curl -sS -m 5 http://example.org:{plain}/",
    "another name in TLS": "curl -sS -k -m 5 --connect-to otro.com::example.com: https://otro.com:{tls}/",
    "another port": "curl -sS -m 5 http://example.com:6379/",
    "ssh": "curl -sS -m 5 -p -x $http_proxy telnet://example.com:22 </dev/null",
    "the proxy told to be another": "curl -sS -m 5 --noproxy '*' --resolve example.com:{plain}:127.0.0.1 http://example.com:{plain}/",
    "no proxy": "curl -sS -m 5 --noproxy '*' http://example.com:{plain}/",
    "socks": "curl -sS -m 5 -x socks5h://127.0.0.1:${{http_proxy##*:}} http://example.com:{plain}/",
    "names": "getent hosts example.com && echo CONSEGUIDO",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_nothing_else_is_reached(here: Cell, sites: Internet, name: str) -> None:
    async with granted(here, sites.network(*HOSTS)) as grant:
        done = await sh(here, REFUSED[name].format(plain=sites.plain, tls=sites.tls), grant)
        assert done.exit_code != 0 or "NETWORK_HOSTS" in done.output or "puerto" in done.output, done.output
        assert "hola" not in done.output and "CONSEGUIDO" not in done.output
    assert sites.visits == []


async def test_without_a_grant_there_is_nothing(here: Cell, sites: Internet) -> None:
    done = await sh(
        here,
        f"env | grep -i _proxy; curl -sS -m 5 http://example.com:{sites.plain}/; ip addr 2>/dev/null | grep 'inet '",
    )
    assert "_proxy" not in done.output.lower().replace("proxy_", "") and "hola" not in done.output
    assert (sites.asked, sites.visits) == ([], [])


# ---------------------------------------------------------------- whose it is, and for how long

PROXY_BY_NAME = 'perl -MSocket -e \'socket(S,1,1,0) && connect(S,pack_sockaddr_un("\\0NAME")) and print "CONSEGUIDO"\''


async def test_the_socket_is_out_of_reach_and_ends_with_the_command(here: Cell, sites: Internet) -> None:
    async with granted(here, sites.network(*HOSTS)) as grant, granted(here, sites.network(*HOSTS)) as other:
        for address in (grant.proxy, other.proxy):
            command = PROXY_BY_NAME.replace("NAME", address[1:])
            if here.uid == os.geteuid():
                assert "CONSEGUIDO" in (await sh(here, command, control=True)).output
            assert "CONSEGUIDO" not in (await sh(here, command, grant)).output
            assert "CONSEGUIDO" not in (await sh(here, command)).output
        await sh(here, f"curl -sS http://example.com:{sites.plain}/", grant)
        assert len(sites.visits) == 1
    for address in (grant.proxy, other.proxy):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_unix_connection(address)


async def test_two_grants_do_not_mix(here: Cell, sites: Internet) -> None:
    """Each of two commands under way tries the other's port as well, where they share a loopback."""
    (here.project / "puertos").mkdir(exist_ok=True, mode=0o777)
    (here.project / "puertos").chmod(0o777)
    script = """
        echo ${http_proxy##*:} > puertos/YO
        for i in $(seq 200); do [ -s puertos/OTRO ] && break; sleep 0.05; done
        for proxy in $http_proxy http://127.0.0.1:$(cat puertos/OTRO); do
            for host in example.com a.example.org; do curl -sS -m 5 -x $proxy http://$host:PORT/YO; done
        done
        touch puertos/YO.listo; for i in $(seq 200); do [ -e puertos/OTRO.listo ] && break; sleep 0.05; done"""
    async with granted(here, sites.network("example.com")) as one, granted(here, sites.network("*.example.org")) as two:
        both = [
            sh(here, script.replace("YO", me).replace("OTRO", other).replace("PORT", str(sites.plain)), grant)
            for me, other, grant in (("uno", "dos", one), ("dos", "uno", two))
        ]
        await asyncio.gather(*both)
        assert one.refusals == ["La red no permitió: «a.example.org» (no está en NETWORK_HOSTS)."]
        assert two.refusals == ["La red no permitió: «example.com» (no está en NETWORK_HOSTS)."]
    shutil.rmtree(here.project / "puertos")
    assert set(sites.visits) == {"GET example.com/uno", "GET a.example.org/dos"}


async def test_what_a_command_leaves_behind_has_no_network(here: Cell, sites: Internet) -> None:
    name = unique()
    loop = f"while :; do curl -sS -m 2 http://example.com:{sites.plain}/; sleep 0.05; done; : {name}"
    async with granted(here, sites.network(*HOSTS)) as grant:
        await sh(
            here, f"(setsid bash -c '{loop}' >/dev/null 2>&1 &); sleep 0.5; echo ${{http_proxy##*:}} > puerto", grant
        )
        assert sites.visits
        await asyncio.sleep(0.2)
        sites.visits.clear()  # the grant is still open: what is ended is the command with all that is its own
        await asyncio.sleep(0.5)
        assert sites.visits == []
        assert not layers.running(name)
        port = int((here.project / "puerto").read_text())
        with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), 1):
            pass  # the way to the proxy
    await sh(here, f"curl -sS -m 2 -x http://127.0.0.1:{port} http://example.com:{sites.plain}/")
    assert sites.visits == []


async def test_the_time_of_a_grant_ends(here: Cell, sites: Internet) -> None:
    script = f"curl -sS http://example.com:{sites.plain}/; sleep 1.5; curl -sS -m 2 http://example.com:{sites.plain}/"
    async with granted(here, sites.network(*HOSTS), 1) as grant:
        done = await sh(here, script, grant)
    assert done.output.count("hola") == len(sites.visits) == 1
