"""How Nanobot stands with Telegram: the state on the dashboard and in /estado, and what the owner is asked."""

from __future__ import annotations

DISK_REFUSES = (
    "Ahora no puedo guardar tu mensaje: el disco no me deja. Lo atiendo en cuanto pueda; no hace falta que lo repitas."
)
TELEGRAM_OFF = "Sin configurar: falta TELEGRAM_TOKEN."
TELEGRAM_STARTING = "Conectando con Telegram…"
TELEGRAM_BAD_TOKEN = "Telegram rechaza el token: revisa TELEGRAM_TOKEN. Lo vuelvo a probar cada 5 minutos."  # noqa: S105
TELEGRAM_TOKEN_LOST = (
    "Telegram ya no acepta el token, que antes valía. Lo vuelvo a probar cada minuto; "  # noqa: S105
    "si lo has cambiado en @BotFather, pon el nuevo en TELEGRAM_TOKEN."
)
TELEGRAM_CONFLICT = "Otro programa está usando este bot: cierra el otro o usa otro token."
TELEGRAM_OTHER_WEBHOOK = "El bot tiene un webhook de otro servidor, y mientras lo tenga no recibo nada."
WEBHOOK_NEEDS_URL = (
    "Configuración: TELEGRAM_MODE=webhook necesita PUBLIC_URL: la dirección pública de este servidor, con https y en "
    "el puerto 443, 80, 88 u 8443."
)
TAKE_HERE = "Usarlo aquí"
LEAVE_IT = "Dejarlo"
ANOTHER_PROGRAM = "otro programa"
NOBODY_TO_TAKE_FROM = "Nadie más está usando el bot ahora."
TELEGRAM_UNREACHABLE = "No consigo hablar con Telegram; lo sigo intentando."
TELEGRAM_GARBLED = (
    "Algo contesta en lugar de Telegram (¿un proxy o un cortafuegos?): revisa la red o TELEGRAM_API_BASE_URL. "
    "Lo sigo intentando."
)
TELEGRAM_BROKEN = "Ha fallado la recepción de mensajes de Telegram; está en el registro y lo sigo intentando."
PART_REFUSED = "Telegram no acepta una parte de la respuesta anterior. Está entera en el panel."
UPDATE_UNREADABLE = (
    "Telegram me ha pasado algo que no he podido entender. Está guardado en telegram_unreadable.jsonl, en la carpeta "
    "de datos. Si era un mensaje tuyo y no te contesto, mándamelo otra vez."
)


def telegram_pause(seconds: float) -> str:
    return f"Telegram pide una pausa de {max(1, round(seconds))} s antes de recibir más."


def telegram_refuses_us(detail: str) -> str:
    return f"Telegram no deja recibir mensajes a este bot ({detail}); lo sigo intentando."


def telegram_ready(username: str) -> str:
    return f"Conectado como @{username}."


def telegram_webhook_ready(username: str) -> str:
    return f"Conectado como @{username}; los mensajes llegan por webhook."


def telegram_other_webhook(where: str) -> str:
    return f"El bot lo usa otro servidor ({where}), y mientras tenga su webhook no recibo nada. Puedes usarlo aquí."


def telegram_webhook_refused(detail: str) -> str:
    return f"Telegram no acepta la dirección de PUBLIC_URL ({detail}); lo sigo intentando."


def telegram_webhook_failing(detail: str, waiting: int) -> str:
    """`detail` is Telegram's own sentence."""
    if "certificate" in detail.lower() or "ssl" in detail.lower():
        return f"Telegram no se fía del certificado https de PUBLIC_URL ({detail}). Mensajes que esperan: {waiting}."
    return f"Telegram no consigue entregarme los mensajes en PUBLIC_URL ({detail}). Esperan: {waiting}."


def takeover_question(where: str) -> str:
    return (
        f"Este bot lo está usando también {where}. Mientras sea así, tus mensajes pueden no llegarme. "
        "¿Lo uso aquí? Si ya no quieres el otro, ciérralo. También puedes decidirlo en el panel, en Estado."
    )


def takeover_decided(take: bool) -> str:
    return "De acuerdo: lo uso aquí." if take else "De acuerdo: se lo dejo al otro."
