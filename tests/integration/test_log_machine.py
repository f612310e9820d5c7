"""Whatever is delivered, pressed, restarted and broken, in whatever order: nothing is lost, repeated or unreadable.

LOG_MACHINE_EXAMPLES=500 for a long run. Linux (the disk asks /proc for names).
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from app.assembly import House
from app.cloud.journal import read_all
from app.cloud.question_buttons import parse_choice
from app.core import lanes
from app.core.approvals import Decision
from app.core.context import chat_of, fold
from app.core.errors import Flood, NotSent, StorageError, Uncertain
from app.core.events import ApprovalAskedLine, AssistantLine, CommandLine, Line, ReplyLine, ReplyTo, UserLine
from tests.fakes.channel import Sent
from tests.integration.log_machine import FOREVER, ID, MODEL_TROUBLE, Disk, Inn, Update
from tests.support import make_settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the disk asks /proc for names")
EXAMPLES = int(os.environ.get("LOG_MACHINE_EXAMPLES", "150"))
PATIENCE = 8.0  # seconds to come to rest once the faults are over
CHATS = st.sampled_from([42, 43, 44])
WORDS = st.sampled_from(["", "cuenta", "largo"])


def _asks(sent: Sent) -> bool:
    """A question; the button that undoes is none."""
    return bool(sent.choices) and parse_choice(sent.choices[0].data) is not None


class LogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="machine-")).resolve()
        self._disk = Disk(self._folder / "data")
        self._patch = pytest.MonkeyPatch()
        for name in ("write", "fsync", "ftruncate"):
            self._patch.setattr(os, name, getattr(self._disk, name))
        self._patch.setattr(lanes, "_RETRY_SECONDS", 0.03)
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_exception_handler(lambda *_: None)  # the dying leave errors that nobody awaits
        self._updates: list[Update] = []
        self._allowed: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)  # message → questions with a yes
        self._unsure = False  # a crash or an uncertain send: from now on there may be marked repeats
        self._may_land = False  # a refused line that could not be taken back is in the log after all

    @initialize(policy=st.sampled_from(["siempre", "nunca"]))
    def begin(self, policy: str) -> None:
        self._policy = policy
        home = self._folder / "home" / "proyectos"
        home.mkdir(parents=True)
        self._inn = Inn(make_settings(self._folder, approvals=policy), self._disk)
        self._runner.run(self._inn.open())

    # ------------------------------------------------------------ what happens

    @rule(chats=st.lists(CHATS, min_size=1, max_size=3), word=WORDS)
    def messages_come(self, chats: list[int], word: str) -> None:
        fresh = [Update(chat, f"m{len(self._updates) + n} {word}", "") for n, chat in enumerate(chats)]
        self._come(fresh)

    @rule(back=st.integers(0, 5), word=WORDS, same=st.booleans())
    def a_message_is_edited(self, back: int, word: str, same: bool) -> None:
        """Of what the chat has taken: Telegram hands an edit over after its message."""
        written = [u for u in self._updates if u.taken and not u.idle and not u.text.startswith("/")]
        if back < len(written):
            old = written[-1 - back]
            words = old.text if same else f"m{len(self._updates)} {word}"
            self._come([Update(old.chat, words, "", edits=old.edits or old.message_id, idle=same)])

    @rule(chat=CHATS, name=st.sampled_from(["/nuevo", "/para", "/reintentar", "/ayuda"]))
    def a_command_comes(self, chat: int, name: str) -> None:
        self._come([Update(chat, name, "")])

    @rule(back=st.integers(0, 5))
    def an_update_comes_again(self, back: int) -> None:
        if back < len(self._updates):
            self._runner.run(self._deliver(self._updates[-1 - back]))

    @rule(back=st.integers(0, 3), yes=st.booleans(), times=st.integers(1, 2))
    def a_button_is_pressed(self, back: int, yes: bool, times: int) -> None:
        asked = [sent for sent in self._inn.telegram.sent if _asks(sent)]
        if back < len(asked):
            self._runner.run(self._press(asked[-1 - back], yes, times))

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.01, 0.05]))
    def time_passes(self, seconds: float) -> None:
        self._runner.run(asyncio.sleep(seconds))

    @rule(code=st.sampled_from([errno.ENOSPC, errno.EIO]), writes=st.booleans(), times=st.sampled_from([1, 3, FOREVER]))
    def the_disk_fails(self, code: int, writes: bool, times: int) -> None:
        self._disk.code = code
        self._may_land |= code == errno.EIO
        if writes:
            self._disk.failing_writes = times
        else:
            self._disk.failing_syncs = times

    @rule()
    def the_disk_is_mended(self) -> None:
        self._disk.mend()

    @rule(kind=st.sampled_from(sorted(MODEL_TROUBLE)), pause=st.sampled_from([0.0, 0.0, 0.02]))
    def the_model_fails(self, kind: str, pause: float) -> None:
        self._inn.model.trouble.append(MODEL_TROUBLE[kind])
        self._inn.model.pause = pause

    @rule(kind=st.sampled_from([NotSent, Uncertain, Flood]))
    def a_send_fails(self, kind: type[Exception]) -> None:
        if len(self._inn.telegram.trouble) < 3:
            self._unsure |= kind is Uncertain
            self._inn.telegram.trouble.append(Flood("espera", 0.02) if kind is Flood else kind("red"))

    @rule(mend=st.booleans())
    def it_restarts(self, mend: bool) -> None:
        if mend:
            self._disk.mend()
        # What became of the last send cannot be noted then, and a refused `send_started` may have landed: the next
        # process does not know what this one does.
        self._unsure |= self._may_land or bool(self._disk.failing_writes or self._disk.failing_syncs)
        self._runner.run(self._inn.leave())
        self._start()

    @rule(power=st.booleans())
    def it_dies(self, power: bool) -> None:
        self._unsure = True
        self._runner.run(self._inn.die(power=power))
        self._start()

    # ------------------------------------------------------------ how it is done

    def _start(self) -> None:
        """Whoever runs it starts it again when it cannot; by then the disk has been seen to."""
        try:
            self._runner.run(self._inn.open())
        except StorageError:
            self._runner.run(self._inn.die(power=False))
            self._runner.run(self._inn.open())

    def _come(self, fresh: list[Update]) -> None:
        for update in fresh:
            update.message_id = len(self._updates) + 1
            update.key = f"tg:{len(self._updates)}"
            self._updates.append(update)

        async def all_at_once() -> None:
            await asyncio.gather(*(self._deliver(update) for update in fresh))

        self._runner.run(all_at_once())

    async def _deliver(self, update: Update) -> None:
        chat = f"telegram_{update.chat}"
        to = ReplyTo(channel="telegram", chat_id=update.chat, message_id=update.edits or update.message_id)

        async def deliver(house: House) -> None:
            if update.edits:
                words = update.text
                await house.inbox.edited(chat, words, "42", reply_to=to, key=update.key, wording=words)
            elif update.text.startswith("/"):
                await house.inbox.command(chat, update.text[1:], "", "42", reply_to=to, key=update.key)
            else:
                await house.inbox.message(chat, update.text, "42", reply_to=to, key=update.key, wording=update.text)

        update.taken |= await self._inn.quietly(deliver)

    async def _press(self, question: Sent, yes: bool, times: int) -> None:
        choice = parse_choice(question.choices[0].data)
        assert choice
        session, asked, _ = choice
        [name] = set(ID.findall(question.text.partition(">>")[0]))
        if yes:
            self._allowed[name].add((session, asked))
        for n in range(times):
            key = f"press:{session}:{asked}:{n}:{yes}"
            decision: Decision = "allow" if yes else "deny"
            await self._inn.quietly(
                lambda house: house.inbox.decision(session, asked, decision, "42", key, question.to.chat_id)  # noqa: B023
            )

    # ------------------------------------------------------------ what must be true in the end

    def teardown(self) -> None:
        try:
            if hasattr(self, "_inn"):
                self._runner.run(self._come_to_rest())
                self._check()
        except AssertionError as error:
            for path in sorted(self._inn.sessions.glob("*.jsonl")):
                error.add_note(f"{path.name}\n{path.read_text('utf-8', 'replace')}")
            error.add_note("\n".join(map(str, self._inn.telegram.sent)))
            raise
        finally:
            self._disk.mend()
            if hasattr(self, "_inn"):
                self._runner.run(self._inn.leave())
                self._runner.run(self._inn.die(power=False))
            self._runner.close()
            self._patch.undo()
            shutil.rmtree(self._folder)

    async def _come_to_rest(self) -> None:
        self._disk.mend()
        self._inn.model.trouble.clear()
        for update in self._updates:
            if not update.taken:
                await self._deliver(update)
        async with asyncio.timeout(PATIENCE) as limit:
            try:
                while self._busy() or self._inn.house is None or self._inn.house.runner.lanes.busy:
                    for sent in [sent for sent in self._inn.telegram.sent if _asks(sent)]:
                        await self._press(sent, len(sent.text) % 2 == 0, 1)
                    await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                if limit.expired():
                    raise AssertionError(f"still open after {PATIENCE} s: {self._busy()}") from None
                raise

    def _logs(self) -> dict[str, list[Line]]:
        return {path.stem: read_all(path) for path in sorted(self._inn.sessions.glob("*.jsonl"))}

    def _busy(self) -> list[str]:
        return [name for name, lines in self._logs().items() if fold(name, lines).is_busy]

    def _check(self) -> None:
        logs = self._logs()
        for name, lines in logs.items():
            seqs = [line.seq for line in lines]
            assert seqs == sorted(set(seqs)), f"numbers of {name}: {seqs}"
        self._check_inbound(logs)
        self._check_sends(logs)
        for name, runs in self._runs().items():
            permitted = len(self._allowed[name]) + (self._policy == "nunca")
            assert runs <= permitted, f"the tool of {name} ran {runs} times, {permitted} permitted"

    def _check_inbound(self, logs: dict[str, list[Line]]) -> None:
        """Each update is one line, and it is answered there."""
        for update in self._updates:
            mine = {name: lines for name, lines in logs.items() if chat_of(name) == f"telegram_{update.chat}"}
            found = [(name, line) for name, lines in mine.items() for line in lines if _key(line) == update.key]
            if update.idle and not found:
                continue  # it is one when another edit came between
            assert len(found) == 1, f"{update} is {len(found)} times in the logs"
            [(name, line)] = found
            if isinstance(line, UserLine):
                answers = [final for final in _finals(logs[name]) if final.covers >= line.seq]
                assert answers, f"{update} is not covered"
                assert answers[0].failed or update.text.split()[0] in answers[0].content, f"{update}: {answers[0]}"
            else:
                assert [r for r in logs[name] if isinstance(r, ReplyLine) and r.to == line.seq], f"{update} unanswered"

    def _check_sends(self, logs: dict[str, list[Line]]) -> None:
        """Every part of every answer arrived, once unless marked, in the order of the log."""
        due: Counter[tuple[int, str]] = Counter()
        for lines in logs.values():
            for line in lines:
                if isinstance(line, ReplyLine | ApprovalAskedLine) or (isinstance(line, AssistantLine) and line.final):
                    assert line.reply_to
                    body = line.question if isinstance(line, ApprovalAskedLine) else line.content
                    due.update((line.reply_to.chat_id, part.text) for part in self._inn.telegram.split(body))
                    if not isinstance(line, ApprovalAskedLine):
                        for part in self._inn.telegram.split(body):
                            assert self._sent(line.reply_to.chat_id, part.text), f"never arrived: {part.text!r}"
        plain = Counter((s.to.chat_id, s.text) for s in self._inn.telegram.sent if not s.repeat)
        for what, count in plain.items():
            assert count <= due[what], f"{what} came {count} times unmarked, {due[what]} due"
        assert self._unsure or not [s for s in self._inn.telegram.sent if s.repeat], "marked without a reason"
        for name, lines in logs.items():
            self._check_order(name, lines)

    def _check_order(self, name: str, lines: list[Line]) -> None:
        answers = [final.content for final in _finals(lines) if not final.failed]
        heads = [self._inn.telegram.split(answer)[0].text for answer in answers]
        first = [min(self._sent(int(name.split("_")[1]), head)) for head in heads]
        assert first == sorted(first), f"answers of {name} out of order: {heads}"

    def _sent(self, chat: int, words: str) -> list[int]:
        return [n for n, s in enumerate(self._inn.telegram.sent) if (s.to.chat_id, s.text) == (chat, words)]

    def _runs(self) -> Counter[str]:
        files = (self._folder / "home").rglob("contador.txt")
        return Counter(word for path in files for word in path.read_text().split())


def _key(line: Line) -> str | None:
    return line.key if isinstance(line, UserLine | CommandLine) else None


def _finals(lines: list[Line]) -> list[AssistantLine]:
    return [line for line in lines if isinstance(line, AssistantLine) and line.final]


@pytest.mark.timeout(60 + EXAMPLES * 2)
def test_nothing_is_lost_repeated_or_unreadable() -> None:
    run_state_machine_as_test(
        LogMachine,
        settings=settings(
            derandomize="LOG_MACHINE_EXAMPLES"
            not in os.environ,  # the daily run is the same each time, a long one is not
            max_examples=EXAMPLES,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking real time takes minutes
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
