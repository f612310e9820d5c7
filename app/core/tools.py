"""What the model can do. Each tool is a typed function: its docstring and annotations are what the model reads."""

from __future__ import annotations

import re
import shlex
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated

from app.core import consent, git_run, texts
from app.core import network as networks
from app.core.contracts import RunLimits
from app.core.errors import ToolError
from app.core.foreign import FRAME_ROOM, restored
from app.core.machine import folder, machine
from app.core.risk import free_words, git_risk, plain_words, shell_risk, write_risk
from app.core.toolkit import Risk, tool

_NOTES = 200  # characters for the notes below a text


@tool(risk=shell_risk)
async def execute_shell(
    command: Annotated[str, "Orden completa, con tuberías si hacen falta"],
    network: Annotated[bool, "true si necesita internet: pide permiso"] = False,
) -> str:
    """Ejecuta una orden en la carpeta del proyecto y devuelve su salida y código."""
    if not command.strip():
        raise ToolError(texts.EMPTY_COMMAND)
    _refuse_marks(command)
    await machine().sandbox.ready(shell=True)  # noqa: S604  no shell of subprocess
    words = plain_words(command)
    if words[:1] == ["git"] and len(words) > 1:
        return await _git(words[1:])
    return await _run(free_words(command) or machine().sandbox.shell(command), network=network)


@tool()
async def read_file(
    path: Annotated[str, "Ruta, relativa al proyecto"],
    offset: Annotated[int, "Primera línea"] = 1,
    limit: Annotated[int, "Número de líneas"] = 400,
) -> str:
    """Lee un archivo de texto por líneas."""
    first = max(1, offset)
    text = await machine().workspace.read(path, folder(), offset=first, limit=max(1, limit))
    if not text.text:
        if text.truncated:
            return texts.too_far(first)
        return texts.EMPTY_FILE if text.total_lines == 0 else texts.past_the_end(text.total_lines)
    shown, lines, left = _whole_lines(text.text)
    return shown + (texts.more_lines(first + lines - 1, text.total_lines) if left or text.truncated else "")


@tool(risk=write_risk)
async def write_file(
    path: Annotated[str, "Ruta, relativa al proyecto"],
    content: Annotated[str, "Contenido completo"],
) -> str:
    """Crea o reemplaza un archivo de texto entero."""
    _refuse_marks(content)
    _refuse_notes(content)
    content = restored(content)
    done = await machine().workspace.write(path, folder(), content)
    return texts.file_written(path, done, len(content))


@tool(risk=write_risk)
async def edit_file(
    path: Annotated[str, "Ruta, relativa al proyecto"],
    old: Annotated[str, "Fragmento exacto que hay ahora, único en el archivo"],
    new: Annotated[str, "Fragmento que lo sustituye"],
) -> str:
    """Sustituye un fragmento exacto y único de un archivo."""
    _refuse_marks(old + new)
    _refuse_notes(old + new)
    line = await machine().workspace.edit(path, folder(), restored(old), restored(new))
    return texts.file_edited(path, line)


@tool()
async def list_dir(path: Annotated[str, "Carpeta, relativa al proyecto"] = ".") -> str:
    """Lista una carpeta."""
    entries, total = await machine().workspace.list_dir(path, folder())
    lines = [f"{e.name}/" if e.is_dir else f"{e.name}  {e.size} B" for e in entries]
    return (
        "\n".join(lines + ([texts.more_entries(total - len(entries))] if total > len(entries) else []))
        or texts.EMPTY_DIR
    )


@tool(risk=git_risk)
async def git_operation(cmd: Annotated[str, "Argumentos de git, p. ej. «status -sb»"]) -> str:
    """Ejecuta git (sin shell) en el proyecto."""
    _refuse_marks(cmd)
    return await _git(split_git(cmd))


@tool(risk=Risk.READ)
async def web_fetch(url: Annotated[str, "Dirección http(s) pública"]) -> str:
    """Descarga una página pública y devuelve su texto."""
    limit = machine().limits.output_chars - FRAME_ROOM
    page = await machine().fetcher.fetch(url, limit)
    return texts.fetched(page.url, page.title, page.text, truncated=page.truncated, limit=limit)


ALL_TOOLS = (execute_shell, read_file, write_file, edit_file, list_dir, git_operation, web_fetch)


def split_git(cmd: str) -> list[str]:
    """Arguments as a shell would split them; a leading `git` is ignored. Raises ToolError."""
    try:
        argv = shlex.split(cmd)
    except ValueError as error:
        raise ToolError(texts.unbalanced_quotes(str(error))) from None
    argv = argv[1:] if argv[:1] == ["git"] else argv
    if not argv:
        raise ToolError(texts.EMPTY_COMMAND)
    return argv


async def _git(argv: Sequence[str]) -> str:
    """What git itself changes in hooks and settings stays when somebody has said yes to exactly that."""
    command = await git_run.prepared(argv)
    lasting = consent.is_given()
    report = await _run(command.argv, command.env, command.folder, network=command.network, lasting=lasting)
    return report + command.note


async def _run(
    argv: Sequence[str], env: dict[str, str] | None = None, where: Path | None = None, *, network: bool = False,
    lasting: bool = False,
) -> str:  # fmt: skip
    """Output first, then what happened. Twice of what is shown is kept, so that its middle can be cut away here."""
    here = machine()
    async with networks.way_out(wanted=network) as grant:
        whole, proxy = ({**(env or {}), **grant.env}, grant.proxy) if grant else (env or {}, None)
        limits = RunLimits(here.limits.seconds, here.limits.output_chars * 2, whole, proxy, lasting)
        result = await here.sandbox.run(argv, where or folder(), limits)
    output, note = here.redactor.redact(result.output), networks.note(grant, result)
    shown = texts.cut_output(output, here.limits.output_chars - _NOTES - len(note), result.dropped) + note
    return texts.command_report(shown, result.exit_code, result.seconds, timed_out=result.timed_out)


def _whole_lines(text: str) -> tuple[str, int, bool]:
    """As many lines as fit once redacted, how many they are, and whether some are left."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    room = machine().limits.output_chars - _NOTES
    count = max(1, bisect_right(list(accumulate(map(len, lines))), room))
    while count > 1 and len(machine().redactor.redact("".join(lines[:count]))) > room:
        count = max(1, count - 1 - count // 20)
    shown = "".join(lines[:count])
    whole = machine().redactor.redact(shown)
    return shown if len(whole) <= room else whole[:room] + texts.LINE_CUT, count, count < len(lines)


def _refuse_marks(text: str) -> None:
    """Writing a redaction mark back would destroy the secret that stands there."""
    if machine().redactor.has_mark(text):
        raise ToolError(texts.MARK_IN_ARGUMENTS)


def _refuse_notes(text: str) -> None:
    """Writing a note of ours where text is missing would lose that text."""
    if texts.has_note(text):
        raise ToolError(texts.NOTE_IN_ARGUMENTS)
