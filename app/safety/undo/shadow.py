"""A bare git repository in DATA_DIR as the place where the states of one project are kept.

Git never sees the project: it has no work tree, and what goes in and out passes through our own hands. So nothing
that stands in a project (configuration, attributes, hooks, links) means anything to it.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from app.core import texts_undo as texts
from app.core.errors import CheckpointError
from app.safety.environment import search_path

FILES = "files"
META = "meta.json"
_CHUNK = 1 << 20
_GIT_LIKE = re.compile(rb"\.git~*", re.IGNORECASE)
_DURABLE = ("-c", "core.fsync=all", "-c", "core.fsyncMethod=fsync")
_SETTINGS = (
    *_DURABLE, "-c", "core.compression=1", "-c", "core.bigFileThreshold=8m", "-c", "gc.auto=0",
    "-c", "core.protectNTFS=false", "-c", "core.protectHFS=false", "-c", "fastimport.unpackLimit=0",
)  # fmt: skip


def encoded(path: str) -> bytes:
    """A path as a tree may hold it: git refuses the name .git, whatever its letters."""
    parts = os.fsencode(path).replace(b"\\" if os.name == "nt" else b"/", b"/").split(b"/")
    return b"/".join(part + b"~" if _GIT_LIKE.fullmatch(part) else part for part in parts)


def decoded(path: bytes) -> str:
    parts = [part[:-1] if _GIT_LIKE.fullmatch(part) else part for part in path.split(b"/")]
    return os.fsdecode(b"/".join(parts))


@dataclass(frozen=True, slots=True)
class RawChange:
    """Of one path between two commits; mode 0 and an empty sha where there is nothing."""

    path: str
    old_mode: int
    new_mode: int
    old: str
    new: str


class Shadow:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = {
            "PATH": search_path(), "HOME": str(folder), "GIT_DIR": str(folder), "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TEMPLATE_DIR": "", "GIT_TERMINAL_PROMPT": "0", **_windows(os.environ),
        }  # fmt: skip

    def ensure(self) -> None:
        if not (self.folder / "HEAD").exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.run("init", "--quiet", "--bare")

    def run(self, *words: str, input: bytes | None = None) -> bytes:
        """Raises CheckpointError."""
        try:
            done = subprocess.run(
                self._argv(words), env=self._env, cwd=self.folder, input=input, capture_output=True, check=False,
                stdin=subprocess.DEVNULL if input is None else None, timeout=600,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CheckpointError(texts.store_broken(str(error))) from error
        if done.returncode:
            raise CheckpointError(texts.store_broken(done.stderr.decode("utf-8", "replace")[-300:]))
        return done.stdout

    def popen(self, *words: str, stderr: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._argv(words), env=self._env, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=stderr,
            )  # fmt: skip
        except OSError as error:
            raise CheckpointError(texts.store_broken(str(error))) from error

    def tree(self, commit: str) -> str:
        return self.run("rev-parse", f"{commit}^{{tree}}").decode().strip()

    def meta(self, commit: str) -> bytes:
        return self.run("cat-file", "blob", f"{commit}:{META}")

    def differences(self, old: str, new: str) -> list[RawChange]:
        raw = self.run("diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new)
        words = raw.split(b"\0")[:-1]
        return [c for head, path in zip(words[::2], words[1::2], strict=True) if (c := _raw_change(head, path))]

    def line_counts(self, old: str, new: str) -> dict[str, tuple[int | None, int | None]]:
        raw = self.run("diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv", old, new)
        found: dict[str, tuple[int | None, int | None]] = {}
        for line in raw.split(b"\0")[:-1]:
            plus, minus, path = line.split(b"\t", 2)
            if path.startswith(b"files/"):
                counts = (None, None) if plus == b"-" else (int(plus), int(minus))
                found[decoded(path[len(FILES) + 1 :])] = counts
        return found

    def blobs(self, names: Iterable[str]) -> Iterator[tuple[str, BinaryIO, int]]:
        """(sha, stream, size) of each; what is not read of a stream is passed over."""
        process = self.popen("cat-file", "--batch")
        assert process.stdin
        assert process.stdout
        try:
            for name in names:
                process.stdin.write(f"{name}\n".encode())
                process.stdin.flush()
                head = process.stdout.readline().split()
                if len(head) != 3:
                    raise CheckpointError(texts.store_broken(name))
                body = _Limited(process.stdout, int(head[2]))
                yield name, body, int(head[2])  # pyright: ignore[reportReturnType]
                body.drain()
                process.stdout.read(1)
        finally:
            with suppress(OSError):
                process.stdin.close()
            process.kill()
            process.wait()
            process.stdout.close()

    def drop_unfinished(self) -> None:
        """What a git that was stopped, or had no room, has left behind."""
        for file in (self.folder / "objects/pack").glob("tmp_*"):
            with suppress(OSError):
                file.unlink()

    def keep_only(self, commits: set[str]) -> None:
        """Frees the room of every other state."""
        listed = self.run("for-each-ref", "--format=%(objectname) %(refname)").decode().splitlines()
        gone = [name for sha, name in (line.split(" ", 1) for line in listed) if sha not in commits]
        if gone:
            self.run("update-ref", "--stdin", input="".join(f"delete {name}\n" for name in gone).encode())
        self.run("repack", "-a", "-d", "-q", "-l")
        self.run("prune", "--expire=now")

    def _argv(self, words: Sequence[str]) -> list[str]:
        return ["git", "--no-pager", *_SETTINGS, *words]


class Importer:
    """Writes one new state. Starts git with the first thing to write, so that an unchanged project costs nothing."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._marks = 0

    @property
    def began(self) -> bool:
        return self._process is not None

    def blob(self, file: BinaryIO, size: int) -> str:
        """Exactly `size` bytes go in, filled up when the file has shrunk. Returns its mark."""
        self._marks += 1
        self._write(b"blob\nmark :%d\ndata %d\n" % (self._marks, size))
        while size:
            chunk = file.read(min(size, _CHUNK)) or bytes(min(size, _CHUNK))
            self._write(chunk)
            size -= len(chunk)
        self._write(b"\n")
        return f":{self._marks}"

    def commit(self, name: str, base: str, changes: Sequence[tuple[int, str, str]], meta: bytes) -> str:
        """`changes`: (git's mode or 0 for gone, mark or sha, path), on top of tree `base`. Returns the commit's sha."""
        self._marks += 1
        head = b"commit refs/points/%s\nmark :%d\n" % (name.encode(), self._marks)
        self._write(head + b"committer nanobot <nanobot> 0 +0000\ndata 0\n\n")
        if base:
            self._write(b'M 040000 %s ""\n' % base.encode())
        for mode, data, path in changes:
            place = _quoted(FILES.encode() + b"/" + encoded(path))
            self._write(b"M %o %s %s\n" % (mode, data.encode(), place) if mode else b"D %s\n" % place)
        self._write(b"M 100644 inline %s\ndata %d\n%s\n\n" % (META.encode(), len(meta), meta))
        self._write(b"get-mark :%d\n" % self._marks)
        process = self._running()
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.flush()
            sha = process.stdout.readline().decode().strip()
        except OSError as error:
            raise self._failure() from error
        return sha

    def finish(self) -> None:
        """Everything is synced when it returns. Raises CheckpointError."""
        if self._process is None:
            return
        self._write(b"done\n")
        assert self._process.stdin
        with suppress(OSError):
            self._process.stdin.close()
        if self._process.wait() != 0:
            raise self._failure()
        self.abandon()

    def abandon(self) -> bool:
        """Whether something was under way."""
        if self._process is None:
            return False
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):
                if stream is not None:
                    stream.close()
        self._process = None
        return True

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._shadow.ensure()
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed by abandon()
            self._process = self._shadow.popen("fast-import", "--quiet", "--done", stderr=self._errors)
        return self._process

    def _write(self, data: bytes) -> None:
        process = self._running()
        assert process.stdin
        try:
            process.stdin.write(data)
        except OSError as error:
            raise self._failure() from error

    def _failure(self) -> CheckpointError:
        said = b""
        if self._process is not None and self._errors is not None:
            self._process.kill()
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read(2_000)
        return CheckpointError(texts.store_broken(said.decode("utf-8", "replace").strip()[:300]))


class _Limited:
    """The next `left` bytes of a stream."""

    def __init__(self, stream: IO[bytes], left: int) -> None:
        self._stream = stream
        self._left = left

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def drain(self) -> None:
        while self._left and self.read(_CHUNK):
            pass


def _raw_change(head: bytes, path: bytes) -> RawChange | None:
    if not path.startswith(b"files/"):
        return None
    old_mode, new_mode, old, new, _ = head[1:].decode().split(" ")
    return RawChange(
        decoded(path[len(FILES) + 1 :]),
        int(old_mode, 8),
        int(new_mode, 8),
        old.strip("0") and old,
        new.strip("0") and new,
    )


def _quoted(path: bytes) -> bytes:
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def _windows(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in ("SystemRoot", "TEMP", "TMP") if name in environ}
