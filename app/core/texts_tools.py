"""What the tools answer: read by the model, and by the user who looks over its shoulder."""

from __future__ import annotations

from collections.abc import Sequence

EMPTY_COMMAND = "La orden está vacía."
EMPTY_FILE = "(El archivo está vacío.)"
EMPTY_DIR = "(La carpeta está vacía.)"
TOOL_BROKE = "La herramienta ha fallado por un error interno de Nanobot. Prueba de otra forma."
REPEATED_CALL = (
    "Ya has hecho esta misma llamada dos veces con el mismo resultado. No la repitas: cambia de enfoque o "
    "responde con lo que sabes."
)
NOBODY_TO_ASK = "Esta llamada necesita el permiso del usuario y aquí no hay a quién preguntar."
MARK_IN_ARGUMENTS = (
    "Los argumentos contienen la marca de un secreto oculto: escribirla destruiría el valor real. "
    "Cambia solo otras partes con edit_file, sin incluir esa línea."
)

_REFUSALS = {
    "deny": "El usuario ha rechazado esta llamada. No la repitas; pregúntale cómo seguir.",
    "skipped": "El usuario no ha contestado a la pregunta: ha escrito otro mensaje. Atiende ese mensaje.",
    "expired": "Nadie ha contestado a la pregunta a tiempo: la llamada no se ha hecho.",
}


def not_allowed(decision: str) -> str:
    return _REFUSALS[decision]


def unknown_tool(name: str, known: Sequence[str]) -> str:
    return f"No existe la herramienta «{name[:60]}». Hay: {', '.join(known)}."


def bad_arguments(name: str, problems: str) -> str:
    return f"Argumentos incorrectos para {name}: {problems}"


def unbalanced_quotes(reason: str) -> str:
    return f"No entiendo los argumentos ({reason}): revisa las comillas."


def tool_timed_out(seconds: float) -> str:
    return f"La herramienta no ha terminado en {seconds:.0f} s y se ha detenido."


def more_lines(last: int, total: int) -> str:
    return f"\n[… hasta la línea {last} de {total}; sigue con offset={last + 1}]"


def past_the_end(total: int) -> str:
    return f"El archivo solo tiene {total} líneas."


def more_entries(count: int) -> str:
    return f"[… y {count} más]"


def file_written(path: str, done: str, size: int) -> str:
    return f"{path}: {done} ({size} caracteres)."


def file_edited(path: str, line: int) -> str:
    return f"{path}: cambiado en la línea {line}."


def fetched(url: str, title: str, text: str, truncated: bool) -> str:
    end = "\n[… la página sigue]" if truncated else ""
    return f"{title}\n{url}\n\n{text}{end}"


def command_report(output: str, exit_code: int, seconds: float, *, dropped: int, timed_out: bool) -> str:
    notes = [f"código de salida {exit_code}", f"{seconds:.1f} s"]
    if timed_out:
        notes.insert(0, "detenida por superar el tiempo límite")
    if dropped:
        notes.append(
            f"{dropped} bytes de salida omitidos; para verlos, guarda la salida en un archivo y léelo por partes"
        )
    body = output.rstrip("\n")
    return f"{body}\n[{', '.join(notes)}]" if body else f"[sin salida; {', '.join(notes)}]"


def cut_middle(text: str, limit: int) -> str:
    """At most about `limit` characters: the beginning and the end, and how much is missing between them."""
    if len(text) <= limit:
        return text
    half = max(1, limit // 2 - 60)
    dropped = len(text) - 2 * half
    mark = f"[… {dropped} caracteres omitidos en medio; pide menos (offset, limit, head, tail) …]"
    return f"{text[:half]}\n{mark}\n{text[-half:]}"
