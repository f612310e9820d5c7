# ruff: noqa: E501  lists of URLs
"""URLs, attacks and ordinary ones, with the names that the world's DNS knows.

`DIRECT`, `OWN`, `ANSWERS`, `LEAKS` may not lead to a connection, `REDIRECTS` to none but with the good site itself.
`STRANGE` are malformed in ways that no plain client connects for either. `ORDINARY` must work.
"""

from __future__ import annotations

from urllib.parse import quote

GOOD, GOOD6 = "93.184.216.34", "2606:2800:220:1::34"
SECRET = "gsk_Zx9Qw7Lm3Pv5Tr1Yb8Nc2Kd4"
PASSWORD = "Perro-Azul+Lento/2931"


def words(text: str) -> list[str]:
    return text.split()


# ---------------------------------------------------------------- attacks: the URL itself

DIRECT = [
    *words("""
http://127.0.0.1/ http://127.0.0.1:8080/ http://127.1/ http://127.0.1/ http://0/ http://0.0.0.0/ http://127.255.255.254/
http://2130706433/ http://0x7f000001/ http://0x7f.1/ http://0X7F.0.0.1/ http://0177.0.0.1/ http://017700000001/
http://0x7f.0x0.0x0.0x1/ http://127.0.0x1/ http://0177.1/ http://10.1/ http://0xa000001/ http://012.0.0.1/ http://167772161/
http://192.168.257/ http://3232235777/ http://0xc0a80101/ http://169.254.43518/ http://2852039166/ http://0xa9fea9fe/
http://0251.0376.0251.0376/ http://0xa9.0xfe.0xa9.0xfe/ http://025177524776/ http://169.16689662/
http://10.0.0.1/ http://10.255.255.255/ http://172.16.0.1/ http://172.31.255.255/ http://192.168.0.1/ http://192.168.1.1:8080/
http://100.64.0.1/ http://100.127.255.255/ http://100.100.100.200/latest/meta-data/ http://168.63.129.16/metadata/
http://169.254.169.254/latest/meta-data/iam/security-credentials/ http://169.254.169.254:80/ http://169.254.170.2/v2/credentials
http://169.254.169.123/ http://169.254.0.1/ http://192.0.0.1/ http://192.0.0.192/opc/v1/ http://192.0.2.1/ http://192.88.99.1/
http://198.18.0.1/ http://198.19.255.255/ http://198.51.100.1/ http://203.0.113.1/ http://240.0.0.1/ http://255.255.255.254/
http://0.0.0.1/ http://0.1.2.3/
http://[::1]/ http://[::]/ http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ http://[0:0:0:0:0:ffff:7f00:1]/
http://[::ffff:8.8.8.8]/ http://[::ffff:169.254.169.254]/ http://[::ffff:a00:1]/ http://[::127.0.0.1]/ http://[::7f00:1]/
http://[0000:0000:0000:0000:0000:0000:0000:0001]/ http://[::ffff:0:127.0.0.1]/
http://[64:ff9b::7f00:1]/ http://[64:ff9b::127.0.0.1]/ http://[64:ff9b::a9fe:a9fe]/ http://[64:ff9b::8.8.8.8]/
http://[64:ff9b:1::7f00:1]/ http://[64:ff9b:1:ffff::a00:1]/
http://[2002:7f00:1::]/ http://[2002:a9fe:a9fe::1]/ http://[2002:c0a8:101::1]/ http://[2002:808:808::1]/
http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/ http://[2001::1]/ http://[2001:2::1]/ http://[2001:10::1]/ http://[2001:20::1]/
http://[2001:db8::1]/ http://[3fff::1]/ http://[100::1]/ http://[5f00::1]/ http://[4000::1]/ http://[1::1]/ http://[e000::1]/
http://[fc00::1]/ http://[fd00:ec2::254]/latest/meta-data/ http://[fd20:ce::254]/ http://[fd12:3456:789a::1]/ http://[fec0::1]/
http://[fe80::1%25lo]/ http://[fe80::1%lo]/ http://[::1%25lo]/
http://[2606:4700::5efe:7f00:1]/ http://[2606:4700::200:5efe:a00:1]/ http://[2a00::0:5efe:192.168.1.1]/
http://[::1]:8080/ https://[::1]/ https://127.0.0.1/ https://10.0.0.1/ https://169.254.169.254/ https://[fd00::1]:8443/
http://localhost/ http://LOCALHOST/ http://localhost./ http://LocalHost:8080/ https://localhost/ http://foo.localhost/
http://localhost.localdomain/ http://ip6-localhost/ http://router/ http://metadata/ http://nas.local/ http://x.lan/
http://db.internal/ http://metadata.google.internal/computeMetadata/v1/ http://METADATA.GOOGLE.INTERNAL./ http://metadata.goog/
http://metadata.azure.com/ http://metadata.packet.net/ http://metadata.platformequinix.com/ http://metadata.tencentyun.com/
http://instance-data.ec2.amazonaws.com/ http://kubernetes.default.svc/ http://kubernetes.default.svc.cluster.local/
http://intranet.corp/ http://files.home/ http://a.home.arpa/ http://1.0.0.127.in-addr.arpa/ http://host.docker.internal/
http://consul.service.consul/ http://x.intranet/ http://x.private/ http://mail.mail/ http://x.test/ http://x.onion/ http://x.invalid/
http://user@publico.net/ http://user:pass@publico.net/ http://:@publico.net/ http://publico.net@127.0.0.1/
http://publico.net:80@127.0.0.1/ http://publico.net%40127.0.0.1/
http://publico.net:22/ http://publico.net:25/ http://publico.net:6379/ http://publico.net:8000/ http://publico.net:2375/
http://publico.net:9200/ http://93.184.216.34:3306/ https://publico.net:5432/ http://publico.net:11211/
http://１２７.０.０.１/ http://①②⑦.⓪.⓪.①/ http://127。0。0。1/ http://127．0．0．1/ http://127｡0｡0｡1/ http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/
http://ＬＯＣＡＬＨＯＳＴ/ http://local\u200bhost/ http://loc\u00adalhost/ http://169.254.169.254。/ http://０ｘ７ｆ.1/
"""),
    " http://127.0.0.1/", "http://127.0.0.1\t/", "http://127.0.0.1/\r\nX: y", "http://metadata.google\u3002internal/",
    "http://127.0.0.1\\@publico.net/", "http://publico.net\\@127.0.0.1/", "http:\\\\127.0.0.1/", "http://127.0.0.1#@publico.net/",
    "http://127.0.0.1?@publico.net/", "http://127.0.0.1/publico.net", "HTTP://127.0.0.1/", "hTTp://[::1]/",
]  # fmt: skip

