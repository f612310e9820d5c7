"""The options with which a git command stays a plain look, or a change that is easily undone.

An allow-list: whatever is not written here asks. Left out on purpose is what names a file or a program (`--contents`,
`-O`, `--output`, `--no-index`…), what starts one (`%G?`, `--remerge-diff`, `--dirty`), and what would split a secret
into pieces that redaction does not know (`-o`, `--word-diff-regex`). Source: the manual pages of git 2.39 to 2.50.

Notation: `--name`, `--name=` (with a value), `-x` (letters may be bundled), `-x#` (digits follow), `-x*` (any text).
"""

from __future__ import annotations

import re

_HISTORY = """-# -n -n# --max-count --max-count= --skip= --since --since= --after --after= --until --until= --before
--before= --author --author= --committer --committer= --grep --grep= -i --regexp-ignore-case --all-match
--invert-grep -E -F --extended-regexp --fixed-strings --perl-regexp --merges --no-merges --first-parent --all
--branches --branches= --tags --tags= --remotes --remotes= --oneline --graph --decorate --decorate= --no-decorate
--date= --format= --pretty --pretty= --abbrev-commit --no-abbrev-commit --abbrev= --reverse --date-order --topo-order
--author-date-order --follow --left-right --cherry --cherry-pick --cherry-mark --left-only --right-only --no-walk -g
--walk-reflogs --full-history --simplify-by-decoration --ancestry-path --boundary --source --relative-date --parents
--children --count --no-notes -L*"""
_DIFF = """-p -u -s -U# --patch --no-patch --unified= --stat --stat= --shortstat --numstat --summary --compact-summary
--name-only --name-status --raw --dirstat -w -b -z --ignore-all-space --ignore-space-change --ignore-space-at-eol
--ignore-blank-lines --ignore-cr-at-eol --word-diff --word-diff= --color-words --color --color= --no-color --minimal
--patience --histogram --diff-algorithm= --diff-filter= -M -C -M# -C# --find-renames --find-renames= --find-copies
--find-copies-harder --no-renames -R --relative --relative= --no-relative -a --text --full-index --abbrev= --check
--exit-code -q --quiet --inter-hunk-context= -W --function-context --no-prefix --cc -c -m -S* -G* --pickaxe-regex
--pickaxe-all --color-moved --color-moved= --no-ext-diff --no-textconv"""
_REFS = """--contains --contains= --no-contains --no-contains= --merged --merged= --no-merged --no-merged= --points-at
--points-at= --sort= --format= --ignore-case --no-color"""
_BLAME = """-L* -w -M -C -M# -C# -s -e -l -t -f -n -p -b --porcelain --line-porcelain --root --show-name --show-number
--show-email --show-stats --date= --abbrev= --since= --first-parent --minimal --no-progress"""

READS = {
    "--version": "",
    "annotate": _BLAME,
    "blame": _BLAME,
    "cat-file": "-p -t -s -e",
    "check-attr": "-a --all",
    "check-ignore": "-v -n -q --verbose --non-matching --quiet",
    "cherry": "-v --abbrev=",
    "count-objects": "-v -H --verbose --human-readable",
    "describe": "--tags --all --always --long --abbrev= --exact-match --contains --match= --exclude= --first-parent",
    "diff": f"{_DIFF} --cached --staged --merge-base",
    "diff-tree": f"{_DIFF} -r -t -v --root --no-commit-id --pretty --pretty= --format= --merge-base",
    "for-each-ref": f"{_REFS} --count= --format --sort",
    "grep": """-n -i -w -l -L -c -v -E -F -P -G -h -H -q -e -a -I -p -W -A# -B# -C# -# -m# --line-number --ignore-case
        --word-regexp --files-with-matches --files-without-match --name-only --count --invert-match --extended-regexp
        --fixed-strings --perl-regexp --basic-regexp --cached --untracked --exclude-standard --all-match --heading
        --break --column --and --or --not --max-depth= --max-count= --context= --after-context= --before-context=
        --no-color --show-function --function-context --full-name --text --quiet -A -B -C -m""",
    "log": f"{_HISTORY} {_DIFF}",
    "ls-files": """-c -d -m -o -s -u -k -i -t -v -z --cached --deleted --modified --others --stage --unmerged --killed
        --ignored --exclude-standard --directory --no-empty-directory --error-unmatch --full-name --abbrev= --eol""",
    "ls-tree": "-r -d -t -l -z --name-only --name-status --long --full-name --full-tree --abbrev=",
    "merge-base": "-a --all --octopus --is-ancestor --fork-point --independent",
    "name-rev": "--tags --all --always --name-only --refs=",
    "reflog": f"{_HISTORY} {_DIFF}",
    "remote get-url": "--all --push",
    "rev-list": f"{_HISTORY} --objects",
    "rev-parse": """-q --quiet --verify --short --short= --abbrev-ref --abbrev-ref= --symbolic-full-name --symbolic
        --show-toplevel --show-prefix --show-cdup --git-dir --absolute-git-dir --git-common-dir --is-inside-work-tree
        --is-inside-git-dir --is-bare-repository --is-shallow-repository --show-object-format --all --branches --tags
        --remotes""",
    "shortlog": f"{_HISTORY} -s -e -c --summary --numbered --email --committer --group=",
    "show": f"{_HISTORY} {_DIFF}",
    "show-ref": "-d -s -q --head --heads --branches --tags --dereference --hash --hash= --quiet --verify --abbrev",
    "stash list": f"{_HISTORY} {_DIFF}",
    "stash show": f"{_DIFF} --include-untracked --only-untracked",
    "status": """-s -b -z -u --short --branch --long --porcelain --porcelain= --untracked-files --untracked-files=
        --ignored --ignored= --show-stash --ahead-behind --no-ahead-behind --renames --no-renames --find-renames= -uno
        -uall -unormal""",
    "version": "--build-options",
    "whatchanged": f"{_HISTORY} {_DIFF}",
    "worktree list": "-v -z --verbose --porcelain",
}
# These list, and change things as soon as they are given a name without one of NAMED.
LISTS = {
    "branch": f"{_REFS} -a -r -v --all --remotes --verbose --list --show-current --abbrev= --no-abbrev",
    "tag": f"{_REFS} -l -n -n# -i --list",
    "remote": "-v --verbose",
    "remote show": "",
}
NAMED = ("--list", "-l", "--contains", "--no-contains", "--merged", "--no-merged", "--points-at")
WRITES = {
    "add": "-A -u -v -n -N --all --update --verbose --dry-run --intent-to-add --ignore-errors --no-ignore-removal",
    "init": "-q -b --quiet --initial-branch=",
    "mv": "-v -n -k --verbose --dry-run",
    "switch": "-c -q -d -t --create --quiet --detach --track --track= --no-track --guess --no-guess --no-progress",
}


_KINDS = {"": "", "=": r"=[\s\S]*", "#": r"\d+", "*": r"[\s\S]*"}


def pattern(options: str) -> re.Pattern[str]:
    """Of one allowed option, whole and unabbreviated."""
    parts = [re.fullmatch(r"(.+?)([=#*]?)", word) for word in options.split()]
    shapes = [re.escape(part[1]) + _KINDS[part[2]] for part in parts if part]
    letters = "".join(re.findall(r"(?<!\S)-([A-Za-z])(?!\S)", options))
    return re.compile("|".join([*shapes, f"-[{letters}]+"] if letters else shapes) or "(?!)")


READ_OPTIONS = {verb: pattern(options) for verb, options in (READS | LISTS).items()}
WRITE_OPTIONS = {verb: pattern(options) for verb, options in WRITES.items()}
