"""Which site a TLS client names in its first message. OpenSSL reads it, and limits it, as a server would."""

from __future__ import annotations

import asyncio
import ssl


class NotTls(Exception):
    pass


async def client_hello(reader: asyncio.StreamReader, begun: bytes = b"") -> tuple[bytes, str]:
    """The bytes read, `begun` first, and the name in small letters ('' without one). Raises NotTls, OSError."""
    names: list[str] = []

    def stop(_: object, name: str | None, __: ssl.SSLContext) -> int:
        names.append((name or "").lower())
        return ssl.AlertDescription.ALERT_DESCRIPTION_ACCESS_DENIED

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = stop  # pyright: ignore[reportAttributeAccessIssue]  typeshed knows only the setter's type
    incoming = ssl.MemoryBIO()
    handshake = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
    read, fresh = b"", begun
    while True:
        read += fresh
        incoming.write(fresh)
        try:
            handshake.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            break
        if not (fresh := await reader.read(4_096)):
            break
    if not read:
        raise ConnectionResetError
    if len(names) != 1:
        raise NotTls
    return read, names[0]
