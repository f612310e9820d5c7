"""Every layer that this machine offers: what gets out of it, judged by what happened outside.

Each attack is also run without confinement, for the same user (the positive control): there it must succeed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.contracts import CommandResult, RunLimits
from app.core.errors import SandboxError
from app.safety.confine.plan import Ceilings
from app.safety.helper import Helper
from app.safety.sandbox import Confinement, ProcessSandbox
from app.safety.verdict import Verdict
from tests.security import layers
from tests.security.layers import CELLS, IDS, Cell, cell, running, unique

pytestmark = pytest.mark.skipif(not CELLS, reason="Linux has these layers")
MILLION = 1 << 20


@pytest.fixture(scope="module", params=CELLS, ids=IDS)
def here(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with cell(*request.param) as made:
        yield made


@pytest.fixture(params=CELLS, ids=IDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[Cell]:
    with cell(*request.param) as made:
        yield made


# ---------------------------------------------------------------- attacks

Happened = Callable[[Cell, CommandResult], bool]


def said(cell: Cell, done: CommandResult) -> bool:
    return cell.bait.token in done.output


def worked(_: Cell, done: CommandResult) -> bool:
    return "CONSEGUIDO" in done.output


def arrived(name: str) -> Happened:
    def look(cell: Cell, _: CommandResult) -> bool:
        with suppress(BlockingIOError):
            getattr(cell.bait, name).accept()[0].close()
            return True
        return False

    return look


def received(cell: Cell, _: CommandResult) -> bool:
    with suppress(BlockingIOError):
        return bool(cell.bait.udp.recv(100))
    return False


def changed(path: str = "secreto") -> Happened:
    """Takes back what was done, for the next attack."""

    def look(cell: Cell, _: CommandResult) -> bool:
        file = cell.outside / path
        info = file.stat() if file.exists() else None
        sound = info is not None and file.read_text() == cell.bait.token and info.st_mode & 0o7777 == 0o640
        sound = sound and info.st_mtime > 1_000_000_000  # type: ignore[union-attr]
        file.unlink(missing_ok=True)
        file.write_text(cell.bait.token)
        file.chmod(0o640)
        if layers.ROOT:
            os.chown(file, cell.uid, cell.uid)
        return not sound

    return look


def made(cell: Cell, _: CommandResult) -> bool:
    found = [path for path in cell.outside.iterdir() if path.name.startswith("nuevo")]
    for path in found:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return bool(found)


def set_id(cell: Cell, _: CommandResult) -> bool:
    return any(path.lstat().st_mode & 0o6000 for path in cell.project.iterdir() if path.is_file())


def limited(cell: Cell, _: CommandResult) -> bool:
    lines = Path(f"/proc/{cell.bait.neighbour.pid}/limits").read_text().splitlines()
    return next(line for line in lines if line.startswith("Max open files")).split()[3] == "7"


def slowed(cell: Cell, _: CommandResult) -> bool:
    return os.getpriority(os.PRIO_PROCESS, cell.bait.neighbour.pid) > 0


def ended(cell: Cell, _: CommandResult) -> bool:
    with suppress(subprocess.TimeoutExpired):
        cell.bait.neighbour.wait(0.3)
    return cell.bait.neighbour.returncode is not None


def system_call(name: str, arguments: str = "0,0,0,0,0") -> str:
    """Refused by the filter is EPERM or ENOSYS; any other answer is the kernel's own."""
    from app.safety.confine.filters import NUMBERS

    refused = "$! == 1 || $! == 38"
    return f'perl -e \'print syscall({NUMBERS[name]},{arguments}) < 0 && ({refused}) ? "" : "CONSEGUIDO"\''


@dataclass(frozen=True)
class Attack:
    """`control`: it works unconfined. `root`: also for a root that has lost its capabilities."""

    command: str
    happened: Happened
    control: bool = True
    root: bool = True


