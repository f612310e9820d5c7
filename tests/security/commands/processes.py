"""Attacks on other processes, and what stays behind. `V` is the victim: a process of the server's own user."""

from __future__ import annotations

from tests.security.commands.case import Attack, family

_CALL = (
    "perl -e '$r = syscall({number}, {arguments}); print $ENV{{OK}} if $r >= 0 || ($! != 1 && $! != 38 && $! != 13)'"
)


def call(number: int, arguments: str = "0, 0, 0, 0, 0") -> str:
    """Refused by the filter is EPERM or ENOSYS; any other answer is the kernel's own."""
    return _CALL.format(number=number, arguments=arguments)


_SIGNALS = {
    "kill": "kill -9 $V",
    "stop": "kill -STOP $V",
    "terminate": "/bin/kill -TERM $V",
    "python3: kill": "python3 -ISc 'import os; os.kill(int(os.environ[\"V\"]), 9)'",
    "its group": "kill -9 -- -$V",
    "a signal of a thread": "perl -e 'syscall(234, $ENV{V}+0, $ENV{V}+0, 9)'",
    "a signal of a task": "perl -e 'syscall(200, $ENV{V}+0, 9)'",
    "a queued signal": "perl -e '$i = pack(\"iiix4ii\", 9, 0, -1, $$, $<) . \"\\0\" x 100; syscall(129, $ENV{V}+0, 9, $i)'",
    "by a pidfd": "perl -e '$f = syscall(434, $ENV{V}+0, 0); syscall(424, $f, 9, 0, 0)'",
    "by its /proc folder": "perl -e '$p = \"/proc/$ENV{V}\\0\"; $f = syscall(257, -100, $p, 0x10000, 0); syscall(424, $f, 9, 0, 0)'",
    "by name": "for p in /proc/[0-9]*; do [ ${p#/proc/} = $V ] && kill -9 ${p#/proc/}; done",
    "timeout": "timeout -s KILL 0.1 sleep 1; perl -e 'kill 9, $ENV{V}'",
    "an asynchronous signal": "perl -MFcntl -e 'pipe(R, W); fcntl(R, 8, $ENV{V}+0); fcntl(R, 10, 9); fcntl(R, 4, 020000 | 0); syswrite W, \"x\"; sleep 1'",
    "another's priority": "renice -n 7 -p $V",
    "another's priority by call": "perl -e 'setpriority 0, $ENV{V}, 9'",
    "another's disk": "ionice -c 3 -p $V && perl -e 'setpriority 0, $ENV{V}, 3'",
    "another's processors": "taskset -p 1 $V; perl -e '$m = pack(\"Q\", 1); syscall(203, $ENV{V}+0, 8, $m)'",
    "another's scheduler": "chrt --idle -p 0 $V",
    "another's scheduler by call": "perl -e '$a = pack(\"LLQlLQQQ\", 48, 5, 0, 0, 0, 0, 0, 0); syscall(314, $ENV{V}+0, $a, 0)'",
    "another's limits": "prlimit --pid $V --nofile=7:7",
    "another's limits by call": "perl -e '$l = pack(\"QQ\", 9, 9); syscall(302, $ENV{V}+0, 7, $l, 0)'",
    "another's place when memory runs out": "echo 900 > /proc/$V/oom_score_adj",
}  # fmt: skip
_OF_A_USER = {
    "all of a user's priorities": "perl -e 'setpriority 2, 0, 9'",
}  # fmt: skip
_DISKS = {  # one process of the user that is just ending, and it reaches no other
    "all of a user's disks": "perl -e 'syscall(251, 3, 0, 3 << 13) for 1 .. 50'",
}  # fmt: skip
_MEMORY = {
    "environment": "tr '\\0' '\\n' < /proc/$V/environ",
    "all environments": "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'",
    "the parent's environment": "cat /proc/$PPID/environ /proc/$V/environ | tr '\\0' '\\n'",
    "ps e": "ps eww -p $V",
    "memory": "perl -e 'open M, \"/proc/$ENV{V}/maps\"; ($a, $b) = map { hex } (grep /stack/, <M>)[0] =~ /^(\\w+)-(\\w+)/; open F, \"/proc/$ENV{V}/mem\"; sysseek F, $a, 0; sysread F, $x, $b - $a; print $x'",
    "process_vm_readv": "perl -e 'open M, \"/proc/$ENV{V}/maps\"; ($a, $b) = map { hex } (grep /stack/, <M>)[0] =~ /^(\\w+)-(\\w+)/; $x = \"\\0\" x ($b - $a); $l = pack(\"pQ\", $x, $b - $a); $r = pack(\"QQ\", $a, $b - $a); syscall(310, $ENV{V}+0, $l, 1, $r, 1, 0); print $x'",
    "gdb: attach": "gdb -batch -nx -p $V -ex 'info auxv' -ex 'x/400s *(char**)environ' -ex 'x/200s $sp' 2>/dev/null",
    "its folder": "cat /proc/$V/cwd/secreto",
}  # fmt: skip
_TOUCHES = {
    "ptrace": call(101, "16, $ENV{V}+0, 0, 0"),
    "ptrace, seize": call(101, "0x4206, $ENV{V}+0, 0, 0"),
    "strace: attach": "timeout -s KILL 1 strace -p $V -o x & sleep 0.5; grep -q TracerPid:.[1-9] /proc/$V/status && echo $OK; kill -9 $!; wait",
    "pidfd_getfd": "perl -e '$f = syscall(434, $ENV{V}+0, 0); $g = syscall(438, $f, 1, 0); print $ENV{OK} if $g >= 0'",
    "kcmp": call(312, "$ENV{V}+0, $$, 0, 0, 0"),
    "process_madvise": call(440, "-1, 0, 0, 0, 0"),
    "process_mrelease": call(448, "-1, 0"),
    "migrate_pages": call(256, "$ENV{V}+0, 0, 0, 0"),
    "move_pages": call(279, "0, 0, 0, 0, 0, 0"),
    "its descriptors": "ls /proc/$V/fd | grep -q 0 && echo $OK",
    "its maps": "grep -q stack /proc/$V/maps && echo $OK",
    "its command": "[ -n \"$(tr -d '\\0' < /proc/$V/cmdline)\" ] && grep -q 1000 /proc/$V/cmdline && echo $OK",
    "ps": "ps -e -o args= | grep -q '^sleep 1000' && echo $OK",
}  # fmt: skip
_ALL = {
    "kill -9 -1": "kill -9 -1",
    "kill -STOP -1": "kill -STOP -1",
    "a loop over all": "for p in $(seq 2 400); do [ $p = $$ ] || kill -9 $p 2>/dev/null; done; kill -9 $V",
    "python3: all": "python3 -ISc 'import os; os.kill(-1, 9)'",
    "pkill: by pattern": "pkill -9 sleep",
    "killall5-like": "for p in /proc/[0-9]*; do [ ${p#/proc/} -gt 1 ] && [ ${p#/proc/} != $$ ] && kill -9 ${p#/proc/}; done",
}  # fmt: skip
_SERVER = {  # what runs the commands itself
    "its parent": ("kill -9 $PPID; sleep $T", "kill -9 $V"),
    "its parent, stopped": ("kill -STOP $PPID; sleep $T", "kill -STOP $V"),
    "its parent's parent": ("kill -9 $(cut -d' ' -f4 /proc/$PPID/stat) $PPID; sleep 0.1", "kill -9 $V"),
    "its session": ("kill -9 0", "kill -9 $V"),
    "its HOME": ("chmod 0 ~/tmp ~; true", "chmod 0 $F"),
    "its HOME, gone": ("rm -rf ~/tmp ~/* ~/.*; ln -s nada ~/tmp; true", "rm -rf $F/.ssh"),
    "its HOME, a file": ("rm -rf ~/tmp; touch ~/tmp; true", "rm -rf $F/.ssh"),
    "its mask": ("mv ../servidor ../s; rmdir ../servidor; ln -s ../nanobot ../servidor; true", "rmdir ../servidor"),
    "its memory": ("echo x > /proc/$PPID/mem", "kill -9 $V"),
}  # fmt: skip
_STAYS = {
    "in the background": "sleep $T & exit",
    "setsid": "setsid sleep $T & exit",
    "nohup": "nohup sleep $T > /dev/null 2>&1 & exit",
    "disown": "sleep $T & disown; exit",
    "a subshell": "(sleep $T &) & exit",
    "deaf": "bash -c 'trap \"\" TERM HUP INT QUIT; sleep $T; sleep $T' > /dev/null 2>&1 & sleep 0.1; exit",
    "a daemon": "perl -MPOSIX -e 'exit if fork; POSIX::setsid(); exit if fork; chdir \"/\"; close $_ for *STDIN, *STDOUT, *STDERR; exec \"sleep\", $ENV{T}'; sleep 0.1",
    "python3: a daemon": "python3 -ISc 'import os\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nos.closerange(0, 50)\nos.execvp(\"sleep\", [\"sleep\", os.environ[\"T\"]])'; sleep 0.1",
    "node: detached": "node -e 'require(\"child_process\").spawn(\"sleep\", [process.env.T], {detached: true, stdio: \"ignore\"}).unref()'",
    "under another name": "(exec -a '[kworker/0:1]' sleep $T) & exit",
    "stopped": "sleep $T & sleep 0.1; kill -STOP $!; exit",
    "without output": "exec >&- 2>&- <&-; sleep $T & exit",
    "a chain of forks": "f() { sleep 0.02; (f &) ; }; for i in 1 2 3; do (sleep $T; :) & done; exit",
    "a chain of sessions": "setsid bash -c 'setsid bash -c \"setsid sleep $T & exit\" & exit' & sleep 0.2",
    "a subreaper": "perl -e 'syscall(157, 36, 1, 0, 0, 0); if (!fork) { if (!fork) { exec \"setsid\", \"sleep\", $ENV{T} } exit } sleep 1' & sleep 0.3; kill -9 $!",
    "script: in a terminal": "script -qc \"setsid sleep $T &\" /dev/null; sleep 0.1; setsid sleep $T & exit",
    "after its parent": "(sleep 0.2; exec sleep $T) & exit 0",
    "from memory": "perl -e '$n = \"x\\0\"; $f = syscall(319, $n, 0); open M, \">&=$f\"; open S, \"/bin/sleep\"; local $/; print M <S>; $| = 1; M->flush; exec {\"/proc/self/fd/$f\"} \"sleep\", $ENV{T} if !fork' ; sleep 0.1; setsid sleep $T & exit",
}  # fmt: skip
_ENDLESS = {
    "sleep": "sleep $T",
    "a loop": "while :; do :; done",
    "stopped": "kill -STOP $$",
    "deaf": "trap '' TERM INT HUP QUIT; while :; do sleep 0.1; done",
    "waits for input": "mkfifo f; cat f",
    "ends deaf daemons": "for i in 1 2 3; do setsid bash -c 'trap \"\" TERM; while :; do sleep 0.1; done' & done; wait",
    "a chain that never ends": "f() { (sleep 0.05; f) & }; f; sleep 100",
    "a pipe that is held": "(trap '' TERM; sleep $T) | cat",
}  # fmt: skip

ATTACKS: list[Attack] = [
    *family("procesos", "victim", _SIGNALS),
    *family("procesos", "victim", _OF_A_USER, how="other"),
    *family("procesos", "victim", _DISKS, how="alone"),
    *family("memoria ajena", "said", _MEMORY),
    *family("mira procesos", "worked", _TOUCHES),
    *family("todos los procesos", "worked", _ALL, how="cage"),
    *(Attack("el servidor", name, c, "victim" if "$V" in x else "changed", control=x) for name, (c, x) in _SERVER.items()),
    *family("se queda", "survives", _STAYS),
    *family("no acaba", "late", _ENDLESS, seconds=1.0),
]  # fmt: skip
