"""Attacks on the kernel and on the walls themselves. The effect: the command itself can tell."""

from __future__ import annotations

from tests.security.commands.case import Attack, family
from tests.security.commands.processes import call

_ROOTS = {  # what root may do in namespaces of its own
    "mount": "mount -t tmpfs x src && echo $OK",
    "bind mount": "mount --bind $F src && echo $OK",
    "umount": "mount --bind $F src; umount -l src && echo $OK",
    "a new mount namespace": "unshare -m true && echo $OK",
    "chroot": "chroot / /bin/true && echo $OK",
    "hostname": "hostname nanobot-x && echo $OK",
    "a new root": "mkdir -p n/o && mount -t tmpfs x n && mkdir n/o && cd n && perl -e '$a = \".\\0\"; $b = \"o\\0\"; syscall(155, $a, $b) == 0 and print $ENV{OK}'",
    "fsopen": "perl -e '$t = \"tmpfs\\0\"; print $ENV{OK} if syscall(430, $t, 0) >= 0'",
    "open_tree": "perl -e '$t = \"/\\0\"; print $ENV{OK} if syscall(428, -100, $t, 0x8001) >= 0'",
    "setns": "perl -e 'open N, \"/proc/self/ns/uts\"; print $ENV{OK} if syscall(308, fileno(N), 0) == 0'",
    "capabilities": "grep -q '^CapEff:.*[1-9a-f]' /proc/self/status && echo $OK",
    "an address": "ip link set lo up && echo $OK; perl -MSocket -e 'socket(S, 16, 3, 0) or exit; $m = pack(\"LSSLLCCSlLL\", 32, 16, 5, 1, 0, 0, 0, 0, 1, 1, 1); send S, $m, 0; sysread S, $r, 999; print $ENV{OK} if unpack(\"x16l\", $r) == 0'",
}  # fmt: skip
_NAMESPACES = {
    "a user namespace": "unshare -U true && echo $OK",
    "a user namespace with all": "unshare -Urmpinu --fork true && echo $OK",
    "a user namespace by clone": "perl -e '$p = syscall(56, 0x10000000 | 17, 0, 0, 0, 0); if (!$p) { exit } print $ENV{OK} if $p > 0'",
    "a user namespace by clone3": "perl -e '$a = pack(\"Q11\", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0); $p = syscall(435, $a, 88); if ($p == 0) { exit } print $ENV{OK} if $p > 0'",
    "bwrap: inside": "bwrap --dev-bind / / --unshare-user true && echo $OK",
}  # fmt: skip
_CALLS = {
    "keyctl": call(250, "0, -3, 1"),
    "add_key": "perl -e '$t = \"user\\0\"; $d = \"x\\0\"; print $ENV{OK} if syscall(248, $t, $d, $d, 1, -3) >= 0'",
    "bpf": call(321, "99, 0, 0"),
    "perf_event_open": call(298),
    "userfaultfd": call(323, "99"),
    "io_uring": "perl -e '$p = \"\\0\" x 120; print $ENV{OK} if syscall(425, 1, $p) >= 0 || $! == 22'",
    "adjtimex": "perl -e '$b = \"\\0\" x 208; print $ENV{OK} if syscall(159, $b) >= 0'",
    "quotactl": call(179, "-1, 0, 0, 0"),
    "personality": "perl -e 'syscall(135, 0x0040000); print $ENV{OK} if syscall(135, 0xffffffff) == 0x40000'",
    "open_by_handle_at": call(304, "-1, 0, 0"),
    "name_to_handle": "perl -e '$h = pack(\"II\", 64, 0) . \"\\0\" x 64; $p = \"$ENV{F}/secreto\\0\"; $m = pack(\"i\", 0); $n = syscall(303, -100, $p, $h, $m, 0); $d = syscall(257, -100, (my $f = \"$ENV{F}\\0\"), 0, 0); print $ENV{OK} if $n == 0 && $d >= 0'",
    "statmount": call(457, "0, 0, 0, 0"),
}  # fmt: skip
_OF_REAL_ROOT = {
    "fanotify": call(300, "0x1000000, 0"),
    "reboot": call(169, "1, 2, 3, 0"),
    "swapon": call(167, "0, 0"),
    "settimeofday": call(164, "0, 0"),
    "acct": call(163, "1"),
    "syslog": call(103, "99, 0, 0"),
    "kernel settings": "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness && echo $OK",
    "core pattern": "cat /proc/sys/kernel/core_pattern > /proc/sys/kernel/core_pattern && echo $OK",
    "a device": "mknod d c 1 3 && echo $OK",
    "shadow": "[ -n \"$(cat /etc/shadow /etc/gshadow)\" ] && echo $OK",
    "root's home": "ls /root/.* > /dev/null 2>&1 && [ -n \"$(ls -A /root)\" ] && echo $OK",
    "cgroups": "mkdir /sys/fs/cgroup/nanobot-x && echo $OK; rmdir /sys/fs/cgroup/nanobot-x",
    "another user": "perl -e '$> = 1; print $ENV{OK} if $> == 1'; perl -e '$( = 0; $) = \"0 0\"; print $ENV{OK} if $) =~ /^0 0$/'",
    "an owner": "touch d; chown 1:1 d && [ $(stat -c %u d) = 1 ] && echo $OK",
}  # fmt: skip
_RARE = {  # not everywhere, not even for root
    "kexec": call(246, "99, 0, 0, 99"),
    "ioperm": call(173, "0, 0, 0"),
    "init_module": call(175, "0, 0, 0"),
    "disks": "for d in /dev/mem /dev/kmem /dev/vda /dev/sda /dev/nvme0n1 /dev/kmsg; do head -c1 $d > /dev/null 2>&1 && echo $OK; done; true",
    "sysrq": "printf '' > /proc/sysrq-trigger && echo $OK",
}  # fmt: skip
_WALLS = {
    "no new privileges": "perl -e 'print $ENV{OK} if syscall(157, 39, 0, 0, 0, 0) != 1'",
    "a seccomp filter": "perl -e 'print $ENV{OK} if syscall(157, 21, 0, 0, 0, 0) != 2 && $! != 14'",
    "descriptors": "perl -e 'for (3 .. 300) { open(my $f, \"<&=\", $_) and print $ENV{OK} }'",
    "a terminal": "[ -e /dev/tty ] && (: < /dev/tty) && echo $OK",
    "words for the terminal": "perl -e '$c = \"x\"; $r = ioctl(STDOUT, 0x5412, $c); print $ENV{OK} if $! != 1'",
    "something to read": "IFS= read -r -t 0.2 x && [ -n \"$x\" ] && echo $OK",
    "core files": "[ $(ulimit -c) = 0 ] || echo $OK",
    "real time": "chrt -f 1 true && echo $OK",
    "a better priority": "nice -n -5 true 2>&1 | grep -q . || echo $OK",
    "locked memory": "[ $(ulimit -l) = unlimited ] && echo $OK",
    "higher limits": "ulimit -n 1000000 && echo $OK; ulimit -u unlimited && echo $OK",
    "less likely to be ended": "echo -500 > /proc/self/oom_score_adj && echo $OK; [ $(cat /proc/self/oom_score_adj) -lt 500 ] && echo $OK",
}  # fmt: skip
_SEEN = {"no new privileges", "a seccomp filter"}  # by a control of an ordinary user; the others depend on its session
_SETUID_PROGRAMS = {
    "su": "su -c id < /dev/null 2>&1 | grep -q 'uid=0' && echo $OK",
    "a file of root's": "for p in /usr/bin/su /usr/bin/mount /usr/bin/passwd; do [ -u $p ] && $p --version > /dev/null; done; perl -e 'print $ENV{OK} if $> == 0 && $< != 0'",
}  # fmt: skip

ATTACKS: list[Attack] = [
    *family("núcleo, root", "worked", _ROOTS, how="root"),
    *family("espacios de nombres", "worked", _NAMESPACES),
    *family("núcleo", "worked", _CALLS),
    *family("núcleo, root de verdad", "worked", _OF_REAL_ROOT, how="real"),
    *family("núcleo, no en todos", "worked", _RARE, how="alone"),
    *(a for a in family("paredes", "worked", _WALLS) if a.name in _SEEN),
    *(a for a in family("paredes", "worked", _WALLS, how="alone") if a.name not in _SEEN),
    *family("programas de root", "worked", _SETUID_PROGRAMS, how="alone"),
]  # fmt: skip
