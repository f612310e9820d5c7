"""Which addresses of the web may be opened: rules on the text of a URL and on the address behind a name.

Sources: the IANA special-purpose registries for IPv4 and IPv6, RFC 6761 (names), the WHATWG URL standard
(hosts that end in a number).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from yarl import URL

from app.core import texts_fetch as texts
from app.core.errors import AddressRefused, FetchError

IPAddress = IPv4Address | IPv6Address
AddressPolicy = Callable[[IPAddress], bool]

PORTS = frozenset({80, 443, 8080, 8443})
MAX_URL = 4096

_DENIED_4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure: the host's own services
    )
]  # fmt: skip
_GLOBAL_6 = IPv6Network("2000::/3")  # global unicast; mapped, NAT64, ULA, link-local and multicast lie outside
_DENIED_6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID…
        "2001:db8::/32", "3fff::/20",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
    )
]  # fmt: skip
_ISATAP = {0x00005EFE, 0x02005EFE}  # interface identifiers with an IPv4 address inside

_RESERVED_SUFFIXES = frozenset(
    {
        "localhost", "localdomain", "local", "internal", "intranet", "private", "corp", "home", "lan", "mail", "test",
        "example", "invalid", "onion", "alt", "arpa", "cluster", "svc", "consul", "docker",
    }
)  # fmt: skip
_METADATA = frozenset(
    {
        "metadata.goog", "metadata.azure.com", "metadata.tencentyun.com", "instance-data.ec2.amazonaws.com",
        "metadata.packet.net", "metadata.platformequinix.com",  # both at a public address
    }
)  # fmt: skip
_NAME = re.compile(r"(?=.{4,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])")
_USERINFO = re.compile(r"https?://[^/?#]*@", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_public(address: IPAddress) -> bool:
    """Global unicast and nothing special. An IPv4 address inside an IPv6 one is refused, whatever it is."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_4)
    if address.scope_id or address not in _GLOBAL_6 or any(address in network for network in _DENIED_6):
        return False
    return (int(address) >> 32) & 0xFFFFFFFF not in _ISATAP


def parse_url(text: str, allow: AddressPolicy = is_public, ports: Collection[int] = PORTS) -> URL:
    """The URL that will be opened, exactly. Raises FetchError. A name is checked again when it is resolved."""
    text = text.strip(" \t\r\n")
    if not re.match(r"https?://", text, re.IGNORECASE):
        raise FetchError(texts.URL_NEEDS_SCHEME)
    if len(text) > MAX_URL:
        raise FetchError(texts.URL_TOO_LONG)
    if _CONTROL.search(text):
        raise FetchError(texts.URL_UNREADABLE)
    url = read_url(text)
    host, port = url.raw_host, url.port
    if not host or port is None:
        raise FetchError(texts.URL_UNREADABLE)
    if url.raw_user is not None or _USERINFO.match(text):
        raise FetchError(texts.URL_CREDENTIALS)
    if port not in ports:
        raise FetchError(texts.url_port(port))
    if not host_allowed(host, allow):
        raise AddressRefused(texts.url_private(host))
    return url.with_fragment(None)


def read_url(text: str) -> URL:
    """Raises FetchError."""
    try:
        url = URL(text)
        _ = url.raw_host, url.port  # parsed on demand
    except (ValueError, IndexError):  # yarl: IndexError for an empty bracket
        raise FetchError(texts.URL_UNREADABLE) from None
    return url


def host_allowed(host: str, allow: AddressPolicy) -> bool:
    """A literal address by the policy, a name by its form: never one that a resolver might read as a number."""
    try:
        return "%" not in host and allow(ip_address(host))
    except ValueError:
        pass
    name = host.removesuffix(".").lower()
    if not _NAME.fullmatch(name) or name in _METADATA:
        return False
    return name.rpartition(".")[2] not in _RESERVED_SUFFIXES
