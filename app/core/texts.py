"""Every sentence that a person using Nanobot reads, in Spanish. Logs are elsewhere and in English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path

# ---------------------------------------------------------------- settings

MUST_BE_URL = "debe ser una dirección completa que empiece por http:// o https://, como https://ejemplo.com:8443"
MUST_BE_HOST = "debe ser una dirección IP o un nombre de equipo, por ejemplo 127.0.0.1, 0.0.0.0 o localhost"
MUST_BE_SITES = "debe ser una lista separada por comas de nombres de sitios, como github.com o *.githubusercontent.com"
MUST_BE_KEY = "debe ser la clave tal como te la dieron: sin espacios, acentos ni saltos de línea"
MUST_BE_PASSWORD = "debe poder escribirse con el teclado; si lleva acentos, guárdala con codificación UTF-8"  # noqa: S105
MUST_BE_TIMEZONE = "debe ser una zona horaria de la IANA, por ejemplo Europe/Madrid o America/Bogota"
GUEST_IS_OWNER = "nombra a alguien que ya está en TELEGRAM_USER_ID o TELEGRAM_ALLOWED_USERS: déjalo en un solo sitio"
MUST_BE_PROVIDERS = "debe ser una lista separada por comas con groq, anthropic o local"
MUST_BE_PATH = "no lleva a ninguna carpeta: escribe la ruta completa, sin ~"
CONTROL_IN_PATH = "lleva un salto de línea u otro carácter invisible: escribe las rutas de Windows sin comillas dobles"
NO_PROJECTS_DIRS = "debe nombrar al menos una carpeta"

_SETTING_PROBLEMS = {
    "int_parsing": "debe ser un número entero",
    "int_parsing_size": "debe ser un número entero más corto",
    "float_parsing": "debe ser un número",
    "finite_number": "debe ser un número que no sea infinito",
    "bool_parsing": "debe ser true o false",
    "greater_than": "debe ser mayor que {gt}",
    "greater_than_equal": "debe ser {ge} o más",
    "less_than": "debe ser menor que {lt}",
    "less_than_equal": "debe ser {le} o menos",
    "literal_error": "debe ser uno de estos valores: {expected}",
    "string_too_short": "no puede estar vacío",
}


def bad_setting(name: str, kind: str, details: Mapping[str, object]) -> str:
    if kind == "value_error":
        return f"Configuración: {name} {details['error']}."
    problem = _SETTING_PROBLEMS.get(kind, "tiene un valor que no se entiende")
    text = problem.format_map({k: str(v).replace(" or ", " o ") for k, v in details.items()})
    return f"Configuración: {name} {text}."


def folder_below_code(code: Path) -> str:
    return f"no puede estar dentro del código de Nanobot ({code}): elige una carpeta fuera de él"


def data_around_code(code: Path) -> str:
    return f"no puede contener el código de Nanobot ({code}): elige una carpeta solo para sus datos"


def folder_is_a_file(path: Path) -> str:
    return f"debe ser una carpeta, y {path} es un archivo"


def unusable_folder(reason: str) -> str:
    return f"nombra una carpeta que no está a mi alcance ({reason})"


def cannot_make_folder(variable: str, path: Path, reason: str) -> str:
    return f"Configuración: {variable} no se puede usar: no puedo crear la carpeta {path} ({reason})."


def cannot_write_folder(variable: str, path: Path, reason: str) -> str:
    return f"Configuración: {variable} no se puede usar: no puedo escribir en la carpeta {path} ({reason})."


def undecodable_settings(path: Path) -> str:
    return f"Configuración: no entiendo las letras del archivo {path}: guárdalo con codificación UTF-8."


def unreadable_settings(path: Path, reason: str) -> str:
    return f"Configuración: no puedo leer el archivo {path} ({reason}): revisa sus permisos y DATA_DIR."


# ---------------------------------------------------------------- sessions


def bad_session_id(session_id: str) -> str:
    return f"El identificador de sesión {session_id[:80]!r} no vale: solo a-z, 0-9, _ y -, hasta 80 caracteres."


def bad_role(role: str) -> str:
    return f"Un mensaje añadido a mano es de «user» o de «assistant», no de «{role}»."


# ---------------------------------------------------------------- conversation

COMMAND_BROKE = "No he podido hacerlo: ha fallado algo dentro de Nanobot. El registro dice qué."
STOPPED_WAITING = "Detenido mientras esperaba a que otra copia de Nanobot dejara DATA_DIR."
LOST_RESULT = "(El resultado de esta llamada se perdió.)"


def summary_message(summary: str) -> str:
    return f"[Resumen de la conversación anterior]\n{summary}"


# ---------------------------------------------------------------- disk


def cannot_read(name: str, reason: str) -> str:
    return f"No puedo leer {name} ({reason}). No he tocado nada."


def cannot_write(reason: str) -> str:
    return (
        f"No puedo guardar en el disco ({reason}). Tu mensaje no se ha aceptado: vuelve a enviarlo cuando haya sitio."
    )


def folder_in_use(folder: Path) -> str:
    return f"Otra copia de Nanobot está usando {folder}. Ciérrala o elige otra carpeta con DATA_DIR."


def session_moved_on(session_id: str) -> str:
    return f"La sesión {session_id} ha avanzado por otro lado: vuelve a cargarla antes de guardar."


# ---------------------------------------------------------------- models

_PROVIDER_LABELS = {"groq": "Groq", "anthropic": "Claude", "local": "el modelo local"}

NO_PROVIDER = (
    "No hay ningún modelo configurado. Pon GROQ_API_KEY (gratis en https://console.groq.com/keys), "
    "ANTHROPIC_API_KEY (https://platform.claude.com) o LOCAL_LLM_BASE_URL en el archivo .env y reinicia Nanobot."
)
NO_FALLBACK = "Solo hay un proveedor de modelos configurado: no hay otro de reserva."
PAY_DECLINED = "No hay permiso para usar un modelo de pago."


def provider_label(provider: str) -> str:
    return _PROVIDER_LABELS.get(provider, provider)


def pause_length(seconds: float) -> str:
    """38 s, 12 min, 3 h 5 min: always rounded up, never 0 s."""
    whole = max(1, ceil(seconds))
    if whole < 120:
        return f"{whole} s"
    minutes = ceil(whole / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def provider_paused(provider: str, seconds: float) -> str:
    label = provider_label(provider)
    return f"{label[0].upper()}{label[1:]} en pausa, {pause_length(seconds)}"


def provider_unreachable(provider: str) -> str:
    return f"{provider_label(provider)} no responde"


def request_too_large(model: str) -> str:
    return f"la conversación no cabe en {model}"


def bad_tool_call(model: str) -> str:
    return f"{model} ha escrito mal la llamada a una herramienta"


def model_gone(provider: str, model: str) -> str:
    return f"{provider_label(provider)} ya no ofrece el modelo {model}"


def model_replaced(provider: str, model: str, substitute: str) -> str:
    """A notice for the owner. `substitute` may be empty."""
    use = f"Se usa {substitute} en su lugar." if substitute else "Se pasa al siguiente proveedor."
    return f"{model_gone(provider, model)}. {use} Cambia el modelo en la configuración."


def credential_rejected(provider: str, variable: str) -> str:
    return f"{provider_label(provider)} rechaza la clave de {variable}"


def credential_malformed(provider: str, variable: str) -> str:
    return f"la clave de {variable} lleva caracteres que {provider_label(provider)} no usa: vuelve a copiarla"


def spend_limit_reached(provider: str) -> str:
    return f"{provider_label(provider)} ha llegado al límite de gasto de tu cuenta: súbelo en su página"


def declined(provider: str) -> str:
    return f"a esto {provider_label(provider)} prefiere no contestar: prueba a pedirlo de otra manera"


def broken_reply(provider: str) -> str:
    return f"la respuesta de {provider_label(provider)} ha llegado cortada"


def request_refused(provider: str, detail: str) -> str:
    return f"{provider_label(provider)} no acepta la petición" + (f" («{detail}»)" if detail else "")


def over_budget(limit_usd: float) -> str:
    amount = f"{limit_usd:.2f}".replace(".", ",")
    return f"se ha alcanzado el límite de gasto de hoy ({amount} $, DAILY_BUDGET_USD): no se usan modelos de pago"


def turn_postponed(provider: str, seconds: float, also: Sequence[str] = ()) -> str:
    """`also`: why nobody else answers meanwhile."""
    reasons = "; ".join(dict.fromkeys([provider_paused(provider, seconds), *also]))
    return f"{reasons}. Seguiré con tu mensaje en cuanto vuelva."


def all_failed(reasons: Sequence[str]) -> str:
    tried = "".join(f"\n• {reason}" for reason in dict.fromkeys(reasons))
    return (
        f"Parece que hay un problema con los modelos. He probado:{tried}\n"
        "Tu mensaje está guardado: escribe /reintentar cuando quieras."
    )


# ---------------------------------------------------------------- telegram: what it refuses (telegram_errors.py)

TELEGRAM_REJECTS_TOKEN = "Telegram no acepta la clave del bot (TELEGRAM_TOKEN)."  # noqa: S105
TELEGRAM_CHAT_MOVED = "Este grupo de Telegram ha pasado a ser un supergrupo y tiene otra dirección."


def telegram_unreachable(detail: str) -> str:
    return f"No se llega a Telegram; no se ha enviado nada ({detail})."


def telegram_uncertain(detail: str) -> str:
    return f"Telegram no ha contestado: puede que el mensaje haya llegado y puede que no ({detail})."


def telegram_flood(seconds: float) -> str:
    return f"Telegram pide una pausa de {seconds:.0f} s en este chat."


def telegram_chat_gone(detail: str) -> str:
    return f"Ya no se puede escribir en este chat de Telegram ({detail})."


def telegram_refused(detail: str) -> str:
    return f"Telegram no acepta el envío ({detail})."


from app.core.texts_chat import *  # noqa: E402, F403
from app.core.texts_people import *  # noqa: E402, F403
from app.core.texts_prompt import *  # noqa: E402, F403
from app.core.texts_tools import *  # noqa: E402, F403
