# ruff: noqa: E501  lists of names
"""Paths as data: attacks and ordinary ones. What the words in braces and the steps mean is in stage.py.

`FORMS` times `TARGETS` and `SPECIAL` are attacks: a plain open() must reach the target there, or they prove nothing.
`STRANGE` are malformed, or something else than they look like: no plain open() gets out with them either.
"""

from __future__ import annotations

from dataclasses import dataclass

Step = tuple[str, ...]

TARGETS = {
    "outside": "{out}/clave.txt",
    "outside, deeper": "{out}/sub/clave.txt",
    "a sibling with the same prefix": "{root}2/clave.txt",
    "Nanobot's code": "{root}/nanobot/app.py",
    "the .env": "{root}/.env",
    "the settings": "{root}/datos/config.env",
    "a log": "{root}/datos/sesiones/log.jsonl",
}


@dataclass(frozen=True)
class Case:
    name: str
    steps: tuple[Step, ...]
    path: str


def case(name: str, path: str, *steps: Step) -> Case:
    return Case(name, steps, path)


def link(name: str, to: str) -> Step:
    return ("link", "{project}/" + name, to)


FORMS = [
    case("absolute", "{target}"),
    case("relative", "{rel}"),
    case("dot first", "./{rel}"),
    case("down and up", "sub/../{rel}"),
    case("far down and up", "sub/hondo/../../{rel}"),
    case("up from the project, absolute", "{project}/{rel}"),
    case("doubled slashes", "{dir}///{base}"),
    case("two slashes first", "/{target}"),
    case("dots between", "{dir}/././{base}"),
    case("many times up", "../../../../../../../../../../../../../../../../../../../..{target}"),
    case("up from the other root", "{other}/{from_other}"),
    case("up from a file's folder", "{root}/proyecto/sub/hondo/../../{rel}"),
    case("in and out of the target's folder", "{dir}/../{dirname}/{base}"),
    case("link to the file", "l", link("l", "{target}")),
    case("relative link to the file", "l", link("l", "{rel}")),
    case("link to the folder", "l/{base}", link("l", "{dir}")),
    case("relative link to the folder", "l/{base}", link("l", "{reldir}")),
    case("link to the folder, dotted", "./l/./{base}", link("l", "{dir}")),
    case("link to the folder with a slash", "l/{base}", link("l", "{dir}/")),
    case("link with doubled slashes", "l", link("l", "{dir}//.//{base}")),
    case("link that goes down and up", "l", link("l", "sub/../{rel}")),
    case("link in a deep folder", "sub/hondo/l", link("sub/hondo/l", "{target}")),
    case("link in a deep folder, relative", "sub/hondo/l", link("sub/hondo/l", "../../{rel}")),
    case("chain of links", "a", link("a", "b"), link("b", "c"), link("c", "d"), link("d", "{target}")),
    case("chain of folders", "a/{base}", link("a", "b"), link("b", "sub/c"), link("sub/c", "{dir}")),
    case("chain through the other root", "l", link("l", "{other}/m"), ("link", "{other}/m", "{target}")),
    case("link in the other root", "{other}/m", ("link", "{other}/m", "{target}")),
    case("up after a link", "l/../{base}", ("folder", "{dir}/x"), link("l", "{dir}/x")),
    case("up twice after a link", "l/../../{dirname}/{base}", ("folder", "{dir}/x"), link("l", "{dir}/x")),
    case("link upwards", "l/{rel}", link("l", "sub/..")),
    case("link called like dots", ".../{base}", link("...", "{dir}")),
    case("link called like a parent", "..foo/{base}", link("..foo", "{dir}")),
    case("link with a space", "mi carpeta /{base}", link("mi carpeta ", "{dir}")),
    case("link with a newline", "a\nb/{base}", link("a\nb", "{dir}")),
    case("link called emoji", "🚀/{base}", link("🚀", "{dir}")),
    case("link called tilde", "~/{base}", link("~", "{dir}")),
    case("link called option", "-rf/{base}", link("-rf", "{dir}")),
    case("back in and out", "l/proyecto/{rel}", link("l", "{root}")),
    case("link to the system's root", "l{target}", link("l", "/")),
    case("relative link to the system's root", "l{target}", link("l", "../../../../../../../../../..")),
    case("/proc/self/root", "/proc/self/root{target}"),
    case("/proc/<pid>/root", "/proc/{pid}/root{target}"),
    case("/proc/thread-self/root", "/proc/thread-self/root{target}"),
    case("/proc/self/task", "/proc/self/task/{pid}/root{target}"),
    case("/proc/self/cwd", "/proc/self/cwd/{from_cwd}"),
    case("/proc/<pid>/cwd", "/proc/{pid}/cwd/{from_cwd}"),
    case("/proc/self/fd, folder", "/proc/self/fd/{dirfd}/{base}"),
    case("/proc/self/fd, file", "/proc/self/fd/{filefd}"),
    case("/dev/fd, folder", "/dev/fd/{dirfd}/{base}"),
    case("/dev/fd, file", "/dev/fd/{filefd}"),
    case("link to /proc/self/root", "l{target}", link("l", "/proc/self/root")),
    case("link to /proc/self/cwd", "l/{from_cwd}", link("l", "/proc/self/cwd")),
    case("link to /proc/self/fd", "l/{dirfd}/{base}", link("l", "/proc/self/fd")),
    case("link to a folder's descriptor", "l/{base}", link("l", "/proc/self/fd/{dirfd}")),
    case("link to a file's descriptor", "l", link("l", "/proc/self/fd/{filefd}")),
    case("link to /dev/fd", "l/{filefd}", link("l", "/dev/fd")),
    case("dots to /proc", "../../../../../../../../../../../../proc/self/root{target}"),
    case("hard link", "duro.txt", ("hard", "{project}/duro.txt", "{target}")),
    case("hard link, deep", "sub/hondo/duro.txt", ("hard", "{project}/sub/hondo/duro.txt", "{target}")),
    case("hard link by a link", "l", ("hard", "{project}/duro.txt", "{target}"), link("l", "duro.txt")),
    case("two hard links", "uno.txt", ("hard", "{project}/uno.txt", "{target}"), ("hard", "{project}/sub/dos.txt", "{target}")),
    case("hard link in the other root", "{other}/duro", ("hard", "{other}/duro", "{target}")),
    case("hard link among dependencies", "node_modules/p/i.js", ("folder", "{project}/node_modules/p"), ("hard", "{project}/node_modules/p/i.js", "{target}")),
    case("hard link in a venv", ".venv/lib/python3/site-packages/p/i.py", ("folder", "{project}/.venv/lib/python3/site-packages/p"), ("hard", "{project}/.venv/lib/python3/site-packages/p/i.py", "{target}")),
]  # fmt: skip

