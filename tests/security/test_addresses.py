"""URLs and addresses, attacks and ordinary ones, judged by whether a connection could be made."""

from __future__ import annotations

import socket
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import FetchError
from app.safety.addresses import host_allowed, is_public, parse_url
from app.safety.fetch import WebFetcher
from app.safety.own import is_elsewhere, is_ours


def words(text: str) -> list[str]:
    return text.split()


REFUSED_ADDRESSES = words("""
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254
169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1
192.88.99.1
192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.250 240.0.0.1
255.255.255.255
168.63.129.16 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
64:ff9b::808:808
64:ff9b:1::1 100::1 2001::1 2001:0:53aa:64c:0:fbff:80ff:fffe 2001:2::1 2001:10::1 2001:20::1 2001:db8::1
2002:7f00:1:: 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fd12:3456::1 fe80::1 fe80::1%1
fec0::1 ff02::1 ff0e::1
2606:4700::5efe:7f00:1 2606:4700::200:5efe:a00:1 4000::1 1::1
""")

PUBLIC_ADDRESSES = words("""
1.1.1.1 8.8.8.8 93.184.216.34 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.255.255 172.32.0.0
192.0.1.1
192.167.255.255 198.17.255.255 198.20.0.0 223.255.255.255 168.63.129.15 140.82.121.4
2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4003:80a::200e 2003::1 2400:cb00::1
""")

ATTACKS = [
    *words("""
http://127.0.0.1/ http://127.0.0.1:8080/ http://127.1/ http://127.0.1/ http://0/ http://0.0.0.0/
http://2130706433/
http://0x7f000001/ http://0x7f.1/ http://0X7F.0.0.1/ http://0177.0.0.1/ http://017700000001/
http://127.0.0.1./
http://127.0.0.01/ http://1.1.1.1.1/ http://256.1.1.1/ http://１２７.０.０.１/ http://①②⑦.⓪.⓪.①/ http://127。0。0。1/
http://[::1]/ http://[::]/ http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ http://[0:0:0:0:0:ffff:7f00:1]/
http://[64:ff9b::a00:1]/ http://[2002:7f00:1::]/ http://[fe80::1%25eth0]/ http://[fe80::1%eth0]/
http://[fd00:ec2::254]/
http://[]/ http://[]@/ http://a@[]/ http://[::1]:8080/ http://[v1.x]/ http://[127.0.0.1]/ http://[::1/ http://::1/
http://169.254.169.254/latest/meta-data/ http://metadata.google.internal/ http://METADATA.GOOGLE.INTERNAL./ http://metadata/
http://metadata.goog/ http://metadata.azure.com/ http://168.63.129.16/ http://100.100.100.200/
http://localhost/ http://LOCALHOST/ http://localhost./ http://foo.localhost/ http://router/
http://nas.local/ http://x.lan/
http://db.internal/ http://kubernetes.default.svc/ http://kubernetes.default.svc.cluster.local/ http://intranet.corp/
http://a.home.arpa/ http://1.0.0.127.in-addr.arpa/ http://x.onion/ http://x.test/ http://host.docker.internal/
http://user@example.com/ http://user:pass@example.com/ http://@example.com/ http://:@example.com/
http://example.com@127.0.0.1/ http://example.com:80@127.0.0.1/ http://127.0.0.1:80\\@example.com/
http://example.com\\@127.0.0.1/ http://example.com%00.127.0.0.1/ http://127.0.0.1%2f@example.com/ http://ex%61mple.com/
http://example.com:22/ http://example.com:0/ http://example.com:6379/ http://example.com:8000/
http://example.com:99999/
http://example.com:80a/ http://example.com:-80/ https://example.com:25/
ftp://example.com/ file:///etc/passwd gopher://example.com/ javascript:alert(1) data:text/html,x
//example.com/ example.com
http:example.com http:/example.com http:// http:///x https://? http://. http://.. http://.com/ http://a..com/
http://-a.com/ http://a-.com/ http://a.c/ http://a.1/ http://a.0x1/ http://a.com.1/ http://exa$mple.com/
http://a,b.com/
http://example.com.. http://℀.com/
"""),
    "http://exam ple.com/", "http://example.com/\r\nHost: 127.0.0.1", "http://example.com/a\0b", "http://exa\tmple.com/",
    "http://example.com\n.127.0.0.1/", "http://example.com/\x85", "http://example.com/\u2028", "", " ",
    "http://example.com/" + "a" * 5_000, "http://" + "a" * 64 + ".com/", "http://" + "a." * 130 + "com/",
]  # fmt: skip

ORDINARY = [
    *words("""
http://example.com https://example.com/ https://example.com:443/ http://example.com:8080/x
https://example.com:8443/
HTTPS://Example.COM/Path?q=1&b=2#parte https://es.wikipedia.org/wiki/España https://ñandú.es/ https://日本語.jp/x
https://docs.python.org/3/library/asyncio.html https://a-b.c-d.co.uk/ https://_dmarc.example.com/ https://x.com./
https://xn--and-6ma2c.es/ https://3com.com/ https://1.1.1.1/ https://8.8.8.8:443/
https://[2606:4700:4700::1111]/
https://127.0.0.1.nip.io/ https://example.com/a%20b?u=http://127.0.0.1/ https://example.com/@user https://example.com/?e=a@b.c
https://example.com/c:80/ https://sub.test.example.com/ https://local.example.org/ https://github.com/a/b/blob/main/c.py#L10
https://example.com/~user/ https://example.com/a;b=c,d https://example.com/'x'(y)
https://example.com/?q=[1] https://x.museum/
"""),
    "  https://example.com/x \n",
    "https://example.com/con espacio",
]


