"""What a command leaves to run later: put back, nothing destroyed, and no false alarm where git itself was at work."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.core.contracts import RunLimits
from app.safety import planted
from app.safety.git_config import programs, without_programs
from app.safety.later import State, look, opened
from app.safety.restoring import Change, Restorer
from app.safety.workspace import Workspace
from tests.security.commands import runner
from tests.security.commands.arena import Arena, arena, base_folder
from tests.security.commands.runner import Layer
from tests.security.layers import CELLS, IDS, TOOLS

pytestmark = pytest.mark.skipif(not CELLS, reason="Linux has these layers")
HOOK = "#!/bin/sh\nexit 0\n"
START = "git config user.name A; git config user.email a@b; git add -f .; git commit -qm a"


# Of each kind one: what is put back, the server puts back.
_KINDS = [number for number, (kind, uid, version) in enumerate(CELLS) if not version and (uid or kind == "bubblewrap")]


@pytest.fixture(params=_KINDS, ids=[IDS[number] for number in _KINDS])
def layer(request: pytest.FixtureRequest) -> Iterator[Layer]:
    with runner.layer(*CELLS[request.param]) as made:
        yield made


@pytest.fixture
def place(layer: Layer) -> Iterator[Arena]:
    with arena(layer.uid, base_folder()) as made:
        yield made


def run(layer: Layer, place: Arena, command: str, **limits: object) -> str:
    code, output = layer.run(place, f"set -e; {command}", RunLimits(seconds=20, **limits))  # type: ignore[arg-type]
    assert code == 0, output
    return output


def test_it_is_told_and_nothing_is_destroyed(layer: Layer, place: Arena) -> None:
    said = run(layer, place, "echo malo > .git/hooks/pre-push; echo suyo > .envrc; echo x > src/otro.py")
    hooks = place.project / ".git/hooks"
    assert (hooks / "pre-push").read_text() == HOOK
    assert (hooks / "pre-push").stat().st_mode & 0o111
    assert (hooks / "pre-push.apartado").read_text() == "malo\n"
    assert not (place.project / ".envrc").exists()
    assert (place.project / ".envrc.apartado").read_text() == "suyo\n"
    assert (place.project / "src/otro.py").read_text() == "x\n"
    assert ".git/hooks/pre-push" in said
    assert ".envrc" in said
    assert "write_file" in said
    run(layer, place, "echo otro > .envrc")
    assert (place.project / ".envrc1.apartado").read_text() == "otro\n"


def test_ordinary_commands_hear_nothing(layer: Layer, place: Arena) -> None:
    assert "[Nanobot" not in run(layer, place, f"{START}; git config pull.rebase true; git remote add o ../otro; ls")
    start = "git init -q --bare r; git remote set-url o ./r; git push -qu o main; git branch -m main m; git branch -u o/main"
    assert "[Nanobot" not in run(
        layer, place, f"{start}; git config remote.pushDefault o; git config http.postBuffer 9"
    )


def test_who_was_asked_for_may_leave_it(layer: Layer, place: Arena) -> None:
    assert "[Nanobot" not in run(layer, place, "git config core.pager cat; echo x > .git/hooks/pre-push", lasting=True)
    assert (place.project / ".git/hooks/pre-push").read_text() == "x\n"
    assert "pager" in (place.project / ".git/config").read_text()


def test_a_repository_that_was_moved_away_comes_back(layer: Layer, place: Arena) -> None:
    run(
        layer,
        place,
        f"{START}; mv .git g; mkdir h; printf x > h/pre-push; ln -s g .git; rm -r g/hooks; ln -s ../h g/hooks",
    )
    assert (place.project / ".git").is_dir()
    assert not (place.project / ".git").is_symlink()
    assert (place.project / ".git/hooks/pre-push").read_text() == HOOK
    assert run(layer, place, "git log --oneline").endswith(" a\n")


def test_where_a_working_tree_has_its_settings_stays(layer: Layer, place: Arena) -> None:
    assert "[Nanobot" not in run(layer, place, f"{START}; git worktree add -q w/t; cd w/t; git status")
    where = place.project / ".git/worktrees/t/commondir"
    assert where.read_text() == "../..\n"
    assert "commondir" in run(layer, place, "echo ../../../x > .git/worktrees/t/commondir")
    assert where.read_text() == "../..\n"
    run(layer, place, "echo ../x > .git/commondir")
    assert not (place.project / ".git/commondir").exists()
    run(layer, place, "mkdir -p .git/modules/s; echo ../../../x > .git/modules/s/commondir")
    assert os.listdir(place.project / ".git/modules/s") == ["commondir.apartado"]
    assert "[Nanobot" not in run(layer, place, "git worktree remove w/t; git status")


def test_a_new_project_is_no_door_to_another_repository(layer: Layer, place: Arena) -> None:
    new = "nueva" if layer.kind == "bubblewrap" else "otro"  # with Landlock the root gets no new entries here
    elsewhere = f"mkdir -p x/.git/worktrees/t ../{new}; cp -r .git/config x/.git/worktrees/t;"
    for words in ("gitdir: ../app/x/.git/worktrees/t", "gitdir: ../app/x", "malo"):
        assert f"{new}/.git" in run(layer, place, f"{elsewhere} echo '{words}' > ../{new}/.git")
        assert not os.path.lexists(place.root / new / ".git")
    assert f"{new}/.git" in run(layer, place, f"{elsewhere} ln -s ../app/x/.git ../{new}/.git")
    if layer.kind == "bubblewrap":
        said = run(layer, place, f"{START}; git worktree add -q ../rama; cd ../rama; git status")
        assert "[Nanobot" not in said
        assert os.path.lexists(place.root / "rama/.git")


def test_a_new_repository_keeps_its_plain_settings(layer: Layer, place: Arena) -> None:
    run(layer, place, "cd ../otro; git init -q; git config user.name Ana; git config core.pager malo; git config x.y z")
    settings = (place.root / "otro/.git/config").read_text()
    assert "Ana" in settings
    assert "pager" not in settings
    assert "repositoryformatversion" in settings


def test_what_git_brings_is_left_alone(layer: Layer, place: Arena) -> None:
    """Of a commit that was there before: another branch, a merge of it."""
    ci = place.project / ".github/workflows/ci.yml"
    run(
        layer,
        place,
        f"{START}; git checkout -qb otra; echo 'on: tag' > .github/workflows/ci.yml; git commit -qam b; git checkout -qf main",
        lasting=True,
    )
    assert ci.read_text() == "on: push\n"
    time.sleep(0.05)
    assert "[Nanobot" not in run(layer, place, "git checkout -q otra")
    assert ci.read_text() == "on: tag\n"
    assert "[Nanobot" not in run(
        layer, place, "git checkout -q main; echo x > x; git add x; git commit -qm c; git merge -qm d otra"
    )
    assert ci.read_text() == "on: tag\n"
    run(layer, place, "git gc -q")
    time.sleep(0.05)
    run(layer, place, "git checkout -q main~1")
    assert "[Nanobot" not in run(layer, place, "git checkout -q main")


def test_what_a_command_makes_up_is_not_brought_by_its_own_commit(layer: Layer, place: Arena) -> None:
    run(layer, place, START)
    said = run(layer, place, "echo malo > .github/workflows/ci.yml; git commit -qam malo")
    assert "ci.yml" in said
    assert (place.project / ".github/workflows/ci.yml").read_text() == "on: push\n"
    said = run(
        layer,
        place,
        "git clone -q . ../otro/c; echo malo > .envrc; git add -f .envrc; git commit -qm x; mkdir .git/objects/info -p; echo /x > .git/objects/info/alternates",
    )
    assert ".envrc" in said


def test_what_is_borrowed_from_another_repository_is_not_gits_own(layer: Layer, place: Arena) -> None:
    run(layer, place, f"{START}; git gc -q", lasting=True)
    time.sleep(0.05)
    other = "git clone -q --no-hardlinks . ../otro/c; cd ../otro/c; git config user.name A; git config user.email a@b"
    mine = "echo malo > .envrc; git add -f .envrc; git commit -qm x; id=$(git rev-parse HEAD); cd ../../app"
    taken = "echo ../../../otro/c/.git/objects > .git/objects/info/alternates; git reset -q --hard $id"
    assert ".envrc" in run(layer, place, f"{other}; {mine}; {taken}")
    assert not (place.project / ".envrc").exists()


def test_putting_back_never_goes_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "p/.git").mkdir(parents=True)
    (tmp_path / "fuera").mkdir()
    (tmp_path / "fuera/x").write_text("suyo")
    (tmp_path / "p/.git/hooks").symlink_to(tmp_path / "fuera")
    state = State("file", 0o644, (1,), b"malo")
    with opened(str(tmp_path / "p")) as folder:
        Restorer(folder, Change({".git/hooks/y": state}, {".git/hooks/x": state})).put_back(
            [".git/hooks/x", ".git/hooks/y"]
        )
    assert os.listdir(tmp_path / "fuera") == ["x"]


def test_side_by_side_they_are_measured_against_the_first(layer: Layer, place: Arena) -> None:
    """What one of them has left must not be what the other finds and keeps."""
    said: list[str] = []
    first = threading.Thread(target=lambda: said.append(run(layer, place, "echo malo > .envrc; touch ya; sleep 0.8")))
    first.start()
    while not (place.project / "ya").exists():
        time.sleep(0.01)
    said.append(run(layer, place, "sleep 1.2; cat .envrc* | grep -q malo"))
    first.join()
    assert not (place.project / ".envrc").exists()
    assert sum(".envrc" in output for output in said) == 1
    assert not planted._watched


async def test_what_somebody_else_writes_meanwhile_stays(layer: Layer, place: Arena) -> None:
    workspace = Workspace([place.root])
    ends = "touch ya; while [ ! -e fin ]; do sleep 0.02; done"
    running = asyncio.create_task(asyncio.to_thread(run, layer, place, f"echo malo > .mise.toml; {ends}"))
    while not (place.project / "ya").exists():
        await asyncio.sleep(0.01)
    await workspace.write(".envrc", place.project, "suyo\n")
    await workspace.edit(".github/workflows/ci.yml", place.project, "push", "tag")
    await workspace.edit(".mise.toml", place.project, "malo", "malo y suyo")
    (place.project / "fin").touch()
    said = await running
    assert (place.project / ".envrc").read_text() == "suyo\n"
    assert (place.project / ".github/workflows/ci.yml").read_text() == "on: tag\n"
    assert not (place.project / ".mise.toml").exists()
    assert ".envrc" not in said
    assert ".mise.toml" in said


def test_a_link_that_is_put_in_its_way_leads_nowhere(layer: Layer, place: Arena) -> None:
    (place.outside / "hooks").mkdir()
    before = sorted(os.listdir(place.outside))
    run(
        layer, place, f"rm -r .git/hooks .vscode; ln -s {place.outside}/hooks .git/hooks; ln -s {place.outside} .vscode"
    )
    assert sorted(os.listdir(place.outside)) == before
    assert os.listdir(place.outside / "hooks") == []
    assert (place.project / ".git/hooks/pre-push").read_text() == HOOK
    assert (place.project / ".vscode/settings.json").read_text() == "{}\n"


def test_too_much_to_look_at_is_put_aside_whole(layer: Layer, place: Arena) -> None:
    said = run(layer, place, "cd .github/workflows; for i in $(seq 2100); do : > a$i; done")
    assert ".github/workflows" in said
    assert os.listdir(place.project / ".github/workflows") == ["ci.yml"]


def test_a_project_that_is_the_commands_own(layer: Layer, place: Arena) -> None:
    """Where nothing was: files are its own, the repository's hooks are not."""
    made = "git init -q; echo x > .envrc; echo x > .git/hooks/pre-commit"
    if layer.kind == "bubblewrap":  # with Landlock a folder with something masked in it gets no new entries
        run(layer, place, f"mkdir ../nueva; cd ../nueva; {made}")
        assert (place.root / "nueva/.envrc").exists()
        assert not (place.root / "nueva/.git/hooks/pre-commit").exists()
    run(layer, place, f"cd ../otro; {made}")  # this one was there
    assert not (place.root / "otro/.envrc").exists()
    assert not (place.root / "otro/.git/hooks/pre-commit").exists()


