"""Takes the programs out of a repository's configuration: each key that names one is overridden for the call.

Git cannot be told to leave a repository's configuration alone, but `-c` wins over every file. So what git itself
lists is looked through and overridden, key by key, with what git does when nobody has configured anything.
Source: git-config(1), gitattributes(5), hooks and drivers in git 2.39 to 2.51.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.core import texts
from app.core.errors import ToolError

_SCOPES = frozenset({"system", "global", "local", "worktree", "command", "unknown"})
_KEY = re.compile(r"([A-Za-z0-9-]+)(?:\.(.*))?\.([A-Za-z][A-Za-z0-9-]*)", re.DOTALL)
_MERGE = "git merge-file --marker-size=%L %A %O %B"  # as without a driver

# "section.key", whatever the subsection; "section.*" for a section in which every key is a program.
NEUTRAL: Mapping[str, str] = {
    "alias.*": "version",
    "browser.*": "false",
    "commit.gpgsign": "false",
    "core.alternaterefscommand": "true",
    "core.askpass": "",
    "core.editor": ":",
    "core.fsmonitor": "false",
    "core.gitproxy": "",
    "core.hookspath": "/dev/null",
    "core.pager": "cat",
    "core.sshcommand": "ssh",
    "credential.helper": "",
    "diff.command": "true",
    "diff.external": "true",
    "diff.textconv": "cat",
    "difftool.*": "false",
    "filter.clean": "",
    "filter.process": "",
    "filter.required": "false",
    "filter.smudge": "",
    "gpg.defaultkeycommand": "false",
    "gpg.program": "false",
    "guitool.*": "false",
    "help.browser": "false",
    "hook.command": "true",
    "hook.enabled": "false",
    "init.templatedir": "",
    "instaweb.*": "false",
    "interactive.difffilter": "cat",
    "log.showsignature": "false",
    "man.*": "false",
    "merge.driver": _MERGE,
    "merge.verifysignatures": "false",
    "mergetool.*": "false",
    "pager.*": "false",
    "push.gpgsign": "false",
    "sendemail.*": "false",
    "sequence.editor": ":",
    "submodule.update": "checkout",
    "tag.forcesignannotated": "false",
    "tag.gpgsign": "false",
    "tar.command": "git archive gzip",
    "trailer.cmd": "true",
    "trailer.command": "true",
    "uploadpack.packobjectshook": "",
    "web.browser": "false",
}  # fmt: skip
# Always there, whatever the files say.
STATIC = (
    "color.ui=false", "commit.gpgSign=false", "core.askPass=", "core.fsmonitor=false", "core.hooksPath=/dev/null",
    "core.pager=cat", "credential.helper=", "fetch.recurseSubmodules=false", "gc.autoDetach=false", "gpg.program=false",
    "gpg.ssh.program=false", "gpg.x509.program=false", "init.templateDir=", "log.showSignature=false",
    "maintenance.autoDetach=false", "push.gpgSign=false", "push.recurseSubmodules=no", "safe.bareRepository=explicit",
    "submodule.recurse=false", "tag.forceSignAnnotated=false", "tag.gpgSign=false",
)  # fmt: skip
EDITORS = {"GIT_EDITOR": ":", "GIT_SEQUENCE_EDITOR": ":", "GIT_MERGE_AUTOEDIT": "no"}  # git's own word for none
# Values of several entries, of which each one counts, cannot be overridden; nor can these be wished for by -c.
_REFUSED = {"gc.recentobjectshook", "remote.vcs"}
# Of a remote's programs the first entry counts, not the last.
_REFUSED_WITH_NETWORK = {"remote.receivepack", "remote.uploadpack", "url.insteadof", "url.pushinsteadof"}
_NO_VALUES = frozenset(
    re.findall(r"\S+", "browser include includeif protocol safe url extensions hook imap sendemail gitcvs")
)
_NO_CORE = frozenset({"core.worktree", "core.attributesfile", "core.excludesfile", "core.bare", "core.gitproxy"})
# What the repository may say itself although we pass on the user's own value of it.
_PERSON = {
    "user.name": ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"),
    "user.email": ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"),
}
_REPOSITORYS_OWN = frozenset(
    re.findall(
        r"\S+",
        """core.autocrlf core.eol core.quotepath init.defaultbranch merge.conflictstyle pull.ff pull.rebase push.default
    push.autosetupremote rebase.autostash""",
    )
)


@dataclass(frozen=True, slots=True)
class Entry:
    """`key` as git writes it: section and name in lower case, the subsection as it is."""

    scope: str
    key: str
    value: str

    @property
    def kind(self) -> str:
        """section.key"""
        return kind_of(self.key)


def kind_of(key: str) -> str:
    parts = _KEY.fullmatch(key)
    return f"{parts[1]}.{parts[3]}".lower() if parts else ""


def is_neutralised(kind: str) -> bool:
    return kind in NEUTRAL or f"{kind.partition('.')[0]}.*" in NEUTRAL


def is_value(setting: str) -> bool:
    """Whether `key=value` of the model's own -c is a plain value."""
    key, equals, _ = setting.partition("=")
    kind = kind_of(key)
    if not equals or not kind or kind in _REFUSED | _REFUSED_WITH_NETWORK | _NO_CORE:
        return False
    return kind.partition(".")[0] not in _NO_VALUES and not is_neutralised(kind)


