"""From the bytes of a response to its text: inflating with a limit, charset, type."""

from __future__ import annotations

import codecs
import re
import zlib

from app.core import texts_fetch as texts
from app.core.errors import FetchError

Kind = tuple[str, str]  # media type and charset, in lower case, '' when missing
_PROBE = 8192  # bytes looked at
_WIDE_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BINARY_BYTES = bytes({*range(0x20), 0x7F} - set(b"\t\n\f\r\b\x1b"))  # a man page overstrikes, a log has colours
_MAGIC = (  # what no text begins with; most others have a NUL soon
    b"%PDF-", b"PK\x03\x04", b"PK\x05\x06", b"\x89PNG", b"\xff\xd8\xff", b"\x7fELF", b"\x1f\x8b", b"BZh91AY&SY",
    b"\xfd7zXZ", b"7z\xbc\xaf", b"\x28\xb5\x2f\xfd", b"\xca\xfe\xba\xbe",
)  # fmt: skip
_MEMBERS = 16  # gzip allows many members; each costs a copy
_TEXTUAL = re.compile(
    r"text/[\w.+-]+|application/(?:[\w.+-]*\+)?(?:json|xml)|application/(?:javascript|ecmascript|x-javascript|yaml|x-yaml"
    r"|toml|x-ndjson|jsonl|markdown|x-sh|sql|graphql)|image/svg\+xml|message/rfc822"
)
_HTML = frozenset({"text/html", "application/xhtml+xml"})
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Only what pages are written in: Python also knows "codecs" that are slow or no text at all.
_CHARSET = re.compile(
    r"utf-?8|utf-?16(?:-?[lb]e)?|us-ascii|ascii|latin-?1|iso-?8859-\d{1,2}|windows-\d{3,4}|cp\d{3,4}|koi8-[ru]|gb2312"
    r"|gbk|gb18030|big5(?:-hkscs)?|shift[_-]jis|sjis|euc-(?:jp|kr)|iso-2022-(?:jp|kr)|mac-?roman|macintosh|tis-620"
)
_DECLARED = re.compile(
    rb"""<(?:meta\b|\?xml\b)[^>]{0,300}?(?:charset|encoding)\s*=\s*["']?([\w-]{2,20})""", re.IGNORECASE
)


def content_type(header: str) -> Kind:
    kind, _, parameters = header.lower().partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?([\w-]{2,20})", parameters)
    return kind.strip(), charset[1] if charset else ""


def check_textual(kind: str) -> None:
    """Raises FetchError for what is not text. A missing type is looked at when the body is here."""
    if kind and not _TEXTUAL.fullmatch(kind):
        raise FetchError(texts.fetch_not_text(kind))


def check_is_text(data: bytes, kind: str, charset: str) -> None:
    """Whatever the server calls it: raises FetchError for what begins like binary data."""
    head = data[:_PROBE]
    if head.startswith(_WIDE_BOMS) or "utf-16" in charset:
        return
    odd = len(head) - len(head.translate(None, _BINARY_BYTES))
    shifted = charset.startswith("iso-2022")  # written with control characters
    if head.startswith(_MAGIC) or b"\0" in head or (odd * 100 > len(head) and not shifted):
        raise FetchError(texts.fetch_not_text(texts.BINARY if not kind else f"{kind}, {texts.BINARY}"))


def inflate(raw: bytes, encoding: str, limit: int) -> tuple[bytes, bool]:
    """At most `limit` bytes, and whether something is missing. Raises FetchError."""
    kinds = [kind for part in encoding.lower().split(",") if (kind := part.strip()) not in ("", "identity")]
    if not kinds:
        return raw[:limit], len(raw) > limit
    if len(kinds) > 1 or kinds[0] not in ("gzip", "x-gzip", "deflate"):
        raise FetchError(texts.FETCH_BAD_DATA)
    try:
        data, whole = _gunzip(raw, limit) if kinds[0] != "deflate" else _undeflate(raw, limit)
    except zlib.error:
        raise FetchError(texts.FETCH_BAD_DATA) from None
    return data[:limit], len(data) > limit or not whole


def _gunzip(raw: bytes, limit: int) -> tuple[bytes, bool]:
    data = b""
    for _ in range(_MEMBERS):
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        data += inflater.decompress(raw, limit + 1 - len(data))
        raw = inflater.unused_data
        if not raw.startswith(b"\x1f\x8b") or len(data) > limit:
            return data, inflater.eof
    return data, False


def _undeflate(raw: bytes, limit: int) -> tuple[bytes, bool]:
    """Some servers send the zlib format that the standard means, some the bare stream."""
    try:
        inflater = zlib.decompressobj()
        return inflater.decompress(raw, limit + 1), inflater.eof
    except zlib.error:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return inflater.decompress(raw, limit + 1), inflater.eof


def decode(data: bytes, charset: str) -> str:
    """A byte order mark, then what the server says, then what the page says, then UTF-8, then Windows-1252."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data[len(bom) :].decode(encoding, "replace")
    declared = _DECLARED.search(data, 0, 2048)
    inside = declared[1].decode("ascii").lower() if declared else ""
    for name in (charset, "" if inside.startswith("utf-16") else inside):  # it was read as ASCII: not UTF-16
        if codec := _known(name):
            return data.decode(codec, "replace")
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data)  # an end cut inside a character is dropped
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def is_html(kind: str, text: str) -> bool:
    return kind in _HTML or (
        not kind and bool(re.match(r"\s{0,200}<(?:!doctype html|html|head|body)\b", text, re.IGNORECASE))
    )


def _known(name: str) -> str | None:
    if not _CHARSET.fullmatch(name):
        return None
    if name in ("iso-8859-1", "iso8859-1", "latin1", "latin-1", "ascii", "us-ascii"):
        return "cp1252"  # as every browser reads them
    try:
        return codecs.lookup(name).name
    except LookupError:
        return None
