"""The world inside the namespace: a DNS server, and sites that note at which address they were called."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).parent
_TLS_PORTS = (443, 8443)


@dataclass(slots=True)
class Call:
    address: str
    port: int
    host: str = ""
    path: str = ""
    server_name: str = ""


@dataclass
class Internet:
    """`names`: name → answers, one list after the other, the last one for good. Every other name does not exist."""

    names: Mapping[str, Sequence[Sequence[str]]]
    ports: Sequence[int]
    calls: list[Call] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    def start(self) -> None:
        self._asked: dict[str, int] = {}
        for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
            dns = socket.socket(family, socket.SOCK_DGRAM)
            _own_family(dns)
            dns.bind((any_address, 53))
            threading.Thread(target=self._serve_names, args=(dns,), daemon=True).start()
            for port in self.ports:
                listener = socket.socket(family, socket.SOCK_STREAM)
                _own_family(listener)
                listener.bind((any_address, port))
                listener.listen(64)
                threading.Thread(target=self._serve_pages, args=(listener,), daemon=True).start()

    def forget(self) -> None:
        self.calls.clear()
        self.questions.clear()

    # ------------------------------------------------------------ names

    def _serve_names(self, dns: socket.socket) -> None:
        while True:
            question, peer = dns.recvfrom(4096)
            dns.sendto(self._answer(question), peer)

    def _answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("latin-1").lower())
            at += length + 1
        name, kind = ".".join(labels), struct.unpack_from(">H", question, at + 1)[0]
        self.questions.append(name)
        answers = [ip_address(text) for text in self._addresses(name, kind)]
        wanted = [a.packed for a in answers if (a.version == 4) == (kind == 1)] if kind in (1, 28) else []
        code = 0x8180 if name in self.names else 0x8183
        head = question[:2] + struct.pack(">HHHHH", code, 1, len(wanted), 0, 0)
        records = [struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for packed in wanted]
        return head + question[12 : at + 5] + b"".join(records)

    def _addresses(self, name: str, kind: int) -> Sequence[str]:
        rounds = self.names.get(name, [[]])
        key = f"{name}/{kind}"
        turn = self._asked.get(key, 0)
        self._asked[key] = turn + 1
        return rounds[min(turn, len(rounds) - 1)]

    # ------------------------------------------------------------ pages

    def _serve_pages(self, listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            address, port = connection.getsockname()[:2]
            call = Call(address, port)
            self.calls.append(call)
            threading.Thread(target=self._serve, args=(connection, call), daemon=True).start()

    def _serve(self, connection: socket.socket, call: Call) -> None:
        try:
            connection.settimeout(5)
            if call.port in _TLS_PORTS:
                connection = _with_tls(connection, call)
            head = b""
            while b"\r\n\r\n" not in head and (data := connection.recv(4096)):
                head += data
            connection.sendall(_page(head.decode("latin-1"), call))
        except OSError:
            pass  # whoever called has gone
        finally:
            connection.close()


def _own_family(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _with_tls(connection: socket.socket, call: Call) -> ssl.SSLSocket:
    def note(_: object, name: str | None, __: object) -> None:
        call.server_name = name or ""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / "site.crt", HERE / "site.key")
    context.sni_callback = note
    return context.wrap_socket(connection, server_side=True)


def _page(head: str, call: Call) -> bytes:
    """/r?to=… redirects, /meta?to=… asks for it in HTML, everything else says which address this is."""
    lines = head.split("\r\n")
    call.path = lines[0].split(" ")[1] if " " in lines[0] else ""
    call.host = next((line[6:] for line in lines if line.lower().startswith("host: ")), "")
    parts = urlsplit(call.path)
    to = parse_qs(parts.query).get("to", [""])[0]
    if parts.path == "/r":
        return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()
    kind, body = "text/plain", f"hola desde {call.address}"
    if parts.path == "/meta":
        kind, body = (
            "text/html",
            f"<html><head><meta http-equiv=refresh content='0; url={to}'></head><p>hola</p></html>",
        )
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode()