SPECIAL = [
    case("the root became a link", "{root}/clave.txt", ("swap", "{root}", "{out}")),
    case("the root became a link, deeper", "{root}/sub/clave.txt", ("swap", "{root}", "{out}")),
    case("the root's parent became a link", "{root}/clave.txt", ("swap", "{house}", "{evil}")),
    case("the project became a link", "clave.txt", ("swap", "{project}", "{out}")),
    case("the project became a link to Nanobot", "app.py", ("swap", "{project}", "{root}/nanobot")),
    case("the project became a link to the data", "sesiones/log.jsonl", ("swap", "{project}", "{root}/datos")),
    case("a folder became a link", "sub/clave.txt", ("swap", "{project}/sub", "{out}")),
    case("the other root became a link", "{other}/clave.txt", ("swap", "{other}", "{out}")),
    case("the data mounted in the project", "m/config.env", ("bind", "{project}/m", "{root}/datos")),
    case("the data mounted, deeper", "m/sesiones/log.jsonl", ("bind", "{project}/m", "{root}/datos")),
    case("the code mounted in the project", "sub/m/app.py", ("bind", "{project}/sub/m", "{root}/nanobot")),
    case("the .env mounted over a file", "notas.txt", ("bindfile", "{project}/notas.txt", "{root}/.env")),
    case("/proc mounted in the project", "p/self/environ", ("bind", "{project}/p", "/proc")),
    case("/proc mounted, a way out", "p/self/root{out}/clave.txt", ("bind", "{project}/p", "/proc")),
    case("/proc mounted, a descriptor", "p/self/cwd/clave.txt", ("bind", "{project}/p", "/proc")),
]  # fmt: skip

STRANGE = [
    "\0", "a\0b", "../../afuera/clave.txt\0", "../../afuera/clave.txt\0.md", "\ud800", "../\udcff", "x" * 300, "x" * 5_000,
    "a/" * 3_000 + "b", "../" * 2_000, "b" * 256 + "/../../../afuera/clave.txt", "%2e%2e/%2e%2e/afuera/clave.txt",
    "..%2f..%2fafuera%2fclave.txt", "..%252f..%252fafuera", "..\\..\\afuera\\clave.txt", "..\\../afuera/clave.txt",
    "．．/．．/afuera/clave.txt", "‥/‥/afuera/clave.txt", "․․/․․/afuera/clave.txt", "..∕..∕afuera∕clave.txt",
    "..⁄..⁄afuera⁄clave.txt", "..／..／afuera／clave.txt", "..\u200b/..\u200b/afuera/clave.txt", "..;/..;/afuera/clave.txt",
    "....//....//afuera/clave.txt", ".../.../afuera/clave.txt", ".. /.. /afuera/clave.txt", "../.. /afuera/clave.txt",
    "C:\\Windows\\win.ini", "C:/Windows/win.ini", "\\\\?\\C:\\Windows\\win.ini", "\\\\.\\pipe\\x", "//?/C:/x", "//./nul",
    "file:///etc/passwd", "file://localhost/etc/passwd", "~root/.bashrc", "~/.ssh/id_rsa", "$HOME/.bashrc", "${HOME}",
    "`id`", "$(id)", "|id", "/dev/tcp/127.0.0.1/22", "../.ENV", "../.Env", "../NANOBOT/app.py", "../Nanobot/APP.PY",
    "../datos\u200d/config.env", "../ｎａｎｏｂｏｔ/app.py", "../.env/", "../.env/.", "../.env/x", "../.env::$DATA", "../nanobot /app.py",
    "../nanobot./app.py", "../datos/../datos/nada", "../datos/./nada.txt", "../nanobot/nada/../../proyecto/a.txt",
    "/proc/self/environ\0", "/proc/self/mem/..", "/..", "/../..", "//", "/", "..", "../..", "../../..",
]  # fmt: skip