def parse(listing: str) -> list[Entry]:
    """`git config --list --null --show-scope`. Raises ToolError for a line that is none: nothing is guessed."""
    tokens = listing.split("\0")
    if tokens.pop().strip() or len(tokens) % 2:
        raise ToolError(texts.GIT_CONFIG_UNREADABLE)
    return [_entry(scope, rest) for scope, rest in zip(tokens[::2], tokens[1::2], strict=True)]


def _entry(scope: str, rest: str) -> Entry:
    key, _, value = rest.partition("\n")
    if scope not in _SCOPES or not _KEY.fullmatch(key):
        raise ToolError(texts.GIT_CONFIG_UNREADABLE)
    return Entry(scope, key, value)


def overrides(entries: Sequence[Entry], *, network: bool) -> list[str]:
    """key=value for `-c`. Raises ToolError for what cannot be taken out."""
    found: dict[str, str] = {}
    for entry in entries:
        kind = entry.kind
        if kind in _REFUSED or (network and kind in _REFUSED_WITH_NETWORK and entry.scope in {"local", "worktree"}):
            raise ToolError(texts.git_config_refused(entry.key))
        if is_neutralised(kind):
            if "=" in entry.key:
                raise ToolError(texts.git_config_refused(entry.key))
            found[entry.key] = NEUTRAL.get(kind) or NEUTRAL.get(f"{kind.partition('.')[0]}.*", "")
        elif kind in _REPOSITORYS_OWN and entry.scope in {"local", "worktree"}:
            found[entry.key] = entry.value
    return [f"{key}={value}" for key, value in found.items()]


def person(entries: Sequence[Entry]) -> dict[str, str]:
    """Who commits, when the repository itself says so."""
    own = {entry.key: entry.value for entry in entries if entry.scope in {"local", "worktree"}}
    return {name: own[key] for key, names in _PERSON.items() if own.get(key) for name in names}


def submodules(entries: Sequence[Entry]) -> list[str]:
    """No look into submodules: git would start another git there, with the submodule's own configuration."""
    names = {m[2] for entry in entries if (m := _KEY.fullmatch(entry.key)) and m[1].lower() == "submodule" and m[2]}
    if any("=" in name for name in names):
        raise ToolError(texts.git_config_refused("submodule.*"))
    return ["diff.ignoreSubmodules=dirty", *(f"submodule.{name}.ignore=dirty" for name in sorted(names))]


def filters(entries: Sequence[Entry]) -> set[str]:
    """Names of the filters that the configuration knows."""
    return {m[2] for entry in entries if (m := _KEY.fullmatch(entry.key)) and m[1].lower() == "filter" and m[2]}


def local_remotes(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    """(remote, folder) of those that are folders of this machine."""
    for entry in entries:
        if (
            entry.kind in {"remote.url", "remote.pushurl"}
            and is_folder(entry.value)
            and (m := _KEY.fullmatch(entry.key))
        ):
            yield m[2] or "", entry.value.removeprefix("file://")


def is_folder(address: str) -> bool:
    """Not another machine: no scheme but file, no host:path."""
    return address.startswith("file://") or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*::?|[^/:]+:", address)


def receiver(settings: Sequence[str]) -> str:
    """The command that takes a push in a folder of this machine, with the programs of its configuration taken out."""
    return shlex.join(["git", *(word for s in settings for word in ("-c", s)), "receive-pack"])