# ---------------------------------------------------------------- attacks: no plain client gets anywhere either

STRANGE = [
    *words("""
http://127.0.0.1./ http://127.0.0.01/ http://1.1.1.1.1/ http://256.1.1.1/ http://[]/ http://[]@/ http://a@[]/ http://[v1.x]/
http://[127.0.0.1]/ http://[::1/ http://::1/ http://[::1]]/ http://[[::1]]/ http://@publico.net/
http://127.0.0.1%2f@publico.net/ http://publico.net%00.127.0.0.1/ http://publ%69co.net/
http://publico.net:0/ http://publico.net:99999/ http://publico.net:80a/ http://publico.net:-80/
ftp://publico.net/ file:///etc/passwd file://localhost/etc/passwd gopher://127.0.0.1:6379/_INFO dict://127.0.0.1:11211/stat
javascript:alert(1) data:text/html,x blob:http://publico.net/x view-source:http://publico.net/ jar:http://publico.net/!/x
ws://publico.net/ ldap://127.0.0.1/ smb://127.0.0.1/x unix:///var/run/docker.sock http+unix://%2Fvar%2Frun%2Fdocker.sock/info
//publico.net/ publico.net http:publico.net http:/publico.net http:// http:///x https://? http://. http://.. http://.com/
http://a..com/ http://-a.com/ http://a-.com/ http://a.c/ http://a.1/ http://a.0x1/ http://a.com.1/ http://exa$mple.com/
http://a,b.com/ http://℀.com/ http://publico.net.. http://*.publico.net/ http://publico.net|127.0.0.1/ http://<127.0.0.1>/
"""),
    "", " ", "http://exam ple.com/", "http://publico.net/a\0b", "http://publico.net\n.127.0.0.1/", "http://publico.net/\x85",
    "http://publico.net/\u2028", "http://publico.net/" + "a" * 5_000, "http://" + "a" * 64 + ".com/",
    "http://" + "a." * 130 + "com/", "http://publico.net:" + "8" * 5_000 + "/", "http://" + "[" * 3_000,
]  # fmt: skip

# ---------------------------------------------------------------- attacks: what the DNS answers