# Created, read, edited and listed.
NAMES = [
    "a.txt", "con espacio.txt", " al principio", "al final ", "  ", "acción.md", "ñandú/Ñ.txt", "日本語.txt", "Ελληνικά.md",
    "кириллица.txt", "عربى.txt", "עברית.txt", "한국어.txt", "🚀.txt", "👨‍👩‍👧‍👦/👍🏽.md", "e\u0301.txt", "\u00e9.txt", "A\u030angström", "~", "~root/x", "~/.config/x",
    "..foo", "...", "....", "..foo/..bar", "a..b", "a...", "punto.", "-", "-rf", "--help", "-n/-e", "a'b\".txt", "$HOME", "${PATH}.txt",
    "`id`", "$(id)", "a;b", "a|b", "a&b", "a>b", "a<b", "*", "?", "[a-z]", "{a,b}", "!x", "#x#", "%2e%2e", "%00", "a%20b.txt",
    "línea\nnueva.txt", "tab\tulador", "\x7f", "\x01\x1b[31m", "\\", "a\\b", "..\\x", "C:", "C:\\x", "a:b", "12:30.log", "nulo.txt", "console.log",
    "com", "com10", "lpt", "auxiliar.c", "connect.py", "prn2", "nul_terminated.h", "aux_/con_/x.py", ".env.example", ".env.local", ".envrc",
    ".gitignore", ".github/workflows/ci.yml", "Dockerfile", "Makefile", "[id]/(grupo)/page.tsx", "@scope/pkg/index.js", "+page.svelte",
    "__init__.py", "_", "0", "=", "@", "^", "etc/passwd", "proc/self/environ", "dev/null", "tmp/x", "nanobot.py", "nanobot/app.py",
    "datos/config.env", "raíz/x", "x" * 255, "ñ" * 127, "d/" * 100 + "hondo.txt", ("n" * 200 + "/") * 10 + "x", "node_modules/.bin/x",
    "\u202egnp.txt", "a\u200bb", "\ufefftexto", "x.txt~", "#lib.rs#", ".x.swp", "CON_.txt", "Aux-1.md",
]  # fmt: skip

