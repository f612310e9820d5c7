"""As the kernel sees it: nothing that others notice leaves before its line is synced. Needs strace."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.cloud.redo import Append, read_records
from app.core.events import Line, ToolStartedLine, UserLine, parse_line
from tests.crash.scenarios import CROWD, SCENARIOS, Scenario
from tests.crash.world import World

CALLS = "write,writev,sendto,sendmsg,fsync,fdatasync,execve"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_LINE = re.compile(r"^(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
_PATH = re.compile(r"^\d+<([^>]*)>")


def can_trace() -> bool:
    strace = shutil.which("strace")
    return bool(strace) and subprocess.run([strace, "-o", "/dev/null", "true"], check=False).returncode == 0


@dataclass
class Discipline:
    """Feed it strace's lines in order. A line of a log is durable once its file and the file's name are synced,
    or the redo log that holds it.

    A sync counts from its end, an effect from its beginning.
    """

    written: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])  # file → not synced yet
    synced: dict[str, list[Line]] = field(default_factory=dict[str, list[Line]])  # file → its name not synced yet
    named: set[str] = field(default_factory=set[str])
    redo: list[tuple[str, bytes]] = field(
        default_factory=list[tuple[str, bytes]]
    )  # (session, its bytes), not synced yet
    by_redo: int = 0  # lines that were durable there first
    durable: Counter[str] = field(default_factory=Counter[str])
    keys: set[str] = field(default_factory=set[str])
    effects: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])
    acknowledged: set[int] = field(default_factory=set[int])
    _begun: dict[str, str] = field(default_factory=dict[str, str])  # thread → arguments of its unfinished call
    _ran: set[str] = field(default_factory=set[str])

    def feed(self, lines: Iterable[str]) -> None:
        for line in lines:
            if match := _LINE.match(line):
                thread, call, arguments, resumed, rest = match.groups()
                if call:
                    self._begins(thread, call, arguments)
                    self._begun[thread] = arguments
                done = (call or resumed) in {"fsync", "fdatasync"} and (arguments or rest).endswith("= 0")
                if done and (path := _PATH.match(self._begun[thread])):
                    self._syncs(path[1])

    def _begins(self, thread: str, call: str, arguments: str) -> None:
        path = _PATH.match(arguments)
        if call == "execve":
            confines = "bwrap" in arguments.partition(",")[0]  # and executes the shell after it
            if "contador" in arguments and "-c" in arguments and not confines and thread not in self._ran:
                self._ran.add(thread)
                self._happens("run", "tool_started:execute_shell")
        elif path and path[1].endswith(".jsonl"):
            lines = [parse_line(raw) for raw in _data(arguments).split(b"\n") if raw.strip()]
            self.written.setdefault(path[1], []).extend(lines)
        elif path and path[1].endswith("/redo.log"):
            self.redo += [(record.session_id, record.data) for record in read_records(_data(arguments))]
        elif path and path[1].startswith(("socket:", "TCP")):
            self._leaves(_data(arguments).decode("utf-8", "replace"))

    def _syncs(self, path: str) -> None:
        if path.endswith("/sessions"):
            self.named |= {*self.written, *self.synced}
        elif path.endswith(".jsonl"):
            self.synced.setdefault(path, []).extend(self.written.pop(path, []))
        elif path.endswith("/redo.log") and path.removesuffix("redo.log").rstrip("/") in self.named:
            self._redo_is_durable(path.removesuffix("redo.log") + "sessions/")
        elif not path.endswith("/redo.log"):
            self.named.add(path)  # the data folder: the redo log has its name
        for file in self.named & self.synced.keys():
            for line in self.synced.pop(file):
                self._is_durable(Path(file).stem, line)

    def _redo_is_durable(self, folder: str) -> None:
        for session, data in self.redo:
            for line in map(parse_line, data.splitlines()):
                self.written[f"{folder}{session}.jsonl"].remove(line)
                self._is_durable(session, line)
                self.by_redo += 1
        self.redo = []

    def _is_durable(self, session: str, line: Line) -> None:
        self.durable[line.type] += 1
        self.durable[f"{line.type}:{session.split('_')[1]}"] += 1
        if isinstance(line, ToolStartedLine):
            self.durable[f"{line.type}:{line.name}"] += 1
        if isinstance(line, UserLine) and session.startswith("web"):
            self.durable["user of the browser"] += 1
        if key := getattr(line, "key", None):
            self.keys.add(key)
            self.durable["update"] += key.startswith("tg:")

    def _leaves(self, request: str) -> None:
        head, _, body = request.partition("\r\n\r\n")
        first = head.partition("\r\n")[0]
        if (offset := re.search(r"/getUpdates\?.*offset=(\d+)", first)) and int(offset[1]) > 0:
            fresh = range(max(self.acknowledged, default=700_000_000) + 1, int(offset[1]))
            self.acknowledged |= set(fresh)
            self.problems += [f"update {n} was acknowledged first" for n in fresh if f"tg:{n}" not in self.keys]
        elif first.partition(" HTTP")[0].endswith("/sendMessage"):
            chat = re.search(r"chat_id=(\d+)", body)
            assert chat, "the body is expected in the same call"
            self._happens(f"send to {chat[1]}", f"send_started:{chat[1]}")
        elif first.partition(" HTTP")[0].endswith("/editMessageText"):
            self._happens("edit", "approval_given")  # a question that shows what was decided
        elif re.search(r"POST .*(/chat/completions|/v1/messages) ", first):
            self.effects["model"] += 1
            results = len(re.findall(r'"role":\s*"tool"|"type":\s*"tool_result"', body))
            if results > self.durable["tool_result"]:
                self.problems.append(f"a model was shown {results} results, {self.durable['tool_result']} are durable")
        elif first.startswith("HTTP/1.1 202"):
            self._happens("202", "user of the browser")
        elif first.startswith("HTTP/1.1 200"):
            self._happens("200", "update")  # to the webhook

    def _happens(self, effect: str, announced: str) -> None:
        self.effects[effect] += 1
        if self.effects[effect] > self.durable[announced]:
            self.problems.append(f"{effect} number {self.effects[effect]}, {self.durable[announced]} × {announced}")


def _data(arguments: str) -> bytes:
    return b"".join(ast.literal_eval(f"b{text}") for text in _STRING.findall(arguments))


async def traced(scenario: Scenario, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Discipline:
    """One undisturbed life below strace, which detaches (-D) so that signals reach the server."""
    python, trace = folder / "python", folder / "strace.txt"
    command = f"strace -D -f -y -s 1000000 --seccomp-bpf -e trace={CALLS} -o {trace} {sys.executable}"
    python.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    python.chmod(0o700)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(python))
        outcome = await World(scenario, folder, "").live()
    assert outcome.problems == []
    await asyncio.sleep(0.2)  # strace's last words
    discipline = Discipline()
    discipline.feed(trace.read_text("utf-8", "replace").splitlines())
    return discipline


@pytest.mark.needs("strace")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
async def test_nothing_leaves_before_its_line_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenario: Scenario
) -> None:
    if not can_trace():
        pytest.skip("needs strace, and leave to use it (apt-get install strace)")
    seen = await traced(scenario, tmp_path, monkeypatch)
    assert seen.by_redo or len({chat for chat, _ in scenario.says}) < len(CROWD)
    assert seen.problems == []
    assert len(seen.acknowledged) + seen.effects["200"] >= len(scenario.says)
    assert bool(seen.effects["200"]) == scenario.webhook
    assert seen.effects["run"] == ("echo hecho" in str(scenario.plans))
    assert seen.effects["202"] == len(scenario.web)
    assert seen.effects["model"] and (not scenario.says or seen.effects["send to 42"])


SESSION = "7     write(9</d/sessions/telegram_42.jsonl>, {line}, 80) = 80"
STARTED = SESSION.replace("{line}", r'"{\"v\":1,\"seq\":2,\"type\":\"send_started\",\"of\":1,\"part\":0}\n"')
SEND = r'8 write(14<socket:[1]>, "POST /bot1:a/sendMessage HTTP/1.1\r\nHost: x\r\n\r\nchat_id=42&text=a", 99) = 99'
SYNC = "7 fsync(9</d/sessions/telegram_42.jsonl>) = 0"
FOLDER = "7 fsync(5</d/sessions>) = 0"
BEGINS, ENDS = "7 fsync(9</d/sessions/telegram_42.jsonl> <unfinished ...>", "7 <... fsync resumed>) = 0"

RECORD = Append("telegram_42", 0, b'{"v":1,"seq":2,"type":"send_started","of":1,"part":0}\n').record.decode()
REDO = f"7 write(9</d/redo.log>, {json.dumps(RECORD)}, 80) = 80"
REDO_SYNC, REDO_NAME = "7 fsync(9</d/redo.log>) = 0", "7 fsync(5</d>) = 0"


@pytest.mark.parametrize(
    ("lines", "problems"),
    [
        ([STARTED, SYNC, FOLDER, SEND], 0),
        ([STARTED, FOLDER, BEGINS, ENDS, SEND], 0),
        ([STARTED, SEND, SYNC, FOLDER], 1),
        ([STARTED, SYNC, SEND, FOLDER], 1),
        ([STARTED, FOLDER, BEGINS, SEND, ENDS], 1),
        ([STARTED, FOLDER, SYNC.replace("= 0", "= -1 EIO"), SEND], 1),
        ([STARTED, SYNC, FOLDER, SEND, SEND], 1),
        ([STARTED, REDO_NAME, REDO, REDO_SYNC, SEND, SYNC, FOLDER], 0),
        ([STARTED, REDO_NAME, REDO, REDO_SYNC, SEND, SYNC, FOLDER, SEND], 1),
        ([STARTED, REDO_NAME, REDO, SEND, REDO_SYNC], 1),
        ([STARTED, REDO_NAME, REDO.replace("seq", "sec"), REDO_SYNC, SEND], 1),
        ([STARTED, REDO, REDO_SYNC, SEND, REDO_NAME], 1),
    ],
)
def test_it_would_see_an_effect_that_came_too_early(lines: list[str], problems: int) -> None:
    discipline = Discipline()
    discipline.feed(lines)
    assert len(discipline.problems) == problems, discipline.problems
