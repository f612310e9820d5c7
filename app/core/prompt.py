"""What a model is shown: the system prompt and the messages as they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from app.core import texts
from app.core.contracts import Surroundings, ToolSchema
from app.core.messages import Message
from app.core.usage import count_message, count_text, count_tool

_SHORT_RESULT = 200  # tokens that stay of an old tool result in an overfull turn
_BASE_TOKENS = 1_950  # system prompt and tool schemas together stay below 2,000


async def system_prompt(around: Surroundings, folder: str, schemas: Sequence[ToolSchema]) -> str:
    """Byte-stable as long as project, memory files and tools are the same: prompt caches depend on it."""
    base = texts.system_prompt(around.system, around.shell, folder, await around.projects())
    left = _BASE_TOKENS - count_text(base) - sum(map(count_tool, schemas))
    memory = await around.memory()
    if memory and left > 50:
        return base + texts.memory_section(_fit(memory, left - 30))
    return base


def count(messages: Sequence[Message]) -> int:
    """Estimated tokens."""
    return sum(map(count_message, messages))


def dress(messages: Sequence[Message], zone: str) -> list[Message]:
    """Each user message carries its own time: the newest tells the date, the older ones stay as they were."""
    tz = ZoneInfo(zone)

    def with_time(message: Message) -> Message:
        if message.role != "user" or not message.ts:
            return message
        try:
            moment = texts.moment(datetime.fromtimestamp(message.ts, tz), zone)
        except (OverflowError, ValueError, OSError):  # a flipped digit in the log
            return message
        return message.model_copy(update={"content": f"{message.content}\n\n{moment}"})

    return [with_time(m) for m in messages]


def clip(messages: Sequence[Message], limit: int) -> list[Message]:
    """No single message may fill a small window: each is cut in the middle at `limit` tokens, always alike."""
    return [
        m if count_message(m) <= limit else m.model_copy(update={"content": texts.cut_middle(m.content, limit * 3)})
        for m in messages
    ]


def squeeze(messages: Sequence[Message], limit: int) -> list[Message]:
    """When all of it exceeds `limit` tokens, tool results are shortened, the oldest first, until it fits.

    For a turn that has read more than the window holds: what it has not finished cannot be summed up yet.
    """
    shown, excess = list(messages), count(messages) - limit
    for index, message in enumerate(shown):
        if excess <= 0:
            break
        size = count_message(message)
        if message.role == "tool" and size > _SHORT_RESULT:
            short = message.model_copy(update={"content": texts.cut_middle(message.content, _SHORT_RESULT * 2)})
            shown[index], excess = short, excess - size + count_message(short)
    return shown


def _fit(text: str, tokens: int) -> str:
    while count_text(text) > tokens:
        text = text[: int(len(text) * 0.9)]
    return text