@pytest.mark.parametrize("text", REFUSED_ADDRESSES)
def test_special_addresses_are_refused(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC_ADDRESSES)
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_public(ip_address(text))


@given(st.integers(0, 2**32 - 1))
def test_no_address_that_python_calls_private_is_allowed(number: int) -> None:
    address = IPv4Address(number)
    assert not is_public(address) or (address.is_global and not address.is_multicast)
    for embedded in (f"::ffff:{address}", f"64:ff9b::{address}", f"2606:4700::5efe:{address}", f"::{address}"):
        assert not is_public(IPv6Address(embedded))
    assert not is_public(IPv6Address((0x2002 << 112) | (number << 80)))


@given(st.integers(0, 2**128 - 1))
def test_ipv6_outside_global_unicast_is_refused(number: int) -> None:
    address = IPv6Address(number)
    assert is_public(address) <= (number >> 125 == 1 and address.is_global)


@pytest.mark.parametrize("url", ATTACKS)
def test_attacks_are_refused_before_any_look_up(url: str) -> None:
    with pytest.raises(FetchError) as error:
        parse_url(url)
    assert str(error.value)


@pytest.mark.parametrize("url", ORDINARY)
def test_ordinary_urls_are_allowed(url: str) -> None:
    assert parse_url(url).raw_host


@given(st.text(alphabet=st.sampled_from("0123456789abcdefxX.:[]%@/\\-_。①１a"), max_size=30))
def test_a_host_that_passes_is_a_public_address_or_a_name_nobody_reads_as_a_number(host: str) -> None:
    try:
        url = parse_url(f"http://{host}/")
    except FetchError:
        return
    assert url.raw_host is not None
    try:
        number = socket.inet_aton(url.raw_host)  # what a lenient resolver would make of it
    except OSError:
        return
    assert is_public(IPv4Address(number))
    assert url.raw_host == str(IPv4Address(number))


_PIECES = st.sampled_from(
    [*"/?#@:[]\\%. \t", "http", "https", "//", "example.com", "127.0.0.1", "[::1]", "80", "443", "22", "%2f", "user",
     "a.b.net", "ñ"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=12).map("".join))
def test_a_url_that_passes_means_the_same_to_another_parser(rest: str) -> None:
    """Two readings of one URL are the way around a check."""
    for text in (f"http://{rest}", f"https://example.com{rest}", rest):
        try:
            url = parse_url(text)
        except FetchError:
            continue
        other = urlsplit(text.strip(" \t\r\n"))
        assert (other.scheme, other.username, other.password) == (url.scheme, None, None)
        assert (other.port or {"http": 80, "https": 443}[other.scheme]) == url.port
        if (other.hostname or "").isascii():
            assert other.hostname == url.raw_host
        assert parse_url(str(url)) == url


def test_the_policy_decides_about_literal_addresses() -> None:
    assert host_allowed("127.0.0.1", lambda address: address.is_loopback)
    assert not host_allowed("8.8.8.8", lambda address: address.is_loopback)


ANSWERS = {
    "rebound.example.com": ["93.184.216.34", "127.0.0.1"],
    "private.example.com": ["10.0.0.1"],
    "six.example.com": ["2606:4700::1111", "fe80::1%eth0"],
    "mapped.example.com": ["::ffff:127.0.0.1"],
    "metadata.example.com": ["169.254.169.254"],
}


@pytest.mark.parametrize("host", ANSWERS)
async def test_every_answer_of_the_dns_is_checked(host: str, no_outside_network: list[str]) -> None:
    asked: list[str] = []

    async def lookup(name: str, port: int) -> list[str]:
        asked.append(name)
        return ANSWERS[name]

    fetcher = WebFetcher(lookup=lookup, allow=is_public)
    with pytest.raises(FetchError, match="no es una dirección pública"):
        await fetcher.fetch(f"http://{host}/")
    await fetcher.aclose()
    assert asked == [host]
    assert no_outside_network == []


def test_an_address_of_this_machine_is_not_the_internet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_ours(ip_address("127.0.0.1"))
    assert not is_ours(ip_address("93.184.216.34"))
    monkeypatch.setattr("app.safety.own.is_public", lambda _: True)  # a cloud server's own public address
    assert not is_elsewhere(ip_address("127.0.0.1"))
    assert is_elsewhere(ip_address("93.184.216.34"))


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_every_interface_counts_and_the_neighbours_of_ipv6() -> None:
    """And a route to ourselves, as a cloud's load balancer sets it; but when everything is, routes say nothing."""
    script = """
import sys
from ipaddress import ip_address
from tests.security.urls import namespace
try:
    namespace.enter()
except OSError as error:
    sys.exit(f"no network namespace: {error}")
from app.safety.own import is_elsewhere
asked = ("8.8.4.4", "8.8.4.5", "8.8.8.8", "2606:4700::1", "2606:4700::2", "2606:4700:0:1::2")
def answers():
    return [is_elsewhere(ip_address(text)) for text in asked]
print(answers())
namespace.add_address("8.8.4.4", 32)
namespace.add_address("2606:4700::1", 64)
namespace.make_local("8.8.4.5/32")
print(answers())
namespace.make_local("0.0.0.0/0")
namespace.make_local("::/0")
print(answers())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    if done.stderr.startswith("no network namespace"):
        pytest.skip(done.stderr)
    before, mine, everything = done.stdout.splitlines()
    assert before == "[True, True, True, True, True, True]"
    assert mine == "[False, False, True, False, False, True]"
    assert everything == "[False, True, True, False, False, True]"
