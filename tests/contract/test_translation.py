"""Histories in every provider's words: what one model said, another reads exactly, and so do the services' rules."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.cloud.anthropic_dialect import MessageReader, messages_body
from app.cloud.failures import Origin
from app.cloud.history import MALFORMED, wire_id, wire_name
from app.cloud.openai_dialect import ChatReader, chat_body
from app.cloud.streaming import EventDecoder, ReplyReader, build_reply
from app.core.contracts import ModelRequest, StreamEnd, StreamItem, TextDelta, ToolCallDelta, ToolSchema
from app.core.messages import Message, NativeBlocks, Reply, ToolCall
from tests.fakes.llm import anthropic_events, chat_events

GROQ, CLAUDE = Origin("groq", "openai/gpt-oss-120b"), Origin("anthropic", "claude-haiku-5-5")
TOOL = ToolSchema("read_file", "Lee un archivo", {"type": "object", "properties": {"path": {"type": "string"}}})
Item = tuple[Any, ...]


def user(text: str) -> Message:
    return Message(role="user", content=text)


def assistant(text: str = "", *calls: ToolCall, **more: Any) -> Message:
    return Message(role="assistant", content=text, tool_calls=calls, **more)


def result(call_id: str, text: str = "hecho", **more: Any) -> Message:
    return Message(role="tool", tool_call_id=call_id, content=text, **more)


def call(call_id: str, arguments: str = '{"path":"a"}', name: str = "read_file") -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments)


def to_groq(history: list[Message]) -> list[dict[str, Any]]:
    body: Any = chat_body(ModelRequest(history, model=GROQ.model, system="Eres Nanobot", tools=[TOOL]), "max_tokens")
    return json.loads(json.dumps(body))["messages"]


def to_claude(history: list[Message], **more: Any) -> dict[str, Any]:
    body: Any = messages_body(ModelRequest(history, model=CLAUDE.model, system="Eres Nanobot", tools=[TOOL]), **more)
    return json.loads(json.dumps(body))


# ---------------------------------------------------------------- reading the wire back


def groq_items(messages: list[dict[str, Any]]) -> list[Item]:
    items: list[Item] = []
    for m in messages[1:]:
        if m["role"] == "tool":
            items.append(("result", m["tool_call_id"], m["content"]))
        elif m["content"]:
            items.append((m["role"], m["content"]))
        functions = [(c["id"], c["function"]) for c in m.get("tool_calls", [])]
        items += [("call", call_id, f["name"], json.loads(f["arguments"])) for call_id, f in functions]
    return items


def claude_items(body: dict[str, Any]) -> list[Item]:
    items: list[Item] = []
    for m in body["messages"]:
        for block in m["content"]:
            match block["type"]:
                case "text":
                    items.append((m["role"], block["text"]))
                case "tool_use":
                    items.append(("call", block["id"], block["name"], block["input"]))
                case "tool_result":
                    items.append(("result", block["tool_use_id"], block["content"]))
                case _:
                    pass
    return items


def expected_items(history: list[Message], blank_result: str) -> list[Item]:
    items: list[Item] = []
    for m in history:
        if m.role == "tool":
            items.append(
                ("result", wire_id(m.tool_call_id), m.content if m.content.strip() else blank_result or m.content)
            )
        elif m.content.strip() or (m.content and m.tool_calls and not blank_result):
            items.append((m.role, m.content))
        items += [("call", wire_id(c.id), c.name, meant(c.arguments)) for c in m.tool_calls]
    return items


def meant(arguments: str) -> Any:
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return {MALFORMED: arguments} if arguments.strip() else {}
    return value if isinstance(value, dict) else {MALFORMED: arguments}


def check_claudes_rules(body: dict[str, Any]) -> None:
    messages = body["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
    seen: set[str] = set()
    open_calls: list[str] = []
    for m in messages:
        assert m["content"]
        if m["role"] == "user":
            answered = [b["tool_use_id"] for b in m["content"] if b["type"] == "tool_result"]
            assert answered == open_calls  # all of them, in this one message
            kinds = [b["type"] for b in m["content"]]
            assert kinds == sorted(kinds, key=lambda kind: kind != "tool_result")  # results before text
        open_calls = [b["id"] for b in m["content"] if b["type"] == "tool_use"]
        assert not seen & set(open_calls) and len(set(open_calls)) == len(open_calls)
        seen |= set(open_calls)
        for block in m["content"]:
            assert block["type"] != "text" or block["text"].strip()
            if block["type"] == "tool_use":
                assert re.fullmatch(r"[a-zA-Z0-9_-]+", block["id"]) and isinstance(block["input"], dict)
            if block["type"] == "tool_result":
                assert block["content"].strip()
    assert not open_calls
    assert json.dumps(body).count("cache_control") <= 4


def check_groqs_rules(messages: list[dict[str, Any]]) -> None:
    open_calls: list[str] = []
    for m in messages:
        if m["role"] == "tool":
            assert m["tool_call_id"] == open_calls.pop(0)
            continue
        assert not open_calls
        assert m["content"] or m.get("tool_calls")
        open_calls = [c["id"] for c in m.get("tool_calls", [])]
        for c in m.get("tool_calls", []):
            assert isinstance(json.loads(c["function"]["arguments"]), dict)
    assert not open_calls


# ---------------------------------------------------------------- conversations

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=8), json_values, max_size=3)
arguments_texts = objects.map(json.dumps) | st.sampled_from(["", "{", '{"path": "a', "[1, 2]", "null", "no es json"])
texts = st.text(max_size=20) | st.sampled_from(["", " ", "\n", "¿Qué tal? 👋"])
# unique in a conversation, as the readers make them
ids = st.builds("{}{}{}".format, st.sampled_from(["", "functions.x:", "llamada ñ/"]), st.uuids(), st.just(""))


@st.composite
def steps(draw: st.DrawFn) -> list[Message]:
    """An assistant message with its results, or with words alone."""
    calls = [
        ToolCall(id=draw(ids), name="read_file", arguments=draw(arguments_texts))
        for _ in range(draw(st.integers(0, 3)))
    ]
    words = draw(texts)
    if not calls and not words.strip():
        words = "Bien."
    results = [result(c.id, draw(texts), is_error=draw(st.booleans())) for c in calls]
    return [assistant(words, *calls), *results]


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    history = [user("hola")]
    for _ in range(draw(st.integers(0, 4))):
        history += draw(steps())
        history += [user(draw(texts)) for _ in range(draw(st.integers(0, 2)))]
    return [*history, user("¿y ahora?")]


@given(histories())
@settings(max_examples=150, deadline=None)
def test_every_history_reads_the_same_everywhere(history: list[Message]) -> None:
    claude, groq = to_claude(history), to_groq(history)
    check_claudes_rules(claude)
    check_groqs_rules(groq)
    assert claude_items(claude) == expected_items(history, "(sin salida)")
    assert groq_items(groq) == expected_items(history, "")


@given(histories())
@settings(max_examples=50, deadline=None)
def test_the_old_part_is_byte_stable(history: list[Message]) -> None:
    longer = [*history, assistant("Sí."), user("sigue")]
    assert to_groq(longer)[: len(to_groq(history))] == to_groq(history)
    before, after = to_claude(history)["messages"], to_claude(longer)["messages"]
    strip = lambda messages: json.loads(json.dumps(messages).replace(', "cache_control": {"type": "ephemeral"}', ""))  # noqa: E731
    assert strip(after)[: len(before)] == strip(before)


replies = st.fixed_dictionaries(
    {
        "text": st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30),
        "calls": st.lists(
            st.fixed_dictionaries({"name": st.just("read_file"), "arguments": objects.map(json.dumps)}), max_size=3
        ),
        "thinking": st.sampled_from(["", "Pienso, luego existo"]),
    }
)


def heard(reader: ReplyReader, origin: Origin, wire: bytes, cut: int) -> Reply:
    """Reads a wire that arrives in pieces of `cut` bytes."""
    decoder, items = EventDecoder(), list[StreamItem]()
    for start in range(0, len(wire), cut):
        for event, data in decoder.feed(wire[start : start + cut]):
            items += reader.feed(event, data)
    items += reader.end()
    end = items[-1]
    assert isinstance(end, StreamEnd)
    words = "".join(i.text for i in items if isinstance(i, TextDelta))
    return build_reply(words, [i.call for i in items if isinstance(i, ToolCallDelta)], end, origin)


@given(st.lists(replies, min_size=1, max_size=6), st.integers(1, 50))
@settings(max_examples=80, deadline=None)
def test_a_conversation_goes_from_groq_to_claude_and_back(script: list[dict[str, Any]], cut: int) -> None:
    history = [user("hola")]
    for turn, step in enumerate(script):
        request = ModelRequest(history)
        if turn % 2:
            wire = b"".join(anthropic_events(step, CLAUDE.model, turn))
            reply = heard(MessageReader(CLAUDE), CLAUDE, wire, cut)
        else:
            wire = b"".join(chat_events(step, GROQ.model, turn))
            reply = heard(ChatReader(request, GROQ), GROQ, wire, cut)
        assert reply.text == step["text"]
        assert [json.loads(c.arguments) for c in reply.tool_calls] == [
            json.loads(c["arguments"]) for c in step["calls"]
        ]
        history.append(assistant(reply.text, *reply.tool_calls, native=reply.native))
        history += [result(c.id, f"resultado de {c.id}") for c in reply.tool_calls] + [user("sigue")]
    claude, groq = to_claude(history), to_groq(history)
    check_claudes_rules(claude)
    check_groqs_rules(groq)
    assert claude_items(claude) == expected_items(history, "(sin salida)")
    assert groq_items(groq) == expected_items(history, "")


# ---------------------------------------------------------------- one by one


def test_parallel_results_go_into_one_message_with_the_words_that_follow() -> None:
    history = [user("a"), assistant("", call("1"), call("2")), result("2", "dos"), result("1", "uno"), user("y b")]
    last = to_claude(history)["messages"][-1]["content"]
    assert [b.get("content") or b.get("text") for b in last] == ["uno", "dos", "y b"]


def test_errors_are_marked() -> None:
    history = [user("a"), assistant("", call("1")), result("1", "no existe", is_error=True)]
    assert to_claude(history)["messages"][-1]["content"][0]["is_error"] is True


def test_a_lost_result_and_a_result_without_a_call_do_not_break_the_conversation() -> None:
    history = [user("a"), result("0", "huérfano"), assistant("", call("1")), user("¿sigues?")]
    check_claudes_rules(to_claude(history))
    check_groqs_rules(to_groq(history))


def test_foreign_ids_are_mapped_the_same_way_in_call_and_result() -> None:
    history = [user("a"), assistant("", call("functions.read:0")), result("functions.read:0")]
    body = to_claude(history)
    used, answered = body["messages"][1]["content"][0]["id"], body["messages"][2]["content"][0]["tool_use_id"]
    assert used == answered == wire_id("functions.read:0") != wire_id("functions.read:1")


ODD_NAMES = ("repo_browser.list<|channel|>json", "", "a" * 65, "leer archivo", "¿qué?")


def test_names_that_no_service_accepts_are_translated_alike_everywhere() -> None:
    for name in ODD_NAMES:
        history = [user("a"), assistant("", call("1", name=name)), result("1")]
        said = to_claude(history)["messages"][1]["content"][0]["name"]
        assert said == to_groq(history)[2]["tool_calls"][0]["function"]["name"] == wire_name(name)
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", said)
    assert wire_name("read_file") == "read_file"
    assert len({wire_name(name) for name in (*ODD_NAMES, "leer_archivo", "leer.archivo")}) == len(ODD_NAMES) + 2


def test_an_offered_tool_is_called_by_its_own_name() -> None:
    odd = ToolSchema("repo.browse", "", {"type": "object", "properties": {}})
    request = ModelRequest([user("a")], model="m", tools=[odd])
    wire_tool = wire_name("repo.browse")
    claude, groq = messages_body(request), chat_body(request, "max_tokens")
    assert json.loads(json.dumps(claude))["tools"][0]["name"] == wire_tool
    assert json.loads(json.dumps(groq))["tools"][0]["function"]["name"] == wire_tool
    step = {"calls": [{"name": wire_tool, "arguments": {}}]}
    heard_by = {
        GROQ: (ChatReader(request, GROQ), chat_events), CLAUDE: (MessageReader(CLAUDE, [odd]), anthropic_events)
    }  # fmt: skip
    for origin, (reader, speak) in heard_by.items():
        [made] = heard(reader, origin, b"".join(speak(step, "m", 1)), 30).tool_calls
        assert made.name == "repo.browse"


def test_ids_that_a_server_uses_again_are_renamed() -> None:
    earlier = [user("a"), assistant("", call("call_0")), result("call_0")]
    wire = b"".join(chat_events({"calls": [{"name": "x", "id": "call_0"}, {"name": "y", "id": "call_0"}]}, "m", 1))
    reply = heard(ChatReader(ModelRequest(earlier), GROQ), GROQ, wire, 999)
    assert len({"call_0", *(c.id for c in reply.tool_calls)}) == 3


def test_a_conversation_never_ends_or_begins_with_the_assistant_for_claude() -> None:
    check_claudes_rules(to_claude([assistant("Resumen"), user("a"), assistant("medio")]))
    check_claudes_rules(to_claude([]))


def test_system_messages_at_the_start_join_the_system_prompt() -> None:
    body = to_claude([Message(role="system", content="Sé breve"), user("a")])
    assert body["system"][0]["text"] == "Eres Nanobot\n\nSé breve"


def thinking_history() -> list[Message]:
    blocks: list[dict[str, Any]] = [
        {"type": "thinking", "thinking": "", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {"path": "a"}},
    ]
    native = NativeBlocks(provider="anthropic", model=CLAUDE.model, blocks=blocks)
    return [user("a"), assistant("", call("toolu_1"), native=native), result("toolu_1", "contenido")]


def kinds(body: dict[str, Any]) -> list[str]:
    return [block["type"] for m in body["messages"] for block in m["content"]]


def test_thinking_goes_back_to_the_same_model_within_its_turn() -> None:
    assert kinds(to_claude(thinking_history())) == ["text", "thinking", "tool_use", "tool_result"]


def test_thinking_is_left_out_of_older_turns_for_other_models_and_when_the_call_changed() -> None:
    plain = ["text", "tool_use", "tool_result"]
    history = thinking_history()
    assert kinds(to_claude([*history, assistant("Listo"), user("b")]))[:3] == plain
    other = messages_body(ModelRequest(history, model="claude-sonnet-5-5"))
    assert kinds(json.loads(json.dumps(other))) == plain
    assert kinds(to_claude(history, replay=False)) == plain
    changed = [history[0], history[1].model_copy(update={"tool_calls": (call("otra"),)}), result("otra")]
    assert kinds(to_claude(changed)) == plain
    assert "thinking" not in json.dumps(to_groq(history))


def test_thinking_is_kept_exactly_and_text_alone_is_not_kept_twice() -> None:
    step = {"text": "Hola", "thinking": "Mmm", "calls": [{"name": "x", "id": "toolu_9", "arguments": {"a": 1}}]}
    wire = b"".join(anthropic_events(step, CLAUDE.model, 1))
    native = heard(MessageReader(CLAUDE), CLAUDE, wire, 7).native
    assert native and native.blocks == [
        {"type": "thinking", "thinking": "Mmm", "signature": "c2lnbmF0dXJl"},
        {"type": "text", "text": "Hola"},
        {"type": "tool_use", "id": "toolu_9", "name": "x", "input": {"a": 1}},
    ]
    plain = b"".join(anthropic_events({"text": "Hola"}, CLAUDE.model, 1))
    assert heard(MessageReader(CLAUDE), CLAUDE, plain, 7).native is None


def test_paragraphs_after_thinking_are_kept_apart() -> None:
    wire = b"".join(anthropic_events({"text": ["Voy a mirar.", "Ya está."]}, CLAUDE.model, 1))
    assert heard(MessageReader(CLAUDE), CLAUDE, wire, 64).text == "Voy a mirar.\n\nYa está."


def test_cache_breakpoints_stand_after_the_system_prompt_the_turns_start_and_the_end() -> None:
    body = to_claude([user("a"), assistant("b"), user("c"), assistant("", call("1")), result("1")])
    assert "cache_control" in body["system"][0]
    marked = [b for m in body["messages"] for b in m["content"] if "cache_control" in b]
    assert [b.get("text") or b.get("tool_use_id") for b in marked] == ["c", "1"]
    assert "cache_control" in json.dumps(messages_body(ModelRequest([user("a")], tools=[TOOL]))["tools"])


def test_pause_and_full_window_mean_an_unfinished_answer() -> None:
    for reason in ("pause_turn", "max_tokens", "model_context_window_exceeded"):
        wire = b"".join(anthropic_events({"text": "a", "finish": reason}, CLAUDE.model, 1))
        assert heard(MessageReader(CLAUDE), CLAUDE, wire, 64).stop_reason == "length"


def chunk(**piece: Any) -> bytes:
    choice = {"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\r\n\r\n"


def test_fragments_belong_to_the_newest_call_of_their_number() -> None:
    wire = chunk(index=0, id="a", function={"name": "x", "arguments": ""}) + chunk(
        index=0, function={"arguments": "{}"}
    )
    wire += chunk(index=0, id="b", function={"name": "y", "arguments": ""})
    wire += chunk(index=0, function={"arguments": '{"p": '}) + chunk(index=0, function={"arguments": "1}"})
    wire += b'data: {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}\n\n'
    reply = heard(ChatReader(ModelRequest([]), GROQ), GROQ, wire, 9)
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [("a", "x", "{}"), ("b", "y", '{"p": 1}')]


def test_a_reply_cut_by_its_length_keeps_no_call_and_no_thinking() -> None:
    calls = [{"name": "read_file", "arguments": {"path": "a"}}, {"name": "list_dir", "arguments": ""}]
    for finish, speak, reader, origin in (
        ("length", chat_events, ChatReader(ModelRequest([]), GROQ), GROQ),
        ("max_tokens", anthropic_events, MessageReader(CLAUDE), CLAUDE),
    ):
        step = {"text": "Voy", "thinking": "Mmm", "calls": calls, "finish": finish}
        reply = heard(reader, origin, b"".join(speak(step, "m", 1)), 50)
        assert (reply.stop_reason, reply.tool_calls, reply.native, reply.text) == ("length", (), None, "Voy")


def test_a_local_server_that_numbers_every_call_zero_or_sends_objects() -> None:
    wire = chunk(index=0, id="a", function={"name": "x", "arguments": {"n": 1}})
    wire += chunk(index=0, id="b", function={"name": "y", "arguments": '{"n": 2}'})
    wire += b': keep-alive\n\ndata: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'
    reply = heard(ChatReader(ModelRequest([]), GROQ), GROQ, wire, 9)
    assert [(c.name, json.loads(c.arguments)) for c in reply.tool_calls] == [("x", {"n": 1}), ("y", {"n": 2})]
    assert reply.stop_reason == "tool_calls"
