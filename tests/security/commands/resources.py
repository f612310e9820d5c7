"""Attacks that take too much. The attack runs under small ceilings; where it is a bomb, the control is a bounded one."""

from __future__ import annotations

from tests.security.commands.case import Attack

_MEMORY = {
    "one process": "perl -e '$x = \"a\" x 300_000_000; print $ENV{OK}'",
    "python3: one process": "python3 -ISc 'import os; x = bytearray(300_000_000); os.write(1, os.environb[b\"OK\"])'",
    "several": "for i in 1 2 3 4 5 6; do perl -e '$x = \"a\" x 50_000_000; sleep 2' & done; wait; echo $OK",
    "of orphans": "for i in 1 2 3 4 5 6; do (setsid perl -e '$x = \"a\" x 50_000_000; sleep 2' &) ; done; sleep 1.5; echo $OK",
    "shared": "perl -e 'open F, \"+>m\"; truncate F, 9_000_000; for (1 .. 30) { if (!fork) { $x = \"b\" x 9_000_000; sleep 2; exit } } 1 while wait > 0; print $ENV{OK}'",
    "in memory files": "perl -e '$n = \"x\\0\"; $c = \"a\" x 1_000_000; for (1 .. 50) { $f = syscall(319, $n, 0); for (1 .. 8) { syscall(1, $f, $c, 1_000_000) == 1_000_000 or exit } } sleep 1; print $ENV{OK}'",
    "in /dev/shm": "for i in $(seq 40); do head -c 9M /dev/zero > /dev/shm/$TAG.$i || break; done; sleep 0.5; [ $(ls /dev/shm/$TAG.* | wc -l) -ge 40 ] && echo $OK; rm -f /dev/shm/$TAG.*",
    "allocated": "python3 -ISc 'import mmap, os; x = mmap.mmap(-1, 400_000_000); x.write(b\"a\" * 400_000_000); os.write(1, os.environb[b\"OK\"])'",
}  # fmt: skip
_DISK = {
    "a big file": "head -c 30M /dev/zero > g; [ $(stat -c %s g) -gt 20000000 ] && echo $OK",
    "a big file at once": "fallocate -l 30M g && echo $OK",
    "many files": "for i in $(seq 40); do head -c 9M /dev/urandom > g$i && sync g$i; done; sleep 0.5; echo $OK",
    "many files in HOME": "for i in $(seq 40); do head -c 9M /dev/urandom > ~/g$i && sync ~/g$i; done; sleep 0.5; echo $OK",
    "deleted and open": "for i in $(seq 40); do exec {d}> g; head -c 9M /dev/urandom >&$d; sync g; rm g; done; sleep 0.5; echo $OK",
    "with fallocate, at once": "perl -e 'for (1 .. 300) { open $f, \">\", \"g$_\"; push @k, $f; syscall(285, fileno($f), 0, 0, 9_000_000) } sleep 1; print $ENV{OK} if (stat \"g200\")[12] > 1000'",
    "with fallocate": "for i in $(seq 40); do fallocate -l 9M g$i; done; sleep 0.5; [ $(stat -c %b g40) -gt 1000 ] && echo $OK",
}  # fmt: skip
_PROCESSES = {
    "many": "for i in $(seq 300); do sleep 3 & done 2>/dev/null; sleep 0.5; [ $(jobs -r | wc -l) -ge 290 ] && echo $OK",
    "threads": "python3 -ISc 'import os, threading, time\nfor i in range(400): threading.Thread(target=time.sleep, args=(2,), daemon=True).start()\nos.write(1, os.environb[b\"OK\"])'",
    "open files": "perl -e 'while (open my $f, \"</dev/null\") { push @f, $f; last if @f > 1000 } print $ENV{OK} if @f > 1000'",
}  # fmt: skip
_BOMBS = {
    "a fork bomb": "b() { b | b & }; b; sleep $T",
    "a fork bomb in perl": "perl -e 'fork while 1'",
    "a fork bomb with sessions": "b() { setsid bash -c \"$(declare -f b); b & b\" & }; b; b; sleep $T",
    "threads that fork": "perl -e 'while (1) { if (!fork) { fork; sleep 9 } }'",
}  # fmt: skip
_TEN = "for i in $(seq 200); do sleep 2 & done; [ $(jobs -r | wc -l) -ge 190 ] && echo $OK"
_FLOODS = {
    "yes": ("yes", "yes | head -c 3M"),
    "errors": ("yes >&2", "yes | head -c 3M >&2"),
    "one line": ("tr '\\0' x < /dev/zero", "tr '\\0' x < /dev/zero | head -c 3M"),
    "from everywhere": ("for i in 1 2 3 4; do yes & done; wait", "yes | head -c 3M"),
}  # fmt: skip


def _limits(name: str, commands: dict[str, str], **more: object) -> list[Attack]:
    return [
        Attack(name, title, command, "worked", needs="python3" if "python3" in title else "", small=True, **more)  # type: ignore[arg-type]
        for title, command in commands.items()
    ]


ATTACKS: list[Attack] = [
    *_limits("memoria", _MEMORY),
    *_limits("disco", _DISK),
    *_limits("muchos", _PROCESSES),
    *_limits("bombas", _BOMBS, control=_TEN, seconds=2.0),
    *(Attack("salida", name, c, "flood", small=True, seconds=1.0, control=x) for name, (c, x) in _FLOODS.items()),
]  # fmt: skip
