"""The part of the catalogue about files, commands and pages. In Spanish, like texts.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

# ---------------------------------------------------------------- workspace

CREATED, REPLACED = "creado", "reemplazado"
NEVER_SAID_WHY = "el sistema no dice por qué"
SECRET_MARK = "[secreto oculto]"  # noqa: S105  what stands in place of a secret

DISK_REASONS = {
    "EACCES": "no hay permiso", "EPERM": "no hay permiso", "EROFS": "el disco es de solo lectura",
    "ENOSPC": "el disco está lleno", "EDQUOT": "se ha agotado la cuota de disco", "EBUSY": "está en uso",
    "ENAMETOOLONG": "el nombre es demasiado largo", "EINVAL": "el sistema no admite ese nombre",
    "EMFILE": "hay demasiados archivos abiertos", "EIO": "el disco da errores", "EISDIR": "es una carpeta",
    "ENOTDIR": "una parte de la ruta no es una carpeta", "ELOOP": "ha cambiado mientras se abría",
    "ENOENT": "ha desaparecido mientras se abría", "EFBIG": "sería demasiado grande", "ENXIO": "no es un archivo",
}  # fmt: skip


def shown(path: str) -> str:
    """A path as it can be shown: no control characters, not endless."""
    clean = "".join(c if c.isprintable() else "�" for c in path)
    return clean if len(clean) <= 200 else f"{clean[:100]}…{clean[-99:]}"


# Python calls these printable, and yet nothing is seen: fillers, an empty Braille cell, joiners, variation selectors.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(map(chr, range(0xFE00, 0xFE0F)))
_SPACES = re.compile(r"[ \t]{41,}")
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){11,}")


def visible(text: str) -> str:
    """For a question: what cannot be seen is written out (\\u202e), and no blank space pushes the rest out of view."""
    seen = "".join(c if _is_seen(c) else c.encode("unicode_escape").decode() for c in text)
    seen = _BLANK_LINES.sub(lambda run: f"\n[… {run[0].count(chr(10)) - 1} líneas en blanco …]\n", seen)
    return _SPACES.sub(lambda run: f" [… {len(run[0])} espacios …] ", seen)


def _is_seen(character: str) -> bool:
    return character in "\n\t" or (character.isprintable() and character not in _UNSEEN)


def disk_problem(path: str, code: str) -> str:
    return f"No se puede usar «{shown(path)}»: {DISK_REASONS.get(code, code or NEVER_SAID_WHY)}."


def outside_workspace(path: str, roots: Sequence[str]) -> str:
    return f"«{shown(path)}» queda fuera de las carpetas permitidas ({', '.join(map(shown, roots))})."


def hidden_path(path: str) -> str:
    return f"«{shown(path)}» es de Nanobot (código, datos o claves) y no se puede leer ni cambiar."


def bad_path(path: str) -> str:
    return f"«{shown(path)}» no es una ruta válida."


def reserved_name(name: str) -> str:
    return f"«{shown(name)}» es un nombre que Windows no admite: elige otro."


def too_many_links(path: str) -> str:
    return f"«{shown(path)}» pasa por demasiados enlaces simbólicos, quizá en círculo."


def no_such_file(path: str, close: Sequence[str]) -> str:
    hint = f" ¿Quizá {' o '.join(f'«{shown(name)}»' for name in close)}?" if close else ""
    return f"No existe «{shown(path)}».{hint}"


def is_a_folder(path: str) -> str:
    return f"«{shown(path)}» es una carpeta: usa list_dir para ver qué contiene."


def not_a_folder(path: str) -> str:
    return f"«{shown(path)}» no es una carpeta: es un archivo, léelo con read_file."


def not_a_regular_file(path: str) -> str:
    return f"«{shown(path)}» no es un archivo normal (tubería, dispositivo o socket)."


def several_names(path: str) -> str:
    return (
        f"«{shown(path)}» es un enlace duro: tiene otro nombre, que puede estar fuera de las carpetas permitidas. "
        "No se lee ni se modifica. Si es tuyo, sustitúyelo por una copia."
    )


def read_only_file(path: str) -> str:
    return f"«{shown(path)}» está protegido contra escritura."


def changed_meanwhile(path: str) -> str:
    return f"«{shown(path)}» ha cambiado mientras tanto: vuelve a leerlo e inténtalo otra vez."


def binary_file(path: str, kind: str, size: int) -> str:
    return f"«{shown(path)}» no es texto: {kind}, {size} bytes."


def unknown_kind(suffix: str) -> str:
    return f"datos binarios ({shown(suffix)})" if suffix else "datos binarios"


def too_large(path: str, size: int, limit: int) -> str:
    return (
        f"«{shown(path)}» ocupa {size} bytes y el límite aquí es {limit}. "
        "Usa la shell (grep, sed -n, head, tail) para la parte que necesitas."
    )


NOT_UNICODE = "El texto contiene caracteres que no se pueden guardar en UTF-8."


def cut_line(length: int) -> str:
    return f" […línea cortada: ocupa {length} bytes; para ver el resto usa cut -c en la shell]"


EMPTY_OLD = "«old» está vacío: indica el texto exacto que hay que cambiar."
SAME_TEXT = "«old» y «new» son iguales: no hay nada que cambiar."


def not_found_in_file(path: str, line: int | None, *, only_spaces: bool, not_utf8: bool) -> str:
    text = f"Ese texto no está en «{shown(path)}»."
    if only_spaces:
        text += " Hay uno igual salvo por espacios, sangría o saltos de línea"
        text += f" (cerca de la línea {line})." if line else "."
    elif line:
        text += f" Empieza igual la línea {line}, pero después es distinto."
    if not_utf8:
        text += " El archivo no está en UTF-8: elige un fragmento sin letras acentuadas."
    return text + " Vuelve a leer esas líneas y copia el texto exacto."


def found_many_times(path: str, lines: Sequence[int], *, more: bool) -> str:
    where = ", ".join(map(str, lines))
    count = f"más de {len(lines)}" if more else str(len(lines))
    return f"Ese texto aparece {count} veces en «{shown(path)}» (líneas {where}). Añade más contexto."


# ---------------------------------------------------------------- sandbox

UNCONFINED = (
    "Las órdenes se ejecutan con tu mismo usuario, sin claves en su entorno y con tiempo y salida limitados; "
    "el sistema operativo no las encierra en su carpeta."
)
NO_COMMAND = "No hay ninguna orden que ejecutar."


def output_dropped(count: int) -> str:
    return f"\n[… {count} bytes omitidos en el medio …]\n"  # tools cut it away again: see cut_output


def no_such_program(name: str) -> str:
    return f"No encuentro el programa «{shown(name)}»."


def no_such_folder(path: Path) -> str:
    return f"No existe la carpeta «{shown(str(path))}»."


def cannot_start(name: str, code: str) -> str:
    return f"No se puede ejecutar «{shown(name)}»: {DISK_REASONS.get(code, code or NEVER_SAID_WHY)}."
