"""What the fake Telegram is made of: calls as they come, answers as they leave, chats, people, files."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiohttp import web

from tests.fakes import telegram_text

Json = dict[str, Any]
T = TypeVar("T")


class ApiError(Exception):
    def __init__(self, code: int, description: str, **parameters: int) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.parameters = parameters


def bad_request(sentence: str) -> ApiError:
    return ApiError(400, f"Bad Request: {sentence}")


def forbidden(sentence: str) -> ApiError:
    return ApiError(403, f"Forbidden: {sentence}")


def too_many(retry_after: int) -> ApiError:
    return ApiError(429, f"Too Many Requests: retry after {retry_after}", retry_after=retry_after)


@dataclass
class Upload:
    filename: str
    content_type: str
    content: bytes


@dataclass
class Call:
    """One request as it came; `at` is time.monotonic(). `result` is None until it was answered with success."""

    number: int
    method: str
    params: Json
    files: dict[str, Upload]
    at: float
    result: Any = None
    error: str = ""

    @property
    def chat_id(self) -> int | None:
        value = str(self.params.get("chat_id"))
        return int(value) if value.removeprefix("-").isdigit() else None


@dataclass
class Chat:
    id: int
    kind: str
    messages: dict[int, Json] = field(default_factory=dict[int, Json])
    drafts: dict[int, str] = field(default_factory=dict[int, str])
    refusal: ApiError | None = None
    sent_at: list[float] = field(default_factory=list[float])
    last_id: int = 0
    threads: set[int] = field(default_factory=set[int])
    closed_threads: set[int] = field(default_factory=set[int])

    def as_json(self) -> Json:
        extra = {"title": f"Grupo {-self.id}"} if self.kind != "private" else {"first_name": f"Persona {self.id}"}
        return {"id": self.id, "type": self.kind} | extra

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id


def person(user_id: int) -> Json:
    return {"id": user_id, "is_bot": False, "first_name": f"Persona {user_id}", "language_code": "es"}


def quoted(message: Json) -> Json:
    """Telegram nests only one level of replies."""
    return {name: value for name, value in message.items() if name != "reply_to_message"}


def found_entities(text: str) -> list[Json]:
    """What Telegram itself marks in a person's text, as far as a bot is concerned by it."""
    name = "[A-Za-z0-9_]"
    kinds = {  # TDLib, MessageEntity.cpp: /etc/hosts is no command, a@b.es no mention
        "bot_command": rf"(?<![\w/<>])/{name}{{1,64}}(?:@{name}{{3,32}})?(?![\w/<>])",
        "mention": rf"(?<![\w@/])@{name}{{3,32}}(?!\w)",
    }
    found = [
        {"type": kind, "offset": telegram_text.utf16_len(text[: m.start()]), "length": len(m[0])}
        for kind, pattern in kinds.items()
        for m in re.finditer(pattern, text)
    ]
    return sorted(found, key=lambda entity: entity["offset"])


def document_json(file_id: str, name: str, mime_type: str, size: int) -> Json:
    file = {"file_id": file_id, "file_unique_id": file_id[-8:], "file_size": size}
    return file | {"file_name": name, "mime_type": mime_type}


def refusal(error: ApiError) -> web.Response:
    answer: Json = {"ok": False, "error_code": error.code, "description": error.description}
    if error.parameters:
        answer["parameters"] = error.parameters
    pause = error.parameters.get("retry_after")
    return web.json_response(answer, status=error.code, headers={"Retry-After": str(pause)} if pause else None)


def hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.02)


def true(value: object) -> bool:
    return str(value).lower() in {"true", "1", "yes"}


def parsed(value: object, kind: type[T]) -> T:
    """Nested objects come as JSON text, or as they are in a JSON body."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        raise bad_request("can't parse entities: object expected") from None
    if not isinstance(parsed, kind):
        raise bad_request(f"object expected as {kind.__name__}")
    return parsed


def reply_markup(value: object) -> Json:
    if not value:
        return {}
    markup = parsed(value, dict)
    no_button = "can't parse inline keyboard button: "
    for button in (b for row in markup.get("inline_keyboard", []) for b in row):
        if not button.get("text"):
            raise bad_request(f'{no_button}Field "text" must be of type String')
        if "callback_data" in button:
            if not 1 <= len(str(button["callback_data"]).encode()) <= 64:
                raise bad_request("BUTTON_DATA_INVALID")
        elif len(button) < 2:
            raise bad_request(f"{no_button}Text buttons are unallowed in the inline keyboard")
    return markup


async def read_params(request: web.Request) -> tuple[Json, dict[str, Upload]]:
    params: Json = dict(request.query)
    files: dict[str, Upload] = {}
    if request.content_type == "application/json":
        params |= await request.json()
    elif request.method == "POST":
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files[name] = Upload(value.filename, value.content_type, value.file.read())
                value.file.close()
            else:
                params[name] = value
    return params, files
