"""A small fake of Groq, Anthropic and an OpenAI-compatible server: their documented wire formats, scripted.

It says what aimock cannot: rate-limit headers on a 200, `failed_generation`, error events after a 200, cache
tokens, clean truncation, stalls. One server speaks all three:

    {url}/openai/v1/chat/completions, /openai/v1/models     Groq       (api "groq")
    {url}/v1/messages, /v1/models, /v1/models/{id}          Anthropic  (api "anthropic")
    {url}/local/v1/chat/completions, /local/v1/models       local      (api "local")

Each request takes the first step of `script` that fits its api; without one the answer is the text "ok". A step:

    api, model                 only for this api, this model
    status, body, headers      an answer that is not a stream (headers also go with a stream)
    text, calls, thinking      what the model says; calls: [{"name", "arguments" (text or object), "id"}]
    usage, finish              usage in the api's own fields; finish in the api's own words
    delay, gap, linger         seconds before the answer, between pieces, and before the end of the body
    fault, after               refuse | cut | truncate | malformed | stall | keepalive | error, after so many pieces
    flood                      these bytes again and again, up to 40 MB, as the body (with status: of an error)
    halves                     seconds between the two halves of an error's body
    error                      the body of the error event of fault "error"

As a process: `python -m tests.fakes.llm --port 0` prints `LLM PORT`. POST /_control {"script": [...], "models":
{...}} adds to the script; GET /_control gives the recorded requests; DELETE /_control forgets everything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

Step = dict[str, Any]
PIECE = 8  # characters per delta
DEFAULT_MODELS = {
    "groq": [
        {"id": "openai/gpt-oss-120b", "object": "model", "active": True, "context_window": 131072},
        {"id": "openai/gpt-oss-20b", "object": "model", "active": True, "context_window": 131072},
    ],
    "anthropic": [
        {"id": "claude-haiku-5-5", "type": "model", "lifecycle": "active", "max_input_tokens": 1000000},
        {"id": "claude-sonnet-5-5", "type": "model", "lifecycle": "active", "max_input_tokens": 1000000},
    ],
    "local": [{"id": "qwen3:8b", "object": "model"}],
}


@dataclass
class Recorded:
    api: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)


class FakeLLM:
    def __init__(self) -> None:
        self.script: list[Step] = []
        self.requests: list[Recorded] = []
        self.models: dict[str, Any] = dict(DEFAULT_MODELS)
        self.peers: set[int] = set()  # the client's port of every connection that a chat request came on
        self.port = 0
        self.flooded = 0  # bytes
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def local_url(self) -> str:
        return f"{self.url}/local/v1"

    def say(self, *steps: Step) -> None:
        self.script.extend(steps)

    def calls(self, api: str = "") -> list[dict[str, Any]]:
        """The bodies of the chat requests so far."""
        return [r.body for r in self.requests if r.body and api in ("", r.api)]

    def asked(self) -> list[str]:
        """The models asked so far, in order."""
        return [body["model"] for body in self.calls()]

    async def start(self, port: int = 0) -> FakeLLM:
        app = web.Application(client_max_size=64_000_000)
        app.router.add_post("/openai/v1/chat/completions", partial(self._chat, api="groq"))
        app.router.add_post("/local/v1/chat/completions", partial(self._chat, api="local"))
        app.router.add_post("/v1/messages", partial(self._chat, api="anthropic"))
        app.router.add_get("/openai/v1/models", partial(self._models, api="groq"))
        app.router.add_get("/local/v1/models", partial(self._models, api="local"))
        app.router.add_get("/v1/models", partial(self._models, api="anthropic"))
        app.router.add_get("/v1/models/{id}", self._one_model)
        app.router.add_route("*", "/_control", self._control)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        self._closing.set()
        if self._runner:
            await self._runner.cleanup()

    # ------------------------------------------------------------ requests

    def _take(self, api: str, model: str) -> Step:
        for step in self.script:
            if step.get("api", api) == api and step.get("model", model) == model:
                self.script.remove(step)
                return step
        return {"text": "ok"}

    def _record(self, request: web.Request, api: str, body: dict[str, Any]) -> None:
        self.requests.append(Recorded(api, request.path, {k.lower(): v for k, v in request.headers.items()}, body))

    async def _chat(self, request: web.Request, api: str) -> web.StreamResponse:
        body = await request.json()
        self._record(request, api, body)
        assert request.transport
        self.peers.add(request.transport.get_extra_info("peername")[1])
        step = self._take(api, body.get("model", ""))
        await self._wait(step.get("delay", 0))
        if step.get("fault") == "refuse":
            request.transport.abort()
            return web.Response()
        if "flood" in step:
            return await self._flood(request, step)
        if "halves" in step:
            return await self._in_halves(request, step)
        if "status" in step:
            headers = step.get("headers", {})
            if isinstance(step.get("body"), str):
                return web.Response(status=step["status"], text=step["body"], headers=headers)
            return web.json_response(step.get("body", {}), status=step["status"], headers=headers)
        return await self._stream(request, api, step)

    async def _stream(self, request: web.Request, api: str, step: Step) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **step.get("headers", {})})
        await response.prepare(request)
        self._count += 1
        model = (await request.json())["model"]
        speak = anthropic_events if api == "anthropic" else chat_events
        pieces = list(speak(step, model, self._count))
        after = step.get("after", 2) if step.get("fault") else len(pieces)
        for piece in pieces[:after]:
            await response.write(piece)
            await self._wait(step.get("gap", 0))
        match step.get("fault"):
            case "cut":
                assert request.transport
                await asyncio.sleep(0.01)  # let what was written leave first
                request.transport.abort()
            case "malformed":
                await response.write(b'event: content_block_delta\ndata: {"id": "chatcmpl-1", "choi\n\n')
            case "error":
                await response.write(b"event: error\ndata: " + _json(step["error"]) + b"\n\n")
            case "stall":
                await self._closing.wait()
            case "keepalive":
                sign = b'event: ping\ndata: {"type": "ping"}\n\n' if api == "anthropic" else b": keep-alive\n\n"
                while not self._closing.is_set() and request.transport:
                    await response.write(sign)
                    await self._wait(0.02)
            case _:
                pass  # truncate: a clean end in the middle
        await self._wait(step.get("linger", 0))
        return response

    async def _flood(self, request: web.Request, step: Step) -> web.StreamResponse:
        response = web.StreamResponse(status=step.get("status", 200), headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        block = step["flood"] * (65_536 // len(step["flood"]) + 1)
        with suppress(ConnectionError):
            while self.flooded < 40_000_000:
                await response.write(block)
                self.flooded += len(block)
        return response

    async def _in_halves(self, request: web.Request, step: Step) -> web.StreamResponse:
        response = web.StreamResponse(status=step["status"], headers={"Content-Type": "application/json"})
        await response.prepare(request)
        body = _json(step["body"])
        await response.write(body[:40])
        await self._wait(step["halves"])
        await response.write(body[40:])
        return response

    async def _wait(self, seconds: float) -> None:
        if seconds:
            await asyncio.wait([asyncio.ensure_future(self._closing.wait())], timeout=seconds)

    async def _models(self, request: web.Request, api: str) -> web.Response:
        self._record(request, api, {})
        listing = self.models[api]
        if isinstance(listing, int):
            return web.json_response({"error": {"message": "no"}}, status=listing)
        return web.json_response({"object": "list", "data": listing})

    async def _one_model(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        if name in self.models.get("aliases", []):
            return web.json_response({"id": name, "type": "model"})
        error = {"type": "not_found_error", "message": f"model: {name}"}
        return web.json_response({"type": "error", "error": error}, status=404)

    async def _control(self, request: web.Request) -> web.Response:
        if request.method == "DELETE":
            self.script.clear()
            self.requests.clear()
        elif request.method == "POST":
            order = await request.json()
            self.script.extend(order.get("script", []))
            self.models.update(order.get("models", {}))
        return web.json_response([asdict(recorded) for recorded in self.requests])


# ---------------------------------------------------------------- wire formats


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _split(text: str) -> list[str]:
    return [text[i : i + PIECE] for i in range(0, len(text), PIECE)]


def _calls(step: Step, count: int) -> Iterator[tuple[str, str, str]]:
    for n, call in enumerate(step.get("calls", [])):
        arguments = call.get("arguments", "{}")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        yield call.get("id", f"call_{count}_{n}"), call["name"], text


def chat_events(step: Step, model: str, count: int) -> Iterator[bytes]:
    base = {"id": f"chatcmpl-{count}", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return b"data: " + _json({**base, "choices": [choice], **more}) + b"\n\n"

    yield chunk({"role": "assistant", "content": ""}, x_groq={"id": f"req_{count}"})
    for piece in _split(step.get("thinking", "")):
        yield chunk({"reasoning": piece})
    for piece in _split(step.get("text", "")):
        yield chunk({"content": piece})
    for index, (call_id, name, arguments) in enumerate(_calls(step, count)):
        function = {"name": name, "arguments": ""}
        yield chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
        for piece in _split(arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    finish = step.get("finish", "tool_calls" if step.get("calls") else "stop")
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120} | step.get("usage", {})
    yield chunk({}, finish, x_groq={"id": f"req_{count}", "usage": usage})
    yield b"data: [DONE]\n\n"


def anthropic_events(step: Step, model: str, count: int) -> Iterator[bytes]:
    def event(kind: str, **body: Any) -> bytes:
        return b"event: " + kind.encode() + b"\ndata: " + _json({"type": kind, **body}) + b"\n\n"

    def delta(index: int, **what: Any) -> bytes:
        return event("content_block_delta", index=index, delta=what)

    usage = {"input_tokens": 100, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
    message = {"id": f"msg_{count}", "type": "message", "role": "assistant", "model": model, "content": []}
    usage |= step.get("usage", {})
    yield event("message_start", message={**message, "stop_reason": None, "usage": usage})
    yield event("ping")
    index = 0
    if thinking := step.get("thinking"):
        yield event(
            "content_block_start", index=index, content_block={"type": "thinking", "thinking": "", "signature": ""}
        )
        for piece in _split(thinking):
            yield delta(index, type="thinking_delta", thinking=piece)
        yield delta(index, type="signature_delta", signature=step.get("signature", "c2lnbmF0dXJl"))
        yield event("content_block_stop", index=index)
        index += 1
    texts = step.get("text", "")
    for text in [texts] if isinstance(texts, str) else texts:
        if text:
            yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
            for piece in _split(text):
                yield delta(index, type="text_delta", text=piece)
            yield event("content_block_stop", index=index)
            index += 1
    for call_id, name, arguments in _calls(step, count):
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        yield event("content_block_start", index=index, content_block=block)
        for piece in _split(arguments):
            yield delta(index, type="input_json_delta", partial_json=piece)
        yield event("content_block_stop", index=index)
        index += 1
    stop = step.get("finish", "tool_use" if step.get("calls") else "end_turn")
    output = {"output_tokens": step.get("usage", {}).get("output_tokens", 20)}
    yield event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=output)
    yield event("message_stop")


async def _serve(port: int) -> None:
    fake = await FakeLLM().start(port)
    sys.stdout.write(f"LLM {fake.port}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
