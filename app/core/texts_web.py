"""What the dashboard and the API say. Whole paragraphs of a page stand in its template, in app/web/templates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import ceil

# ---------------------------------------------------------------- access

ONLY_LOCAL = (
    "Sin contraseña, el panel solo se abre desde este mismo equipo, en http://localhost. "
    "Para entrar desde otro, pon DASHBOARD_PASSWORD en .env y reinicia Nanobot."
)
BEHIND_A_PROXY = (
    "Esta petición llega a través de un proxy, y así no puedo saber de quién es. "
    "Detrás de un proxy hace falta una contraseña: pon DASHBOARD_PASSWORD en .env y reinicia Nanobot."
)
UNKNOWN_HOST = "Nanobot no atiende en esta dirección. Si es la suya, ponla en PUBLIC_URL y reinicia Nanobot."
FOREIGN_PAGE = "Esta petición viene de otra página, y no la acepto. Ábrelo desde el panel de Nanobot."
LOG_IN_FIRST = "Entra primero en el panel con tu contraseña, o envía un token que valga."
READ_ONLY_TOKEN = "Este token solo lee."  # noqa: S105
ONLY_FROM_A_PAGE = (
    "Un permiso solo lo da una persona, desde el panel o desde Telegram. Si esto es el panel, recarga la página."
)
TOO_SLOW = "La petición tarda demasiado en llegar."
TOO_MANY_STREAMS = "Hay demasiadas páginas abiertas a la vez: cierra alguna."
TOKEN_SCOPE = "Di si el token solo lee o también escribe."  # noqa: S105
WRONG_PASSWORD = "La contraseña no es correcta."  # noqa: S105
WRONG_CODE = "El código no es correcto. Está en el registro de Nanobot: vale el último que aparezca."
PASSWORDS_DIFFER = "Las dos contraseñas no son iguales."
PASSWORD_IS_FIXED = "La contraseña la fija el entorno o el archivo .env, y solo se cambia allí."  # noqa: S105
MALFORMED_HASH = (
    "Configuración: DASHBOARD_PASSWORD empieza como un hash de argon2, pero está incompleto o mal copiado. "
    "En .env ponlo entre comillas simples; en docker-compose.yml escribe $$ donde haya $."
)
FORM_EXPIRED = "El formulario ha caducado. Vuelve atrás, recarga la página y prueba otra vez."


def password_length(shortest: int, longest: int) -> str:
    return f"La contraseña debe tener entre {shortest} y {longest} caracteres."


def token_name(longest: int) -> str:
    return f"Un token necesita un nombre de hasta {longest} letras, para que lo reconozcas."


def too_many_tokens(most: int) -> str:
    return f"Ya hay {most} tokens: revoca alguno que no uses."


def configured_password_too_long(longest: int) -> str:
    return f"Configuración: DASHBOARD_PASSWORD puede tener hasta {longest} caracteres."


def too_many_attempts(seconds: float) -> str:
    return f"Demasiados intentos. Espera {ceil(seconds)} s y prueba otra vez."


# ---------------------------------------------------------------- requests

EMPTY_MESSAGE = "El mensaje está vacío."
NO_SUCH_SESSION = "No existe esa conversación."
QUESTION_IS_GONE = "Esta pregunta ya no está abierta."
INTERNAL_PROBLEM = "Parece que hay un problema dentro de Nanobot; lo he apuntado en el registro."

_FRAMEWORK_DETAILS = {
    "Not Found": "Aquí no hay nada: revisa la dirección.",
    "Method Not Allowed": "Esta dirección no admite esa operación.",
    "There was an error parsing the body": "No entiendo la petición: su contenido está mal formado.",
}


def too_long(most: int) -> str:
    return f"Es demasiado largo: un mensaje puede tener hasta {most:_} caracteres.".replace("_", "\u202f")


def http_problem(detail: str) -> str:
    """Our own details are Spanish already."""
    return _FRAMEWORK_DETAILS.get(detail, detail)


def malformed_request(fields: Sequence[str]) -> str:
    where = f" Revisa: {', '.join(fields)}." if fields else ""
    return f"No entiendo la petición: falta algo o no tiene la forma esperada.{where}"


# ---------------------------------------------------------------- settings page

NOT_A_KEY = "Una clave tiene al menos 8 caracteres y ningún espacio."
NOT_A_TOKEN = "Un token de bot es como 123456789:ABCdef…, tal como lo da @BotFather."  # noqa: S105

SETTING_LABELS = {
    "GROQ_API_KEY": ("Clave de Groq", "Gratis en https://console.groq.com/keys"),
    "GROQ_MODEL": ("Modelo de Groq", "Los que hay: https://console.groq.com/docs/models"),
    "ANTHROPIC_API_KEY": ("Clave de Claude", "De pago, para cuando Groq falle: https://platform.claude.com"),
    "ANTHROPIC_MODEL": ("Modelo de Claude", "Los que hay: https://platform.claude.com/docs/en/about-claude/models"),
    "LOCAL_LLM_BASE_URL": (
        "Servidor de modelos tuyo",
        "Ollama, llama.cpp o LM Studio; Ollama es http://localhost:11434/v1",
    ),
    "LOCAL_LLM_MODEL": ("Modelo de tu servidor", "El nombre que le da tu servidor"),
    "DAILY_BUDGET_USD": (
        "Gasto máximo al día, en dólares",
        "Por ejemplo 2.50. Al llegar ahí no se usan modelos de pago hasta mañana; con 0, nunca",
    ),
    "TELEGRAM_TOKEN": ("Token del bot de Telegram", "Escribe a @BotFather en Telegram y envíale /newbot"),
    "TELEGRAM_USER_ID": ("Tu número de usuario de Telegram", "Escribe a tu bot: te contesta con tu número"),
    "TIMEZONE": ("Zona horaria", "Por ejemplo Europe/Madrid o America/Bogota"),
}


def unusable_value(name: str) -> str:
    return f"{name} tiene caracteres que no se pueden guardar."


# ---------------------------------------------------------------- figures

_MONTHS = ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sep", "oct", "nov", "dic")
CHANNELS = {"telegram": "Telegram", "web": "Navegador"}
ROUTE_STATES = {"ready": "Listo", "resting": "En pausa", "rejected": "Clave rechazada", "gone": "Ya no existe"}


def moment(when: datetime) -> str:
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}, {when:%H:%M}"


def size(count: int) -> str:
    if count < 1_000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1_000:.0f} kB"
    return f"{count / 1_000_000:.1f} MB".replace(".", ",")


def money(usd: float) -> str:
    return f"{usd:.2f} $".replace(".", ",")


# ---------------------------------------------------------------- what the browser's own code says

BROWSER = {
    "you": "Tú",
    "nanobot": "Nanobot",
    "asks": "Nanobot pide permiso",
    "running": "en marcha…",
    "waiting": "pendiente",
    "done": "hecho",
    "failed": "ha fallado",
    "interrupted": "sin resultado",
    "arguments": "Argumentos",
    "result": "Resultado",
    "noOutput": "(sin salida)",
    "allow": "Permitir",
    "always": "Permitir siempre esto",
    "deny": "Rechazar",
    "denyWhy": "Rechazar y decir por qué",
    "why": "¿Por qué no? Se lo digo al modelo.",
    "allowed": "Permitido",
    "allowedAlways": "Permitido siempre",
    "denied": "Rechazado",
    "deniedWhy": "Rechazado: «{reason}»",
    "skipped": "Sin respuesta: se ha seguido con otra cosa",
    "expired": "Caducó sin respuesta",
    "retry": "Reintentar",
    "undo": "Deshacer",
    "undoFiles": "Deshacer ({count} archivos)",
    "redo": "Rehacer",
    "cancel": "Cancelar",
    "working": "Trabajando…",
    "asking": "Espera tu permiso",
    "summary": "Resumen de lo anterior",
    "project": "Proyecto: {name}",
    "retried": "Se vuelve a intentar",
    "tokens": "{input} → {output} tokens",
    "cached": "{count} en caché",
    "offline": "Sin conexión con Nanobot; lo sigo intentando…",
    "notSent": "No se ha podido enviar: no hay conexión con Nanobot. Tu texto sigue aquí.",
    "sessionOver": "Tu sesión ha caducado. Vuelve a entrar; tu texto te espera aquí.",
    "logIn": "Entrar",
    "empty": "Esta conversación no tiene mensajes.",
    "cannotLoad": "No se ha podido cargar la conversación.",
}