# {f}: the folder outside, {r}: the root of the projects, {n}: the neighbour, {tcp}, {udp}: ports, {a}: abstract name
ATTACKS = {
    "read": Attack("cat {f}/secreto", said),
    "read through a link": Attack("ln -sf {f}/secreto enlace; cat enlace", said),
    "read through /proc": Attack("cat /proc/self/root{f}/secreto", said),
    "read by a hard link": Attack("ln {f}/secreto duro && cat duro", said),
    "read with a program of one's own": Attack("cp /bin/cat ./gato && chmod +x gato && ./gato {f}/secreto", said),
    "read as a script": Attack(". {f}/secreto", said),
    "list": Attack("ls {f} | grep -q secreto && echo CONSEGUIDO", worked),
    "read what is masked": Attack("cat {r}/nanobot/secreto", said),
    "read what is masked deeper": Attack("cat ../mio/copia/nanobot/secreto", said),
    "list what is masked": Attack("ls ../nanobot | grep -q secreto && echo CONSEGUIDO", worked),
    "link what is masked": Attack("ln ../nanobot/secreto d; cat d; ln -s ../nanobot s; cat s/secreto", said),
    "write into what is masked": Attack("echo x > ../nanobot/otro && [ -s ../nanobot/otro ] && echo CONSEGUIDO; rm -f ../nanobot/otro", worked),
    "write": Attack("echo x > {f}/nuevo", made),
    "overwrite": Attack("echo x > {f}/secreto", changed()),
    "append": Attack("echo x >> {f}/secreto", changed()),
    "truncate": Attack("perl -e 'truncate(\"{f}/secreto\", 0)'", changed()),
    "delete": Attack("rm -f {f}/secreto", changed()),
    "rename": Attack("mv {f}/secreto {f}/nuevo-s; true", made),
    "make a folder": Attack("mkdir {f}/nuevo", made),
    "make a link": Attack("ln -s /etc {f}/nuevo", made),
    "change rights": Attack("chmod 777 {f}/secreto", changed()),
    "change rights by a link": Attack("ln -sf {f}/secreto e; chmod 777 e", changed()),
    "change times": Attack("touch -d 1990-01-01 {f}/secreto", changed()),
    "change times of an ancestor": Attack("perl -e 'utime(1,1,\"{f}/secreto\")'", changed()),
    "tcp": Attack("exec 3<>/dev/tcp/127.0.0.1/{tcp}", arrived("tcp")),
    "udp": Attack("echo x > /dev/udp/127.0.0.1/{udp}", received),
    "unix socket": Attack("perl -MSocket -e 'socket(S,1,1,0)&&connect(S,pack_sockaddr_un(\"{f}/enchufe\"))'", arrived("unix")),
    "abstract socket": Attack("perl -e 'socket(S,1,1,0)&&connect(S,pack(\"Sa*\",1,\"\\0{a}\"))'", arrived("abstract")),
    "vsock": Attack("perl -e 'print socket(S,40,1,0) ? \"CONSEGUIDO\" : \"\"'", worked, control=False),
    "netlink audit": Attack("perl -e 'print socket(S,16,3,9) ? \"CONSEGUIDO\" : \"\"'", worked),
    "environment": Attack("tr '\\0' '\\n' < /proc/{n}/environ", said, root=False),
    "memory": Attack("head -c 10 /proc/{n}/mem >/dev/null 2>&1; ls /proc/{n}/fd/ >/dev/null 2>&1 && echo CONSEGUIDO", worked),
    "limits of others": Attack("prlimit --pid {n} --nofile=7:7", limited),
    "priority of others": Attack("renice -n 7 -p {n}", slowed, root=False),
    "setuid": Attack("cp /bin/true s1; chmod u+s s1", set_id),
    "setgid": Attack("cp /bin/true s2; chmod 2755 s2", set_id),
    "setuid by open": Attack("perl -MFcntl -e 'umask 0; sysopen(F,\"s3\",O_CREAT|O_WRONLY,04755)'", set_id),
    "user namespace": Attack("unshare -U true && echo CONSEGUIDO", worked, control=False),
    "ptrace": Attack(system_call("ptrace"), worked),
    "keyrings": Attack(system_call("keyctl", "0,-3,1"), worked),
    "bpf": Attack(system_call("bpf", "99,0,0"), worked),
    "userfaultfd": Attack(system_call("userfaultfd", "99"), worked),
    "perf": Attack(system_call("perf_event_open", "0,0,0,0,0"), worked),
    "mount": Attack("mount -t tmpfs x . && echo CONSEGUIDO", worked, control=False),
    "shadow": Attack("[ -n \"$(cat /etc/shadow)\" ] && echo CONSEGUIDO", worked, control=False),
    "write to the system": Attack("touch /usr/nanobot-prueba /etc/nanobot-prueba && echo CONSEGUIDO", worked, control=False),
    "kernel settings": Attack("cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness && echo CONSEGUIDO", worked, control=False),
    "home of the machine": Attack("ls /root /home /mnt /media 2>/dev/null | grep -q . && echo CONSEGUIDO", worked, control=False),
    "mem and disks": Attack("for d in /dev/mem /dev/vda /dev/sda /dev/kmsg; do head -c1 $d >/dev/null 2>&1 && echo CONSEGUIDO; done", worked, control=False),
    "stop the neighbour": Attack("kill -9 {n}", ended),
}  # fmt: skip


