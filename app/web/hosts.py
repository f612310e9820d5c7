"""Which names this server answers to, and whether a request comes from its own pages."""

from __future__ import annotations

import os
import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from app.config import Settings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"[\w.:\[\]-]+", re.ASCII)
# What proxies and tunnels add (beginnings of header names). No browser sends any of these by itself.
_PROXY_HEADERS = (
    "forwarded", "via", "x-forwarded", "x-original-", "x-real-", "x-client-ip", "x-cluster-", "x-remote-", "x-proxy",
    "x-envoy-", "x-arr-", "x-amz", "x-azure-", "x-vercel-", "x-appengine-", "x-cloud-trace", "proxy-",
    "cf-", "cdn-", "fly-", "fastly-", "true-client-", "client-ip", "tailscale-", "ngrok-", "akamai-", "rndr-",
)  # fmt: skip


class Hosts:
    """Without a strict list a foreign page could rebind its own name to this machine and read everything."""

    def __init__(self, settings: Settings) -> None:
        urls = [url for url in (settings.public_url, os.environ.get("RENDER_EXTERNAL_URL")) if url]
        self._public = {f"{parts.scheme}://{parts.netloc}".lower() for parts in map(urlsplit, urls)}
        self._names = {urlsplit(origin).hostname for origin in self._public} | {settings.host.lower()}
        self.loopback_only = is_local_name(settings.host)

    def answers(self, request: HTTPConnection) -> bool:
        """A bare address cannot be rebound, so a server open to the network answers to any of its own."""
        name = host_name(request)
        return is_local_name(name) or name in self._names or (not self.loopback_only and as_address(name) is not None)

    def from_own_pages(self, request: HTTPConnection) -> bool:
        """False for what a foreign page makes a browser send. Browsers name the origin of every POST.

        Only programs send neither header: what they may do is the access rule's business.
        """
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        origin = request.headers.get("origin")
        if origin is None:
            return True
        own = request.headers.get("host", "").lower()
        origin = origin.lower()
        return origin in self._public or (origin in {f"http://{own}", f"https://{own}"} and bool(own))

    def is_https(self, request: HTTPConnection) -> bool:
        """Behind a proxy that ends TLS the connection itself is plain: then the public address tells."""
        host = request.headers.get("host", "").lower()
        return request.scope["scheme"] == "https" or f"https://{host}" in self._public


def host_name(request: HTTPConnection) -> str:
    """The Host header without port and brackets, in lower case; '' when it makes no sense."""
    host = request.headers.get("host", "")
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".") if _HOST.fullmatch(host) else ""
    except ValueError:
        return ""


def is_from_this_machine(request: HTTPConnection) -> bool:
    """The peer is this machine and speaks for nobody else. nginx, unless told otherwise, asks in HTTP/1.0."""
    peer = as_address(request.client.host) if request.client else None
    return peer is not None and peer.is_loopback and not is_proxied(request)


def is_proxied(request: HTTPConnection) -> bool:
    return request.scope["http_version"] == "1.0" or any(name.startswith(_PROXY_HEADERS) for name in request.headers)


def peer_of(request: HTTPConnection) -> str:
    """Who asks, as far as guesses are counted: one IPv6 customer has a whole /64."""
    peer = as_address(request.client.host) if request.client else None
    return str(ip_network(f"{peer}/64", strict=False) if isinstance(peer, IPv6Address) else peer)


def is_local_name(name: str) -> bool:
    address = as_address(name)
    return name.lower() == "localhost" or (address is not None and address.is_loopback)


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
