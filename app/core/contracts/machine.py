"""What the tools need from the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`output` is stdout and stderr as they came, already cut in the middle; `dropped` bytes were left out."""

    exit_code: int
    output: str
    seconds: float
    dropped: int = 0
    timed_out: bool = False


class Sandbox(Protocol):
    """Runs programs. Raises SandboxError when one cannot be started."""

    @property
    def confined(self) -> bool:
        """True when the operating system keeps a command inside its folder."""
        ...

    @property
    def description(self) -> str:
        """What confines a command here, in Spanish, for /estado."""
        ...

    @property
    def shell_name(self) -> str:
        """For the system prompt: bash, sh, PowerShell 7…"""
        ...

    def shell(self, command: str) -> list[str]:
        """The argv that makes the system's shell run `command`."""
        ...

    def start(self) -> None:
        """Begins to find out what confines commands, without waiting."""
        ...

    async def ready(self, *, shell: bool = False) -> None:
        """Waits until it is known what confines commands. Raises SandboxError when nothing runs, or no `shell`."""
        ...

    async def run(self, argv: Sequence[str], cwd: Path, limits: RunLimits) -> CommandResult: ...


@dataclass(frozen=True, slots=True)
class RunLimits:
    """`seconds` of wall time, `output_bytes` kept (beginning and end). `env`: added to the clean environment.

    `proxy`: of a Grant, the only way to the network. None: no network, if the command is confined.
    `lasting`: it may leave what later runs outside its confinement (hooks, CI files…): somebody was asked.
    """

    seconds: float = 60.0
    output_bytes: int = 30_000
    env: dict[str, str] = field(default_factory=dict[str, str])
    proxy: str | None = None
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """`proxy`: where a filtering HTTP proxy waits for one command: a Unix socket, on macOS a URL with its password.

    `env`: for that command. `refusals`: what was not let through so far, each a Spanish sentence.
    """

    proxy: str
    env: Mapping[str, str]
    refusals: Sequence[str]


class Network(Protocol):
    """The internet as confined commands may see it: some sites, and never this machine or a private network."""

    @property
    def hosts(self) -> Sequence[str]:
        """The sites: exact names, and `*.name` for everything below a name."""
        ...

    def grant(self, seconds: float) -> AbstractAsyncContextManager[Grant]:
        """For one command, and for `seconds` at most. Raises SandboxError."""
        ...


@dataclass(frozen=True, slots=True)
class FileText:
    """`text` has lines `first`… (1-based) of `total_lines`; `truncated` when more follows."""

    text: str
    first: int
    total_lines: int
    truncated: bool


@dataclass(frozen=True, slots=True)
class Entry:
    name: str
    is_dir: bool
    size: int


class Workspace(Protocol):
    """Files under the allowed roots. Raises WorkspaceError with a Spanish sentence the model can act on."""

    @property
    def roots(self) -> Sequence[Path]: ...

    def resolve(self, path: str, base: Path) -> Path:
        """The real path, certain to lie in an allowed root. Relative paths start at `base`."""
        ...

    async def read(self, path: str, base: Path, *, offset: int = 1, limit: int = 400) -> FileText: ...

    async def write(self, path: str, base: Path, content: str) -> str:
        """Creates or replaces; returns 'creado' or 'reemplazado'. Keeps mode, line endings and BOM."""
        ...

    async def edit(self, path: str, base: Path, old: str, new: str) -> int:
        """Replaces the one exact occurrence of `old`; returns its line number."""
        ...

    async def list_dir(self, path: str, base: Path, limit: int = 200) -> tuple[Sequence[Entry], int]:
        """The entries (at most `limit`) and how many there are."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """`text` is readable Markdown; `url` where the redirects ended."""

    url: str
    title: str
    text: str
    truncated: bool


class Fetcher(Protocol):
    """Reads public pages. Raises FetchError."""

    async def fetch(self, url: str, max_chars: int = 20_000) -> Page: ...

    async def aclose(self) -> None: ...


class Clones(Protocol):
    """Which files of the workspace are other people's: the repositories that the agent has cloned."""

    async def origin(self, paths: Sequence[Path], *, around: bool = False) -> str:
        """Whose the first is that is not the owner's, in a few words of Spanish; '' when all are.

        `around`: a folder that holds such files counts as well.
        """
        ...

    def watching(self, folder: Path) -> AbstractAsyncContextManager[None]:
        """Repositories that appear meanwhile, in the workspace or below `folder`, were cloned."""
        ...


@dataclass(frozen=True, slots=True)
class Project:
    name: str
    path: Path


class Surroundings(Protocol):
    """What the system prompt tells about the machine. `system`: Linux, macOS or Windows."""

    @property
    def system(self) -> str: ...

    @property
    def shell(self) -> str: ...

    async def projects(self, *, now: bool = False) -> Sequence[Project]:
        """Those seen not long ago; `now`: those that are there."""
        ...

    async def memory(self) -> str:
        """SOUL.md, USER.md, AGENTS.md and MEMORY.md of the workspace, those that exist."""
        ...


class TextStream(Protocol):
    """A text that arrives in pieces, made fit to be shown at once: what may yet become a secret is held back."""

    def feed(self, piece: str) -> str:
        """What can be shown now."""
        ...

    def pause(self) -> str:
        """What can be shown when the next piece takes its time."""
        ...

    def end(self) -> str:
        """The rest."""
        ...


class Redactor(Protocol):
    def redact(self, text: str) -> str: ...

    def redact_answer(self, text: str) -> str:
        """For people: an address that carries a secret away, in whatever form, is hidden as well."""
        ...

    def stream(self) -> TextStream:
        """For an answer that arrives in pieces."""
        ...

    def add(self, values: Iterable[str]) -> None:
        """Hides these, too, from now on."""
        ...

    def has_mark(self, text: str) -> bool:
        """Whether the text holds a redaction mark: writing it back would destroy a secret."""
        ...