def command_of(attack: Attack, here: Cell) -> str:
    words = {
        "{f}": str(here.outside), "{r}": str(here.root), "{n}": str(here.bait.neighbour.pid),
        "{tcp}": str(here.bait.tcp.getsockname()[1]), "{udp}": str(here.bait.udp.getsockname()[1]),
        "{a}": here.folder.name,
    }  # fmt: skip
    command = attack.command
    for word, value in words.items():
        command = command.replace(word, value)
    return command


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_gets_out(here: Cell, name: str) -> None:
    attack = ATTACKS[name]
    done = here.sh(command_of(attack, here))
    assert not attack.happened(here, done), done.output


@pytest.mark.parametrize("uid", sorted({uid for _, uid, _ in CELLS}))
def test_without_confinement_they_all_succeed(uid: int) -> None:
    """The positive control; the neighbour falls last."""
    with cell("none", uid) as plain:
        failed = [
            name
            for name, attack in ATTACKS.items()
            if attack.control
            and (uid or attack.root)
            and not attack.happened(plain, plain.sh(command_of(attack, plain), control=True))
        ]
    assert failed == []


def test_a_folder_around_something_masked_cannot_be_moved_away(here: Cell) -> None:
    done = here.sh(
        "mv ../mio ../otro; mv ../mio/copia ../mio/x; mv ../nanobot ../y; find .. -name secreto -exec cat {} +"
    )
    assert here.bait.token not in done.output
    assert all((mask / "secreto").exists() for mask in here.masked)


def test_a_link_left_by_one_command_grants_nothing_to_the_next(fresh: Cell) -> None:
    """The entries beside a mask are granted one by one: a link among them is no way out."""
    fresh.sh(
        f"ln -s {fresh.outside} ../enlace; ln -s {fresh.outside} enlace; rmdir ../mio/x; ln -s {fresh.outside} ../mio/x"
    )
    (fresh.root / "puesto").symlink_to(fresh.outside)
    done = fresh.sh("cat enlace/secreto ../enlace/secreto ../puesto/secreto ../mio/x/secreto; echo x > ../puesto/nuevo")
    assert fresh.bait.token not in done.output
    assert not (fresh.outside / "nuevo").exists()


def test_a_folder_that_appears_later_can_be_used(fresh: Cell) -> None:
    """Beside something masked, too."""
    later = fresh.root / "despues"
    later.mkdir()
    later.chmod(0o775)
    if layers.ROOT:
        os.chown(later, fresh.uid, fresh.uid)
    assert fresh.sh("echo hola > ../despues/x && cat ../despues/x").output == "hola\n"


def test_what_is_made_belongs_to_the_owner_of_the_folder(here: Cell) -> None:
    assert here.sh("echo hola > hecho && mkdir -p sub && echo x > sub/y").exit_code == 0
    for path in (here.project / "hecho", here.project / "sub/y"):
        assert path.stat().st_uid == (layers.TOOLS if here.layer == "landlock-uid" else here.uid)
        assert path.stat().st_gid == (here.uid if layers.ROOT else os.getegid())


def test_it_is_not_root_inside_and_has_no_capability(here: Cell) -> None:
    done = here.sh("id -u; perl -e 'open F,\"</proc/self/status\"; print <F>' | grep -E '^(Cap|NoNew|Seccomp:)'")
    uid, *rest = done.output.split()
    if (here.layer, here.uid) != ("landlock", 0):
        assert uid != "0"
    values = dict(zip(rest[::2], rest[1::2], strict=True))
    if values:  # Landlock shows no /proc/self
        assert all(int(values[name], 16) == 0 for name in values if name.startswith("Cap"))
        assert (values["NoNewPrivs:"], values["Seccomp:"]) == ("1", "2")


# ---------------------------------------------------------------- ordinary work