_BAD_ANSWERS = words("""
127.0.0.1 127.8.8.8 0.0.0.0 10.0.0.1 10.11.12.13 172.16.5.4 192.168.1.1 100.64.0.1 100.100.100.200 169.254.169.254 169.254.170.2
168.63.129.16 192.0.0.192 192.0.2.7 192.88.99.1 198.18.0.1 198.51.100.7 203.0.113.9 224.0.0.1 240.0.0.1 255.255.255.255
::1 :: ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::a00:1 2002:7f00:1::1 2001::1 2001:db8::1 3fff::1
fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1 100::1 5f00::1 2606:4700::5efe:7f00:1
""")
_TRICKY = {
    "mezcla.malo.net": [[GOOD, "127.0.0.1"]],
    "mezcla6.malo.net": [[GOOD, "::1"]],
    "mezcla-al-final.malo.net": [[*[f"93.184.216.{n}" for n in range(1, 20)], "10.0.0.1"]],
    "seis-malo.malo.net": [[GOOD, GOOD6, "fd00::1"]],
    "cuatro-malo.malo.net": [[GOOD6, "169.254.169.254"]],
    "mapeada.malo.net": [[GOOD, "::ffff:169.254.169.254"]],
}
_BAD_NAMES = {f"r{n}.malo.net": [[address]] for n, address in enumerate(_BAD_ANSWERS)} | _TRICKY
ANSWERS = [f"http://{name}/" for name in _BAD_NAMES] + [f"https://{name}/" for name in _TRICKY]

# The first answer is good: a second look-up would be the attack.
REBINDING = {f"gira{n}.malo.net": [[GOOD], [bad]] for n, bad in enumerate(words("127.0.0.1 10.0.0.1 169.254.169.254"))}

# This machine's own public addresses, and a neighbour of its network.
OWN_ADDRESSES = (("8.8.4.4", 32), ("2606:4700::1", 64))
OWN = words("""
http://8.8.4.4/ http://8.8.4.4:8080/ https://8.8.4.4/ http://134743044/ http://[2606:4700::1]/ http://[2606:4700::2]/
http://[2606:4700:0:0:ffff::9]/ http://yo.malo.net/ http://yo6.malo.net/ http://vecino6.malo.net/
http://publico.net/r?to=http://8.8.4.4/ http://publico.net/r?to=http://yo.malo.net/
""")

# ---------------------------------------------------------------- attacks: where a good site leads

_TARGETS = [
    *words("""
http://127.0.0.1/ http://localhost/ http://169.254.169.254/latest/meta-data/ http://[::1]/ http://[::ffff:127.0.0.1]/
http://[64:ff9b::7f00:1]/ http://[2002:7f00:1::]/ http://2130706433/ http://0x7f.1/ http://127.1/ //127.0.0.1/ //[::1]/
http://10.0.0.1:8080/ http://100.100.100.200/ http://168.63.129.16/ http://metadata.google.internal/ http://r0.malo.net/
http://mezcla.malo.net/ http://publico.net:22/ http://user:clave@publico.net/ http://publico.net@127.0.0.1/
ftp://publico.net/ file:///etc/passwd gopher://127.0.0.1/ javascript:alert(1) data:text/plain,hola http://[fe80::1%25lo]/
http:///127.0.0.1/ http://router/ http://nas.local/
"""),
    "http://127.0.0.1\\@publico.net/", "/\\127.0.0.1/", "\\\\127.0.0.1\\",
]  # fmt: skip
REDIRECTS = [f"http://publico.net/r?to={quote(target, safe='')}" for target in _TARGETS]
REDIRECTS += [f"http://publico.net/meta?to={quote(target, safe='')}" for target in _TARGETS[:3]]
REDIRECTS += ["https://docs.example.com/r?to=http%3A//publico.net/"]  # https to http

# ---------------------------------------------------------------- attacks: a URL that carries a secret