# A path to a file that is there, holds «uno» and may be read, edited, replaced and listed.
THERE = [
    case("plain", "f.txt", ("file", "{project}/f.txt")),
    case("absolute", "{project}/f.txt", ("file", "{project}/f.txt")),
    case("dot first", "./f.txt", ("file", "{project}/f.txt")),
    case("doubled slashes", "sub//hondo///f.txt", ("file", "{project}/sub/hondo/f.txt")),
    case("down and up", "sub/../f.txt", ("file", "{project}/f.txt")),
    case("another project", "../otro/f.txt", ("folder", "{root}/otro"), ("file", "{root}/otro/f.txt")),
    case("in the root", "../f.txt", ("file", "{root}/f.txt")),
    case("out of the root by name and in again", "{root}/../raíz/proyecto/f.txt", ("file", "{project}/f.txt")),
    case("the other root", "{other}/f.txt", ("file", "{other}/f.txt")),
    case("the other root, relative", "../../otra/f.txt", ("file", "{other}/f.txt")),
    case("link to a file", "l", ("file", "{project}/f.txt"), link("l", "f.txt")),
    case("absolute link", "l", ("file", "{project}/f.txt"), link("l", "{project}/f.txt")),
    case("link to a folder", "l/f.txt", ("file", "{project}/sub/f.txt"), link("l", "sub")),
    case("absolute link to a folder", "l/f.txt", ("file", "{project}/sub/f.txt"), link("l", "{project}/sub")),
    case("chain of links", "a", ("file", "{project}/f.txt"), link("a", "b"), link("b", "c"), link("c", "f.txt")),
    case("link into the other root", "l/f.txt", ("file", "{other}/f.txt"), link("l", "{other}")),
    case("link into another project", "l", ("folder", "{root}/otro"), ("file", "{root}/otro/f.txt"), link("l", "../otro/f.txt")),
    case("up after a link", "l/../f.txt", ("file", "{project}/sub/f.txt"), link("l", "sub/hondo")),
    case("link that leaves by name and comes back", "l", ("file", "{project}/f.txt"), link("l", "../../raíz/proyecto/f.txt")),
    case("hard link in the same folder", "f.txt", ("file", "{project}/f.txt"), ("hard", "{project}/g.txt", "{project}/f.txt")),
    case("hard link across projects", "f.txt", ("file", "{project}/f.txt"), ("folder", "{root}/otro"), ("hard", "{root}/otro/g.txt", "{project}/f.txt")),
    case("three hard links", "sub/f.txt", ("file", "{project}/sub/f.txt"), ("hard", "{project}/sub/hondo/g", "{project}/sub/f.txt"), ("hard", "{other}/h", "{project}/sub/f.txt")),
    case("uv's cache", ".venv/lib/python3/site-packages/p/i.py", ("file", "{home}/.cache/uv/archive-v0/x1/p/i.py"), ("folder", "{project}/.venv/lib/python3/site-packages/p"), ("hard", "{project}/.venv/lib/python3/site-packages/p/i.py", "{home}/.cache/uv/archive-v0/x1/p/i.py")),
    case("pnpm's store", "node_modules/p/i.js", ("file", "{home}/.local/share/pnpm/store/v10/files/{uno_hash}"), ("folder", "{project}/node_modules/p"), ("hard", "{project}/node_modules/p/i.js", "{home}/.local/share/pnpm/store/v10/files/{uno_hash}")),
    case("pnpm's store, a program", "node_modules/p/i.js", ("file", "{home}/.local/share/pnpm/store/v10/files/{uno_hash}-exec"), ("folder", "{project}/node_modules/p"), ("hard", "{project}/node_modules/p/i.js", "{home}/.local/share/pnpm/store/v10/files/{uno_hash}-exec")),
    case("bun's cache", "node_modules/@s/p/lib/i.js", ("file", "{home}/.bun/install/cache/@s/p@1.2.3@@@1/lib/i.js"), ("folder", "{project}/node_modules/@s/p/lib"), ("hard", "{project}/node_modules/@s/p/lib/i.js", "{home}/.bun/install/cache/@s/p@1.2.3@@@1/lib/i.js")),
    case("a name that Windows reserves", "aux.c", ("file", "{project}/aux.c")),
    case("a folder that Windows reserves", "con/f.txt", ("folder", "{project}/con"), ("file", "{project}/con/f.txt")),
    case("executable", "f.sh", ("file", "{project}/f.sh"), ("mode", "{project}/f.sh", "755")),
    case("private", "f.txt", ("file", "{project}/f.txt"), ("mode", "{project}/f.txt", "600")),
    case("set-id", "f.txt", ("file", "{project}/f.txt"), ("mode", "{project}/f.txt", "6755")),
    case("in a folder with set-gid", "sub/f.txt", ("mode", "{project}/sub", "2775"), ("file", "{project}/sub/f.txt")),
    case("below a folder that cannot be listed", "sub/hondo/f.txt", ("file", "{project}/sub/hondo/f.txt"), ("mode", "{project}/sub", "311")),
    case("a folder moved elsewhere meanwhile", "nuevo/f.txt", ("folder", "{project}/viejo"), ("file", "{project}/viejo/f.txt"), ("move", "{project}/viejo", "{project}/nuevo")),
    case("the project made anew", "f.txt", ("move", "{project}", "{root}/antes"), ("folder", "{project}"), ("file", "{project}/f.txt")),
    case("the root made anew", "f.txt", ("move", "{root}", "{house}/antes"), ("bait",), ("folder", "{project}"), ("file", "{project}/f.txt")),
    case("the working directory is gone", "f.txt", ("file", "{project}/f.txt"), ("nowhere",)),
    case("beside links that lead nowhere", "f.txt", ("file", "{project}/f.txt"), link("roto", "/nada"), link("circulo", "circulo")),
    case("beside links that lead outside", "f.txt", ("file", "{project}/f.txt"), link("fuera", "{out}")),
    case("a folder mounted in the project", "m/f.txt", ("file", "{project}/sub/f.txt"), ("bind", "{project}/m", "{project}/sub")),
]  # fmt: skip

REFUSED_NAMES = [
    "aux.c", "NUL", "con", "Com1.txt", "COM¹", "lpt9.log", "PRN ", "aux.", "aux .txt", "con:", "nul:x", "CONIN$", "conout$",
    "carpeta/aux/x", "com0", "LPT³.tar.gz", "prn.tar.gz", "nueva/con.txt",
]  # fmt: skip