def test_looking_at_many_projects_is_quick(tmp_path: Path) -> None:
    for number in range(30):
        for name in (".git/hooks", ".git/objects", ".github/workflows", ".vscode"):
            (tmp_path / f"p{number}" / name).mkdir(parents=True)
        (tmp_path / f"p{number}/.git/config").write_text("[core]\n")
    places = planted.Places([tmp_path], tmp_path / "p1")
    began = time.perf_counter()
    for place in places.find():
        with opened(str(place)) as folder:
            look(folder)
    assert time.perf_counter() - began < 0.5
    assert len(places.find()) == 31


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("[core]\n\tbare = false\n[remote \"o\"]\n\turl = x\n\tfetch = y\n[branch \"m\"]\n\tmerge = z\n", 0),
        ("[core]\n\tfsmonitor = true\n[commit]\n\tgpgsign = false\n", 0),
        ("[core]\n\tfsmonitor = malo\n", 1),
        ("[core] pager = malo\n", 1),
        ("[alias]\n\tx = !malo\n[include]\n\tpath = y\n", 2),
        ("[url \"ext::sh\"]\n\tinsteadOf = https://\n", 1),
        ("[lfs \"customtransfer.x\"]\n\tpath = malo\n[lfs]\n\trepositoryformatversion = 0\n", 1),
        ("[core]\n\tpa\\\nger = malo\n", 1),
        ("[http]\n\tpostBuffer = 1\n\tversion = HTTP/1.1\n\tlowSpeedLimit = 1\n\tmaxRequests = 2\n", 0),
        ("[http]\n\tproxy = http://malo:1\n\tsslVerify = false\n[http \"https://x\"]\n\textraHeader = y\n", 3),
        ("[http]\n\tsslCAInfo = x\n\tcookieFile = x\n\tcurloptResolve = x\n\tsslKey = x\n\tuserAgent = x\n", 5),
        ("[branch \"m\"]\n\tremote = o-1\n\tpushRemote = .\n[remote]\n\tpushDefault = \"o\"\n", 0),
        ("[branch \"m\"]\n\tremote = https://malo/x\n\tpushRemote = ../x\n[remote]\n\tpushDefault = a@b:c\n", 3),
        ("[fetch]\n\tbundleURI = https://malo\n", 1),
        ("\xff", 1),
    ],
)  # fmt: skip
def test_which_settings_name_a_program(text: str, count: int) -> None:
    assert len(programs(text.encode("latin-1"))) == count
    assert programs(without_programs(text.encode("latin-1"))) == []


def test_the_tmp_of_other_commands_cannot_be_replaced(layer: Layer, place: Arena) -> None:
    """It becomes their /tmp: they may be starting just now."""
    if layer.kind == "bubblewrap":
        run(layer, place, f"rm -rf ~/tmp || true; mv ~/tmp ~/t || true; ln -s {place.outside} ~/tmp || true")
        assert not (place.home / "tmp").is_symlink()
    run(layer, place, f"rm -rf ~/tmp || true; ln -sf {place.outside} ~/tmp || true; ls -d ~/tmp > /dev/null")
    assert place.token not in run(layer, place, "cat /tmp/secreto $TMPDIR/secreto 2> /dev/null || true")


def test_what_is_left_in_shared_memory_goes_with_the_last_command() -> None:
    cells = [cell for cell in CELLS if cell[0] == "landlock-uid"]
    for cell in cells:
        with runner.layer(*cell) as layer, arena(layer.uid, base_folder()) as place:
            run(
                layer,
                place,
                f"head -c 1M /dev/zero > /dev/shm/{place.folder.name}; mkdir /dev/shm/{place.folder.name}.d",
            )
            left = [path for path in Path("/dev/shm").iterdir() if path.stat().st_uid == TOOLS]
            assert left == []
