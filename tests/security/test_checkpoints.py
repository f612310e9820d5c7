"""Undo in hostile hands: it reads and writes nothing outside of the projects, and says what it does not hold."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from app.core.contracts import Point
from app.core.errors import CheckpointError
from app.safety.bounds import Bounds
from app.safety.checkpoints import ShadowCheckpoints
from app.safety.undo import project as project_module
from app.safety.undo import walk
from app.safety.undo.walk import Ground, Masks, Walk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, modes and FIFOs as POSIX has them")


class House:
    def __init__(self, base: Path, *, hidden: tuple[str, ...] = (), **limits: int) -> None:
        self.base = base
        self.root = base / "proyectos"
        self.demo = self.root / "demo"
        self.demo.mkdir(parents=True, exist_ok=True)
        bounds = Bounds([self.root], [], [self.root / name for name in hidden])
        self.points = ShadowCheckpoints(base / "undo", bounds, [], **limits)  # pyright: ignore[reportArgumentType]

    async def point(self, turn: int = 1) -> Point:
        return await self.points.before_turn("s", turn, 0.0, [self.demo])

    def git(self, *words: str) -> str:
        person = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", *person, *words], cwd=self.demo, capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize(
    "command", [["reset", "-q", "--hard", "HEAD~1"], ["branch", "-qD", "otra"], ["clean", "-fdxq"]]
)
async def test_what_git_threw_away_comes_back(house: House, command: list[str]) -> None:
    house.git("init", "-q", "-b", "main")
    for word in ("uno", "dos"):
        (house.demo / "a.txt").write_text(word)
        house.git("add", ".")
        house.git("commit", "-qm", word)
    house.git("branch", "otra", "HEAD~1")
    (house.demo / "a.txt").write_text("sin confirmar")
    (house.demo / "sin-seguir").write_text("x")
    before = [house.git(*w) for w in (["show-ref"], ["status", "-s"], ["rev-parse", "HEAD"], ["diff"])]
    point = await house.point()
    house.git(*command)
    assert [house.git(*w) for w in (["show-ref"], ["status", "-s"], ["rev-parse", "HEAD"], ["diff"])] != before
    await house.points.restore(point)
    assert [house.git(*w) for w in (["show-ref"], ["status", "-s"], ["rev-parse", "HEAD"], ["diff"])] == before


async def test_a_later_commit_of_the_user_keeps_its_objects(house: House) -> None:
    house.git("init", "-q", "-b", "main")
    house.git("commit", "-q", "--allow-empty", "-m", "uno")
    point = await house.point()
    house.git("commit", "-q", "--allow-empty", "-m", "del usuario")
    later = house.git("rev-parse", "HEAD").strip()
    await house.points.restore(point)
    assert house.git("log", "--format=%s") == "uno\n"
    assert house.git("log", "-1", "--format=%s", later) == "del usuario\n"


async def test_a_project_that_became_a_link_is_not_followed(house: House) -> None:
    (house.demo / "a.txt").write_text("dentro")
    outside = house.base / "fuera"
    outside.mkdir()
    (outside / "a.txt").write_text("fuera")
    point = await house.point()
    shutil.rmtree(house.demo)
    house.demo.symlink_to(outside)
    await house.points.restore(point)
    assert (outside / "a.txt").read_text() == "fuera" and list(outside.iterdir()) == [outside / "a.txt"]
    assert (house.demo / "a.txt").read_text() == "dentro" and not house.demo.is_symlink()


async def test_a_folder_that_became_a_link_is_not_followed(house: House) -> None:
    (house.demo / "d").mkdir()
    (house.demo / "d/a.txt").write_text("dentro")
    outside = house.base / "fuera"
    outside.mkdir()
    (outside / "otro").write_text("fuera")
    point = await house.point()
    shutil.rmtree(house.demo / "d")
    (house.demo / "d").symlink_to(outside)
    await house.points.restore(point)
    assert [p.name for p in outside.iterdir()] == ["otro"]
    assert (house.demo / "d/a.txt").read_text() == "dentro" and not (house.demo / "d").is_symlink()


def test_a_link_put_there_in_between_is_not_read(house: House) -> None:
    """The race: between the look at a name and its opening the file becomes a link to a secret."""
    (house.demo / "a.txt").write_text("dentro")
    secret = house.base / "secreto"
    secret.write_text("TOPSECRET")
    for found in Walk(Ground(house.demo), Masks(lambda _: False, frozenset()), float("inf")):
        (house.demo / "a.txt").unlink()
        (house.demo / "a.txt").symlink_to(secret)
        with pytest.raises(OSError), found.opened():
            pass


async def test_what_is_masked_is_neither_kept_nor_touched(tmp_path: Path) -> None:
    house = House(tmp_path, hidden=("demo/datos", "demo/.env"))
    (house.demo / "datos").mkdir()
    (house.demo / "datos/clave").write_text("TOPSECRET")
    (house.demo / ".env").write_text("TOPSECRET")
    (house.demo / "a.txt").write_text("uno")
    point = await house.point()
    (house.demo / "datos/clave").write_text("OTRA")
    (house.demo / ".env").unlink()
    (house.demo / "a.txt").unlink()
    changes = await house.points.changes(point)
    assert [c.path for c in changes.files] == ["demo/a.txt"]
    await house.points.restore(point)
    assert (house.demo / "datos/clave").read_text() == "OTRA" and not (house.demo / ".env").exists()
    kept = b"".join(p.read_bytes() for p in (tmp_path / "undo").rglob("*") if p.is_file())
    assert b"TOPSECRET" not in kept and b"clave" not in kept


async def test_a_projects_own_git_settings_mean_nothing_to_the_shadow(house: House) -> None:
    canary = house.base / "canario"
    house.git("init", "-q")
    hook = house.demo / ".git/hooks/post-index-change"
    for place in (hook, house.demo / ".git/hooks/reference-transaction"):
        place.write_text(f"#!/bin/sh\ntouch {canary}\n")
        place.chmod(0o755)
    for key in ("filter.x.clean", "filter.x.smudge", "diff.x.textconv", "core.fsmonitor", "diff.external"):
        house.git("config", key, f"touch {canary}; cat")
    (house.demo / ".gitattributes").write_text("* filter=x diff=x text eol=crlf\n")
    (house.demo / "a.txt").write_bytes(b"uno\r\ndos\n")
    point = await house.point()
    (house.demo / "a.txt").unlink()
    await house.points.changes(point)
    await house.points.restore(point)
    assert (house.demo / "a.txt").read_bytes() == b"uno\r\ndos\n" and not canary.exists()


async def test_names_modes_and_odd_things(house: House) -> None:
    names = ["con espacio", "ñandú", "emoji😀", "salto\nde línea", 'comillas"\\', "-rf", ".GIT", ".git~", "~", "..foo"]
    for n, name in enumerate(names):
        (house.demo / name).write_text(name)
        (house.demo / name).chmod((0o600, 0o640, 0o755, 0o444)[n % 4])
    (Path(os.fsdecode(os.fsencode(house.demo) + b"/latin\xf1"))).write_text("bytes")
    os.mkfifo(house.demo / "fifo")
    (house.demo / "vacía").mkdir(mode=0o711)
    (house.demo / "roto").symlink_to("/no/existe")
    before = {
        os.fsencode(p.name): (p.lstat().st_mode, p.is_fifo() or p.is_dir() or os.path.islink(p) or p.read_bytes())
        for p in house.demo.iterdir()
    }
    point = await house.point()
    shutil.rmtree(house.demo)
    restored = await house.points.restore(point)
    after = {
        os.fsencode(p.name): (p.lstat().st_mode, p.is_dir() or os.path.islink(p) or p.read_bytes())
        for p in house.demo.iterdir()
    }
    assert restored.failed == ()
    assert after == {name: seen for name, seen in before.items() if name != b"fifo"}


async def test_a_file_for_a_folder_and_a_folder_for_a_file(house: House) -> None:
    (house.demo / "a").write_text("archivo")
    (house.demo / "b").mkdir()
    (house.demo / "b/c").write_text("dentro")
    point = await house.point()
    (house.demo / "a").unlink()
    (house.demo / "a/x/y").mkdir(parents=True)
    (house.demo / "a/x/y/z").write_text("nuevo")
    shutil.rmtree(house.demo / "b")
    (house.demo / "b").write_text("nuevo")
    assert await house.points.changes(point)
    assert (await house.points.restore(point)).failed == ()
    assert (house.demo / "a").read_text() == "archivo" and (house.demo / "b/c").read_text() == "dentro"


async def test_heavy_folders_are_left_alone_and_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "HEAVY_FILES", 5)
    monkeypatch.setattr(walk, "MAX_FILE", 1_000)
    (house.demo / ".gitignore").write_text("/generado/\n*.log\n")
    for folder in ("node_modules", "generado", "__pycache__", "src"):
        (house.demo / folder).mkdir()
        for n in range(2 if folder == "__pycache__" else 10):
            (house.demo / folder / f"{n}.js").write_text("x")
    (house.demo / "enorme.bin").write_bytes(bytes(2_000))
    point = await house.point()
    shutil.rmtree(house.demo / "src")
    shutil.rmtree(house.demo / "__pycache__")
    shutil.rmtree(house.demo / "node_modules")
    (house.demo / "node_modules").mkdir()
    (house.demo / "node_modules/nuevo.js").write_text("del usuario")
    (house.demo / "enorme.bin").write_text("pequeño")
    changes = await house.points.changes(point)
    assert set(changes.uncovered) == {"demo/node_modules", "demo/generado", "demo/enorme.bin"}
    await house.points.restore(point)
    assert len(list((house.demo / "src").iterdir())) == 10 and len(list((house.demo / "__pycache__").iterdir())) == 2
    assert (house.demo / "node_modules/nuevo.js").exists(), "nothing of what was not kept is taken away"
    assert (house.demo / "enorme.bin").read_text() == "pequeño"


async def test_a_change_that_keeps_size_and_time_is_seen(house: House) -> None:
    file = house.demo / "a.txt"
    file.write_text("uno")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    point = await house.point()
    file.write_text("dos")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    assert [c.path for c in (await house.points.changes(point)).files] == ["demo/a.txt"]


async def test_a_full_disk_is_an_error_and_leaves_the_last_point_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (house.demo / "a.txt").write_text("uno")
    point = await house.point()
    (house.demo / "b.txt").write_text("dos")
    monkeypatch.setattr(project_module.Importer, "finish", _no_room)
    with pytest.raises(CheckpointError, match="lleno"):
        await house.point(2)
    monkeypatch.undo()
    (house.demo / "a.txt").unlink()
    await house.points.restore(point)
    assert (house.demo / "a.txt").read_text() == "uno"


def _no_room(_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_a_broken_store_begins_anew(house: House) -> None:
    (house.demo / "a.txt").write_text("uno")
    await house.point()
    for pack in (house.base / "undo/keeping").rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"roto")
    house = House(house.base)
    point = await house.point(2)
    (house.demo / "a.txt").unlink()
    await house.points.restore(point)
    assert (house.demo / "a.txt").read_text() == "uno"


async def test_old_points_go_and_free_their_room(tmp_path: Path) -> None:
    house = House(tmp_path, most_bytes=600_000)
    for turn in range(6):
        (house.demo / "grande.bin").write_bytes(os.urandom(400_000))
        await house.point(turn)
    last = (await house.points.points("s"))[-1]
    await house.points.tidy()
    size = sum(p.stat().st_size for p in (tmp_path / "undo").rglob("*") if p.is_file())
    kept = await house.points.points("s")
    assert size < 1_000_000 and len(kept) < 6
    if kept:
        assert kept[-1] == last
    fresh = await house.point(9)
    (house.demo / "grande.bin").unlink()
    await house.points.restore(fresh)
    assert (house.demo / "grande.bin").stat().st_size == 400_000


async def test_points_outlive_the_process(house: House) -> None:
    (house.demo / "a.txt").write_text("uno")
    point = await house.point()
    (house.demo / "a.txt").unlink()
    again = House(house.base)
    assert await again.points.points("s") == [point]
    await again.points.restore(point)
    assert (house.demo / "a.txt").read_text() == "uno"


async def test_a_project_that_was_not_there_goes_again(house: House) -> None:
    fresh = house.root / "nuevo"
    point = await house.points.before_turn("s", 1, 0.0, [house.root, fresh / "a/b.txt"])
    (fresh / "a").mkdir(parents=True)
    (fresh / "a/b.txt").write_text("x")
    (house.root / "suelto.txt").write_text("x")
    assert sorted(c.path for c in (await house.points.changes(point)).files) == ["nuevo/a/b.txt", "suelto.txt"]
    await house.points.restore(point)
    assert not fresh.exists() and not (house.root / "suelto.txt").exists()


async def test_a_folder_that_somebody_made_meanwhile_stays(house: House) -> None:
    point = await house.point()
    (house.root / "otro").mkdir()
    (house.root / "otro/x").write_text("de otro")
    (house.demo / "a.txt").write_text("x")
    changes = await house.points.changes(point)
    assert [c.path for c in changes.files] == ["demo/a.txt"] and list(changes.uncovered) == ["otro"]
    await house.points.restore(point)
    assert (house.root / "otro/x").exists() and not (house.demo / "a.txt").exists()


async def test_what_the_turn_is_not_about_is_held_as_well(house: House) -> None:
    other = house.root / "otro"
    other.mkdir()
    (other / "x").write_text("uno")
    point = await house.point()
    shutil.rmtree(other)
    await house.points.restore(point)
    assert (other / "x").read_text() == "uno"
