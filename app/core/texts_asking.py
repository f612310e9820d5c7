"""What is said when the user is asked, about what was answered, and about what he has permitted for good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from app.core.texts_safety import visible

if TYPE_CHECKING:
    from app.core.permissions import Permission

ALLOW = "Permitir"
ALWAYS = "Permitir siempre esto"
DENY = "Rechazar"
DENY_WHY = "Rechazar y decir por qué"
QUESTION_GONE = "Esta pregunta ya no está abierta."
TELL_WHY = (
    "¿Por qué no? Responde a este mensaje, o escríbelo en el siguiente, y se lo digo. Mientras tanto no hago nada."
)
ASKED_AGAIN = "Se quedó a medias cuando Nanobot se detuvo: no sé si llegó a hacerse. ¿La repito?"
RUNS_LATER = "ese archivo puede hacer que se ejecute algo más tarde, fuera del aislamiento"

_RISKS = {
    "write": "cambia archivos",
    "execute": "ejecuta una orden sin aislamiento del sistema",
    "destructive": "puede cambiar o borrar trabajo de forma difícil de deshacer",
    "network": "usa la red",
    "outside": "tiene efecto fuera de esta máquina",
}
_TOOL_TITLES = {
    "execute_shell": "Ejecutar una orden",
    "git_operation": "Operación de git",
    "write_file": "Escribir un archivo",
    "edit_file": "Editar un archivo",
    "web_fetch": "Descargar una página",
}
_TAKEN = {"allow": "Permitido", "always": "Permitido siempre", "deny": "Rechazado", "why": "Dime por qué"}
_VERDICTS = {
    "allow": "✅ Permitido",
    "deny": "❌ Rechazado",
    "skipped": "⏭ Sin respuesta: se ha seguido con otra cosa",
    "expired": "⌛ Ha caducado sin respuesta",
}
_MOST_REASON = 200  # characters of a reason that are shown below a question


def risk_reason(risk: str) -> str:
    return _RISKS.get(risk, "puede tener consecuencias")


def asked_because(why: str) -> str:
    """`why`: the end of the sentence."""
    return f"¿Lo permito? Pregunto porque {why}."


def question(
    tool: str, arguments: Mapping[str, object], folder: str, asked: str, *, always: str = "", diff: str = ""
) -> str:
    """Exactly what would run, where, and why it is asked. `diff` stands in place of the texts of an edit.

    `always`: what would be permitted for good, '' when that is not offered.
    """
    what = f" {_code(visible(str(arguments.get('path', ''))))}" if diff else ""
    shown = _fenced(diff, "diff") if diff else "\n".join(_argument(name, value) for name, value in arguments.items())
    for_good = f"\n«{ALWAYS}»: no vuelvo a preguntar por {_code(always)}." if always else ""
    return f"**{_TOOL_TITLES.get(tool, tool)}**{what} en `{visible(folder)}`\n{shown}\n{asked}{for_good}"


def cut_question(text: str, limit: int) -> str:
    """The beginning and the end (that is where the command and the question stand), and how much is left out."""
    if len(text) <= limit:
        return text
    half = max(1, limit // 2)
    left_out = (
        f"[… {len(text) - 2 * half} caracteres más: la llamada entera está en el panel, y solo allí se permite …]"
    )
    return f"{text[:half]}\n{left_out}\n{text[-half:]}"


def _argument(name: str, value: object) -> str:
    label = "" if name in {"command", "cmd"} else f"{name}:\n"
    return f"{label}{_fenced(str(value))}"


def _fenced(text: str, language: str = "") -> str:
    text = visible(text)
    fence = "`" * max(3, _longest_run(text, "`") + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _code(text: str) -> str:
    return f"\n{_fenced(text)}\n" if "`" in text or "\n" in text else f"`{text}`"


def _longest_run(text: str, character: str) -> int:
    longest = run = 0
    for c in text:
        run = run + 1 if c == character else 0
        longest = max(longest, run)
    return longest


# ---------------------------------------------------------------- what was answered


def decision_taken(wish: str) -> str:
    """`wish`: allow, always, deny or why."""
    return _TAKEN[wish]


def verdict(decision: str, *, always: bool = False, elsewhere: bool = False, reason: str = "") -> str:
    """What stands below a question instead of its buttons. `elsewhere`: it was decided on the dashboard."""
    said = _VERDICTS[decision] + (" siempre" if always else "") + (" desde el panel" if elsewhere else "")
    return f"{said}: «{_cut(visible(reason))}»" if reason else said


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON]}…"


# ---------------------------------------------------------------- what is permitted for good

NO_PERMISSIONS = "No has permitido nada para siempre: cada cosa arriesgada se pregunta."
REVOKE_HOW = "Para retirar uno: /permisos quitar y su número, por ejemplo /permisos quitar 1."


def call_in(command: str, folder: str) -> str:
    """As the end of «no vuelvo a preguntar por …»."""
    return f"«{visible(command)}» en {visible(folder)}"


def push_in(command: str, folder: str, remotes: Sequence[str]) -> str:
    return f"{call_in(command, folder)}, con {' y '.join(map(visible, remotes))}"


def exact_call(tool: str, folder: str) -> str:
    return f"esta misma llamada a «{_TOOL_TITLES.get(tool, tool)}», con los mismos datos, en {visible(folder)}"


def file_changes(path: str) -> str:
    return f"cambios en el archivo {visible(path)}"


def permission_list(permissions: Sequence[Permission]) -> str:
    if not permissions:
        return NO_PERMISSIONS
    lines = "\n".join(f"{p.number}. {p.words}" for p in permissions)
    return f"No pregunto por:\n{lines}\n\n{REVOKE_HOW}"


def revoked(number: int) -> str:
    return f"El permiso {number} ya no vale: volveré a preguntar."


def no_such_permission(number: str) -> str:
    return f"No hay ningún permiso «{visible(number[:40])}». /permisos los enseña."
