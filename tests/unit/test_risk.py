"""What asks the user and what does not.

Until the system confines commands (issue C), a wrong "free" here lets a command loose: tests/security/test_git.py and
test_shell.py judge by what really happens. A wrong "ask" costs a tap.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.core import machine as machine_module
from app.core import risk
from app.core.errors import ToolError
from app.core.machine import Machine, machine, use_folder, use_machine
from app.core.risk import free_words, git_risk, shell_risk, write_risk
from app.core.toolkit import Risk
from app.core.tools import execute_shell, git_operation
from tests.support import make_settings

ASKS = {Risk.EXECUTE, Risk.DESTRUCTIVE, Risk.NETWORK, Risk.OUTSIDE}


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home" / "proyectos"
    use_machine(build_machine(make_settings(tmp_path)))
    use_folder(folder)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "src").mkdir()
    (folder / "src/a.py").write_text("x")
    (folder / "a b.txt").write_text("x")
    (folder / "salida").symlink_to("/etc/passwd")
    yield folder
    use_folder(None)


FREE_GIT = """status|status -sb|status --short|status --porcelain=v2 --branch|status -uno|status src|git status
status --ignored|diff|diff --stat|diff --cached|diff --staged --name-only|diff HEAD~1 -- a.py|diff main..dev|diff a...b
diff -w src/a.py|diff -U5|diff --word-diff|diff HEAD^ HEAD|diff --diff-filter=AM --name-status|diff origin/main -- src
log|log --oneline -5|log -n 5|log -n5 --stat|log -p -2 -- src/a.py|log --graph --all --decorate --oneline|log main..dev
log --since="2 weeks ago" --author=ana|log --format='%h %s (%an)' -10|log --grep=arreglo -i|log -S palabra --oneline
log --follow -- "a b.txt"|log --merges --first-parent|log -L1,5:src/a.py|log --since 2.days|show|show HEAD|show --stat
show HEAD~2:src/a.py|show --name-only abc1234|show stash@{0}|show -s --format=%B HEAD|blame src/a.py
blame -L 1,5 src/a.py|blame -w -C src/a.py|annotate src/a.py|branch|branch -a|branch -vv|branch -r
branch --show-current|branch --list 'feat/*'|branch --merged main|branch --contains HEAD|branch --sort=-committerdate
tag|tag -l|tag --list 'v1.*'|tag -n|remote|remote -v|remote get-url origin|stash list|stash show
stash show -p stash@{1}|reflog|reflog -5|reflog show HEAD|rev-parse HEAD|rev-parse --abbrev-ref HEAD
rev-parse --show-toplevel|rev-list --count HEAD|ls-files|ls-files -m -o --exclude-standard
ls-tree -r --name-only HEAD|ls-tree HEAD src|cat-file -p HEAD|cat-file -t HEAD|shortlog -sn|shortlog -sne HEAD
describe|describe --tags --always|grep palabra|grep -n "def f" -- src|grep -il palabra|grep -A 3 palabra
merge-base main dev|merge-base --is-ancestor a b|name-rev HEAD|for-each-ref --sort=-creatordate --count=5
show-ref --heads|whatchanged -3|count-objects -vH|check-ignore -v src/a.py|diff-tree --no-commit-id -r HEAD
cherry -v main|worktree list|version|--version|stash show --stat|log HEAD@{1} -1|diff @{u}|diff --color-words
log --pretty=oneline --abbrev-commit"""
LOSING_GIT = """reset --hard|reset --har HEAD~1|clean -fd|branch -D x|branch -d x|branch -f x y|branch -m x|tag -d v1
tag -f v1|checkout main|checkout -- .|checkout a.py|checkout -f main|restore a.py|stash drop|stash clear
reflog expire --all|update-ref -d x|gc|rm a.py|switch -f main|switch -C x|worktree remove x|symbolic-ref HEAD x
config user.name x|mv -f a b"""
KEEPING_GIT = """commit -m x|commit -m "rm -rf / && git push"|commit -am x|commit --amend --no-edit|branch nueva|tag v1
tag -a v1 -m x|merge x|rebase main|cherry-pick x|revert HEAD|stash|stash pop|stash push -m x|reset|reset --soft HEAD~1
reset a.py|checkout -b nueva|restore --staged a.py|worktree add ../x|remote add o u|rm --cached a.py
apply x|am x|add -p"""
ASKING_GIT = """commit -m x|push|push --force|reset --hard|reset|clean -fd
branch -D x|branch nueva|branch -v nueva|tag v1|tag -d v1|tag -v v1|tag -n v1|checkout main|checkout -- .
restore a.py|stash|stash pop|stash drop|rebase main|merge x|fetch|pull|clone https://x/y|remote add o u
remote show origin|remote update|remote prune origin|remote set-url o u|config -l
log --output=/tmp/x|log --outp=x -1|log --output x
log -p --textconv|diff --no-index a b|diff --no-ind a b|diff /dev/null src/a.py|diff -- ../x|diff src/../../x
blame --contents /etc/passwd src/a.py|blame --contents=salida src/a.py|blame -S revs src/a.py
blame --ignore-revs-file=x src/a.py|blame salida|diff -Oorden|diff -O orden|log -Ox
grep -f patrones|grep --no-index x|grep -o x
grep --only-matching x|grep --recurse-submodules x|grep --textconv x|diff --submodule=diff|diff --word-diff-regex=.
log --show-signature|log --format=%G?|log --format='%h %GG'|for-each-ref --format='%(signature)'|log --remerge-diff
log --stdin|status --stat|describe --dirty|describe --broken|cat-file --textconv HEAD:a|cat-file --filters HEAD:a
cat-file --batch|ls-files -X salida|ls-files --exclude-from=salida|rev-parse --parseopt|shortlog --outpu=x
branch --edit-description|branch -m x|branch -f x y|branch --list x -D|branch --unset-upstream|gc
rm a.py|reflog expire --all|reflog delete HEAD|reflog -5 expire|update-ref -d x|submodule update
am x|cherry-pick x|verify-commit x|notes add|archive HEAD
bundle create x HEAD|fsck|worktree add ../x|symbolic-ref HEAD x|show --stag|add -e|add -p|add -i
add --edit|add -pA|add -f x|add --pathspec-from-file=x|add /etc/passwd|add ../x|add salida|add --chmod=+x a
switch -f main|switch -fq main|switch --force main|switch --disc otra|switch --discard-changes otra|switch -C x
switch -cf x|switch --force-create=x y|switch --force-create x y|switch --orphan x|switch -m x|switch --merge x
switch --recurse-submodules x|mv -f a b|mv -fv a b|mv --force a b|mv a ../b|mv a /tmp/b|mv a .git/hooks/pre-commit
init /tmp/x|init ../x|init --separate-git-dir=/tmp/x|init --bare|init --shared|init .git/x
"""


def each(block: str) -> list[str]:
    return [command for line in block.splitlines() for command in line.split("|") if command]


@pytest.mark.parametrize("cmd", each(FREE_GIT))
def test_looking_at_a_repository_is_free(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) is Risk.READ


def test_ordinary_work_is_well_covered() -> None:
    assert len(each(FREE_GIT)) >= 60


@pytest.mark.parametrize("cmd", each(ASKING_GIT))
def test_changing_history_work_or_remotes_asks(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) in ASKS
    assert shell_risk({"command": f"git {cmd}"}) in ASKS


REFUSED_GIT = """-c core.pager=x log|-c alias.x=log x|-c include.path=x log|-c url.x.insteadOf=y fetch
-c safe.directory=/x log|--git-dir=/x log|--work-tree=/x log
--exec-path=. status|--config-env=core.pager=X log|--namespace=x log|-p log
diff --ext-diff|diff --ext-d|grep -Oless x|grep -O x|grep -lOsh x|grep --open-files-in-pager=sh x|grep --open=sh x
filter-branch|submodule foreach ls|bisect run x|log --help|send-email x
difftool|mergetool|help log|daemon|instaweb
init --template=x|Status|rebase -x ls main|rebase --exec=ls main|rebase --ex ls main|rebase -ix ls
archive --remote=x HEAD|clone -u x y|clone --upload-pack=x y|clone -c core.hooksPath=x y|clone --config x=y z
clone --template=x y
fetch --upload-pack=x o|pull --upload-pack x|push --receive-pack=x o|push --exec=x o|ls-remote --exec=x o|lfs pull
config -e|config --edit|maintenance start|credential fill|remote-ext x y|-C /etc status|-C ../../.. status"""


@pytest.mark.parametrize("cmd", each(REFUSED_GIT))
async def test_what_would_start_programs_or_leave_is_refused(cmd: str) -> None:
    for call in (git_operation(cmd), execute_shell(f"git {cmd}")):
        with pytest.raises(ToolError):
            await call


@pytest.mark.parametrize("cmd", each(LOSING_GIT))
def test_what_can_lose_work_asks_wherever_it_runs(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) is Risk.DESTRUCTIVE


@pytest.mark.parametrize("cmd", each(KEEPING_GIT))
def test_what_keeps_all_work_asks_only_where_nothing_confines_it(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) is Risk.EXECUTE


@pytest.mark.parametrize(
    "cmd",
    ["add .", "add -A", "add src/a.py", "add -u", "init", "init -q sub", "switch -c nueva", "switch -", "switch main",
     "switch --detach HEAD~1", "mv 'a b.txt' b.txt", "mv -k src/a.py src/b.py"],
)  # fmt: skip
def test_harmless_changes_do_not_ask(cmd: str) -> None:
    assert git_risk({"cmd": cmd}) is Risk.WRITE
    assert shell_risk({"command": f"git {cmd}"}) is Risk.WRITE


@pytest.mark.parametrize(
    "cmd", ["status -sb", "log --oneline -5 HEAD~2", "log --format='%h %s'", "show stash@{0}", 'grep "a|b" src']
)
def test_git_in_the_shell_is_as_free_as_the_tool(cmd: str) -> None:
    assert shell_risk({"command": f"git {cmd}"}) is Risk.READ
    assert free_words(f"git {cmd}")[:2] == ["git", cmd.split()[0]]


def test_remote_show_uses_the_network() -> None:
    assert git_risk({"cmd": "remote show origin"}) is Risk.NETWORK


FREE_SHELL = """ls|ls -la|ls -lah src|ls -R|ls -t|ls -1|pwd|cat 'a b.txt'|cat -n src/a.py|head -n 3 'a b.txt'
head -5 src/a.py|head -n3 src/a.py|tail -n 20 src/a.py|tail -n +2 src/a.py|wc -l 'a b.txt'|wc src/a.py
grep -rn hola .|grep -in hola src/a.py|grep -rn "def f" src|grep -c x src/a.py|grep -A 3 x src/a.py
grep -rn --include=a.py x .|git status|echo hola|echo "hola, ¿qué tal?"|du -sh .|du -h -d1|df -h .|stat src/a.py
whoami|uname -a|which python3|ls no-existe|grep -rn app/core src"""
ASKING_SHELL = """rm -rf .|cat /etc/passwd|cat ../../x|cat salida|cat ~/.ssh/id_rsa|ls; rm x|echo $HOME|echo `id`
echo a > b|grep -R x .|python x.py|make|npm test|pytest|git push|git commit -m x|env|printenv|find . -delete|tee x
ls && x|cat $(id)|ls --color=always|ls /|'rm' x|/bin/ls|./ls|grep --der x .|grep --deref x src|grep -nrS x .
grep -dr x .|grep -d recurse x .|grep -f salida src/a.py|grep -fsalida src/a.py|grep --file=salida x
grep -o x src/a.py|grep -rob x .|grep -nb x src/a.py|grep --only-matching x .|head -c 9 src/a.py|head -c9 src/a.py
tail -c 9 src/a.py|tail -f src/a.py|tail --follow src/a.py|ls -RL .|ls -L salida|ls -H salida|ls -lL|du -aL .
du -D salida|du -H .|du --files0-from=x|wc --files0-from=x|wc --files0-from=salida|cat -- -salida|ls -- x
stat -L salida|stat -Lc x src/a.py|cat --show-all src/a.py|cat *|cat a?b|cat {a,b}|cat "$HOME"|cat "`id`"
echo "a'$(id)'b"|FOO=1 ls|ls # x|exec ls|ls\\ x|cat src/a.py salida|df /|uname /|ls src/../..
cat <x|ls ~|du ..|cat !x|which -a /etc/x"""


@pytest.mark.parametrize("command", [*each(FREE_SHELL), 'grep -E "a|b" src/a.py', "grep 'f(x)$' src/a.py"])
def test_looking_at_the_project_is_free(command: str) -> None:
    assert shell_risk({"command": command}) is Risk.READ
    assert free_words(command)


@pytest.mark.parametrize("command", [*each(ASKING_SHELL), "ls\nrm x", "cat a | sh", "", "ls 'x", "git", "ls\r/"])
def test_whatever_a_shell_interprets_asks(command: str) -> None:
    assert shell_risk({"command": command}) in ASKS
    assert free_words(command) == []


def test_in_powershell_only_git_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(risk.os, "name", "nt")
    try:
        found = [shell_risk({"command": c}) for c in ("cat src/a.py", "ls", "git status")]
    finally:
        monkeypatch.undo()
    assert found == [Risk.EXECUTE, Risk.EXECUTE, Risk.READ]


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("src/a.py", False), ("nuevo/b.py", False), (".gitignore", False), ("git/config", False),
        (".gitattributes", False), (".git/config", True), (".GIT/hooks/pre-commit", True), ("src/.git", True),
        ("src/../.git/config", True), ("enlace/config", True), ("enlace/nuevo/x", True), ("nada/../enlace/x", True),
        (".git./config", True), ("git~1/config", True), (".g\u200cit/config", True),
        (".git::$INDEX_ALLOCATION/x", True),
        ("desnudo/config", True), ("desnudo/hooks/pre-commit", True), ("../fuera", False),
    ],
)  # fmt: skip
def test_gits_own_files_ask(project: Path, path: str, asks: bool) -> None:
    (project / "enlace").symlink_to(".git")
    subprocess.run(["git", "init", "-q", "--bare", str(project / "desnudo")], check=True)
    expected = Risk.DESTRUCTIVE if asks else Risk.WRITE
    assert write_risk({"path": path, "content": "x"}) is expected


def test_what_lies_below_is_looked_at_as_well(tmp_path: Path) -> None:
    """A projects folder that holds Nanobot's own data."""
    data = tmp_path / "home/proyectos/nanobot/data"
    use_machine(build_machine(make_settings(tmp_path, data_dir=data)))
    (data / "config.env").write_text("x")
    asking = ["grep -rn x .", "grep -rn x", "grep -rn x nanobot", "ls -R", "ls -R nanobot", "du -a", "du nanobot"]
    for command in [*asking, "cat nanobot/data/config.env", "ls nanobot/data", "git grep x", "git diff src nanobot"]:
        assert shell_risk({"command": command}) in ASKS, command
    for command in ("ls", "ls nanobot", "cat src/a.py"):
        assert shell_risk({"command": command}) is Risk.READ, command


def test_a_workspace_that_cannot_tell_makes_us_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine()
    blind = Machine(object(), here.sandbox, here.fetcher, here.redactor, here.limits)  # type: ignore[arg-type]
    token = machine_module._machine.set(blind)
    try:
        assert git_risk({"cmd": "status"}) is Risk.DESTRUCTIVE
        assert shell_risk({"command": "ls"}) is Risk.EXECUTE
        assert write_risk({"path": "a"}) is Risk.DESTRUCTIVE
    finally:
        machine_module._machine.reset(token)