ORDINARY = {
    "a script": "printf '#!/bin/sh\\necho hola\\n' > s.sh && chmod +x s.sh && [ \"$(./s.sh)\" = hola ]",
    "modes": "touch m && chmod 600 m && [ $(stat -c %a m) = 600 ] && chmod -R u+rwX,go-w . && chmod a=r m && rm -f m",
    "a mode through an open file": "perl -e 'open F,\">fm\"; chmod 0640,*F or die' && [ $(stat -c %a fm) = 640 ]",
    "times": "touch -d 2001-02-03 t && [ $(date -r t +%Y) = 2001 ] && touch t && cp -p t t2 && touch -h -d 2002-01-01 t",
    "times of a link": "ln -sf t3 l3; touch -h -d 2001-01-01 l3 && [ $(stat -c %Y l3) -lt 1000000000 ]",
    "git": "rm -rf g && git init -q g && cd g && echo a > a && git add . && git -c user.name=a -c user.email=a@b commit -qm 'rm -rf / no' && git checkout -qb b && git log --oneline | grep -q rm && git gc -q && git stash list && git clone -q . ../g2 && rm -rf ../g2",
    "tar": "mkdir -p d/e && echo x > d/e/f && chmod 750 d/e && tar czf d.tgz d && rm -r d && tar xzf d.tgz && [ $(stat -c %a d/e) = 750 ] && rm -rf d",
    "pipes and quotes": "printf 'b\\na\\n' | sort | tr a-z A-Z | xargs echo | grep -q 'A B'",
    "process substitution": "diff <(echo a) <(echo a)",
    "here document": "cat <<< hola | grep -q hola",
    "temporary files": "f=$(mktemp) && echo x > $f && d=$(mktemp -d) && mv $f $d/ && rm -r $d",
    "move between folders": "mkdir -p p q && echo x > p/x && mv p/x q/ && ln q/x p/duro && ln -s ../q/x p/l && cat p/l && rm -r p q",
    "own processes": "sleep 50 & kill $! && wait; timeout 1 true && nice true && ulimit -n >/dev/null && (exit 0)",
    "a pipe with a name": "mkfifo t.fifo && (echo x > t.fifo &) && cat t.fifo && rm t.fifo",
    "sockets of its own": "perl -MSocket -e 'socketpair(A,B,1,1,0) or die'",
    "edit in place": "echo uno > e.txt && sed -i s/uno/dos/ e.txt && perl -pi -e s/dos/tres/ e.txt && grep -q tres e.txt",
    "find": "find . -newer /etc/hostname -name '*.nada'; find . -type f -print0 | xargs -0 -r wc -c >/dev/null",
    "names": "mkdir -p 'con espacios/ñ' && echo x > 'con espacios/ñ/🚀 ~ ..x' && cat con*/ñ/* && rm -r 'con espacios'",
    "the machine": "nproc && uname -a && date && df . && cat /proc/cpuinfo /proc/meminfo >/dev/null && getconf PAGE_SIZE",
    "devices": "head -c 10 /dev/urandom >/dev/null && echo x > /dev/null && dd if=/dev/zero of=z bs=1k count=1 2>/dev/null",
    "many processes": "for i in $(seq 60); do sleep 0.2 & done; wait",
    "perl and modules": "perl -MData::Dumper -MFile::Temp=tempfile -e 'print Dumper([tempfile()])' >/dev/null",
}  # fmt: skip


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_work_is_done(here: Cell, name: str) -> None:
    done = here.sh(f"set -e; mkdir -p trabajo; cd trabajo; {ORDINARY[name]}")
    assert done.exit_code == 0, done.output


# ---------------------------------------------------------------- limits


def test_a_flood_of_processes_ends_with_its_command(fresh: Cell) -> None:
    name = unique()
    done = fresh.sh(f"for i in $(seq 1500); do sleep {name} & done; wait", Ceilings(processes=100))
    assert "demasiados procesos" in done.output or "Resource temporarily unavailable" in done.output
    assert not running(name)
    assert fresh.sh("echo sigue").output == "sigue\n"


def test_a_fork_bomb_ends_with_its_command(fresh: Cell) -> None:
    name = unique()
    fresh.sh(f"b() {{ sleep {name} & b | b & }}; b; sleep {name}", Ceilings(processes=100), seconds=3)
    assert not running(name)
    assert fresh.sh("echo sigue").output == "sigue\n"


