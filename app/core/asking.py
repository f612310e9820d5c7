"""The gate at which a call waits for the user's yes: what asks, what exactly he is asked, what answers for him."""

from __future__ import annotations

import time
from collections.abc import Callable

from loguru import logger

from app.core import network as networks
from app.core import texts
from app.core.approvals import Approvals, Kind, Policy, Question, asks, digest
from app.core.consent import consented
from app.core.errors import ToolError
from app.core.gates import Handler, Invocation
from app.core.machine import Machine, folder
from app.core.permissions import Permissions, Rule
from app.core.preview import diff_of
from app.core.risk import plain_words
from app.core.roles import Role
from app.core.rules import rule_of
from app.core.toolkit import Risk

MustAsk = Callable[[Invocation], str]
_MOST_WORDS = 300  # characters of what is permitted for good
_FILE_TOOLS = frozenset({"write_file", "edit_file"})


def _never(_: Invocation) -> str:
    return ""


class Asking:
    """`must_ask`: why this call asks whatever the policy, in Spanish, as the end of a sentence; '' when it need not.

    Such a call is asked every time: nothing that was permitted for good answers it.
    """

    def __init__(
        self,
        approvals: Approvals,
        policy: Policy,
        machine: Machine,
        permissions: Permissions,
        must_ask: MustAsk = _never,
    ) -> None:
        self._approvals = approvals
        self._policy: Policy = policy
        self._machine = machine
        self._permissions = permissions
        self._must_ask = must_ask

    def gate(self, handler: Handler) -> Handler:
        async def asking(invocation: Invocation) -> str:
            forced = self._must_ask(invocation)
            kind = self._kind(invocation, forced)
            if kind is None:
                return await handler(invocation)
            await self._be_permitted(invocation, kind, forced)
            with consented():
                return await handler(invocation)

        return asking

    def _kind(self, invocation: Invocation, forced: str) -> Kind | None:
        """An uncertain call may have been done already; looking again does no harm."""
        if invocation.uncertain and invocation.risk is not Risk.READ:
            return "repeat"
        if forced:
            return "run"
        if invocation.uncertain:
            return None
        return "run" if asks(invocation.risk, self._policy, confined=self._machine.sandbox.confined) else None

    async def _be_permitted(self, invocation: Invocation, kind: Kind, forced: str) -> None:
        """Raises ToolError, which tells the model why it is not."""
        turn, call = invocation.turn, invocation.call
        if turn is None:
            raise ToolError(texts.NOBODY_TO_ASK)
        rule = await self._rule(invocation) if self._may_be_lasting(invocation, kind, forced) else None
        if rule and await self._permissions.allow(rule):
            logger.info("call {} of {} is permitted for good", call.id, turn.ctx.session_id)
            await self._approvals.permitted(turn.ctx, call.id, kind)
            return
        if not self._approvals.attended:
            raise ToolError(texts.NOBODY_TO_ASK)
        question = await self._question(invocation, kind, forced, rule)
        began = time.monotonic()
        answer = await self._approvals.ask(turn.ctx, question)
        turn.waited += time.monotonic() - began
        if answer.decision != "allow":
            raise ToolError(texts.not_allowed(answer.decision, answer.reason))

    async def _rule(self, invocation: Invocation) -> Rule | None:
        """None as well when its words are too long to be read below the question."""
        rule = await rule_of(invocation)
        words = self._machine.redactor.redact(rule.words) if rule else ""
        return rule.model_copy(update={"words": words}) if rule and len(words) <= _MOST_WORDS else None

    def _may_be_lasting(self, invocation: Invocation, kind: Kind, forced: str) -> bool:
        standing = invocation.turn.standing if invocation.turn else None
        return kind == "run" and not forced and (standing is None or standing.role is Role.OWNER)

    async def _question(self, invocation: Invocation, kind: Kind, forced: str, rule: Rule | None) -> Question:
        call, where = invocation.call, str(folder())
        why = texts.ASKED_AGAIN if kind == "repeat" else texts.asked_because(forced or _why(invocation))
        text = texts.question(
            invocation.tool.name,
            {name: value for name, value in invocation.arguments.items() if name != "network"},
            where,
            f"{networks.reach(self._machine)}\n{why}" if _goes_out(invocation) else why,
            always=rule.words if rule else "",
            diff=await diff_of(invocation),
        )
        bound_to = digest(call.name, call.arguments, where)
        return Question(call.id, kind, self._machine.redactor.redact(text), bound_to, rule)


def _goes_out(invocation: Invocation) -> bool:
    """A command of the shell only where it says so, or is git alone: a mere `curl` finds no network."""
    arguments = invocation.arguments
    git = invocation.tool.name == "git_operation" or plain_words(str(arguments.get("command", "")))[:1] == ["git"]
    return bool(arguments.get("network")) or (git and invocation.risk in {Risk.NETWORK, Risk.OUTSIDE})


def _why(invocation: Invocation) -> str:
    if invocation.tool.name in _FILE_TOOLS and invocation.risk is Risk.DESTRUCTIVE:
        return texts.RUNS_LATER
    return texts.risk_reason(invocation.risk.value)
