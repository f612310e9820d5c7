"""How risky a call looks: it only decides when to ask the user. What a call can reach is decided by app/safety.

Until the system confines commands, this is also what stands between the model and the machine: a command is free
only when it is certainly a plain look at the project, and then exactly the words judged here run, without a shell.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from app.core.machine import folder
from app.core.risk_git import FREE, judge
from app.core.risk_later import runs_later
from app.core.risk_options import pattern
from app.core.survey import survey
from app.core.toolkit import Arguments, Risk

# Letters that follow links (-L, -H, ls and du), split lines (grep -o, -b; head -c) or read a list of files are missing.
_LOOKS = {
    program: pattern(options)
    for program, options in {
        "ls": "-a -A -l -h -t -r -S -R -d -F -i -s -p -n -o -g -m -x -c -u -U -X -Q -k -1 -#",
        "pwd": "-P",
        "cat": "-n -b -s -e -t -v -A -E -T",
        "head": "-n -q -v -# -n#",
        "tail": "-n -q -v -# -n#",
        "wc": "-l -w -c -m -L",
        "grep": """-i -n -r -v -w -x -l -c -h -H -s -E -F -G -P -q -I -a -e -A -B -C -m -A# -B# -C# -m# -#
            --line-number --ignore-case --recursive --count --include= --exclude= --exclude-dir= --color=never""",
        "echo": "-n -e -E",
        "whoami": "",
        "uname": "-a -s -n -r -v -m -p -i -o",
        "stat": "-t -x -c",
        "du": "-s -h -a -c -k -m -b -x -d -d#",
        "df": "-h -k -i -T -m",
        "which": "-a",
    }.items()
}
# What bash would leave as it stands: words, HEAD~2 and stash@{0}, quoted text without substitutions.
_PLAIN = re.compile(
    r"""(?: [^;|&<>$`\\\n\r*?\[\](){}!#~'"] | (?<=[\w^~])~ | @\{[\w./-]+\}
    | '[^'\n\r]*' | "[^"$`\\!\n\r]*" )*""",
    re.VERBOSE,
)


def shell_risk(arguments: Arguments) -> Risk:
    """A network that is asked for is no less than that, whatever the command looks like."""
    risk = _judge_words(plain_words(str(arguments.get("command", ""))))
    quiet = risk in {Risk.READ, Risk.WRITE, Risk.EXECUTE}
    return Risk.NETWORK if arguments.get("network") and quiet else risk


def git_risk(arguments: Arguments) -> Risk:
    argv = _split(str(arguments.get("cmd", "")))
    argv = argv[1:] if argv[:1] == ["git"] else argv
    return judge(argv) if argv else Risk.READ  # the tool refuses it


def write_risk(arguments: Arguments) -> Risk:
    """Git's own files, an editor's and others start programs later, outside every confinement."""
    path, look = str(arguments.get("path", "")), survey()
    later = look is None or look.in_repository(path, folder()) or runs_later(path)
    return Risk.DESTRUCTIVE if later else Risk.WRITE


def free_words(command: str) -> list[str]:
    """The words of a free command, to be run as they are; none when a shell has to run it."""
    words = plain_words(command)
    return words if _judge_words(words) in FREE else []


def plain_words(command: str) -> list[str]:
    """None at all when a shell would see more in it than words."""
    return _split(command) if _PLAIN.fullmatch(command) else []


def _judge_words(argv: Sequence[str]) -> Risk:
    if argv[:1] == ["git"] and len(argv) > 1:
        return judge(argv[1:])
    if os.name == "nt" or not argv or argv[0] not in _LOOKS:  # in PowerShell `cat` is something else
        return Risk.EXECUTE
    return Risk.READ if _only_looks(argv[0], argv[1:]) else Risk.EXECUTE


def _only_looks(program: str, rest: Sequence[str]) -> bool:
    """Every word has to stay inside as a path: some systems take an option after the first path for a path."""
    look = survey()
    options = [word for word in rest if word.startswith("-") and word != "-"]
    if look is None or not all(_LOOKS[program].fullmatch(word) for word in options):
        return False
    deep = program == "du" or any(re.fullmatch(r"-[^-]*[rR].*|--recursive", word) for word in options)
    starts = [*rest, "."] if deep else rest
    return all(look.stays_inside(word, folder(), deep=deep) for word in starts)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []
