"""Whatever goes wrong becomes a Spanish sentence: JSON for programs, a page for people."""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from app.core import texts_web
from app.core.errors import ConfigError, SessionError, StorageError
from app.web.headers import HEADERS
from app.web.parts import web_parts
from app.web.rendering import page


class Problem(BaseModel):
    """`error`: a Spanish sentence."""

    error: str


def problems(*more: int) -> dict[int | str, dict[str, object]]:
    """For the API's description: what any of its operations may answer, and these."""
    return {status: {"model": Problem} for status in sorted({400, 401, 403, 404, 408, 413, 422, *more})}


def problem(request: HTTPConnection, status: int, text: str) -> Response:
    text = web_parts(request).redactor.redact(text)
    if request.scope["path"].startswith("/api/"):
        return JSONResponse({"error": text}, status)
    return page(request, "problem.html", status=status, text=text)


def install_problems(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(StorageError, _storage)
    app.add_exception_handler(SessionError, _session)
    app.add_exception_handler(ConfigError, _setting)
    app.add_exception_handler(Exception, _unexpected)


async def _http(request: Request, error: Exception) -> Response:
    error = cast("HTTPException", error)
    response = problem(request, error.status_code, texts_web.http_problem(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _malformed(request: Request, error: Exception) -> Response:
    found = cast("RequestValidationError", error).errors()
    fields = [".".join(str(part) for part in item["loc"][1:]) for item in found]
    return problem(request, 422, texts_web.malformed_request([field for field in fields if field]))


async def _storage(request: Request, error: Exception) -> Response:
    return problem(request, 507, str(error))


async def _session(request: Request, error: Exception) -> Response:
    return problem(request, 404, str(error))


async def _setting(request: Request, error: Exception) -> Response:
    return problem(request, 422, str(error))


async def _unexpected(request: Request, error: Exception) -> Response:
    """The server logs `error` itself, with its traceback. This answer does not pass the gate."""
    response = problem(request, 500, texts_web.INTERNAL_PROBLEM)
    response.headers.update(HEADERS)
    return response
