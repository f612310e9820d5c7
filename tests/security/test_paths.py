"""Paths an attacker would try, judged by effect: what lies outside is never read, listed, named or changed.

Every attack is also run against plain pathlib (the positive control): it must reach the outside there.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.errors import WorkspaceError
from app.safety.workspace import Workspace
from tests.security.paths.corpus import REFUSED_NAMES

SECRET = "lo que nadie debe leer"
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX files")


@dataclass
class House:
    """<tmp>/afuera is off limits; the project lies in <tmp>/raíz, with Nanobot's own files masked inside it."""

    outside: Path
    root: Path
    project: Path
    workspace: Workspace

    @property
    def secret(self) -> Path:
        return self.outside / "clave.txt"

    def untouched(self) -> bool:
        return (
            self.secret.read_text() == SECRET
            and sorted(os.listdir(self.outside)) == ["clave.txt", "sub"]
            and os.listdir(self.outside / "sub") == []
            and (self.root / "nanobot/.env").read_text() == SECRET
            and sorted(os.listdir(self.root / "nanobot")) == [".env", "app.py"]
        )


@pytest.fixture(params=["openat2", "walk", "realpath"])
def house(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> House:
    if request.param == "realpath":
        monkeypatch.setattr("app.safety.paths.BY_DESCRIPTOR", False)
    elif request.param == "walk":
        monkeypatch.setattr("app.safety.openat2.works", lambda: False)
    outside, root = tmp_path / "afuera", tmp_path / "raíz"
    project = root / "proyecto"
    for folder in (outside / "sub", project, root / "nanobot", tmp_path / "raíz2"):
        folder.mkdir(parents=True)
    for file in (outside / "clave.txt", root / "nanobot/.env", tmp_path / "raíz2/clave.txt"):
        file.write_text(SECRET)
    (root / "nanobot/app.py").write_text("código")
    return House(outside, root, project, Workspace([root], hidden=[root / "nanobot"]))


def _link(house: House, name: str, target: str | Path) -> str:
    (house.project / name).symlink_to(target)
    return name


def _chain(house: House) -> str:
    for n in range(5):
        _link(house, f"paso{n}", f"paso{n + 1}")
    _link(house, "paso5", house.outside)
    return "paso0/clave.txt"


ATTACKS: dict[str, Callable[[House], str]] = {
    "parent": lambda h: "../../afuera/clave.txt",
    "deep parent": lambda h: "../" * 40 + str(h.secret).lstrip("/"),
    "absolute": lambda h: str(h.secret),
    "dots inside": lambda h: f"{h.project}/../../afuera/clave.txt",
    "sibling with the same prefix": lambda h: f"{h.root}2/clave.txt",
    "link to a file": lambda h: _link(h, "l", h.secret),
    "relative link to a file": lambda h: _link(h, "l", "../../afuera/clave.txt"),
    "link to a folder": lambda h: _link(h, "l", h.outside) + "/clave.txt",
    "link then dots": lambda h: _link(h, "l", h.outside / "sub") + "/../clave.txt",
    "link to the root of the system": lambda h: _link(h, "l", "/") + str(h.secret),
    "chain of links": _chain,
    "link through proc": lambda h: _link(h, "l", "/proc/self/root") + str(h.secret),
    "back in through a link and out": lambda h: _link(h, "l", h.root) + "/../afuera/clave.txt",
    "masked file": lambda h: "../nanobot/.env",
    "masked file, absolute": lambda h: str(h.root / "nanobot/.env"),
    "masked file by a link": lambda h: _link(h, "l", "../nanobot") + "/.env",
    "masked, link to the file": lambda h: _link(h, "l", h.root / "nanobot/.env"),
}


@posix
@pytest.mark.parametrize("attack", ATTACKS)
async def test_nothing_outside_is_read_or_changed(house: House, attack: str) -> None:
    path = ATTACKS[attack](house)
    if not attack.startswith("link through proc") or Path("/proc/self/root").exists():
        assert Path(house.project, path).read_text() == SECRET, "the control: without a guard it is read"
    for act in (
        lambda: house.workspace.read(path, house.project),
        lambda: house.workspace.write(path, house.project, "mío"),
        lambda: house.workspace.edit(path, house.project, "nadie", "todos"),
        lambda: house.workspace.write(str(Path(path).with_name("nuevo.txt")), house.project, "mío"),
        lambda: house.workspace.list_dir(str(Path(path).parent), house.project),
        lambda: house.workspace.list_dir(path, house.project),
    ):
        told = ""
        with suppress(WorkspaceError):
            told = str(await act())
        assert not any(word in told for word in (SECRET, "clave.txt", ".env", "app.py"))
    with pytest.raises(WorkspaceError):
        house.workspace.resolve(path, house.project)
    assert house.untouched()


@posix
@pytest.mark.parametrize("name", ["../../afuera/x.txt", "l/x.txt", "l/nueva/x.txt", "colgado", "../nanobot/x"])
async def test_nothing_is_created_outside(house: House, name: str) -> None:
    _link(house, "l", house.outside)
    _link(house, "colgado", house.outside / "x.txt")
    with pytest.raises(WorkspaceError):
        await house.workspace.write(name, house.project, "mío")
    assert house.untouched()


@pytest.mark.parametrize(
    "path", ["\0", "a\0b", "../../afuera/clave.txt\0.md", "x" * 5_000, "\ud800", "a/" * 2_040 + "b", "x" * 300]
)
async def test_malformed_paths_are_refused(house: House, path: str) -> None:
    for act in (house.workspace.read(path, house.project), house.workspace.list_dir(path, house.project)):
        with pytest.raises(WorkspaceError):
            await act
    with pytest.raises(WorkspaceError):
        house.workspace.resolve(path + "/x" if len(path) == 300 else path, house.project)


@posix
async def test_links_in_a_circle_end(house: House) -> None:
    _link(house, "a", "b")
    _link(house, "b", "a")
    _link(house, "c", "c/c")
    for path in ("a", "b/x", "c"):
        with pytest.raises(WorkspaceError):
            await house.workspace.read(path, house.project)


@posix
async def test_nothing_but_regular_files_is_opened_and_nothing_blocks(house: House) -> None:
    os.mkfifo(house.project / "fifo")
    _link(house, "null", "/dev/zero")
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(house.project)
    try:
        server.bind("sock")
    finally:
        os.chdir(here)
    devices = Workspace([house.root, Path("/dev")])
    for path in ("fifo", "null", "sock", "/dev/zero", "/dev/tty"):
        for act in (
            devices.read(path, house.project),
            devices.write(path, house.project, "x"),
            devices.edit(path, house.project, "a", "b"),
        ):
            with pytest.raises(WorkspaceError):
                await act
    server.close()


@posix
async def test_a_hard_link_is_not_a_way_out(house: House) -> None:
    os.link(house.secret, house.project / "duro")
    os.link(house.root / "nanobot/app.py", house.project / "copia.py")
    for name in ("duro", "copia.py"):
        with pytest.raises(WorkspaceError):
            await house.workspace.write(name, house.project, "x")
        with pytest.raises(WorkspaceError):
            await house.workspace.edit(name, house.project, "a", "b")
    assert house.untouched()


@posix
async def test_a_masked_file_is_known_under_any_name(house: House) -> None:
    hidden = Workspace([house.root], hidden=[house.root / "nanobot/.env"])
    os.link(house.root / "nanobot/.env", house.project / "notas.txt")
    with pytest.raises(WorkspaceError, match="Nanobot"):
        await hidden.read("notas.txt", house.project)
    with pytest.raises(WorkspaceError, match="Nanobot"):
        await hidden.write("../nanobot/.ENV", house.project, "x")
    entries, total = await hidden.list_dir("../nanobot", house.project)
    assert ([e.name for e in entries], total) == (["app.py"], 1)
    with pytest.raises(WorkspaceError) as error:
        await hidden.read("../nanobot/.en", house.project)
    assert ".env" not in str(error.value)


async def test_a_folder_granted_inside_a_masked_one_is_open(tmp_path: Path) -> None:
    project = tmp_path / "datos/proyectos"
    project.mkdir(parents=True)
    workspace = Workspace([project], hidden=[tmp_path / "datos"])
    assert await workspace.write("a.txt", project, "x") == "creado"
    same = Workspace([project], hidden=[project])
    with pytest.raises(WorkspaceError):
        await same.read("a.txt", project)


class Swapping:
    """Somebody exchanges a folder and a link to the outside, without end."""

    def __init__(self, one: Path, other: Path) -> None:
        self.names = (os.fsencode(one), os.fsencode(other))
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        exchange = ctypes.CDLL(None).renameat2
        while not self.stop.is_set():
            exchange(-100, self.names[0], -100, self.names[1], 2)  # AT_FDCWD, RENAME_EXCHANGE

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2")
async def test_a_race_for_a_folder_is_never_won(tmp_path: Path) -> None:
    outside, root = tmp_path / "afuera", tmp_path / "raíz"
    for folder in (outside, root / "a"):
        folder.mkdir(parents=True)
        (folder / "f.txt").write_text("dentro")
    (outside / "f.txt").write_text(SECRET)
    (root / "cebo").symlink_to(outside)
    workspace = Workspace([root])
    inside = 0
    with Swapping(root / "a", root / "cebo"):
        for _ in range(300):
            for act in (
                lambda: workspace.read("a/f.txt", root),
                lambda: workspace.write("a/g.txt", root, "mío"),
                lambda: workspace.edit("a/f.txt", root, "dentro", "dentro"[::-1]),
                lambda: workspace.edit("a/f.txt", root, "ortned", "dentro"),
            ):
                with suppress(WorkspaceError):
                    assert SECRET not in str(await act())
                    inside += 1
        assert _check_then_open_loses(root / "a/f.txt", root), "the control: checking first loses the race"
    assert inside, "ordinary work goes on between two exchanges"
    assert os.listdir(outside) == ["f.txt"]
    assert (outside / "f.txt").read_text() == SECRET


def _check_then_open_loses(path: Path, root: Path) -> bool:
    for _ in range(50_000):
        with suppress(OSError):
            if path.resolve().is_relative_to(root) and path.read_text() == SECRET:
                return True
    return False


ORDINARY = [
    "a.txt", "con espacio.txt", " al principio", "acción.md", "日本語.txt", "🚀.txt", "~", "~root/x", "..foo", "...",
    "a..b", ".env.example", "-rf", "a'b\".txt", "$HOME", "`id`", "a;b", "%2e%2e", "C:", "a\\b", "a:b", "nulo.txt",
    "sub/../x.txt", "./y.txt", "sub//z.txt", "console.log", "com", "auxiliar.c", "e\u0301.txt", "x" * 250,
]  # fmt: skip


@posix
@pytest.mark.parametrize("name", ORDINARY)
async def test_ordinary_names_are_ordinary(house: House, name: str) -> None:
    (house.project / "sub").mkdir()
    assert await house.workspace.write(name, house.project, "uno") == "creado"
    assert await house.workspace.edit(name, house.project, "uno", "dos") == 1
    assert (await house.workspace.read(name, house.project)).text == "dos"
    assert Path(house.project, name).read_text() == "dos"


@posix
async def test_links_inside_the_roots_are_followed(house: House) -> None:
    (house.project / "datos").mkdir()
    (house.project / "datos/a.txt").write_text("uno")
    _link(house, "relativo", "datos/a.txt")
    _link(house, "absoluto", house.project / "datos")
    _link(house, "nuevo", "datos/b.txt")
    assert (await house.workspace.read("relativo", house.project)).text == "uno"
    assert await house.workspace.write("absoluto/a.txt", house.project, "dos") == "reemplazado"
    assert await house.workspace.write("nuevo", house.project, "tres") == "creado"
    assert (house.project / "relativo").is_symlink()
    assert (house.project / "relativo").read_text() == "dos"
    assert (house.project / "datos/b.txt").read_text() == "tres"


@posix
async def test_one_root_reaches_another(tmp_path: Path) -> None:
    one, two = tmp_path / "uno", tmp_path / "dos"
    one.mkdir()
    two.mkdir()
    (two / "a.txt").write_text("hola")
    (one / "l").symlink_to(two)
    workspace = Workspace([one, two])
    for path in ("../dos/a.txt", "l/a.txt", str(two / "a.txt")):
        assert (await workspace.read(path, one)).text == "hola"


@pytest.mark.parametrize("name", REFUSED_NAMES)
async def test_names_that_windows_reserves_are_not_created(house: House, name: str) -> None:
    with pytest.raises(WorkspaceError, match="Windows"):
        await house.workspace.write(name, house.project, "x")
    assert os.listdir(house.project) == [], "no folder is made for a file that is not"


@posix
async def test_an_existing_reserved_name_is_read_and_written(house: House) -> None:
    (house.project / "aux.c").write_text("int x;")
    assert (await house.workspace.read("aux.c", house.project)).text == "int x;"
    assert await house.workspace.write("aux.c", house.project, "int y;") == "reemplazado"


@posix
async def test_no_descriptor_is_left_open(house: House) -> None:
    fds = Path("/proc/self/fd")
    if not fds.exists():
        pytest.skip("counts descriptors in /proc")
    _link(house, "l", house.outside)

    async def use() -> None:
        for path in ("a/b/c.txt", "l/clave.txt", "nada", "../nanobot/.env"):
            with suppress(WorkspaceError):
                await house.workspace.write(path, house.project, "x")
            with suppress(WorkspaceError):
                await house.workspace.list_dir(path, house.project)

    await use()
    before = len(list(fds.iterdir()))
    await use()
    assert len(list(fds.iterdir())) == before
