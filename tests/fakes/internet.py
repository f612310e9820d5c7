"""A few sites on the loopback, as a FilteredNetwork finds them: pages, and repositories served by git itself."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import h11

from app.safety.addresses import AddressPolicy, IPAddress
from app.safety.dialing import Dialer
from app.safety.network import FilteredNetwork

CERTIFICATE = Path(__file__).parents[1] / "security/urls/site.crt"  # example.com and *.example.org


def on_loopback(address: IPAddress) -> bool:
    return address.is_loopback


@dataclass
class Internet:
    """`asked`: names that were looked up. `visits`: what arrived at the sites. `repositories`: below /git/ of each."""

    repositories: Path
    asked: list[str] = field(default_factory=list)
    visits: list[str] = field(default_factory=list)
    plain: int = 0
    tls: int = 0

    def network(self, *hosts: str, allow: AddressPolicy = on_loopback, plain: int = 0) -> FilteredNetwork:
        """`plain`: the port of an other site that stands behind every name."""
        return FilteredNetwork(hosts, dialer=Dialer(allow, self._lookup), ports=(self.tls, plain or self.plain))

    async def _lookup(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return ["127.0.0.1"]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, then the connection ends."""
        connection = h11.Connection(h11.SERVER)
        request, body = None, b""
        with suppress(OSError):
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(await reader.read(65_536))
                elif isinstance(event, h11.Request):
                    request = event
                    if connection.they_are_waiting_for_100_continue:
                        answer = h11.InformationalResponse(status_code=100, headers=[])
                        writer.write(connection.send(answer) or b"")
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    return
            assert request is not None
            status, headers, page = await self._answer(request, body)
            size = (b"Content-Length", b"%d" % len(page))
            for part in (
                h11.Response(status_code=status, headers=[*headers, size, (b"Connection", b"close")]),
                h11.Data(data=page),
                h11.EndOfMessage(),
            ):
                writer.write(connection.send(part) or b"")
            await writer.drain()
        writer.close()

    async def _answer(self, request: h11.Request, body: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        given = {name.decode(): value.decode() for name, value in request.headers}
        path, _, query = request.target.decode().partition("?")
        self.visits.append(f"{request.method.decode()} {given['host'].partition(':')[0]}{path}")
        if not path.startswith("/git/"):
            return 200, [(b"Content-Type", b"text/plain")], b"hola\n"
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.repositories), "GIT_PROJECT_ROOT": str(self.repositories),
            "GIT_HTTP_EXPORT_ALL": "1", "REMOTE_USER": "ana", "REQUEST_METHOD": request.method.decode(),
            "PATH_INFO": path.removeprefix("/git"), "QUERY_STRING": query, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": given.get("content-type", ""), "HTTP_CONTENT_ENCODING": given.get("content-encoding", ""),
            "GIT_PROTOCOL": given.get("git-protocol", ""),
        }  # fmt: skip
        git = await asyncio.create_subprocess_exec("git", "http-backend", stdin=-1, stdout=-1, env=env)
        head, _, page = (await git.communicate(body))[0].partition(b"\r\n\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))]
        status = next((int(value[:3]) for name, value in headers if name == b"Status"), 200)
        return status, [header for header in headers if header[0] != b"Status"], page


@asynccontextmanager
async def internet(repositories: Path) -> AsyncGenerator[Internet]:
    sites = Internet(repositories)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("site.key"))
    servers = [
        await asyncio.start_server(sites.serve, "127.0.0.1", 0),
        await asyncio.start_server(sites.serve, "127.0.0.1", 0, ssl=context),
    ]
    sites.plain, sites.tls = (server.sockets[0].getsockname()[1] for server in servers)
    try:
        yield sites
    finally:
        for server in servers:
            server.close()
