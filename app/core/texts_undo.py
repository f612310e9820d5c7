"""What is said about undoing. In Spanish, like texts.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.core.texts_safety import shown

if TYPE_CHECKING:
    from app.core.contracts.undo import Changes, Restored

UNDO = "Deshacer"
CANCEL = "Cancelar"
REDO = "Rehacer"
NOTHING_TO_UNDO = "No hay nada que deshacer: en esta conversación no he cambiado ningún archivo, o ya está deshecho."
NO_CHANGES = "No ha cambiado nada desde entonces: no hay nada que deshacer."
ALREADY_UNDONE = "Eso ya se hizo: un botón vale una sola vez. /deshacer enseña lo que queda por deshacer."
LEFT_AS_IT_IS = "De acuerdo, lo dejo como está."
POINT_GONE = "Ese punto ya no se guarda: es demasiado antiguo."
NOTHING_SHOWN = "Primero escribe /deshacer: te enseño qué cambiaría y lo confirmas."
WORKING = "Estoy en medio de algo. Escribe /para, o espera a que termine, y después /deshacer."
NO_GIT = "git no está instalado, y sin él no se puede guardar cómo estaban los archivos"
UNDO_OFF = "está apagado (UNDO_DAYS=0)"
PRESSED = "De acuerdo"
TOO_LATE = "guardar cómo estaban los archivos tarda demasiado"
_MOST_SHOWN = 20
_KINDS = {"added": "nuevo", "changed": "cambiado", "removed": "borrado"}


def unavailable(reason: str) -> str:
    return f"No se puede deshacer: {reason}."


def store_broken(detail: str) -> str:
    reason = "el disco está lleno" if "No space left" in detail else "no se puede guardar cómo estaban los archivos"
    return f"{reason} ({shown(detail)})" if detail and "disco" not in reason else reason


def ask_without_point(reason: str) -> str:
    return f"**Sin punto de deshacer**: {reason}. Lo que cambie ahora no se podrá deshacer. ¿Sigo?"


def without_point(reason: str) -> str:
    return f"⚠️ Sin punto de deshacer: {reason}. Lo que cambie en este mensaje no se podrá deshacer."


def undo_button(files: int) -> str:
    return f"{UNDO} ({files} archivo{'s' if files != 1 else ''})" if files else UNDO


def review(changes: Changes, *, redo: bool, again: bool) -> str:
    """What would be brought back: the changes since the point, and what it does not hold."""
    lines = [f"• `{shown(c.path)}`: {_KINDS[c.kind]}{_counts(c.plus, c.minus)}" for c in changes.files[:_MOST_SHOWN]]
    if more := len(changes.files) - len(lines):
        lines.append(f"• … y {more} más")
    if changes.git:
        lines.append("• el estado de git (`.git`): ramas, confirmaciones, índice")
    opening = "Ha cambiado algo desde que te lo enseñé. " if again else ""
    what = "Volvería a como estaba antes de deshacer" if redo else "Se desharía todo esto"
    told = "\n".join(lines) + _uncovered(changes.uncovered)
    return f"{opening}{what}:\n{told}\n\n¿Lo hago?"


def undone(restored: Restored, *, redo: bool) -> str:
    count = restored.files
    what = "Rehecho" if redo else "Deshecho"
    text = f"{what}: {count} archivo{'s' if count != 1 else ''} como {'estaban' if count != 1 else 'estaba'}."
    if restored.failed:
        names = ", ".join(f"`{shown(name)}`" for name in restored.failed[:_MOST_SHOWN])
        text += f"\nNo se ha podido con: {names}."
    further = "" if redo else " Con /deshacer vas un mensaje más atrás."
    return f"{text}{further}"


def _counts(plus: int | None, minus: int | None) -> str:
    return f" (+{plus} −{minus})" if plus or minus else ""


def _uncovered(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" y {len(names) - 8} más" if len(names) > 8 else ""
    return f"\n\nNo lo cubre y queda como está: {', '.join(f'`{shown(n)}`' for n in names[:8])}{more}."