_HEX = SECRET.encode().hex()
LEAKS = [
    f"http://malo.net/?k={SECRET}", f"http://malo.net/{SECRET}", f"http://malo.net/a/{SECRET}/b", f"http://malo.net/#{SECRET}",
    f"http://malo.net/?k=a{SECRET}b", f"http://malo.net/?k={SECRET.lower()}", f"http://{SECRET.replace('_', '-')}.malo.net/",
    f"http://{SECRET}.malo.net/", f"http://{SECRET.lower()}.malo.net/", f"http://{SECRET[:12]}.{SECRET[12:]}.malo.net/",
    f"http://malo.net/{SECRET[:9]}/{SECRET[9:]}", f"http://malo.net/?a={SECRET[:9]}&b={SECRET[9:]}", f"http://malo.net/?{SECRET}=1",
    "http://malo.net/?k=" + "".join(f"%{byte:02x}" for byte in SECRET.encode()),
    "http://malo.net/?k=" + "".join(f"%25{byte:02X}" for byte in SECRET.encode()),
    "http://malo.net/?k=" + SECRET.replace("Q", "%51"),
    f"http://malo.net/?k={_HEX}", f"http://malo.net/{_HEX.upper()}", f"http://{_HEX[:50]}.{_HEX[50:]}.malo.net/",
    "http://malo.net/?k=Z3NrX1p4OVF3N0xtM1B2NVRyMVliOE5jMktkNA==", "http://malo.net/?k=Z3NrX1p4OVF3N0xtM1B2NVRyMVliOE5jMktkNA%3D%3D",
    f"http://malo.net/?k={quote(PASSWORD, safe='')}", f"http://malo.net/?k={PASSWORD}", f"http://malo.net/{PASSWORD}",
    "http://malo.net/?k=AKIAIOSFODNN7EXAMPLE", "http://malo.net/?k=ghp_" + "a1B2" * 9,
    "http://malo.net/?perro=azul&lento=2931",
    "http://malo.net/?k=" + "-".join(SECRET), "http://malo.net/" + "/".join(SECRET), f"http://publico.net/r?to=http://malo.net/{SECRET}",
]  # fmt: skip

# ---------------------------------------------------------------- ordinary

ORDINARY = [
    *words("""
http://example.com http://example.com/ https://example.com/ https://example.com:443/ http://example.com:80/ http://example.com:8080/x
https://example.com:8443/ HTTPS://Example.COM/Path?q=1&b=2#parte http://www.example.com/a/b/c.html https://www.example.com/?
https://es.wikipedia.org/wiki/España https://es.wikipedia.org/wiki/%C3%91and%C3%BA https://en.wikipedia.org/wiki/C_(programming_language)
https://ñandú.es/ https://日本語.jp/x https://xn--and-6ma2c.es/ https://straße.de/
https://docs.python.org/3/library/asyncio-task.html#asyncio.timeout https://docs.python.org/3/search.html?q=async+with&check_keywords=yes
https://github.com/a/b/blob/main/c.py#L10-L20 https://raw.githubusercontent.com/a/b/main/README.md https://api.github.com/repos/a/b/issues?state=open&per_page=100
https://gist.github.com/u/0123456789abcdef0123456789abcdef https://github.com/a/b/compare/v1.0...v2.0 https://github.com/a/b/archive/refs/tags/v1.0.tar.gz
https://github.com/a/b/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709 https://pypi.org/project/aiohttp/3.14.5/ https://pypi.org/pypi/h11/json
https://files.pythonhosted.org/packages/source/h/h11/ https://registry.npmjs.org/@scope%2fpkg https://crates.io/crates/serde https://docs.rs/serde/latest/serde/
https://developer.mozilla.org/es/docs/Web/HTTP/Headers/Content-Security-Policy https://stackoverflow.com/questions/123/que-es?answertab=votes#tab-top
https://www.google.com/search?q=c%2B%2B+%22hola+mundo%22&hl=es&start=10 https://www.google.com/maps/@40.4168,-3.7038,15z
https://www.boe.es/buscar/act.php?id=BOE-A-1978-31229 https://sede.agenciatributaria.gob.es/Sede/inicio.html
https://a-b.c-d.co.uk/ https://_dmarc.example.com/ https://x.com./ https://3com.com/ https://x.museum/ https://x.com/user/status/1234567890123456789
https://1.1.1.1/ https://8.8.8.8:443/ http://9.9.9.9/ http://93.184.216.34/ http://9.255.255.255/ http://11.0.0.1/ http://172.15.0.1/ http://172.32.0.1/
http://100.63.255.255/ http://100.128.0.1/ http://192.167.1.1/ http://192.169.1.1/ http://198.17.0.1/ http://198.20.0.1/ http://223.255.255.1/ http://168.63.129.15/
https://[2606:4700:4700::1111]/ http://[2001:4860:4860::8888]/ http://[2a00:1450:4003:80a::200e]/ http://[2003::1]/ http://[2606:2800:0220:0001:0000::34]:8080/
https://127.0.0.1.nip.io/ https://example.com/a%20b?u=http://127.0.0.1/ https://example.com/@user https://example.com/?e=a@b.c
https://example.com/c:80/ https://sub.test.example.com/ https://local.example.org/ https://localhost.example.com/ https://internal.example.com/
https://metadata.example.com/ https://10.example.com/ https://example.com/localhost https://example.com/169.254.169.254
https://example.com/~user/ https://example.com/a;b=c,d https://example.com/'x'(y) https://example.com/?q=[1] https://example.com/?a[]=1&a[]=2
https://example.com/?q=a%2Fb%3Fc https://example.com/a/../b https://example.com/a//b https://example.com/?next=https%3A%2F%2Flocalhost%2F
https://example.com/%E2%82%AC https://example.com/?sha=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
https://example.com/?id=123e4567-e89b-12d3-a456-426614174000 https://example.com/token/ https://example.com/?page=gsk_ https://example.com/?key=API_KEY
https://kubernetes.io/docs/concepts/services-networking/ https://docs.docker.com/engine/ https://news.ycombinator.com/item?id=1 https://arxiv.org/abs/1706.03762
https://huggingface.co/a/b/resolve/main/README.md https://gitlab.com/a/b/-/blob/main/c.md https://d111111abcdef8.cloudfront.net/x.js
https://elpais.com.example.com/ https://deb.debian.org/debian/dists/stable/Release https://requests.readthedocs.io/en/latest/
http://solo6.publico.net/ http://solo4.publico.net/ http://ambos.publico.net/ http://muchos.publico.net/
http://publico.net/r?to=/otra http://publico.net/r?to=https%3A//example.com/ http://publico.net/r?to=//example.com/x http://publico.net/r?to=/otra%3Fq%3D1
http://publico.net/r?to=http%3A//publico.net/r%3Fto%3Dhttp%253A//publico.net/fin https://example.com/r?to=https%3A//www.example.com/
http://gira0.malo.net/ http://publico.net/meta?to=/otra
"""),
    "  https://example.com/x \n", "https://example.com/con espacio", "https://example.com/?q=a\\b", "https://example.com/?q=niño & niña",
    "https://example.com/" + "a" * 2_000, "https://example.com/#" + "frag" * 100,
]  # fmt: skip