def test_memory_is_limited(here: Cell) -> None:
    few = Ceilings(memory=150 * MILLION)
    done = here.sh('perl -e \'$x = "a" x 400_000_000; print "CONSEGUIDO"\'', few)
    assert "CONSEGUIDO" not in done.output
    each = 'perl -e \'$x = "a" x 60_000_000; sleep 5; print "CONSEGUIDO"\''
    done = here.sh(f"{each} & {each} & {each} & {each} & wait", few)
    assert "CONSEGUIDO" not in done.output
    assert "demasiada memoria" in done.output


def test_the_disk_is_limited(here: Cell) -> None:
    done = here.sh("head -c 30M /dev/zero > grande && echo CONSEGUIDO; rm -f grande", Ceilings(file=10 * MILLION))
    assert "CONSEGUIDO" not in done.output
    several = "for i in $(seq 60); do head -c 9M /dev/urandom > g$i; sync g$i; done; echo CONSEGUIDO"
    done = here.sh(several, Ceilings(file=10 * MILLION, disk=100 * MILLION))
    here.sh("rm -f g*")
    assert "CONSEGUIDO" not in done.output
    assert "llenando el disco" in done.output


def test_open_files_are_limited(here: Cell) -> None:
    command = "perl -e 'while (open my $f, \"</dev/null\") { push @f, $f } print scalar @f'"
    assert 0 < int(here.sh(command, Ceilings(open_files=64)).output) < 64


def test_it_yields_to_the_server(here: Cell) -> None:
    assert int(here.sh("nice").output) > 0


# ---------------------------------------------------------------- deaths


def monitors(here: Cell) -> list[int]:
    pid = here.helper.pid or layers.last_started()
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_helper_is_started_again_and_nothing_runs_twice(fresh: Cell) -> None:
    if fresh.helper.privileged:  # started as root: a server that is not cannot start it again
        os.kill(layers.last_started(), 9)
        with pytest.raises(SandboxError, match="no arranca el proceso"):
            fresh.sh("touch hecho")
        assert not (fresh.project / "hecho").exists()
        return
    name, results = unique(), list[CommandResult]()
    assert fresh.sh("true").exit_code == 0
    command = f"echo uno >> veces; sleep 1; echo fin; : {name}"
    thread = threading.Thread(target=lambda: results.append(fresh.sh(command)))
    thread.start()
    while not (fresh.project / "veces").exists():
        pass
    os.kill(fresh.helper.pid or 0, 9)
    assert fresh.sh("echo otra").output == "otra\n"
    thread.join()
    assert results[0].output == "fin\n"  # its monitor does not need the helper
    assert (fresh.project / "veces").read_text() == "uno\n"


def test_a_killed_monitor_takes_its_command_along_and_the_end_is_not_known(fresh: Cell) -> None:
    name, errors = unique(), list[SandboxError]()
    command = f"echo uno >> veces; (setsid sleep {name} &); sleep {name}"

    def work() -> None:
        try:
            fresh.sh(command)
        except SandboxError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while len(running(name)) < 2:
        pass
    for pid in monitors(fresh):
        os.kill(pid, 9)
    thread.join()
    assert "No se sabe si terminó" in str(errors[0])
    assert fresh.sh("sleep 0.3; cat veces").output == "uno\n"
    assert not running(name)


