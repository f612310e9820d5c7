"""A tool call that the model wrote badly: read it anyway when there is no doubt what it says.

Seen in Groq's `failed_generation`: a JSON object or array of calls (sometimes fenced), and
`<function=name={...}</function>`, `<function=name>{...}</function>`, `<function(name){...}</function>`,
`<tool_call>{...}</tool_call>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from app.cloud import jsonvalues as js
from app.cloud.history import wire_name
from app.cloud.openai_dialect import new_call_id
from app.core.contracts import ToolSchema
from app.core.errors import BadToolCall
from app.core.messages import Message, ToolCall

_OPENING, _CLOSING = re.compile(r"<function(?!>)"), re.compile(r"</?function>")
# After the opening: a name in one of the usual notations. Possessive, so that no text makes it slow.
_HEAD = re.compile(r"\s*+[=(]?+\s*+[\"']?+([\w.-]++)[\"']?+\s*+[=>),:]*+\s*+(?=\{)")
_MAX_LOOKED_AT = 16_384  # characters; a longer text is not repaired
_MAX_QUOTED = 300


def repaired_calls(failed_generation: str, tools: Sequence[ToolSchema]) -> tuple[ToolCall, ...]:
    """The calls that it holds, when every one is a valid call of an offered tool; else nothing."""
    if len(failed_generation) > _MAX_LOOKED_AT:
        return ()
    offered = {wire_name(tool.name): tool for tool in tools}
    calls: list[ToolCall] = []
    for name, arguments in _candidates(failed_generation.strip()):
        name = name.removeprefix("functions.").partition("<|")[0]
        tool = offered.get(name)
        if tool is None or not _fits(arguments, tool):
            return ()
        calls.append(ToolCall(id=new_call_id(), name=tool.name, arguments=js.dump(arguments)))
    return tuple(calls)


def retry_note(error: BadToolCall) -> Message:
    """What the model is told, in that one request, about the call that could not be read."""
    quoted = f" Esto es lo que escribiste: {error.failed_generation[:_MAX_QUOTED]}" if error.failed_generation else ""
    return Message(
        role="user",
        content=(
            "[Aviso del programa] Tu última llamada a una herramienta no se pudo leer y no se ha ejecutado. "
            "Repítela usando solo las herramientas ofrecidas, con los argumentos como un objeto JSON válido y con "
            f"todos los campos obligatorios, o responde sin herramientas.{quoted}"
        ),
    )


def _candidates(text: str) -> Iterator[tuple[str, object]]:
    """(name, arguments) of every call that begins in `text`; one that cannot be read has an empty name."""
    _, *functions = _OPENING.split(text)
    if functions:
        yield from map(_function, functions)
        return
    _, *tagged = text.split("<tool_call>")
    for part in tagged or [text]:
        yield from _named(_parse(_bare(part.partition("</tool_call>")[0])))


def _function(text: str) -> tuple[str, object]:
    head = _HEAD.match(text)
    if head is None:
        return "", None
    arguments = _CLOSING.split(text[head.end() :], maxsplit=1)[0]
    return head[1], _parse(arguments.rstrip().removesuffix(">"))


def _bare(text: str) -> str:
    """Without the fence that some models put around JSON."""
    text = text.strip()
    fenced = text.startswith("```") and text.endswith("```")
    return text[3:-3].removeprefix("json") if fenced else text


def _parse(text: str) -> object:
    try:
        return js.parse(text)
    except ValueError:
        return None


def _named(value: object) -> Iterator[tuple[str, object]]:
    """(name, arguments) of every call in one of the usual JSON shapes; an unreadable one has an empty name."""
    inner = js.as_object(value)
    calls = js.as_list(value) or js.as_list(inner.get("tool_calls"))
    if calls:
        for call in calls:
            yield from _named(call)
        return
    inner = js.as_object(inner.get("function")) or inner
    arguments = inner.get("arguments", inner.get("parameters", inner.get("input")))
    yield js.as_text(inner.get("name")), _parse(arguments) if isinstance(arguments, str) else arguments


def _fits(arguments: object, tool: ToolSchema) -> bool:
    """A JSON object with the required keys and no invented one."""
    if not js.is_object(arguments):
        return False
    given = set(arguments)
    known = js.as_object(tool.parameters.get("properties"))
    return set(js.as_list(tool.parameters.get("required"))) <= given and (not known or given <= set(known))
