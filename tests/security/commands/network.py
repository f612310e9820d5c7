"""Attacks that reach something that listens. The effect: it was reached."""

from __future__ import annotations

from tests.security.commands.case import Attack, family

_TCP = {
    "bash": "exec 3<>/dev/tcp/127.0.0.1/$TCP",
    "localhost": "exec 3<>/dev/tcp/localhost/$TCP",
    "all zeros": "exec 3<>/dev/tcp/0.0.0.0/$TCP",
    "another loopback": "perl -MSocket -e 'socket(S, 2, 1, 0); connect S, pack_sockaddr_in($ENV{TCP}, inet_aton(\"127.1\"))'",
    "IPv6 mapped": "perl -MSocket=:all -e 'socket(S, 10, 1, 0); connect S, pack_sockaddr_in6($ENV{TCP}, \"\\0\" x 10 . \"\\xff\\xff\\x7f\\0\\0\\1\")'",
    "perl": "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(\"127.0.0.1:$ENV{TCP}\")'",
    "python3: socket": "python3 -ISc 'import os, socket; socket.create_connection((\"127.0.0.1\", int(os.environ[\"TCP\"])))'",
    "node: net": "node -e 'require(\"net\").connect(+process.env.TCP, \"127.0.0.1\").on(\"connect\", () => process.exit()).on(\"error\", () => process.exit())'",
    "curl: http": "curl -s -m 1 http://127.0.0.1:$TCP/",
    "curl: gopher": "curl -s -m 1 gopher://127.0.0.1:$TCP/x",
    "wget: http": "wget -q -T 1 -t 1 -O - http://127.0.0.1:$TCP/",
    "git": "timeout 2 git ls-remote git://127.0.0.1:$TCP/x",
    "openssl: s_client": "timeout 2 openssl s_client -connect 127.0.0.1:$TCP < /dev/null",
    "ssh: a port": "timeout 2 ssh -F /dev/null -p $TCP -o StrictHostKeyChecking=no 127.0.0.1; exec 3<>/dev/tcp/127.0.0.1/$TCP",
    "not blocking": "perl -MSocket -MFcntl -e 'socket(S, 2, 1 | 04000, 0); connect S, pack_sockaddr_in($ENV{TCP}, inet_aton(\"127.0.0.1\")); select undef, undef, undef, 0.1'",
    "fast open": "perl -MSocket -e 'socket(S, 2, 1, 0); send S, \"x\", 0x20000000, pack_sockaddr_in($ENV{TCP}, inet_aton(\"127.0.0.1\"))'",
    "multipath": "perl -MSocket -e 'socket(S, 2, 1, 262) or socket(S, 2, 1, 0); connect S, pack_sockaddr_in($ENV{TCP}, inet_aton(\"127.0.0.1\"))'",
    "after a new session": "setsid -w bash -c 'exec 3<>/dev/tcp/127.0.0.1/$TCP'",
    "by raw calls": "perl -e '$f = syscall(41, 2, 1, 0); $a = pack(\"SnC4x8\", 2, $ENV{TCP}, 127, 0, 0, 1); syscall(42, $f, $a, 16)'",
}  # fmt: skip
_OTHERS = {
    "udp": "echo x > /dev/udp/127.0.0.1/$UDP",
    "udp without connect": "perl -MSocket -e 'socket(S, 2, 2, 0); send S, \"x\", 0, pack_sockaddr_in($ENV{UDP}, inet_aton(\"127.0.0.1\"))'",
    "udp by sendmsg": "python3 -ISc 'import os, socket; s = socket.socket(2, 2); s.sendmsg([b\"x\"], [], 0, (\"127.0.0.1\", int(os.environ[\"UDP\"])))'",
    "a socket of docker's kind": "perl -MSocket -e 'socket(S, 1, 1, 0); connect S, pack_sockaddr_un($ENV{S})'",
    "curl: a unix socket": "curl -s -m 1 --unix-socket $S http://x/",
    "docker: client": "DOCKER_HOST=unix://$S timeout 2 docker ps",
    "python3: unix": "python3 -ISc 'import os, socket; socket.socket(1).connect(os.environ[\"S\"])'",
    "a unix socket by a relative path": "cd ..; perl -MSocket -e 'socket(S, 1, 1, 0); connect S, pack_sockaddr_un(\"../fuera/docker.sock\")'",
    "a unix socket by a link": "ln -s $S l; perl -MSocket -e 'socket(S, 1, 1, 0); connect S, pack_sockaddr_un(\"l\")'",
    "a unix socket by a hard link": "ln $S l; perl -MSocket -e 'socket(S, 1, 1, 0); connect S, pack_sockaddr_un(\"l\")'",
    "a unix socket by /proc": "perl -MSocket -e 'socket(S, 1, 1, 0); connect S, pack_sockaddr_un(\"/proc/$ENV{V}/root$ENV{S}\")'",
    "a unix socket of packets": "perl -MSocket -e 'socket(S, 1, 2, 0); send S, \"x\", 0, pack_sockaddr_un(\"$ENV{F}/log.sock\")'",
    "a pair that is sent elsewhere": "perl -MSocket -e 'socketpair(A, B, 1, 2, 0); send A, \"x\", 0, pack_sockaddr_un(\"$ENV{F}/log.sock\"); connect(A, pack_sockaddr_un(\"$ENV{F}/log.sock\")) && send(A, \"x\", 0)'",
    "an abstract socket": "perl -e 'socket(S, 1, 1, 0); connect S, pack(\"Sa*\", 1, \"\\0$ENV{A}\")'",
    "dbus-send: the bus": "DBUS_SESSION_BUS_ADDRESS=unix:path=$S timeout 1 dbus-send --session --dest=org.x / x.y.z",
    "dbus-send: an abstract bus": "DBUS_SESSION_BUS_ADDRESS=unix:abstract=$A timeout 1 dbus-send --session --dest=org.x / x.y.z",
    "systemd-run: the bus": "DBUS_SESSION_BUS_ADDRESS=unix:path=$S XDG_RUNTIME_DIR=$F timeout 1 systemd-run --user true",
    "ssh-add: an agent": "SSH_AUTH_SOCK=$S timeout 1 ssh-add -l",
    "X11": "perl -e 'socket(S, 1, 1, 0); connect(S, pack(\"Sa*\", 1, \"\\0$ENV{A}\")) && syswrite S, \"l\\0\\13\\0\"'",
    "syslog": "perl -MSocket -e 'socket(S, 1, 2, 0); connect(S, pack_sockaddr_un(\"$ENV{F}/log.sock\")); syswrite S, \"<13>x\"'",
}  # fmt: skip
_KINDS = {  # which sockets there are at all
    "audit": "perl -e 'socket(S, 16, 3, 9) and print $ENV{OK}'",
    "device events": "perl -e 'socket(S, 16, 3, 15) and print $ENV{OK}'",
}  # fmt: skip
_RARE = {  # not every kernel has them
    "vsock": "perl -e 'socket(S, 40, 1, 0) and print $ENV{OK}'",
    "crypto": "perl -e 'socket(S, 38, 5, 0) and print $ENV{OK}'",
}  # fmt: skip
_OF_ROOT = {
    "netfilter": "perl -e 'socket(S, 16, 3, 12) and print $ENV{OK}'",
    "packets": "perl -e 'socket(S, 17, 3, 0) and print $ENV{OK}'",
    "raw": "perl -e 'socket(S, 2, 3, 1) and print $ENV{OK}'",
    "a new network": "ip link set lo up; unshare -n true && echo $OK",
}  # fmt: skip

ATTACKS: list[Attack] = [
    *family("red, TCP", "connected", _TCP),
    *family("red", "connected", _OTHERS),
    *family("clases de red", "worked", _KINDS),
    *family("clases de red", "worked", _OF_ROOT, how="root"),
    *family("clases de red", "worked", _RARE, how="alone"),
]  # fmt: skip
