"""Text files as bytes: what kind they are, one window of lines, one exact replacement."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO

CHUNK = 1 << 18
MAX_LINE = 4_000  # bytes of one line that are shown
MAX_SHOWN = 200_000  # bytes of one window
MAX_SCAN = 64 << 20  # bytes looked at to reach and count lines
_PROBE = 8_192

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_KINDS = (
    (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"RIFF", "RIFF"), (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"), (b"\x1f\x8b", "gzip"), (b"\xfd7zXZ", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x7fELF", "ELF"), (b"MZ", "Windows EXE"), (b"\xcf\xfa\xed\xfe", "Mach-O"), (b"\x00asm", "WebAssembly"),
    (b"\xca\xfe\xba\xbe", "Java/Mach-O"), (b"SQLite format 3", "SQLite"), (b"OggS", "Ogg"), (b"ID3", "MP3"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How a file is written; `crlf` is how most of its lines end, None when it has no line to go by."""

    encoding: str = "utf-8"
    bom: bytes = b""
    crlf: bool | None = None

    @classmethod
    def of(cls, head: bytes) -> TextFormat:
        bom, encoding = next(((b, e) for b, e in _BOMS if head.startswith(b)), (b"", "utf-8"))
        text = head[len(bom) :].decode(encoding, "replace")
        endings = text.count("\n")
        return cls(encoding, bom, text.count("\r\n") * 2 > endings if endings else None)

    @property
    def lossless(self) -> str:
        """The error handler that gives back the very bytes."""
        return "surrogateescape" if self.encoding == "utf-8" else "surrogatepass"

    def decode(self, data: bytes) -> str:
        """Byte-exact. Raises UnicodeDecodeError (a broken UTF-16 file)."""
        return data[len(self.bom) :].decode(self.encoding, self.lossless)

    def encode(self, text: str) -> bytes:
        """In this file's line endings. Raises UnicodeEncodeError."""
        text = text.removeprefix("\ufeff") if self.bom else text
        if self.crlf is not None:
            text = text.replace("\r\n", "\n")
        return self.bom + (text.replace("\n", "\r\n") if self.crlf else text).encode(self.encoding)


def binary_kind(head: bytes) -> str | None:
    """None for text; '' for binary data of no known kind."""
    if any(head.startswith(bom) for bom, _ in _BOMS) or b"\0" not in head[:_PROBE]:
        return None
    return next((kind for magic, kind in _KINDS if head.startswith(magic)), "")


@dataclass(slots=True)
class Window:
    """`lines` as (kept bytes, length of the whole line), ending in '\\n'; `total` of all lines scanned."""

    lines: list[tuple[bytes, int]]
    total: int
    more: bool


def read_window(file: IO[bytes], encoding: str, first: int, limit: int) -> Window:
    """Lines `first`… (1-based), at most `limit`, in bounded memory. The file stands after its BOM."""
    reader = _WindowReader(first, limit)
    ended = reader.feed_all(_utf8_chunks(file, encoding))
    return Window(reader.lines, reader.total, more=reader.skipped_after or not ended)


class _WindowReader:
    def __init__(self, first: int, limit: int) -> None:
        self.first = first
        self.last = first + limit - 1
        self.number = 1  # of the line that the next byte belongs to
        self.begun = False  # that line has at least one byte
        self.kept = bytearray()
        self.length = 0
        self.shown = 0
        self.lines: list[tuple[bytes, int]] = []
        self.skipped_after = False

    @property
    def total(self) -> int:
        return self.number if self.begun else self.number - 1

    def feed_all(self, chunks: Iterable[bytes]) -> bool:
        """False when the scan stopped before the end."""
        scanned = 0
        for chunk in chunks:
            self.feed(chunk)
            scanned += len(chunk)
            if scanned >= MAX_SCAN:
                return False
        if self.length:
            self.end_line(b"")
        return True

    def feed(self, chunk: bytes) -> None:
        start = 0
        while start < len(chunk):
            if not self.first <= self.number <= self.last:
                start = self.skip(chunk, start)
                continue
            end = chunk.find(b"\n", start)
            stop = len(chunk) if end < 0 else end
            self.kept += chunk[start : min(stop, start + MAX_LINE - len(self.kept))]
            self.length += stop - start
            self.begun = True
            start = stop
            if end >= 0:
                self.end_line(b"\n")
                self.number, self.begun = self.number + 1, False
                start = end + 1

    def skip(self, chunk: bytes, start: int) -> int:
        """Counts lines outside the window; returns where the window begins, or the end of the chunk."""
        self.skipped_after = self.skipped_after or self.number > self.last
        lines = chunk.count(b"\n", start)
        if self.number > self.last or self.number + lines < self.first:
            self.number += lines
            self.begun = not chunk.endswith(b"\n")
            return len(chunk)
        for _ in range(self.first - self.number):
            start = chunk.find(b"\n", start) + 1
        self.number, self.begun = self.first, False
        return start

    def end_line(self, ending: bytes) -> None:
        line = bytes(self.kept)
        if self.length <= MAX_LINE and ending:
            line = line.removesuffix(b"\r")
        self.lines.append((line + ending, self.length))
        self.shown += len(line)
        self.kept.clear()
        self.length = 0
        if self.shown >= MAX_SHOWN:
            self.last = self.number


def _utf8_chunks(file: IO[bytes], encoding: str) -> Iterator[bytes]:
    if encoding == "utf-8":
        while chunk := file.read(CHUNK):
            yield chunk
        return
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    while chunk := file.read(CHUNK):
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


class Replacement:
    """One exact replacement in a text whose lines may end in CRLF, LF or both: all other bytes stay."""

    def __init__(self, text: str, old: str) -> None:
        self._text = text
        self._plain = text.replace("\r\n", "\n")
        self._old = old.replace("\r\n", "\n")

    def positions(self, limit: int) -> list[int]:
        """Of `old`, overlapping ones too: each is another meaning of the edit."""
        found: list[int] = []
        at = self._plain.find(self._old)
        while at >= 0 and len(found) < limit:
            found.append(at)
            at = self._plain.find(self._old, at + 1)
        return found

    def line_of(self, position: int) -> int:
        return self._plain.count("\n", 0, position) + 1

    def apply(self, position: int, new: str, *, crlf: bool) -> str:
        start, end = self._raw(position), self._raw(position + len(self._old))
        taken = self._text[start:end]
        crlf = "\r\n" in taken if "\n" in taken else crlf
        plain = new.replace("\r\n", "\n")
        return self._text[:start] + (plain.replace("\n", "\r\n") if crlf else plain) + self._text[end:]

    def _raw(self, position: int) -> int:
        """Where a place of the plain text is in the real one: one '\\r' further for every CRLF before it."""
        if len(self._plain) == len(self._text):
            return position
        lines = self._plain.count("\n", 0, position)
        column = position - (self._plain.rfind("\n", 0, position) + 1)
        start = 0
        for _ in range(lines):
            start = self._text.find("\n", start) + 1
        return start + column

    def similar_line(self) -> tuple[int | None, bool]:
        """A line that begins like `old`, and whether all of `old` is there but for white space."""
        wanted = next((packed for line in self._old.split("\n") if (packed := _packed(line))), "")
        if not wanted:
            return None, False
        numbered = enumerate(self._plain.split("\n"), start=1)
        line = next((n for n, text in numbered if _packed(text) == wanted), None)
        return line, _packed(self._old) in _packed(self._plain)


def _packed(text: str) -> str:
    return "".join(text.split())
