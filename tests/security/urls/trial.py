"""`python -m tests.security.urls.trial`: every URL of the corpus, in the world of the namespace. Prints JSON.

With the fetcher as the server builds it, and as the control with a plain client that checks nothing.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import urllib.request
from typing import Any

from tests.security.urls import corpus, namespace
from tests.security.urls.internet import Internet


async def main(world: Internet) -> None:
    # Imported late: no thread may exist before the namespace does.
    import aiohttp
    from loguru import logger

    from app.core.errors import FetchError
    from app.safety.fetch import WebFetcher
    from app.safety.leaks import UrlGuard
    from app.safety.redaction import SecretRedactor

    logger.remove()
    guard = UrlGuard(SecretRedactor([corpus.SECRET, corpus.PASSWORD]))
    fetcher = WebFetcher(guard=guard)
    context = ssl._create_unverified_context()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    rebound = WebFetcher(guard=guard)

    async def guarded(url: str, fetcher: WebFetcher = fetcher) -> str:
        try:
            return f"text: {(await fetcher.fetch(url)).text}"
        except FetchError as error:
            return f"refused: {error}"

    def lenient(url: str) -> str:
        """urllib asks the system what a host is: `127.1` and the like are addresses then."""
        try:
            with opener.open(url.strip(), timeout=3) as answer:
                return answer.read().decode()
        except Exception as error:
            return type(error).__name__

    async def plain(url: str) -> str:
        connector = aiohttp.TCPConnector(ssl=False, force_close=True)
        timeout = aiohttp.ClientTimeout(total=3)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.get(url) as answer,
            ):
                return await answer.text()
        except Exception:
            return await asyncio.to_thread(lenient, url)

    async def tried(urls: list[str], client: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for url in urls:
            world.forget()
            said = await client(url)
            await asyncio.sleep(0)
            calls = [[call.address, call.port, call.host, call.path, call.server_name] for call in world.calls]
            found.append({"url": url, "said": said, "calls": calls, "asked": list(dict.fromkeys(world.questions))})
        return found

    outcome: dict[str, Any] = {}
    for group in ("ORDINARY", "DIRECT", "STRANGE", "OWN", "ANSWERS", "REDIRECTS", "LEAKS"):
        outcome[group] = await tried(getattr(corpus, group), guarded)
    turning = [f"http://{name}/" for name in corpus.REBINDING]
    outcome["REBINDING"] = await tried([url for url in turning[1:] for _ in (1, 2)], lambda url: guarded(url, rebound))
    for group in ("DIRECT", "OWN", "ANSWERS", "REDIRECTS", "LEAKS"):
        outcome[f"{group} control"] = await tried(getattr(corpus, group), plain)
    await fetcher.aclose()
    await rebound.aclose()
    sys.stdout.write(json.dumps(outcome))


if __name__ == "__main__":
    try:
        namespace.enter()
        for everything in ("0.0.0.0/0", "::/0"):
            namespace.make_local(everything)
        for own in corpus.OWN_ADDRESSES:
            namespace.add_address(*own)
    except OSError as error:
        sys.exit(f"no network namespace: {error}")
    internet = Internet(corpus.NAMES, corpus.PORTS)
    internet.start()
    asyncio.run(main(internet))