# Names that a plain client would find where the attack wants it.
_INSIDE = words("""
localhost foo.localhost localhost.localdomain ip6-localhost router metadata nas.local x.lan db.internal metadata.google.internal
metadata.goog metadata.azure.com metadata.packet.net metadata.platformequinix.com metadata.tencentyun.com
instance-data.ec2.amazonaws.com kubernetes.default.svc kubernetes.default.svc.cluster.local intranet.corp files.home a.home.arpa
1.0.0.127.in-addr.arpa host.docker.internal consul.service.consul x.intranet x.private mail.mail x.test x.onion x.invalid
""")
_PLAIN = words("""
publico.net malo.net solo4.publico.net example.com www.example.com es.wikipedia.org en.wikipedia.org xn--and-6ma2c.es
xn--wgv71a119e.jp xn--strae-oqa.de docs.python.org github.com raw.githubusercontent.com api.github.com gist.github.com
pypi.org files.pythonhosted.org registry.npmjs.org crates.io docs.rs developer.mozilla.org stackoverflow.com www.google.com
www.boe.es sede.agenciatributaria.gob.es a-b.c-d.co.uk _dmarc.example.com x.com 3com.com x.museum 127.0.0.1.nip.io
sub.test.example.com local.example.org localhost.example.com internal.example.com metadata.example.com 10.example.com
docs.example.com kubernetes.io docs.docker.com news.ycombinator.com arxiv.org huggingface.co gitlab.com
d111111abcdef8.cloudfront.net elpais.com.example.com deb.debian.org requests.readthedocs.io
""")
_LEAK_NAMES = [url.split("/")[2].lower() for url in LEAKS]
NAMES = (
    {name: [["10.9.8.7"]] for name in _INSIDE}
    | {name: [[GOOD]] for name in [*_PLAIN, *_LEAK_NAMES]}
    | {"solo6.publico.net": [[GOOD6]], "ambos.publico.net": [[GOOD, GOOD6]]}
    | {"muchos.publico.net": [[*[f"93.184.216.{n}" for n in range(1, 20)], GOOD6]]}
    | {"yo.malo.net": [["8.8.4.4"]], "yo6.malo.net": [["2606:4700::1"]], "vecino6.malo.net": [[GOOD6, "2606:4700::77"]]}
    | _BAD_NAMES
    | REBINDING
)
PORTS = (22, 25, 80, 443, 2375, 3306, 5432, 6379, 8000, 8080, 8443, 9200, 11211)
