"""The fold: what a log means."""

from __future__ import annotations

import pytest

from app.core.context import AgentContext, chat_of, check_session_id, fold
from app.core.errors import SessionError
from app.core.events import (
    ApprovalAskedLine,
    ApprovalGivenLine,
    AssistantLine,
    CommandLine,
    DeliveredLine,
    Line,
    ProjectLine,
    ReplyLine,
    ReplyTo,
    RetryLine,
    SendFailedLine,
    SendStartedLine,
    SummaryLine,
    ToolResultLine,
    ToolStartedLine,
    UserLine,
)
from app.core.messages import ToolCall

HERE = ReplyTo(channel="telegram", chat_id=42, message_id=7)
CALL_A = ToolCall(id="a", name="read_file", arguments='{"path":"x"}')
CALL_B = ToolCall(id="b", name="write_file", arguments="{}")


def numbered(*lines: Line) -> list[Line]:
    return [line.model_copy(update={"seq": n}) for n, line in enumerate(lines, 1)]


def ctx_of(*lines: Line) -> AgentContext:
    return fold("telegram_42", numbered(*lines))


def shown(ctx: AgentContext) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in ctx.messages]


def test_a_new_context_takes_channel_and_user_from_its_id() -> None:
    ctx = AgentContext("telegram_42_3")
    assert (ctx.channel, ctx.user_id, ctx.messages, ctx.turn) == ("telegram", "42", [], 0)
    assert AgentContext(session_id="web_ab", user_id=5, channel="api").to_dict() == {
        "session_id": "web_ab", "user_id": "5", "channel": "api", "project": "", "messages": [],
    }  # fmt: skip
    assert chat_of("telegram_42_3") == chat_of("telegram_42") == "telegram_42"


@pytest.mark.parametrize("bad", ["", "../etc", "A", "telegram 1", "x" * 81, "ñ", "a/b", "a\n"])
def test_a_session_id_that_could_leave_the_folder_is_refused(bad: str) -> None:
    with pytest.raises(SessionError):
        check_session_id(bad)


def test_a_message_is_open_until_a_final_line_covers_it() -> None:
    ctx = ctx_of(UserLine(content="hola"))
    assert ctx.has_work and ctx.turn == 1
    ctx.apply(AssistantLine(seq=2, content="buenas", covers=1, final=True))
    assert not ctx.has_work and ctx.conversation.last_answer == "buenas"


def test_a_message_that_arrives_after_the_model_call_began_stays_open() -> None:
    ctx = ctx_of(UserLine(content="uno"), UserLine(content="dos"), AssistantLine(content="1", covers=1, final=True))
    assert list(ctx.conversation.open) == [2]
    assert shown(ctx) == [("user", "uno"), ("assistant", "1"), ("user", "dos")]


def test_a_steering_message_stands_behind_the_results_of_its_step() -> None:
    ctx = ctx_of(
        UserLine(content="uno"),
        AssistantLine(tool_calls=(CALL_A, CALL_B), covers=1),
        ToolStartedLine(call_id="a", name="read_file"),
        UserLine(content="y además"),
        ToolResultLine(call_id="b", name="write_file", content="rb"),
        ToolResultLine(call_id="a", name="read_file", content="ra"),
    )
    assert shown(ctx) == [("user", "uno"), ("assistant", ""), ("tool", "ra"), ("tool", "rb"), ("user", "y además")]
    assert ctx.conversation.step is None
    assert ctx.conversation.last_user_seq == 4


def test_a_call_that_started_and_has_no_result_is_uncertain() -> None:
    ctx = ctx_of(
        UserLine(content="uno"),
        AssistantLine(tool_calls=(CALL_A, CALL_B), covers=1),
        ToolStartedLine(call_id="a", name="read_file"),
    )
    step = ctx.conversation.step
    assert step is not None and step.started == {"a"} and [c.id for c in step.unfinished()] == ["a", "b"]


def test_a_lost_result_is_replaced_so_that_the_history_stays_valid() -> None:
    ctx = ctx_of(
        UserLine(content="uno"),
        AssistantLine(tool_calls=(CALL_A,), covers=1),
        AssistantLine(content="listo", covers=1, final=True),
    )
    tool = ctx.messages[2]
    assert (tool.role, tool.tool_call_id, tool.is_error) == ("tool", "a", True)


def test_a_failed_answer_keeps_the_message_and_a_retry_opens_it_again() -> None:
    ctx = ctx_of(UserLine(content="uno"), AssistantLine(content="problema", covers=1, final=True, failed=True))
    assert not ctx.has_work and ctx.conversation.can_retry
    assert shown(ctx) == [("user", "uno")], "the program's apology is no part of the conversation"
    ctx.apply(RetryLine(seq=3, to=9))
    assert list(ctx.conversation.open) == [1] and not ctx.conversation.can_retry
    ctx.apply(AssistantLine(seq=4, content="ahora sí", covers=1, final=True))
    assert shown(ctx) == [("user", "uno"), ("assistant", "ahora sí")]


