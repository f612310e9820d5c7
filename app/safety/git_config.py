"""What a repository's configuration says, as far as it matters here: whether it is nothing but harmless values.

An allow-list: a key that is not known to be harmless may name a program (filters, textconv, pagers, ssh, gpg…) or a
file outside. Source: git-config(1); the grammar is a strict part of git's own, and the rest is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.core.git_neutral import is_neutralised

MAX_CONFIG = 262_144  # bytes

_HEADER = re.compile(r'\[([A-Za-z0-9-]+)(?:\.[A-Za-z0-9.-]*|[ \t]+"(?:[^"\\\n]|\\.)*")?\][ \t]*')
_KEY = re.compile(r"([A-Za-z][A-Za-z0-9-]*)[ \t]*(?:=[ \t]*(.*))?")
_SECTIONS = frozenset(
    re.findall(
        r"\w+",
        """advice author branch color column commit committer fetch gc gui http i18n index lfs maintenance pack pull
        push rebase rerere tag url user""",
    )
)
# core.hooksPath (husky sets it everywhere) and core.fsmonitor are here because every git of ours overrides them by -c.
_KEYS = {
    "core": """abbrev autocrlf bare bigfilethreshold checkstat commentchar compression eol filemode fscache fsmonitor
        hookspath ignorecase logallrefupdates longpaths precomposeunicode preloadindex protecthfs protectntfs quotepath
        repositoryformatversion safecrlf sparsecheckout sparsecheckoutcone symlinks trustctime untrackedcache
        warnambiguousrefs""",
    "diff": """algorithm colormoved colormovedws context indentheuristic interhunkcontext mnemonicprefix noprefix
        renamelimit renames statgraphwidth suppressblankempty wserrorhighlight""",
    "extensions": "compatobjectformat objectformat refstorage relativeworktrees worktreeconfig",
    "init": "defaultbranch",
    "log": "abbrevcommit date decorate follow mailmap showroot",
    "merge": "conflictstyle ff renames",
    "remote": "fetch gh-resolved mirror prune prunetags push pushurl skipdefaultupdate skipfetchall tagopt url",
    "status": "aheadbehind branch relativepaths renames short showstash showuntrackedfiles",
    "submodule": "active branch url",
}
_HARMLESS = {section: frozenset(keys.split()) for section, keys in _KEYS.items()}


# For `programs`: without the overrides of our own git, for the user's own git will not have them.
_PLAIN = _SECTIONS - {"url", "lfs", "http"}
_ONLY = {
    "lfs": frozenset({"repositoryformatversion", "access", "locksverify", "url"}),
    # Not where its traffic goes, what is trusted there, or what is sent along.
    "http": frozenset(
        {"lowspeedlimit", "lowspeedtime", "maxrequests", "maxretries", "minsessions", "postbuffer", "version"}
    ),
}
_PROGRAMS = {"core.hookspath", "core.fsmonitor", "gc.recentobjectshook", "fetch.bundleuri"}
_NAMES_A_REMOTE = {"branch.remote", "branch.pushremote", "remote.pushdefault"}  # or is itself an address, a folder
_REMOTE = re.compile(r"\.|[A-Za-z0-9_][A-Za-z0-9._-]*")
_SWITCHES = {"core.fsmonitor", "commit.gpgsign", "tag.gpgsign", "push.gpgsign", "tag.forcesignannotated",
             "log.showsignature", "merge.verifysignatures", "filter.required", "submodule.update"}  # fmt: skip
_BOOLEANS = {"", "true", "false", "yes", "no", "on", "off", "0", "1", "if-asked", "checkout", "rebase", "merge", "none"}


def entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Section (without a subsection), key and raw value. Raises ValueError for what is not certain to be understood."""
    section = ""
    for line in text.split("\n"):
        rest = line.strip(" \t\r")
        if header := _HEADER.match(rest):
            section, rest = header[1].lower(), rest[header.end() :]
        if not rest or rest[0] in "#;":
            continue
        key = _KEY.fullmatch(rest)
        if key is None or not section or rest.endswith("\\") or not rest.replace("\t", " ").isprintable():
            raise ValueError(line)
        yield section, key[1].lower(), key[2] or ""


def programs(text: bytes | None) -> list[tuple[str, str, str]]:
    """The entries that may start a program or lead elsewhere, in order. What is not understood counts as one."""
    try:
        found = entries((b"\xff" if text is None else text).decode())
        return [entry for entry in found if not _is_plain(*entry)]
    except ValueError:
        return [("", "", (text or b"").decode("utf-8", "backslashreplace"))]


def without_programs(text: bytes) -> bytes:
    """Only its plain lines; nothing at all of what is not understood."""
    lines = text.split(b"\n")
    if not programs(text):
        return text
    try:
        list(entries(text.decode()))
    except ValueError:
        return b""
    kept: list[bytes] = []
    for line in lines:
        if not programs(b"\n".join([*kept, line])):
            kept.append(line)
    return b"\n".join(kept)


def _is_plain(section: str, key: str, value: str) -> bool:
    kind = f"{section}.{key}"
    if kind in _SWITCHES and value.strip(' "').lower() in _BOOLEANS:
        return True
    if kind in _NAMES_A_REMOTE:
        return _REMOTE.fullmatch(value.strip(' "')) is not None
    known = section in _PLAIN or key in _ONLY.get(section, _HARMLESS.get(section, ()))
    return known and kind not in _PROGRAMS and not is_neutralised(kind)


def is_harmless(section: str, key: str) -> bool:
    """Nothing but a value, or a program that every git of ours is told to leave alone."""
    return section in _SECTIONS or key in _HARMLESS.get(section, ()) or is_neutralised(f"{section}.{key}")
