"""What the model can do. Each tool is a typed function: its docstring and annotations are what the model reads."""

from __future__ import annotations

import shlex
from typing import Annotated

from app.core import texts
from app.core.contracts import CommandResult, RunLimits
from app.core.errors import ToolError
from app.core.machine import folder, machine
from app.core.risk import git_risk, shell_risk
from app.core.toolkit import Risk, tool

GIT = ("git", "--no-pager", "-c", "core.hooksPath=", "-c", "core.fsmonitor=false", "-c", "color.ui=false")


@tool(risk=shell_risk)
async def execute_shell(
    command: Annotated[str, "Orden completa, con tuberías si hacen falta"],
) -> str:
    """Ejecuta una orden en la carpeta del proyecto y devuelve su salida y código."""
    if not command.strip():
        raise ToolError(texts.EMPTY_COMMAND)
    _refuse_marks(command)
    here = machine()
    result = await here.sandbox.run(here.sandbox.shell(command), folder(), _limits())
    return _report(result)


@tool()
async def read_file(
    path: Annotated[str, "Ruta, relativa al proyecto"],
    offset: Annotated[int, "Primera línea"] = 1,
    limit: Annotated[int, "Número de líneas"] = 400,
) -> str:
    """Lee un archivo de texto por líneas."""
    text = await machine().workspace.read(path, folder(), offset=max(1, offset), limit=max(1, limit))
    if not text.text:
        return texts.EMPTY_FILE if text.total_lines == 0 else texts.past_the_end(text.total_lines)
    last = text.first + text.text.rstrip("\n").count("\n")
    return text.text + (texts.more_lines(last, text.total_lines) if text.truncated else "")


@tool(risk=Risk.WRITE)
async def write_file(
    path: Annotated[str, "Ruta, relativa al proyecto"],
    content: Annotated[str, "Contenido completo"],
) -> str:
    """Crea o reemplaza un archivo de texto entero."""
    _refuse_marks(content)
    done = await machine().workspace.write(path, folder(), content)
    return texts.file_written(path, done, len(content))


@tool(risk=Risk.WRITE)
async def edit_file(
    path: Annotated[str, "Ruta, relativa al proyecto"],
    old: Annotated[str, "Fragmento exacto que hay ahora, único en el archivo"],
    new: Annotated[str, "Fragmento que lo sustituye"],
) -> str:
    """Sustituye un fragmento exacto y único de un archivo."""
    _refuse_marks(old + new)
    line = await machine().workspace.edit(path, folder(), old, new)
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
    argv = split_git(cmd)
    result = await machine().sandbox.run([*GIT, *argv], folder(), _limits())
    return _report(result)


@tool(risk=Risk.READ)
async def web_fetch(url: Annotated[str, "Dirección http(s) pública"]) -> str:
    """Descarga una página pública y devuelve su texto."""
    page = await machine().fetcher.fetch(url, machine().limits.output_chars)
    return texts.fetched(page.url, page.title, page.text, page.truncated)


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


def _limits() -> RunLimits:
    limits = machine().limits
    return RunLimits(seconds=limits.seconds, output_bytes=limits.output_chars * 2)


def _report(result: CommandResult) -> str:
    """Output first, then what happened: exit code, time-out, how much was left out."""
    return texts.command_report(
        result.output, result.exit_code, result.seconds, dropped=result.dropped, timed_out=result.timed_out
    )  # fmt: skip


def _refuse_marks(text: str) -> None:
    """Writing a redaction mark back would destroy the secret that stands there."""
    if machine().redactor.has_mark(text):
        raise ToolError(texts.MARK_IN_ARGUMENTS)