def test_a_summary_replaces_what_it_covers_and_keeps_the_project() -> None:
    ctx = ctx_of(
        ProjectLine(path="/p"),
        UserLine(content="viejo"),
        AssistantLine(content="v", covers=2, final=True),
        SummaryLine(content="resumen", upto=3, project="/p"),
        UserLine(content="nuevo"),
    )
    assert [m.content for m in ctx.messages][1:] == ["nuevo"] and "resumen" in ctx.messages[0].content
    only_window = fold("telegram_42", [SummaryLine(seq=4, content="resumen", upto=3, project="/p")])
    assert only_window.project == "/p"


def test_commands_are_open_until_their_reply() -> None:
    ctx = ctx_of(CommandLine(name="estado"))
    assert ctx.is_busy
    ctx.apply(ReplyLine(seq=2, content="bien", to=1))
    assert not ctx.is_busy


def test_a_decision_is_used_once_and_only_for_its_call() -> None:
    ctx = ctx_of(
        UserLine(content="uno"),
        AssistantLine(tool_calls=(CALL_A, CALL_B), covers=1),
        ApprovalAskedLine(call_id="b", question="¿?", digest="d", expires=9e9),
        ApprovalGivenLine(asked=3, call_id="b", decision="allow"),
    )
    assert ctx.questions == {} and ctx.decision("a", "run", "d") is None
    decision = ctx.decision("b", "run", "d")
    assert decision is not None and decision.decision == "allow"
    ctx.apply(ToolStartedLine(seq=5, call_id="b", name="write_file"))
    assert ctx.decision("b", "run", "d") is None


def test_a_decision_on_no_question_counts_for_nothing() -> None:
    ctx = ctx_of(
        UserLine(content="uno"),
        AssistantLine(tool_calls=(CALL_B,), covers=1),
        ApprovalGivenLine(asked=77, call_id="b", decision="allow"),
    )
    assert ctx.decision("b", "run", "d") is None


def test_an_answer_waits_until_every_part_is_delivered() -> None:
    ctx = ctx_of(UserLine(content="u", reply_to=HERE), AssistantLine(content="r", covers=1, final=True, reply_to=HERE))
    ctx.apply(SendStartedLine(seq=3, of=2, part=0))
    out = ctx.outbox.next()
    assert out is not None and out.uncertain == {0}
    ctx.apply(SendFailedLine(seq=4, of=2, part=0))
    assert out.uncertain == set()
    ctx.apply(SendStartedLine(seq=5, of=2, part=0), DeliveredLine(seq=6, of=2, part=0, parts=2, message_id=9))
    assert ctx.outbox.next() is out and out.done == {0} and out.message_ids == [9]
    ctx.apply(DeliveredLine(seq=7, of=2, part=1, parts=2))
    assert ctx.outbox.next() is None


def test_an_answer_without_place_needs_no_delivery_and_a_gone_chat_none_more() -> None:
    assert ctx_of(UserLine(content="u"), AssistantLine(content="r", covers=1, final=True)).outbox.next() is None
    ctx = ctx_of(UserLine(content="u"), AssistantLine(content="r", covers=1, final=True, reply_to=HERE))
    ctx.apply(DeliveredLine(seq=3, of=2, part=0, parts=5, gone=True))
    assert ctx.outbox.next() is None


def test_an_answered_question_that_was_never_sent_is_not_sent() -> None:
    ctx = ctx_of(
        UserLine(content="u"),
        AssistantLine(tool_calls=(CALL_B,), covers=1),
        ApprovalAskedLine(call_id="b", question="¿?", digest="d", expires=9e9, reply_to=HERE),
    )
    assert ctx.outbox.next() is not None
    ctx.apply(ApprovalGivenLine(seq=4, asked=3, call_id="b", decision="deny"))
    assert ctx.outbox.next() is None


def test_lines_applied_twice_count_once() -> None:
    lines = numbered(UserLine(content="uno"), UserLine(content="dos"))
    ctx = fold("telegram_42", lines)
    ctx.apply(*lines)
    assert [m.content for m in ctx.messages] == ["uno", "dos"]


def test_unsaved_messages_become_lines() -> None:
    ctx = ctx_of(UserLine(content="uno"))
    ctx.add_message("user", "dos")
    ctx.add_message("assistant", "r")
    assert [m.content for m in ctx.messages] == ["uno", "dos", "r"]
    user, assistant = ctx.unsaved_lines(ctx.seq)
    assert isinstance(user, UserLine) and user.user_id == "42"
    assert isinstance(assistant, AssistantLine) and assistant.final and assistant.covers == 2
    ctx.add_message("tool", "x")
    with pytest.raises(SessionError):
        ctx.unsaved_lines(ctx.seq)


def test_a_yes_to_one_folder_is_no_yes_to_another() -> None:
    ctx = ctx_of(
        UserLine(content="uno"),
        AssistantLine(tool_calls=(CALL_B,), covers=1),
        ApprovalAskedLine(call_id="b", question="¿?", digest="en uno", expires=9e9),
        ApprovalGivenLine(asked=3, call_id="b", decision="allow"),
    )
    assert ctx.decision("b", "run", "en uno") and ctx.decision("b", "run", "en dos") is None


def test_a_summary_that_covers_an_open_step_leaves_the_log_readable() -> None:
    ctx = ctx_of(
        UserLine(content="uno"),
        AssistantLine(tool_calls=(CALL_A, CALL_B), covers=1),
        SummaryLine(content="resumen", upto=2),
        AssistantLine(content="r", covers=1, final=True),
    )
    assert ctx.messages[-1].content == "r"
