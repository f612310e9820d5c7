"""Every way in which a repository names a program: plain git starts it (the control), ours does not, approved or not.

Judged by effect: the canary file. And the work that was asked for is still done.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.core.errors import ToolError
from app.core.machine import use_folder
from app.core.tools import execute_shell, git_operation
from tests.security.git.ground import Ground, ground

__all__ = ["ground"]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the payloads are written for sh")


def setting(key: str, *, succeeds: bool = False) -> Callable[[Ground], None]:
    """A configuration key that names the canary."""

    def prepare(g: Ground) -> None:
        g.git("config", key, g.payload if succeeds else str(g.script("canario")))

    prepare.__name__ = key
    return prepare


def hook(name: str) -> Callable[[Ground], None]:
    def prepare(g: Ground) -> None:
        g.script(f"home/proyectos/p/.git/hooks/{name}")

    prepare.__name__ = name
    return prepare


def both(*prepared: Callable[[Ground], None]) -> Callable[[Ground], None]:
    def prepare(g: Ground) -> None:
        for each in prepared:
            each(g)

    prepare.__name__ = "+".join(each.__name__ for each in prepared)
    return prepare


def attributes(line: str) -> Callable[[Ground], None]:
    def prepare(g: Ground) -> None:
        info = g.project / ".git/info/attributes"
        info.parent.mkdir(exist_ok=True)
        info.write_text(f"{line}\n")

    prepare.__name__ = line
    return prepare


def with_value(key: str, value: str) -> Callable[[Ground], None]:
    def prepare(g: Ground) -> None:
        g.git("config", key, value)

    prepare.__name__ = f"{key}={value}"
    return prepare


def clean(g: Ground) -> None:
    g.git("checkout", "-q", "-f")


def conflict(g: Ground) -> None:
    """The same file changed on both sides."""
    g.git("checkout", "-q", "-f", "otra")
    (g.project / "a.txt").write_text("en otra\n")
    g.git("commit", "-qam", "otra")
    g.git("checkout", "-q", "main")
    (g.project / "a.txt").write_text("en main\n")
    g.git("commit", "-qam", "main")


def bare_remote(g: Ground) -> Path:
    remote = g.project.parent / "remoto.git"
    g.git("init", "-q", "--bare", str(remote))
    g.git("remote", "add", "origin", str(remote))
    return remote


def remote_hooks(g: Ground) -> None:
    """A push into a folder starts the hooks of that one."""
    remote = bare_remote(g)
    for name in ("pre-receive", "update", "post-update"):
        (remote / "hooks" / name).write_text(f"#!/bin/sh\ntouch {g.trace}\n")
        (remote / "hooks" / name).chmod(0o755)


def remote_hooks_elsewhere(g: Ground) -> None:
    remote = bare_remote(g)
    g.script("home/proyectos/ganchos/pre-receive")
    g.git("config", "core.hooksPath", str(g.base / "home/proyectos/ganchos"), cwd=remote)


def remote_with_work_tree(g: Ground) -> None:
    """receive.denyCurrentBranch=updateInstead checks out over there: with the filters that are configured there."""
    other = g.project.parent / "otro"
    g.git("clone", "-q", str(g.project), str(other))
    g.git("config", "receive.denyCurrentBranch", "updateInstead", cwd=other)
    g.git("config", "filter.x.smudge", g.payload, cwd=other)
    (g.project / ".gitattributes").write_text("*.txt filter=x\n")
    (g.project / "a.txt").write_text("tres\n")
    g.git("add", ".")
    g.git("commit", "-qm", "tres")
    g.git("remote", "add", "origin", str(other))


def remote_by(key: str) -> Callable[[Ground], None]:
    def prepare(g: Ground) -> None:
        bare_remote(g)
        g.git("push", "-q", "origin", "main")
        g.git("config", f"remote.origin.{key}", str(g.script("canario")))

    prepare.__name__ = f"remote.origin.{key}"
    return prepare


def remote_at(url: str) -> Callable[[Ground], None]:
    def prepare(g: Ground) -> None:
        g.git("config", "protocol.ext.allow", "always")
        g.git("remote", "add", "origin", url.format(canary=g.script("canario")))

    prepare.__name__ = url
    return prepare


def instead_of_ext(g: Ground) -> None:
    g.git("config", "protocol.ext.allow", "always")
    g.git("config", f"url.ext::{g.script('canario')}.insteadOf", "https://example.com/")
    g.git("remote", "add", "origin", "https://example.com/")


def submodule(g: Ground) -> Path:
    other = g.project.parent / "sub"
    other.mkdir()
    g.git("init", "-q", cwd=other)
    (other / "s.txt").write_text("s\n")
    g.git("add", ".", cwd=other)
    g.git("commit", "-qm", "s", cwd=other)
    g.git("submodule", "add", "-q", str(other), "sm")
    g.git("commit", "-qm", "sm")
    return other


def submodule_update(g: Ground) -> None:
    submodule(g)
    g.git("config", "submodule.sm.update", f"!{g.script('canario')}")
    (g.project.parent / "sub/s.txt").write_text("dos\n")
    g.git("commit", "-qam", "dos", cwd=g.project.parent / "sub")
    head = g.git("rev-parse", "HEAD", cwd=g.project.parent / "sub").strip()
    g.git("fetch", "-q", cwd=g.project / "sm")
    g.git("update-index", "--cacheinfo", f"160000,{head},sm")


def submodule_hidden(g: Ground) -> None:
    """.gitmodules is only in the index, and insists on a look inside."""
    submodule(g)
    (g.project / "sm/.gitattributes").write_text("*.txt filter=x\n")
    g.git("config", "-f", ".gitmodules", "submodule.sm.ignore", "none")
    g.git("add", ".gitmodules")
    (g.project / ".gitmodules").unlink()
    g.git("config", "filter.x.clean", g.payload, cwd=g.project / "sm")
    (g.project / "sm/s.txt").write_text("t\n")


def signed(g: Ground) -> None:
    g.git("config", "commit.gpgSign", "true")
    g.git("config", "gpg.program", str(g.script("canario")))


def signed_by_ssh(g: Ground) -> None:
    g.git("config", "commit.gpgSign", "true")
    g.git("config", "gpg.format", "ssh")
    g.git("config", "gpg.ssh.defaultKeyCommand", str(g.script("canario")))


def template(g: Ground) -> None:
    """A template of hooks for every new repository."""
    g.script("plantilla/hooks/post-checkout")
    (g.base / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {g.base}/plantilla\n")
    home = g.base / "data/home"
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {g.base}/plantilla\n")


def repository_within(g: Ground) -> None:
    """A bare repository as a folder of the project, in which git finds itself."""
    inner = g.project / "d"
    g.git("init", "-q", "--bare", str(inner / "x.git"))
    for entry in list((inner / "x.git").iterdir()):
        entry.rename(inner / entry.name)
    g.git("config", "-f", str(inner / "config"), "core.bare", "false")
    g.git("config", "-f", str(inner / "config"), "core.worktree", str(inner))
    g.git("config", "-f", str(inner / "config"), "core.fsmonitor", str(g.script("canario")))
    use_folder(inner)


def worktree_of_another(g: Ground) -> None:
    """A .git file: the configuration lies elsewhere in the workspace."""
    other = g.project.parent / "otro"
    g.git("clone", "-q", str(g.project), str(other))
    g.git("config", "diff.external", str(g.script("canario")), cwd=other)
    (g.project / ".git").rename(g.project.parent / "aparte")
    (g.project / ".git").write_text(f"gitdir: {other}/.git\n")


CASES: list[tuple[Callable[[Ground], None], str]] = [
    *((hook(name), "commit -am x") for name in ("pre-commit", "prepare-commit-msg", "commit-msg", "post-commit")),
    (hook("reference-transaction"), "branch nueva"),
    (hook("post-checkout"), "checkout -b nueva"),
    (hook("post-checkout"), "worktree add ../w"),
    (both(clean, hook("pre-rebase")), "rebase --force-rebase otra"),
    (hook("post-rewrite"), "commit --amend -m x"),
    (hook("post-index-change"), "stash"),
    (both(conflict, hook("post-merge")), "merge -s ours otra"),
    (both(conflict, hook("pre-merge-commit")), "merge -s ours otra"),
    *((both(setting("filter.x.clean", succeeds=True), attributes("*.txt filter=x")), cmd)
      for cmd in ("add .", "commit -am x", "stash", "hash-object --path=a.txt a.txt", "diff")),
    *((both(setting("filter.x.smudge", succeeds=True), attributes("*.txt filter=x")), cmd)
      for cmd in ("checkout -f otra", "reset --hard", "restore .", "worktree add ../w", "cat-file --filters HEAD:a.txt",
                  "checkout-index -f a.txt", "archive HEAD")),
    (both(setting("diff.x.command"), attributes("*.txt diff=x")), "diff a.txt"),
    *((both(setting("diff.x.textconv", succeeds=True), attributes("*.txt diff=x")), cmd)
      for cmd in ("diff", "log -p", "blame a.txt", "cat-file --textconv HEAD:a.txt", "show HEAD~1")),
    (both(conflict, setting("merge.x.driver"), attributes("*.txt merge=x")), "merge -m x otra"),
    (both(conflict, setting("merge.x.driver"), attributes("*.txt merge=x")), "cherry-pick otra"),
    (both(conflict, setting("merge.x.driver"), attributes("*.txt merge=x")), "rebase otra"),
    (both(conflict, setting("merge.x.driver"), with_value("merge.default", "x")), "merge -m x otra"),
    (setting("core.fsmonitor"), "status"),
    (setting("core.editor"), "commit -a"),
    (setting("core.editor"), "commit --amend"),
    (setting("core.editor"), "branch --edit-description"),
    (both(clean, setting("sequence.editor")), "rebase -i HEAD~1"),
    (signed, "commit -am x"),
    (signed_by_ssh, "commit -am x"),
    (setting("gpg.program"), "tag -s v1 -m x"),
    (setting("trailer.x.command"), "interpret-trailers --trailer x=y a.txt"),
    (setting("trailer.x.cmd"), "commit -am y --trailer x=z"),
    (setting("tar.tar.gz.command"), "archive --format=tar.gz -o ../x.tgz HEAD"),
    (with_value("alias.st", "!touch {trace}"), "st"),
    (setting("core.sshCommand"), "ls-remote ssh://example.com/x"),
    (setting("core.gitProxy"), "ls-remote git://example.com/x"),
    (setting("man.canario.cmd"), "help -m log"),
    (remote_at("ext::{canary}"), "fetch origin"),
    (remote_at("ext::{canary}"), "push origin main"),
    (remote_at("ext::{canary}"), "pull origin main"),
    (remote_at("ext::{canary}"), "archive --remote=origin HEAD"),
    (instead_of_ext, "fetch origin"),
    (remote_by("uploadpack"), "fetch origin"),
    (remote_by("receivepack"), "push origin main"),
    (remote_hooks, "push origin main"),
    (remote_hooks, "push ../remoto.git main"),
    (remote_hooks_elsewhere, "push origin main"),
    (remote_with_work_tree, "push origin main"),
    (submodule_update, "submodule update"),
    (submodule_hidden, "status"),
    (submodule_hidden, "add ."),
    (submodule_hidden, "commit -am x"),
    (template, "init nuevo"),
    (repository_within, "status"),
    (worktree_of_another, "diff"),
    (clean, "rebase --exec {canary} HEAD~1"),
    (lambda _: None, "grep -O{canary} b"),
    (lambda _: None, "-c core.fsmonitor={canary} status"),
    (lambda _: None, "-c alias.x=!{canary} x"),
    (lambda _: None, "--exec-path={base}/bin status-canario"),
    (lambda _: None, "ls-remote --upload-pack={canary} ."),
    (lambda _: None, "fetch --upload-pack={canary} ."),
    (lambda _: None, "clone -u {canary} . ../copia"),
    (lambda _: None, "push --receive-pack={canary} . main"),
    (lambda _: None, "difftool -y -x {canary} HEAD"),
]  # fmt: skip


def ids(value: object) -> str:
    return str(getattr(value, "__name__", value))[:60]


def worded(g: Ground, prepare: Callable[[Ground], None], cmd: str) -> str:
    canary = g.script("canario")
    g.script("bin/git-status-canario")
    prepare(g)
    if cmd == "st":
        g.git("config", "alias.st", f"!touch {g.trace}")
    if cmd == "help -m log":
        g.git("config", "man.viewer", "canario")
    g.touch()
    g.was_run()
    return cmd.format(canary=canary, base=g.base)


@pytest.mark.parametrize(("prepare", "cmd"), CASES, ids=ids)
async def test_ours_starts_nothing(ground: Ground, prepare: Callable[[Ground], None], cmd: str) -> None:
    cmd = worded(ground, prepare, cmd)
    for tool, argument in ((git_operation, cmd), (execute_shell, f"git {cmd}")):
        if tool is execute_shell and set(cmd) & set("!*$"):
            continue  # a shell reads more than words in it: the sandbox's business
        with suppress(ToolError):
            await tool(argument)
        assert not ground.was_run()
        ground.touch()


@pytest.mark.parametrize(("prepare", "cmd"), CASES, ids=ids)
def test_plain_git_starts_it(ground: Ground, prepare: Callable[[Ground], None], cmd: str) -> None:
    cmd = worded(ground, prepare, cmd)
    env = os.environ | {
        "HOME": str(ground.base), "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b", "GIT_TERMINAL_PROMPT": "0", "TERM": "dumb",
    }  # fmt: skip
    env.pop("GIT_EDITOR", None)
    inner = ground.project / "d" if prepare is repository_within else ground.project
    subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *shlex.split(cmd)], cwd=inner, env=env, capture_output=True,
        check=False, stdin=subprocess.DEVNULL, timeout=20,
    )  # fmt: skip
    if cmd == "init nuevo":  # what was planted runs with the next checkout there
        plant = ground.project / "nuevo"
        ground.git("commit", "-q", "--allow-empty", "-m", "x", cwd=plant)
        ground.git("checkout", "-q", "-b", "y", cwd=plant)
    assert ground.was_run()


async def ok(cmd: str) -> str:
    said = await git_operation(cmd)
    assert "código de salida 0" in said, said
    return said


async def test_the_developers_day(ground: Ground) -> None:
    """A hostile configuration is there all the time, and everything goes on as if it were not."""
    for key in ("core.pager", "core.editor", "diff.external", "gpg.program", "core.fsmonitor", "alias.log"):
        ground.git("config", key, str(ground.script("canario")))
    for key in ("filter.x.clean", "filter.x.smudge", "diff.x.textconv", "merge.x.driver"):
        ground.git("config", key, ground.payload)
    ground.git("config", "commit.gpgSign", "true")
    ground.git("config", "user.name", "La del repositorio")
    ground.git("config", "user.email", "repo@example.com")
    (ground.project / ".gitattributes").write_text("*.txt filter=x diff=x merge=x\n")
    for name in ("pre-commit", "post-commit", "pre-push", "post-checkout", "post-merge"):
        ground.script(f"home/proyectos/p/.git/hooks/{name}")
    assert "+dos" in await ok("diff")
    await ok("add -A")
    message = 'quita rm -rf / y "git push --force" -- $(id) `id`; | > &\n\nsegunda línea\'s'
    await ok(f"commit -m {shlex.quote(message)}")
    assert message in ground.git("log", "-1", "--format=%B")
    assert "La del repositorio <repo@example.com>" in await ok("log -1 --format='%an <%ae>'")
    await ok("branch rama")
    await ok("switch rama")
    (ground.project / "c.txt").write_text("c\n")
    await ok("add c.txt")
    await ok("commit -qm c")
    await ok("switch main")
    (ground.project / "e.txt").write_text("e\n")
    await ok("add e.txt")
    await ok("commit -qm e")
    await ok("merge --no-edit rama")
    await ok("tag -a v1 -m 'versión 1'")
    await ok("checkout -b tema HEAD~1")
    (ground.project / "t.txt").write_text("t\n")
    await ok("add t.txt")
    await ok("commit -qm t")
    await ok("rebase main")
    await ok("revert --no-edit HEAD")
    (ground.project / "a.txt").write_text("a medias\n")
    await ok("stash push -m 'a medias'")
    await ok("stash pop")
    await ok("restore a.txt")
    await ok("worktree add ../arbol v1")
    await ok("worktree remove ../arbol")
    await ok("reset --hard HEAD~1")
    await ok("blame a.txt")
    await ok("grep -n dos")
    await ok("-C d status -sb")
    await ok("format-patch -1 -o ../parches")
    assert not ground.was_run()


async def test_a_merge_with_a_hostile_driver_is_a_plain_merge(ground: Ground) -> None:
    ground.git("config", "merge.x.driver", ground.payload)
    (ground.project / ".gitattributes").write_text("*.txt merge=x\n")
    lines = [f"{n}\n" for n in range(20)]
    (ground.project / "l.txt").write_text("".join(lines))
    ground.git("add", ".")
    ground.git("commit", "-qm", "líneas")
    ground.git("branch", "-f", "otra")
    (ground.project / "l.txt").write_text("".join(["arriba\n", *lines[1:]]))
    ground.git("commit", "-qam", "arriba")
    ground.git("checkout", "-q", "otra")
    (ground.project / "l.txt").write_text("".join([*lines[:-1], "abajo\n"]))
    ground.git("commit", "-qam", "abajo")
    await ok("merge -m x main")
    assert (ground.project / "l.txt").read_text() == "".join(["arriba\n", *lines[1:-1], "abajo\n"])


async def test_push_fetch_and_pull_of_a_folder_work(ground: Ground) -> None:
    remote_hooks(ground)
    await ok("push -u origin main")
    other = ground.project.parent / "copia"
    await ok(f"clone {ground.project.parent}/remoto.git ../copia")
    (other / "n.txt").write_text("n\n")
    ground.git("add", ".", cwd=other)
    ground.git("commit", "-qm", "n", cwd=other)
    ground.git("-c", "core.hooksPath=/dev/null", "push", "-q", "origin", "HEAD:main", cwd=other)
    ground.was_run()
    ground.git("checkout", "-q", "-f")
    await ok("pull --no-rebase")
    assert (ground.project / "n.txt").exists() and not ground.was_run()


async def test_a_local_submodule_works(ground: Ground) -> None:
    submodule(ground)
    await ok("submodule status")
    ground.git("submodule", "deinit", "-q", "-f", "sm")
    await ok("submodule update --init")
    assert (ground.project / "sm/s.txt").read_text() == "s\n"
    assert "código de salida 0" in await git_operation("-C sm log --oneline")


async def test_filters_are_explained(ground: Ground) -> None:
    (ground.project / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    assert "filtros (lfs)" in await git_operation("status")


@pytest.mark.parametrize("refused", ["url.x.insteadOf", "remote.origin.vcs", "gc.recentObjectsHook"])
async def test_what_cannot_be_taken_out_is_refused(ground: Ground, refused: str) -> None:
    ground.git("remote", "add", "origin", "https://example.com/x")
    ground.git("config", refused, "x")
    with pytest.raises(ToolError, match="no puedo neutralizar"):
        await git_operation("fetch origin")


async def test_a_repository_that_leads_outside_is_refused(ground: Ground) -> None:
    outside = ground.base / "ajeno"
    outside.mkdir()
    ground.git("config", "core.worktree", str(outside))
    with pytest.raises(ToolError, match="fuera"):
        await git_operation("reset --hard")
