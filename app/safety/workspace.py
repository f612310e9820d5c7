"""Files under the allowed roots, for the model's file tools."""

from __future__ import annotations

import asyncio
import heapq
import os
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from app.core import texts_safety as texts
from app.core.contracts import Entry, FileText
from app.core.errors import WorkspaceError
from app.safety import diskfile, names
from app.safety.bounds import Bounds
from app.safety.hardlinks import HardLinks
from app.safety.paths import Place, code_of, locate
from app.safety.planted import consented
from app.safety.survey import DiskSurvey
from app.safety.textfile import Replacement, TextFormat, Window, binary_kind, read_window

MAX_WHOLE = 20_000_000  # bytes of a file that is edited or written
_HEAD = 65_536
_THREADS = 4  # of its own: slow reads must not hold up the logs, which use the default executor
_SHOWN_MATCHES = 10

T = TypeVar("T")


class Workspace:
    """`roots` are folders, `files` single files outside them (the memory), `hidden` is masked inside too.

    `homes`: where package managers may keep what they link into a project.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        hidden: Sequence[Path] = (),
        files: Sequence[Path] = (),
        homes: Sequence[Path] = (),
    ) -> None:
        self._bounds = Bounds(roots, files, hidden)
        self._links = HardLinks(self._bounds, homes)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="nanobot-files")
        self.survey = DiskSurvey(self._bounds)
        self.bounds = self._bounds

    @property
    def roots(self) -> Sequence[Path]:
        return self._bounds.roots

    def resolve(self, path: str, base: Path) -> Path:
        with self._at(path, base) as place:
            return place.real

    async def read(self, path: str, base: Path, *, offset: int = 1, limit: int = 400) -> FileText:
        return await self._in_thread(lambda: self._read(path, base, max(1, offset), max(1, limit)))

    async def write(self, path: str, base: Path, content: str) -> str:
        return await self._in_thread(lambda: self._write(path, base, content))

    async def edit(self, path: str, base: Path, old: str, new: str) -> int:
        return await self._in_thread(lambda: self._edit(path, base, old, new))

    async def list_dir(self, path: str, base: Path, limit: int = 200) -> tuple[Sequence[Entry], int]:
        return await self._in_thread(lambda: self._list_dir(path, base, limit))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextmanager
    def _at(self, path: str, base: Path, *, create: bool = False) -> Generator[Place, None, None]:
        """Every failure of the disk becomes a sentence."""
        try:
            with locate(self._bounds, path, base, create=create) as place:
                yield place
        except FileNotFoundError:
            raise WorkspaceError(texts.no_such_file(path, ())) from None
        except OSError as error:
            raise WorkspaceError(texts.disk_problem(path, code_of(error))) from error

    @contextmanager
    def _opened(self, place: Place) -> Generator[BinaryIO, None, None]:
        with diskfile.opened(place) as file:
            self._links.check(place, file)
            yield file

    def _read(self, path: str, base: Path, offset: int, limit: int) -> FileText:
        with self._at(path, base) as place, self._opened(place) as file:
            head = file.read(_HEAD)
            _refuse_binary(path, head, os.fstat(file.fileno()).st_size)
            form = TextFormat.of(head)
            file.seek(len(form.bom))
            return _shown(read_window(file, form.encoding, offset, limit), offset)

    def _write(self, path: str, base: Path, content: str) -> str:
        _refuse_unwritable(content)
        if path.endswith("/"):
            raise WorkspaceError(texts.is_a_folder(path))
        with self._at(path, base, create=True) as place:
            diskfile.check_writable(place)
            if place.info is None:
                _replace(place, _fitting(path, content.encode()))
                return texts.CREATED
            with self._opened(place) as file:
                form = TextFormat.of(file.read(_HEAD))
            _replace(place, _fitting(path, form.encode(content)))
            return texts.REPLACED

    def _edit(self, path: str, base: Path, old: str, new: str) -> int:
        if not old:
            raise WorkspaceError(texts.EMPTY_OLD)
        if old == new:
            raise WorkspaceError(texts.SAME_TEXT)
        _refuse_unwritable(new)
        with self._at(path, base) as place:
            diskfile.check_writable(place)
            with self._opened(place) as file:
                data = _whole(path, file)
            form = TextFormat.of(data)
            text = _decoded(path, form, data)
            replacement = Replacement(text, old)
            position = _the_only_one(path, replacement, text)
            changed = replacement.apply(position, new, crlf=bool(form.crlf))
            _replace(place, _fitting(path, form.bom + changed.encode(form.encoding, form.lossless)), over=data)
            return replacement.line_of(position)

    def _list_dir(self, path: str, base: Path, limit: int) -> tuple[Sequence[Entry], int]:
        with self._at(path, base) as place:
            if place.info is None:
                diskfile.regular(place)  # says which names are close
            elif not stat.S_ISDIR(place.info.st_mode):
                raise WorkspaceError(texts.not_a_folder(path))
            hides = self._bounds.hides if self._bounds.hides_below(place.real) else None
            with diskfile.listed(place) as found:
                return _entries(found, lambda entry: _is_shown(entry, place, hides), limit)


def _replace(place: Place, content: bytes, over: bytes | None = None) -> None:
    with consented(place.real, content, over):
        diskfile.replace(place, content)


def _entries(
    found: Iterator[os.DirEntry[str]], is_shown: Callable[[os.DirEntry[str]], bool], limit: int
) -> tuple[list[Entry], int]:
    """Folders first, then by name. Links are not followed: what they lead to is not told."""
    total = 0

    def counted() -> Iterator[os.DirEntry[str]]:
        nonlocal total
        for entry in filter(is_shown, found):
            total += 1
            yield entry

    first = heapq.nsmallest(limit, counted(), key=lambda e: (not e.is_dir(follow_symlinks=False), e.name))
    return [_entry(e) for e in first], total


def _is_shown(entry: os.DirEntry[str], place: Place, hides: Callable[[Path], bool] | None) -> bool:
    masked = place.info is not None and (place.info.st_dev, entry.inode()) in place.ids
    by_name = hides is not None and hides(place.real / entry.name)
    return not (masked or by_name or names.is_temporary(entry.name))


def _entry(entry: os.DirEntry[str]) -> Entry:
    try:
        size = entry.stat(follow_symlinks=False).st_size
    except OSError:
        size = 0
    is_dir = entry.is_dir(follow_symlinks=False)
    return Entry(texts.shown(entry.name), is_dir, 0 if is_dir else size)


def _shown(window: Window, first: int) -> FileText:
    lines: list[str] = []
    for kept, length in window.lines:
        if length > len(kept):  # cut: perhaps inside a character
            lines.append(kept.rstrip(b"\n").decode("utf-8", "ignore") + texts.cut_line(length))
            lines.append("\n" if kept.endswith(b"\n") else "")
        else:
            lines.append(kept.decode("utf-8", "replace").replace("\0", "�"))
    return FileText("".join(lines), first, window.total, window.more)


def _refuse_binary(path: str, head: bytes, size: int) -> None:
    kind = binary_kind(head)
    if kind is not None:
        raise WorkspaceError(texts.binary_file(path, kind or texts.unknown_kind(Path(path).suffix), size))


def _refuse_unwritable(content: str) -> None:
    if not names.encodable(content):
        raise WorkspaceError(texts.NOT_UNICODE)


def _fitting(path: str, data: bytes) -> bytes:
    if len(data) > MAX_WHOLE:
        raise WorkspaceError(texts.too_large(path, len(data), MAX_WHOLE))
    return data


def _whole(path: str, file: BinaryIO) -> bytes:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_WHOLE:
        raise WorkspaceError(texts.too_large(path, size, MAX_WHOLE))
    data = file.read(MAX_WHOLE)
    _refuse_binary(path, data[:_HEAD], size)
    return data


def _decoded(path: str, form: TextFormat, data: bytes) -> str:
    try:
        return form.decode(data)
    except UnicodeDecodeError:
        raise WorkspaceError(texts.binary_file(path, form.encoding, len(data))) from None


def _the_only_one(path: str, replacement: Replacement, text: str) -> int:
    positions = replacement.positions(_SHOWN_MATCHES + 1)
    if len(positions) == 1:
        return positions[0]
    if positions:
        shown = [replacement.line_of(p) for p in positions[:_SHOWN_MATCHES]]
        raise WorkspaceError(texts.found_many_times(path, shown, more=len(positions) > _SHOWN_MATCHES))
    line, only_spaces = replacement.similar_line()
    not_utf8 = any("\udc80" <= c <= "\udcff" for c in text)
    raise WorkspaceError(texts.not_found_in_file(path, line, only_spaces=only_spaces, not_utf8=not_utf8))
