"""A model that answers from what it is shown alone, so that a call repeated after a crash gets the same answer."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.llm import FakeLLM, Step

_DATE = re.compile(r"\n*\[\d{4}-[^\]]*\]\s*$")


class ScriptedLLM(FakeLLM):
    """`plans`: word → the steps of tool calls that a message with this word needs before its answer.

    The answer is `FIN` and every message that it answers; `largo` in one of them makes it several Telegram messages,
    `poco` a stream, `despacio` late.
    """

    def __init__(self, plans: dict[str, list[list[dict[str, Any]]]], *, groq_down: bool = False) -> None:
        super().__init__()
        self._plans = plans
        self._groq_down = groq_down

    def _take(self, api: str, model: str) -> Step:
        if api == "groq" and self._groq_down:
            return {"status": 503, "body": {"error": {"message": "down"}}}
        asked, done = situation(self.requests[-1].body["messages"])
        plan = next((steps for word, steps in self._plans.items() if any(word in text for text in asked)), [])
        if done < len(plan):
            return {"calls": plan[done]}
        answer = f"FIN {' '.join(asked)}"
        if any("largo" in text for text in asked):
            answer += "".join(f"\n\nPárrafo {n}: " + "palabra " * 60 for n in range(20))
        return {"text": answer, "gap": 0.005 if "poco" in answer else 0, "delay": 1 if "despacio" in answer else 0}


def situation(messages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """(what the user has asked since the last answer, how many steps of calls have been made for it)."""
    asked: list[str] = []
    steps = 0
    for message in messages:
        content: Any = message["content"]
        blocks: list[dict[str, Any]] = content if isinstance(content, list) else []
        said = "".join(b.get("text", "") for b in blocks) if blocks else str(content or "")
        if message["role"] == "user" and said:
            asked.append(_DATE.sub("", said))
        elif message["role"] == "assistant":
            calls = message.get("tool_calls") or [b for b in blocks if b.get("type") == "tool_use"]
            asked, steps = (asked, steps + 1) if calls else ([], 0)
    return asked, steps