def test_a_server_that_is_killed_leaves_no_command_behind(fresh: Cell) -> None:
    name = unique()
    code = f"""
import socket, subprocess
from pathlib import Path
from tests.security.layers import *
entered = helper_for({fresh.uid}, Path({str(fresh.folder)!r}), 0)
cell = Cell({fresh.layer!r}, {fresh.uid}, Path({str(fresh.folder)!r}), entered.__enter__(), None)
cell.sh("trap '' TERM HUP; (setsid sleep {name} &); nohup sleep {name} & sleep {name}")
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as server:
        while len(running(name)) < 3:
            assert server.poll() is None
        server.kill()
    _until(lambda: not running(name))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_only_pretends_to_confine_is_found_out() -> None:
    """As firejail does in a container: it runs the command as it is, and returns 0."""
    uid = layers.SERVER if layers.ROOT else os.geteuid()
    with cell("bubblewrap", uid) as real:
        fake = real.folder / "bwrap"
        fake.write_text(
            '#!/bin/bash\necho \'{"exit-code": 0}\' >&11\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n'
        )
        fake.chmod(0o755)
        real.helper = Helper(layers.started(f"bubblewrap.FOLDERS = ({str(real.folder)!r},)", uid))
        backend = real.backend()
        assert real.bait.token in real.sh(f"cat {real.outside}/secreto").output
        verdict = backend.choose("auto")
        assert verdict.kind in {"landlock", "landlock-uid"}
        assert "se escapa (lee archivos de fuera" in " ".join(verdict.weaker_because)
        asked = backend.choose("bubblewrap")
        assert (asked.kind, asked.confined) == (None, False)
        assert "SANDBOX=bubblewrap pide algo que aquí no funciona" in asked.refusal()
        real.helper.close()


async def test_a_layer_that_was_asked_for_and_does_not_work_runs_nothing(tmp_path: Path) -> None:
    sandbox = ProcessSandbox(tmp_path / "casa", Confinement([tmp_path], mode="bubblewrap"))
    sandbox._verdict = Verdict("bubblewrap", None, ("bubblewrap: no está instalado",))
    for argv in (["git", "--version"], sandbox.shell("touch hecho")):
        with pytest.raises(SandboxError, match=r"SANDBOX=bubblewrap .*no está instalado"):
            await sandbox.run(argv, tmp_path, RunLimits())
    assert not (tmp_path / "hecho").exists()
    assert "no está instalado" in sandbox.description


def test_an_attack_on_the_sandbox_itself_leaves_it_working(here: Cell) -> None:
    """Whatever a command can see of it: its parents, its descriptors, its signals."""
    here.sh("kill -9 $PPID; kill -STOP -1; kill -9 -1")
    here.sh("for p in $(seq 2 200); do kill -9 $p 2>/dev/null; done; ls -l /proc/self/fd; exec 3>&-; exec 1>&- 2>&-")
    assert here.bait.neighbour.poll() is None or here.layer == "none"
    assert here.sh("echo sigue").output == "sigue\n"


def test_no_descriptor_is_left_in(here: Cell) -> None:
    done = here.sh('perl -e \'for (3..100) { open(my $f, "<&=", $_) and print "$_ " }\'')
    assert done.output.strip() == ""


# ---------------------------------------------------------------- the network by grant


@pytest.fixture
def proxy(here: Cell) -> Iterator[str]:
    path = here.outside / "proxy"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        path.chmod(0o777)
        server.listen()

        def answer() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(4096)
                        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhola\n")

        threading.Thread(target=answer, daemon=True).start()
        yield str(path)
        server.shutdown(socket.SHUT_RDWR)
    path.unlink()


GET = (
    'perl -MSocket -e \'$p = (split /:/, $ENV{http_proxy})[-1]; socket(S,2,1,6) && connect(S,pack_sockaddr_in($p,inet_aton("127.0.0.1")))'
    ' or die $!; syswrite S,"GET http://ejemplo/ HTTP/1.0\\r\\n\\r\\n"; print <S>\''
)


def test_a_grant_opens_the_way_to_the_proxy_and_no_other(here: Cell, proxy: str) -> None:
    assert "hola" in here.sh(GET, proxy=proxy).output
    for name in ("tcp", "udp", "unix socket", "abstract socket", "read", "environment"):
        attack = ATTACKS[name]
        assert not attack.happened(here, here.sh(command_of(attack, here), proxy=proxy)), name
    assert "hola" not in here.sh(GET).output


def test_what_is_granted_cannot_be_bent(here: Cell, proxy: str) -> None:
    """Another address with the same port, fast open, a listener, another protocol."""
    port = here.bait.tcp.getsockname()[1]
    tries = {
        "another address": "socket(S,2,1,0); $p = (split /:/, $ENV{http_proxy})[-1]; connect(S,pack_sockaddr_in($p,inet_aton(\"127.0.0.2\")))",
        "multipath": "socket(S,2,1,262) && connect(S,pack_sockaddr_in(PORT,inet_aton(\"127.0.0.1\")))",
        "fast open": "socket(S,2,1,0); send(S,\"x\",0x20000000,pack_sockaddr_in(PORT,inet_aton(\"127.0.0.1\")))",
    }  # fmt: skip
    for name, code in tries.items():
        here.sh(f"perl -MSocket -e '{code.replace('PORT', str(port))}'", proxy=proxy)
        assert not arrived("tcp")(here, None), name  # type: ignore[arg-type]
