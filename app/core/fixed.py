"""Whether a command's words alone say which programs it runs, so that permitting these words permits nothing else.

It decides when "siempre" is offered, nothing more: what a command can reach is decided by the operating system.
"""

from __future__ import annotations

import os
import re
import shlex

_INTERPRETERS = """
sh bash dash zsh ksh mksh fish csh tcsh ash rbash busybox toybox pwsh powershell cmd command.com
python pypy ipython jython node nodejs deno bun tsx ts-node perl ruby irb php lua luajit tclsh wish expect awk gawk
mawk nawk sed r rscript julia ghci runghc runhaskell groovy scala clojure java jshell jrunscript
elixir iex erl escript guile racket sbcl clisp ocaml emacs vi vim nvim view ex ed nano less more man gdb lldb jq
sqlite3 psql mysql bc m4 osascript wscript cscript mshta rundll32
"""
_STARTERS = """
sudo doas su runuser env xargs find fd parallel time timeout gtimeout nohup nice ionice chrt taskset stdbuf setsid
setarch setpriv strace ltrace perf watch entr flock script scriptreplay chroot unshare nsenter bwrap firejail
systemd-run systemctl at batch crontab launchctl ssh scp sftp rsync telnet nc ncat netcat socat docker podman nerdctl
kubectl helm lxc vagrant npx bunx pnpx uvx pipx tmux screen dtach eval exec source command builtin coproc trap alias
function if then else elif fi for while until do done case esac select ! [[ git
"""
_NEVER = frozenset((_INTERPRETERS + _STARTERS).split())
_SCRIPTS = {"exec", "x", "dlx", "explore"}  # `npm run build` is like make: the project's own
_RUN = {"exec", "run", "shell"}
_RUNNERS = dict.fromkeys(["npm", "pnpm", "yarn"], _SCRIPTS) | dict.fromkeys(
    ["uv", "poetry", "pipenv", "hatch", "pdm", "rye", "cargo", "go", "swift", "dotnet", "bundle", "conda", "mise",
     "direnv", "asdf", "nix", "gradle"], _RUN
)  # fmt: skip
_SEPARATORS = frozenset({"&&", "||", ";", "|", "|&", "&"})
_REDIRECTIONS = frozenset({">", ">>", "<", ">&", "<&", "&>", "&>>", ">|"})
_OPERATOR = re.compile(r"[();<>|&]+")
_PROGRAM = re.compile(r"[A-Za-z][\w.+-]*")  # no path: what lies there may be another program tomorrow
_VERSION = re.compile(r"[\d.]+$")
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
    return name in _NEVER or _VERSION.sub("", name) in _NEVER


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
