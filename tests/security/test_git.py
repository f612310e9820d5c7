"""Git on a hostile repository, judged by effect: what is free starts no program and shows nothing from outside.

Every attack is also run with plain git (the positive control): it must succeed there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

import pytest

from app.core.errors import ToolError
from app.core.machine import use_folder
from app.core.risk import git_risk
from app.core.risk_git import FREE
from app.core.toolkit import Risk
from app.core.tools import execute_shell, git_operation
from tests.security.git.ground import SECRET, Ground, ground

__all__ = ["ground"]  # the fixture
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the payloads are written for sh")


def filter_clean(g: Ground) -> None:
    g.config(f'[filter "x"]\n\tclean = "{g.payload}"\n')
    (g.project / ".gitattributes").write_text("*.txt filter=x\n")


def filter_process(g: Ground) -> None:
    g.config(f'[filter "x"]\n\tprocess = "{g.payload}"\n')
    (g.project / ".gitattributes").write_text("*.txt filter=x\n")


def filter_smudge(g: Ground) -> None:
    g.config(f'[filter "x"]\n\tsmudge = "{g.payload}"\n')
    (g.project / ".git/info/attributes").write_text("*.txt filter=x\n")
    g.git("switch", "-q", "otra")


def textconv(g: Ground) -> None:
    g.config(f'[diff "x"]\n\ttextconv = "{g.payload}"\n')
    (g.project / ".gitattributes").write_text("*.txt diff=x\n")


def external_diff(g: Ground) -> None:
    g.config(f'[DIFF]\n\tExternal = "{g.payload}"\n')


def by_include(g: Ground) -> None:
    (g.project / "inofensivo").write_text(f'[diff]\n\texternal = "{g.payload}"\n')
    g.config("[include]\n\tpath = ../inofensivo\n")


def by_conditional_include(g: Ground) -> None:
    (g.project / "inofensivo").write_text(f'[diff]\n\texternal = "{g.payload}"\n')
    g.config('[includeIf "gitdir:**"]\n\tpath = ../inofensivo\n')


def one_line_section(g: Ground) -> None:
    g.config(f'[user] name = x\n[diff] external = "{g.payload}"\n')


def worktree_config(g: Ground) -> None:
    g.git("config", "core.repositoryformatversion", "1")
    g.git("config", "extensions.worktreeConfig", "true")
    (g.project / ".git/config.worktree").write_text(f'[diff]\n\texternal = "{g.payload}"\n')


def separate_git_dir(g: Ground) -> None:
    g.config(f'[diff]\n\texternal = "{g.payload}"\n')
    (g.project / ".git").rename(g.project / "datos")
    (g.project / ".git").write_text("gitdir: datos\n")


def common_dir(g: Ground) -> None:
    g.config(f'[diff]\n\texternal = "{g.payload}"\n')
    git = g.project / ".git"
    (g.project / "comun").mkdir()
    for name in ("objects", "refs", "config"):
        (git / name).rename(g.project / "comun" / name)
    (git / "commondir").write_text("../comun\n")


def linked_git_dir(g: Ground) -> None:
    g.config(f'[diff]\n\texternal = "{g.payload}"\n')
    (g.project / ".git").rename(g.project / "datos")
    (g.project / ".git").symlink_to("datos")


def from_a_subfolder(g: Ground) -> None:
    g.config(f'[diff]\n\texternal = "{g.payload}"\n')
    use_folder(g.project / "d")


def looks_bare(g: Ground) -> None:
    """No `.git` at all: the project itself is laid out like a repository."""
    for entry in (g.project / ".git").iterdir():
        entry.rename(g.project / entry.name)
    (g.project / ".git").rmdir()
    (g.project / "config").write_text(
        f"[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = {g.project}\n"
        f'[diff]\n\texternal = "{g.payload}"\n'
    )


def file_system_monitor(g: Ground) -> None:
    g.git("config", "core.fsmonitor", str(g.script("monitor")))


def hook_on_index(g: Ground) -> None:
    g.script("home/proyectos/p/.git/hooks/post-index-change")
    g.script("home/proyectos/p/.git/hooks/post-checkout")
    g.script("home/proyectos/p/.git/hooks/reference-transaction")


def hooks_path(g: Ground) -> None:
    """As husky does it: overridden, so it does not even ask."""
    g.script("home/proyectos/p/.husky/post-index-change")
    g.script("home/proyectos/p/.husky/post-checkout")
    g.git("config", "core.hooksPath", ".husky")


def submodule_filter(g: Ground) -> None:
    other = g.base / "sub"
    other.mkdir()
    g.git("init", "-q", cwd=other)
    (other / "s.txt").write_text("s\n")
    (other / ".gitattributes").write_text("*.txt filter=x\n")
    g.git("add", ".", cwd=other)
    g.git("commit", "-qm", "s", cwd=other)
    g.git("submodule", "add", str(other), "sm")
    g.git("config", "-f", ".gitmodules", "submodule.sm.ignore", "none")
    g.git("add", ".gitmodules")
    g.git("commit", "-qm", "sm")
    g.git("config", "filter.x.clean", g.payload, cwd=g.project / "sm")
    (g.project / "sm/s.txt").write_text("t\n")


def signature(g: Ground) -> None:
    g.config(f"[gpg]\n\tprogram = {g.script('gpg')}\n[log]\n\tshowSignature = true\n")
    commit = g.git("cat-file", "commit", "HEAD").split("\n\n", 1)
    lines = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----"
    (g.project / "firmado").write_text(f"{commit[0]}\n{lines}\n\n{commit[1]}")
    g.git(
        "reset",
        "-q",
        "--soft",
        g.git("hash-object", "-t", "commit", "-w", "--stdin-paths", "firmado").strip() or "HEAD",
    )
    signed = g.git("hash-object", "-t", "commit", "-w", "firmado").strip()
    g.git("update-ref", "HEAD", signed)


def remote_by_ssh(g: Ground) -> None:
    g.config(f'[core]\n\tsshCommand = {g.script("ssh")}\n[remote "origin"]\n\turl = ssh://x/y\n')


def missing_object(g: Ground) -> None:
    remote_by_ssh(g)
    g.git("config", "remote.origin.promisor", "true")
    g.git("config", "core.repositoryformatversion", "1")
    g.git("config", "extensions.partialClone", "origin")


def nothing(_: Ground) -> None:
    pass


PROGRAMS: list[tuple[Callable[[Ground], None], str]] = [
    *((filter_clean, cmd) for cmd in ("status", "diff", "add .", "status --porcelain")),
    (filter_process, "status"),
    *((filter_smudge, cmd) for cmd in ("switch main",)),
    *((textconv, cmd) for cmd in ("diff", "show HEAD", "log -p", "blame b.txt", "grep --textconv uno")),
    *((external_diff, cmd) for cmd in ("diff", "diff a.txt")),
    *((prepare, "diff") for prepare in (by_include, by_conditional_include, one_line_section, worktree_config)),
    *((prepare, "diff") for prepare in (separate_git_dir, common_dir, linked_git_dir, from_a_subfolder, looks_bare)),
    (file_system_monitor, "status"),
    *((hook_on_index, cmd) for cmd in ("status", "switch otra", "add a.txt")),
    *((hooks_path, cmd) for cmd in ("status", "switch otra", "add a.txt")),
    *((submodule_filter, cmd) for cmd in ("status", "diff", "add .", "status -s")),
    (signature, "log -1"),
    (remote_by_ssh, "remote show origin"),
    *((missing_object, cmd) for cmd in (f"cat-file -p {'1' * 40}", f"show {'1' * 40}")),
    (nothing, "grep -Oscript b"),
    (nothing, "grep --open=script b"),
    (nothing, "grep --open-files-in-pager=script b"),
    (nothing, "grep -lOscript b"),
]


def prepared(ground: Ground, prepare: Callable[[Ground], None], cmd: str) -> str:
    prepare(ground)
    ground.touch()
    ground.was_run()
    return cmd.replace("script", str(ground.script("pager")))


@pytest.mark.parametrize(("prepare", "cmd"), PROGRAMS, ids=lambda p: getattr(p, "__name__", p))
async def test_no_command_starts_a_program(ground: Ground, prepare: Callable[[Ground], None], cmd: str) -> None:
    """Free or approved."""
    cmd = prepared(ground, prepare, cmd)
    for tool, argument in ((git_operation, cmd), (execute_shell, f"git {cmd}")):
        with suppress(ToolError):
            await tool(argument)
        assert not ground.was_run()
        ground.touch()


@pytest.mark.parametrize(("prepare", "cmd"), PROGRAMS, ids=lambda p: getattr(p, "__name__", p))
def test_plain_git_would_start_it(ground: Ground, prepare: Callable[[Ground], None], cmd: str) -> None:
    cmd = prepared(ground, prepare, cmd)
    cwd = ground.project / "d" if prepare is from_a_subfolder else None
    ground.git(*cmd.split(), cwd=cwd)
    assert ground.was_run()


@pytest.mark.parametrize("prepare", [hooks_path, hook_on_index, file_system_monitor], ids=lambda p: p.__name__)
def test_what_is_overridden_does_not_ask(ground: Ground, prepare: Callable[[Ground], None]) -> None:
    prepare(ground)
    assert git_risk({"cmd": "status"}) is Risk.READ


def folder_became_a_link(g: Ground) -> None:
    (g.project / "d/f").unlink()
    (g.project / "d").rmdir()
    (g.base / "f").write_text(f"{SECRET}\n")
    (g.project / "d").symlink_to(g.base)


def link(g: Ground) -> None:
    (g.project / "enlace").symlink_to(g.base / "fuera.txt")


def other_worktree(g: Ground) -> None:
    folder = g.base / "ajeno"
    folder.mkdir()
    (folder / "a.txt").write_text(f"{SECRET}\n")
    g.git("config", "core.worktree", str(folder))


def borrowed_objects(g: Ground) -> None:
    other = g.base / "otro"
    other.mkdir()
    g.git("init", "-q", cwd=other)
    (other / "x").write_text(SECRET)
    blob = g.git("hash-object", "-w", "x", cwd=other).strip()
    (g.project / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
    g.git("tag", "blob", blob)


def revs_file(g: Ground) -> None:
    g.git("config", "blame.ignoreRevsFile", str(g.base / "fuera.txt"))


READERS: list[tuple[Callable[[Ground], None], str]] = [
    (nothing, "diff --no-index /dev/null {out}"),
    (nothing, "diff --no-ind /dev/null {out}"),
    (nothing, "diff /dev/null {out}"),
    (nothing, "diff ../../../nada ../../../fuera.txt"),
    (nothing, "diff a.txt ../../../fuera.txt"),
    (nothing, "blame --contents {out} a.txt"),
    (nothing, "blame --contents={out} a.txt"),
    (nothing, "grep --no-index -e TOP {out}"),
    (nothing, "blame --ignore-revs-file={out} a.txt"),
    (nothing, "blame -S {out} a.txt"),
    (nothing, "ls-files -o --exclude-from={out} -i"),
    (link, "diff --no-index a.txt enlace"),
    (link, "blame --contents enlace a.txt"),
    (folder_became_a_link, "grep TOPSECRET"),
    (folder_became_a_link, "grep --untracked -e TOPSECRET"),
    (folder_became_a_link, "blame d/f"),
    (other_worktree, "diff"),
    (other_worktree, "grep TOP"),
    (borrowed_objects, "show blob"),
    (revs_file, "blame a.txt"),
]
_PLAIN_GIT_REFUSES = {
    "diff --no-ind /dev/null {out}",
    "grep --no-index -e TOP {out}",
    "grep --untracked -e TOPSECRET",
    "blame -S {out} a.txt",
    "ls-files -o --exclude-from={out} -i",
    "diff ../../../nada ../../../fuera.txt",
    "diff --no-index a.txt enlace",
}


@pytest.mark.parametrize(("prepare", "cmd"), READERS, ids=lambda p: getattr(p, "__name__", p))
async def test_a_free_command_shows_nothing_from_outside(
    ground: Ground, prepare: Callable[[Ground], None], cmd: str
) -> None:
    prepare(ground)
    cmd = cmd.format(out=ground.base / "fuera.txt")
    for tool, argument in ((git_operation, cmd), (execute_shell, f"git {cmd}")):
        if git_risk({"cmd": cmd}) in FREE:
            assert SECRET not in (await tool(argument)).replace(cmd, "")


@pytest.mark.parametrize(("prepare", "cmd"), READERS, ids=lambda p: getattr(p, "__name__", p))
def test_plain_git_would_show_it(ground: Ground, prepare: Callable[[Ground], None], cmd: str) -> None:
    if cmd not in _PLAIN_GIT_REFUSES:
        prepare(ground)
        assert SECRET in ground.git(*cmd.format(out=ground.base / "fuera.txt").split())


@pytest.mark.parametrize(
    "cmd",
    ["switch -fq otra", "switch --disc otra", "switch -f otra", "switch --discard-changes otra", "switch -C otra HEAD",
     "switch --force-create=otra HEAD", "mv -f b.txt a.txt", "mv -fv b.txt a.txt", "init {base}/nuevo",
     "init ../../../nuevo", "switch con-ignorado", "log --output={base}/nuevo -1", "log --outp={base}/nuevo -1"],
)  # fmt: skip
async def test_a_free_command_loses_no_work(ground: Ground, cmd: str) -> None:
    ground.git("switch", "-q", "-c", "con-ignorado")
    (ground.project / "local.env").write_text("de la rama")
    ground.git("add", "-f", "local.env")
    ground.git("commit", "-qm", "local")
    ground.git("switch", "-q", "main")
    (ground.project / ".git/info/exclude").write_text("local.env\n")
    (ground.project / "local.env").write_text("mío")
    before = ground.git("rev-parse", "otra")
    if git_risk({"cmd": cmd.format(base=ground.base)}) in FREE:
        await git_operation(cmd.format(base=ground.base))
    assert (ground.project / "a.txt").read_text() == "dos\n"
    assert (ground.project / "local.env").read_text() == "mío"
    assert ground.git("rev-parse", "otra") == before
    assert not (ground.base / "nuevo").exists()


async def test_reading_changes_nothing_in_the_repository(ground: Ground) -> None:
    index = ground.project / ".git/index"
    ground.touch()
    before = index.read_bytes()
    assert "a.txt" in await git_operation("status")
    assert index.read_bytes() == before


async def test_the_commands_own_home_names_no_program_either(ground: Ground) -> None:
    home = ground.base / "data/home"
    home.mkdir(parents=True, exist_ok=True)
    (home / ".gitconfig").write_text(f'[diff]\n\texternal = "{ground.payload}"\n[core]\n\tautocrlf = input\n')
    assert "+dos" in await git_operation("diff")
    assert not ground.was_run()


async def test_an_approved_command_starts_no_editor(ground: Ground) -> None:
    ground.git("config", "core.editor", str(ground.script("editor")))
    assert git_risk({"cmd": "commit -a"}) is Risk.EXECUTE
    await git_operation("commit -a")
    assert not ground.was_run()


ORDINARY = """status|status -sb|diff|diff --stat|diff --cached|diff HEAD~1|log --oneline -5|log -p -1|log --graph --all
show HEAD|show --stat|show HEAD:a.txt|blame b.txt|branch -vv|branch --list|tag|remote -v|stash list|reflog -3
grep uno HEAD|grep -n b|ls-files|ls-tree -r HEAD|rev-parse HEAD|rev-list --count HEAD|describe --always
shortlog -sn HEAD|cat-file -p HEAD|for-each-ref|show-ref|merge-base main otra|name-rev HEAD|whatchanged -1
count-objects -v|diff-tree -r HEAD|check-ignore b.swp|worktree list|version|--version|log main..otra|diff main...otra
log HEAD@{0} -1|add b.txt|switch -c nueva|mv b.txt c.txt|init""".replace("\n", "|")


@pytest.mark.parametrize("cmd", ORDINARY.split("|"))
async def test_ordinary_work_is_free_and_works(ground: Ground, cmd: str) -> None:
    (ground.project / ".gitignore").write_text("*.swp\n")
    ground.git("remote", "add", "origin", "https://example.com/x.git")
    ground.git("config", "branch.main.remote", "origin")
    ground.git("config", "branch.main.merge", "refs/heads/main")
    assert git_risk({"cmd": cmd}) in FREE
    assert "código de salida 0" in await git_operation(cmd)


async def test_a_linked_worktree_and_a_submodule_are_free(ground: Ground) -> None:
    ground.git("worktree", "add", "-q", "../arbol", "otra")
    use_folder(ground.project.parent / "arbol")
    assert git_risk({"cmd": "status"}) is Risk.READ
    assert "otra" in await git_operation("status")
    use_folder(ground.project)
    submodule_filter(ground)
    ground.git("config", "--unset", "filter.x.clean", cwd=ground.project / "sm")
    ground.git("config", "--remove-section", "filter.x", cwd=ground.project / "sm")
    use_folder(ground.project / "sm")
    assert git_risk({"cmd": "status"}) is Risk.READ
    assert "código de salida 0" in await git_operation("status")


@pytest.mark.parametrize(
    "config",
    [
        "[core\n\tbare = false\n", "sin = sección\n", "[diff]\n\texter\\\nnal = x\n", '[user]\n\tname = "a\\\n b"\n',
        "[unknown]\n\tx = 1\n", "[include]\n\tpath = x\n", "[diff]\n\torderFile = x\n", "[core]\n\tworktree = ../..\n",
        "\x00", "\ufeff[core]\n", "[core]\x0b\n\tx = 1\n", "[core]\n\tbare = \x1b\n",
    ],
)  # fmt: skip
def test_a_configuration_that_is_not_plain_asks(ground: Ground, config: str) -> None:
    ground.config(config)
    assert git_risk({"cmd": "status"}) is Risk.EXECUTE


def test_a_configuration_that_cannot_be_read_asks(ground: Ground) -> None:
    config = ground.project / ".git/config"
    config.unlink()
    os.mkfifo(config)
    assert git_risk({"cmd": "status"}) is Risk.EXECUTE
    config.unlink()
    config.symlink_to("config2")
    assert git_risk({"cmd": "status"}) is Risk.EXECUTE


async def test_unbalanced_quotes_are_an_answer(ground: Ground) -> None:
    with pytest.raises(ToolError):
        await git_operation("log 'x")
