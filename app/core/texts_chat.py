"""What Nanobot says in a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.texts_safety import visible

if TYPE_CHECKING:
    from app.core.status import StatusReport

WELCOME = (
    "¡Hola! Soy Nanobot. Escríbeme qué necesitas de tus proyectos: mirar algo, cambiar un archivo, "
    "ejecutar las pruebas o consultar git. Antes de hacer algo arriesgado te lo preguntaré.\n\n"
    "/ayuda enseña las órdenes."
)
COMMANDS = {
    "nuevo": "empieza una conversación nueva",
    "proyecto": "dice o cambia el proyecto actual (/proyecto nombre)",
    "estado": "modelos, gasto de hoy y qué está en marcha",
    "para": "detiene lo que estoy haciendo",
    "deshacer": "devuelve los archivos a como estaban antes de mi último cambio",
    "reintentar": "vuelve a intentar el último mensaje que falló",
    "olvidar": "borra esta conversación (/olvidar sí)",
    "ayuda": "enseña estas órdenes",
}
HELP = "Escríbeme en lenguaje normal. También entiendo:\n\n" + "\n".join(f"/{n}: {t}" for n, t in COMMANDS.items())
NEW_CONVERSATION = "Empezamos de cero. La conversación anterior queda guardada."
FORGET_HOW = (
    "Borra del disco esta conversación, con su archivo: no se puede deshacer. Si lo quieres, envía /olvidar sí."
)
FORGOTTEN = "He borrado la conversación. Empezamos de cero."
RETRYING = "Vuelvo a intentarlo."
NOTHING_TO_RETRY = "No hay ningún mensaje que reintentar: el último ya tiene respuesta."
STOPPED = "Detenido. Si quieres que lo intente otra vez, escribe /reintentar."
STOP_DONE = "De acuerdo, lo detengo."
NOTHING_TO_STOP = "No estaba haciendo nada."
CALL_STOPPED = "Esta llamada se ha detenido: puede haber quedado a medias."
SET_ASIDE = (
    "He dejado este mensaje a un lado: Nanobot se ha caído tres veces seguidas en el mismo punto. "
    "Para intentarlo otra vez, escribe /reintentar."
)
ONLY_TEXT = "De momento solo entiendo texto. Cuéntamelo con palabras y lo miro."
EMPTY_ANSWER = "(El modelo no ha contestado nada.)"
LIMIT_REACHED = "He llegado al límite de pasos de esta petición. Dime si quieres que siga."
INTERNAL_ERROR = (
    "Parece que hay un problema dentro de Nanobot; lo he apuntado en el registro. "
    "Tu mensaje está guardado: escribe /reintentar para intentarlo otra vez."
)
MAYBE_REPEATED = "(puede que ya te haya llegado)"
CUT_TWICE = "el modelo ha cortado su respuesta dos veces por ser demasiado larga"

ALLOW = "Permitir"
DENY = "Rechazar"
QUESTION_GONE = "Esta pregunta ya no está abierta."

_RISKS = {
    "write": "cambia archivos",
    "execute": "ejecuta una orden sin aislamiento del sistema",
    "destructive": "puede cambiar o borrar trabajo de forma difícil de deshacer",
    "network": "usa la red",
    "outside": "tiene efecto fuera de esta máquina",
}


def unknown_command(name: str) -> str:
    return f"No conozco /{name[:40]}. /ayuda enseña las órdenes que hay."


def stranger(user_id: int) -> str:
    return f"Hola. Soy un asistente privado y solo atiendo a mi dueño. Tu identificador de Telegram es {user_id}."


def decision_taken(allowed: bool) -> str:
    return "Permitido" if allowed else "Rechazado"


def decision_trace(allowed: bool) -> str:
    return "✅ Permitido" if allowed else "❌ Rechazado"


def cut_question(text: str, limit: int) -> str:
    """The beginning and the end (that is where the command and the question stand), and how much is left out."""
    if len(text) <= limit:
        return text
    half = max(1, limit // 2)
    left_out = f"[… {len(text) - 2 * half} caracteres más; la llamada entera está en el panel …]"
    return f"{text[:half]}\n{left_out}\n{text[-half:]}"


def question(kind: str, tool: str, arguments: Mapping[str, object], folder: str, why_asked: str) -> str:
    """Exactly what would run, where, and why it is asked: a risk, or the rest of that sentence."""
    shown = "\n".join(_argument(name, value) for name, value in arguments.items())
    if kind == "repeat":
        why = "Se quedó a medias cuando Nanobot se detuvo: no sé si llegó a hacerse. ¿La repito?"
    else:
        why = f"¿Lo permito? Pregunto porque {_RISKS.get(why_asked, why_asked)}."
    return f"**{_TOOL_TITLES.get(tool, tool)}** en `{visible(folder)}`\n{shown}\n{why}"


def _argument(name: str, value: object) -> str:
    text = visible(str(value))
    fence = "`" * max(3, _longest_run(text, "`") + 1)
    label = "" if name in {"command", "cmd"} else f"{name}:\n"
    return f"{label}{fence}\n{text}\n{fence}"


def _longest_run(text: str, character: str) -> int:
    longest = run = 0
    for c in text:
        run = run + 1 if c == character else 0
        longest = max(longest, run)
    return longest


_TOOL_TITLES = {
    "execute_shell": "Ejecutar una orden",
    "git_operation": "Operación de git",
    "write_file": "Escribir un archivo",
    "edit_file": "Editar un archivo",
    "web_fetch": "Descargar una página",
}


def pay_question(provider: str) -> str:
    name = {"anthropic": "Claude", "groq": "Groq"}.get(provider, provider)
    return f"Los modelos gratuitos no están disponibles ahora. ¿Uso {name}, que es de pago, para este mensaje?"


def turn_failed(error: Exception) -> str:
    """`error` already speaks Spanish; the kept message and the way on belong to every failure."""
    text = str(error).strip()
    if "/reintentar" in text or not text:
        return text or INTERNAL_ERROR
    return (
        f"Parece que hay un problema: {text[0].lower()}{text[1:].rstrip('.')}.\n"
        "Tu mensaje está guardado: escribe /reintentar cuando quieras."
    )


def postponed(until: float) -> str:
    moment = datetime.fromtimestamp(until).astimezone()
    return f"En pausa hasta las {moment:%H:%M}"


def postponed_notice(reason: str) -> str:
    return f"⏸ {reason}"


def project_list(names: Sequence[str], current: str) -> str:
    if not names:
        return "No veo ningún proyecto en tus carpetas (PROJECTS_DIRS)."
    here = Path(current).name if current else ""
    lines = "\n".join(f"• {name}" + (" (actual)" if name == here else "") for name in names)
    return f"Proyectos:\n{lines}\n\nElige uno con /proyecto nombre."


def project_chosen(name: str, path: Path) -> str:
    return f"Proyecto actual: {name} ({path})."


def unknown_project(name: str, names: Sequence[str]) -> str:
    known = f" Conozco: {', '.join(names)}." if names else ""
    return f"No encuentro el proyecto «{name[:80]}».{known}"


# ---------------------------------------------------------------- what the model is told about a message

_ATTACHMENTS = {
    "animation": "una animación",
    "audio": "un audio",
    "contact": "un contacto",
    "document": "un archivo",
    "location": "una ubicación",
    "photo": "una foto",
    "poll": "una encuesta",
    "sticker": "un sticker",
    "venue": "un lugar",
    "video": "un vídeo",
    "videonote": "un vídeo",
    "voice": "una nota de voz",
}


_MOST_OLD_CHARS = 500


def corrected(text: str) -> str:
    return f"[Corrección del mensaje anterior] {text}"


def edited_earlier(old: str, text: str) -> str:
    if not old:
        return f"[Ha editado un mensaje anterior] {text}"
    shown = old[:_MOST_OLD_CHARS] + ("…" if len(old) > _MOST_OLD_CHARS else "")
    return f"[Ha editado un mensaje anterior: «{shown}»] {text}"


def note_reply(quoted: str) -> str:
    return f"[Responde a: «{quoted}»]"


def note_forwarded(origin: str) -> str:
    return f"[Reenviado de {origin}]" if origin else "[Reenviado]"


def note_attachment(kind: str) -> str:
    return f"[Con {_ATTACHMENTS.get(kind, 'un adjunto')} que no puedes ver]"


def note_links(links: Sequence[tuple[str, str]]) -> str:
    return f"[Enlaces: {'; '.join(f'«{text}» → {url}' for text, url in links)}]"


# ---------------------------------------------------------------- status

WHERE_TO_GET = {
    "GROQ_API_KEY": ("El modelo principal, rápido y gratuito.", "https://console.groq.com/keys"),
    "ANTHROPIC_API_KEY": ("Claude, para cuando Groq falla (de pago).", "https://platform.claude.com/settings/keys"),
    "TELEGRAM_TOKEN": ("Para escribirme desde el móvil: créalo con @BotFather.", "https://t.me/BotFather"),
    "TELEGRAM_USER_ID": ("Tu identificador numérico: escribe al bot y te lo dirá.", "https://t.me/userinfobot"),
}
_ROUTE_STATES = {
    "ready": "disponible",
    "resting": "en pausa",
    "rejected": "clave rechazada",
    "gone": "modelo retirado",
}


def status_text(report: StatusReport, session_id: str, project: str) -> str:
    routes = "\n".join(
        f"• {r.provider} {r.model}: {_ROUTE_STATES[r.state]}" + (f" ({r.reason})" if r.reason else "")
        for r in report.routes
    )
    missing = "".join(f"\n• falta {m.variable}: {m.what} {m.where}" for m in report.missing)
    return (
        f"**Nanobot {report.version}**, en marcha desde hace {_duration(report.uptime_seconds)}\n\n"
        f"Modelos:\n{routes or '• ninguno configurado'}\n"
        f"Gasto de hoy: {_money(report.spent_today_usd)} de {_money(report.daily_budget_usd)}\n"
        f"Telegram: {report.telegram}\n"
        f"Órdenes: {report.sandbox}\n"
        f"Proyecto: {project or 'la carpeta de proyectos'}\n"
        f"Conversación: {session_id}\n"
        f"Trabajos en curso: {report.open_work}{missing}"
    )


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min"


def _money(usd: float) -> str:
    return f"{usd:.4f} $".replace(".", ",") if 0 < usd < 0.01 else f"{usd:.2f} $".replace(".", ",")


from app.core.texts_telegram import *  # noqa: E402, F403
