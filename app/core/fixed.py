"""Whether a command's words alone say which programs it runs, so that permitting these words permits nothing else.

It decides when "siempre" is offered, nothing more: what a command can reach is decided by the operating system.
"""

from __future__ import annotations

import os
import re
import shlex

_SHELLS = "busybox toybox pwsh powershell cmd command.com nu elvish oil es rc"
_ANY_SHELL = re.compile(r"[a-z]{0,4}sh")  # dash, yash, xonsh, git's or tomorrow's
_NO_SHELLS = frozenset({"push", "stash", "flush", "fresh", "mesh", "crash", "trash", "squash", "finish"})
_INTERPRETERS = """
python pypy ipython bpython ptpython jython micropython pdb node nodejs deno bun gjs mjs js d8 qjs qjsc rhino tsx
ts-node perl ruby irb php lua luajit wish expect awk gawk mawk nawk original-awk sed r rscript octave octave-cli maxima
gp sage gnuplot julia ghci runghc runhaskell groovy scala clojure clj java jshell jrunscript kotlin elixir iex erl
escript guile racket sbcl clisp ecl ocaml chez scheme gforth picolisp pil newlisp janet raku emacs vi vim nvim view ex
ed nano less more man gdb lldb jq sqlite3 psql mysql bc dc m4 osascript wscript cscript mshta rundll32
"""
_COMPILERS_THAT_RUN = "tcc kotlinc swift crystal nim dart zig v"
_SERVERS = """
uwsgi gunicorn uvicorn hypercorn daphne flask django-admin celery jupyter jupyter-lab jupyter-notebook ipykernel
streamlit nodemon pm2
"""  # each loads the code whose name it is given
_SETTERS = """
export declare typeset local readonly set unset shopt enable hash read mapfile readarray printf bind complete compgen
"""  # of the shell itself: which program a later name is
_STARTERS = """
sudo doas su runuser env xargs find fd parallel time timeout gtimeout nohup nice ionice chrt taskset stdbuf setsid
setarch setpriv strace ltrace perf watch entr flock script scriptreplay chroot unshare nsenter bwrap firejail
systemd-run systemctl at batch crontab launchctl ssh scp sftp rsync telnet nc ncat netcat socat docker podman nerdctl
kubectl helm lxc vagrant npx bunx pnpx uvx pipx tmux screen dtach eval exec source command builtin coproc trap alias
run-parts start-stop-daemon git-shell valgrind fakeroot proot faketime dbus-run-session xvfb-run chronic nocache
cpulimit prlimit numactl capsh sg newgrp pkexec gosu tini dumb-init hyperfine unbuffer
function if then else elif fi for while until do done case esac select ! [[ git
"""
_EVERY = (_SHELLS, _INTERPRETERS, _COMPILERS_THAT_RUN, _SERVERS, _SETTERS, _STARTERS)
_NEVER = frozenset(name for names in _EVERY for name in names.split())
_LOADERS = re.compile(r"(ld(\.so|64\.so|-linux|-musl)|qemu-).*")  # of programs, one for each kind of machine
_SCRIPTS = {"exec", "x", "dlx", "explore"}  # `npm run build` is like make: the project's own
_RUN = {"exec", "run", "shell"}
_RUNNERS = dict.fromkeys(["npm", "pnpm", "yarn"], _SCRIPTS) | dict.fromkeys(
    ["uv", "poetry", "pipenv", "hatch", "pdm", "rye", "cargo", "go", "dotnet", "bundle", "conda", "mise",
     "direnv", "asdf", "nix", "gradle"], _RUN
)  # fmt: skip
_SEPARATORS = frozenset({"&&", "||", ";", "|", "|&", "&"})
_REDIRECTIONS = frozenset({">", ">>", "<", ">&", "<&", "&>", "&>>", ">|"})
_OPERATOR = re.compile(r"[();<>|&]+")
_PROGRAM = re.compile(r"[A-Za-z][\w.+-]*")  # no path: what lies there may be another program tomorrow
_VERSION = re.compile(r"-?[\d.]+$")
_SUFFIX = re.compile(r"\.(exe|cmd|bat|com)$")


def is_fixed(command: str) -> bool:
    """False in any doubt: substitutions, groups, paths as programs, and whatever runs what it is given."""
    words = _words(command)
    if not words or (os.name == "nt" and any(map(_OPERATOR.fullmatch, words))):
        return False
    at_program, after_redirection = True, False
    for word in words:
        if _OPERATOR.fullmatch(word):
            if word not in _SEPARATORS | _REDIRECTIONS:
                return False
            after_redirection = word in _REDIRECTIONS
            at_program = at_program or word in _SEPARATORS
        elif _runs_others(word) or (at_program and not after_redirection and not _PROGRAM.fullmatch(word)):
            return False
        else:
            at_program, after_redirection = at_program and after_redirection, False
    return not any(runs & set(words) for runner, runs in _RUNNERS.items() if runner in words)


def _runs_others(word: str) -> bool:
    """Wherever it stands: a word behind a program may well be one that the program starts."""
    name = _SUFFIX.sub("", os.path.basename(word.replace("\\", "/")).casefold())  # noqa: PTH119  no path, a word
    bare = _VERSION.sub("", name)
    is_shell = bool(_ANY_SHELL.fullmatch(bare)) and bare not in _NO_SHELLS
    return is_shell or name in _NEVER or bare in _NEVER or bool(_LOADERS.fullmatch(name))


def _words(command: str) -> list[str]:
    """As a POSIX shell splits it, operators apart; none when it would put something in their place."""
    if re.search(r"[$`\n\r{}]", command):
        return []
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return []
