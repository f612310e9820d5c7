"""What the tools answer: read by the model, and by the user who looks over its shoulder."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.core.texts_safety import output_dropped, shown

EMPTY_COMMAND = "La orden está vacía."
EMPTY_FILE = "(El archivo está vacío.)"
LINE_CUT = " […línea cortada: no cabe entera aquí; para ver el resto usa cut -c en la shell]\n"
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
NOTE_IN_ARGUMENTS = (
    "El texto contiene un aviso de Nanobot («[… omitidos…]», «[… sigue con offset=…]»), que no es del archivo: "
    "escribirlo borraría lo que falta. Lee el resto y escribe el texto real, o cambia solo otras partes con edit_file."
)
# As the functions below and those of texts_safety write them.
_NOTE = re.compile(
    r"\[… ?(?:\d+ (?:caracteres|bytes) omitidos|hasta la línea \d+|línea cortada: |y \d+ más\]|la página sigue\])"
)
_EDGE = 120  # characters dropped on both sides of what the sandbox left out: a secret cut in two is not recognised

_REFUSALS = {
    "deny": "El usuario ha rechazado esta llamada. No la repitas; pregúntale cómo seguir.",
    "skipped": "El usuario no ha contestado a la pregunta: ha escrito otro mensaje. Atiende ese mensaje.",
    "expired": "Nadie ha contestado a la pregunta a tiempo: la llamada no se ha hecho.",
}


def not_allowed(decision: str, reason: str = "") -> str:
    """`reason`: the user's own words."""
    return f"El usuario no lo permite: «{reason}». No repitas esta llamada." if reason else _REFUSALS[decision]


def unknown_tool(name: str, known: Sequence[str]) -> str:
    return f"No existe la herramienta «{name[:60]}». Hay: {', '.join(known)}."


def bad_arguments(name: str, problems: str) -> str:
    return f"Argumentos incorrectos para {name}: {problems}"


def unbalanced_quotes(reason: str) -> str:
    return f"No entiendo los argumentos ({reason}): revisa las comillas."


GIT_CONFIG_UNREADABLE = (
    "No entiendo la configuración de este repositorio (.git/config), y sin entenderla no ejecuto git en él."
)
GIT_LEADS_OUTSIDE = (
    "El repositorio (.git) apunta a una carpeta que queda fuera de las permitidas: no ejecuto git en él."
)
GIT_TOO_MANY_SUBMODULES = "El repositorio tiene demasiados submódulos: usa la shell para esta operación."


def git_verb_refused(verb: str) -> str:
    return f"«git {shown(verb)}» no se puede usar aquí: no es una orden de git que no ejecute otros programas."


def git_option_refused(option: str) -> str:
    return (
        f"«git {shown(option)}» no se puede usar aquí: cambiaría qué programas ejecuta git o dónde trabaja. "
        "Hazlo sin esa opción."
    )


def git_config_refused(key: str) -> str:
    return (
        f"La configuración de este repositorio contiene «{shown(key)}», que no puedo neutralizar: no ejecuto git así."
    )


def git_filters(names: Sequence[str]) -> str:
    which = ", ".join(map(shown, names))
    return (
        f"\n[Este repositorio usa filtros ({which}), que son programas y no se ejecutan aquí: sus archivos pueden "
        "salir como modificados y se guardan tal cual. Para añadirlos o traerlos (git lfs), hazlo tú en una terminal.]"
    )


def tool_timed_out(seconds: float) -> str:
    return f"La herramienta no ha terminado en {seconds:.0f} s y se ha detenido."


# ---------------------------------------------------------------- the network of commands

NETWORK_NOT_YOURS = "Aquí las órdenes no tienen red."
NETWORK_ABSENT = "\n[Esta orden no tenía red. Si la necesita, repítela con network=true.]"
NETWORK_NO_SSH = "Por ssh no se puede: las órdenes solo tienen http y https. Usa la dirección https:// del repositorio."
_MOST_SITES = 4  # named in a question
NETWORK_UNFILTERED = "Con toda la red, también la de tu casa: aquí nada encierra las órdenes."


def network_reach(hosts: Sequence[str]) -> str:
    if not hosts:
        return "Con red, pero NETWORK_HOSTS no permite ningún sitio."
    more = len(hosts) - _MOST_SITES
    others = f" y {more} sitio{'s' if more != 1 else ''} más de NETWORK_HOSTS" if more > 0 else ""
    return f"Con red, solo hasta {', '.join(hosts[:_MOST_SITES])}{others}."


def network_notes(told: Sequence[str], more: int) -> str:
    if not told:
        return ""
    return "\n".join(["", *(f"[{line}]" for line in told), *([f"[… y {more} sitios más]"] if more else [])])


# ---------------------------------------------------------------- what is shown of much


def more_lines(last: int, total: int) -> str:
    return f"\n[… hasta la línea {last} de {total}; sigue con offset={last + 1}]"


def too_far(offset: int) -> str:
    return f"El archivo es demasiado grande para llegar así a la línea {offset}: usa sed -n o tail en la shell."


def past_the_end(total: int) -> str:
    return f"El archivo solo tiene {total} líneas."


def more_entries(count: int) -> str:
    return f"[… y {count} más]"


def file_written(path: str, done: str, size: int) -> str:
    return f"{path}: {done} ({size} caracteres)."


def file_edited(path: str, line: int) -> str:
    return f"{path}: cambiado en la línea {line}."


def has_note(text: str) -> bool:
    """Whether one of the notes about missing text is in it."""
    return bool(_NOTE.search(text))


def fetched(url: str, title: str, text: str, *, truncated: bool, limit: int) -> str:
    """The page and its one note, in at most `limit` characters as long as the title is not endless."""
    end = "\n[… la página sigue]"
    head = f"{title}\n{url}\n\n"
    room = max(0, limit - len(head) - len(end))
    return head + text[:room] + (end if truncated or len(text) > room else "")


def command_report(output: str, exit_code: int, seconds: float, *, timed_out: bool) -> str:
    notes = [f"código de salida {exit_code}", f"{seconds:.1f} s"]
    if timed_out:
        notes.insert(0, "detenida por superar el tiempo límite")
    body = output.rstrip("\n")
    return f"{body}\n[{', '.join(notes)}]" if body else f"[sin salida; {', '.join(notes)}]"


def cut_middle(text: str, limit: int) -> str:
    """At most about `limit` characters: the beginning and the end, and how much is missing between them."""
    if len(text) <= limit:
        return text
    half = max(1, limit // 2 - 60)
    return _joined(text[:half], text[-half:], len(text) - 2 * half, "pide menos (offset, limit, head, tail)")


def cut_output(text: str, limit: int, dropped: int) -> str:
    """The same for a command's output, of which the sandbox has left out `dropped` bytes: one note for both."""
    if len(text) <= limit and not dropped:
        return text
    half = max(1, limit // 2 - 80)
    head, mark, tail = text.partition(output_dropped(dropped)) if dropped else (text, "", text)
    edge = _EDGE if mark else 0
    head = head[: max(0, min(half, len(head) - edge))]
    tail = tail[max(edge, len(tail) - half) :]
    missing = len(text) - len(mark) - len(head) - len(tail) + dropped
    return _joined(head, tail, missing, "guárdalo en un archivo y léelo por partes")


def _joined(head: str, tail: str, missing: int, advice: str) -> str:
    return f"{head}\n[… {missing} caracteres omitidos en medio; {advice} …]\n{tail}"
