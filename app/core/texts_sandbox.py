"""The part of the catalogue about what confines commands. In Spanish, like texts.py."""

from __future__ import annotations

from collections.abc import Sequence

SANDBOX_CHECKING = "Comprobando qué puede encerrar las órdenes aquí…"
SANDBOX_BUBBLEWRAP = (
    "Cada orden corre encerrada con bubblewrap: ve el sistema sin poder cambiarlo, solo puede cambiar tus carpetas de "
    "proyectos, no ve otros procesos y no tiene red, salvo que la permitas y solo hasta los sitios de NETWORK_HOSTS."
)
SANDBOX_LANDLOCK_UID = (
    "Cada orden corre encerrada con Landlock y seccomp y con otro usuario del sistema: ve el sistema sin poder "
    "cambiarlo, solo puede cambiar tus carpetas de proyectos y no tiene red, salvo que la permitas y solo hasta los "
    "sitios de NETWORK_HOSTS."
)
SANDBOX_LANDLOCK = (
    "Cada orden corre encerrada con Landlock y seccomp, con el mismo usuario que Nanobot: ve el sistema sin poder "
    "cambiarlo, solo puede cambiar tus carpetas de proyectos y no tiene red, salvo que la permitas y solo hasta los "
    "sitios de NETWORK_HOSTS. Lo que así no se cierra: puede saber qué archivos existen fuera y su tamaño (no leerlos)."
)
SANDBOX_SEATBELT = (
    "Cada orden corre encerrada con sandbox-exec de macOS: solo puede cambiar tus carpetas de proyectos, no lee tus "
    "otros archivos y no tiene red, salvo que la permitas y solo hasta los sitios de NETWORK_HOSTS. Un proceso que se "
    "separe del grupo puede seguir vivo al acabarse el tiempo."
)
SANDBOX_NONE = (
    "Las órdenes no están encerradas: corren con tu mismo usuario, sin claves en su entorno y con tiempo, memoria y "
    "salida limitados, leen y cambian lo que tú puedas y tienen toda la red (ALLOW_UNCONFINED_SHELL=true)."
)
SANDBOX_WINDOWS = (
    "En Windows las órdenes no están encerradas: corren con tu mismo usuario, sin claves en su entorno y con tiempo y "
    "salida limitados, y tienen toda la red; por eso cada una te pide permiso antes, salvo con APPROVALS=nunca."
)
SHELL_OFF = (
    "La shell está apagada: en esta máquina nada puede encerrar las órdenes. Las herramientas de archivos y git sí "
    "funcionan. El dueño puede instalar bubblewrap o, si acepta el riesgo, poner ALLOW_UNCONFINED_SHELL=true."
)
SHELL_OFF_ON_PURPOSE = (
    "La shell está apagada: SANDBOX=ninguno quita lo que encierra las órdenes. Las herramientas de archivos y git sí "
    "funcionan. El dueño puede quitar esa línea o, si acepta el riesgo, poner ALLOW_UNCONFINED_SHELL=true."
)
SANDBOX_GONE = (
    "La orden se ha perdido: el proceso que la vigilaba ha muerto. No se sabe si terminó y no se repite sola."
)
SANDBOX_NO_HELPER = "No se puede ejecutar ninguna orden: no arranca el proceso que las encierra."
SANDBOX_FAILED = "La orden no se ha ejecutado: no se ha podido encerrar. El registro dice por qué."
NETWORK_UNSUPPORTED = "Aquí no se puede dar red a una orden: nada la encierra, y sin eso la red sería toda."

_STOPPED = {
    "memory": "usaba demasiada memoria",
    "processes": "había creado demasiados procesos",
    "disk": "estaba llenando el disco",
}
_LAYER_NAMES = {"bubblewrap": "bubblewrap", "landlock-uid": "Landlock con otro usuario", "landlock": "Landlock"}
_ESCAPES = {
    "leer": "lee archivos de fuera", "tapado": "lee los datos de Nanobot", "escribir": "escribe fuera",
    "entorno": "ve el entorno de otros procesos", "permisos": "cambia permisos de fuera", "red": "llega a la red",
    "matar": "puede parar otros procesos",
}  # fmt: skip


def stopped_command(reason: str) -> str:
    return f"\n[Nanobot ha detenido la orden: {_STOPPED[reason]}]\n"


def put_back(names: Sequence[str]) -> str:
    return (
        f"\n[Nanobot ha deshecho lo que la orden ha cambiado en {', '.join(names)}: se ejecutaría luego fuera del "
        "encierro, sin preguntar a nadie. Lo que había está como antes y lo nuevo, al lado, en un nombre acabado en "
        "«.apartado». Para cambiarlo usa write_file, que pide permiso.]\n"
    )


def not_put_back(names: Sequence[str]) -> str:
    return (
        f"\n[Nanobot no ha podido deshacer lo que la orden ha cambiado en {', '.join(names)}, que se ejecutaría luego "
        "fuera del encierro: díselo al usuario para que lo revise antes de usar git o su editor ahí.]\n"
    )


def layer_not_there(asked: str, why: str) -> str:
    return f"No se ejecuta ninguna orden: SANDBOX={asked} pide algo que aquí no funciona ({why})."


def layer_failed(layer: str, why: str) -> str:
    return f"{_LAYER_NAMES[layer]}: {why}"


def layer_leaks(escapes: Sequence[str]) -> str:
    return f"la prueba se escapa ({', '.join(_ESCAPES.get(escape, escape) for escape in escapes)})"


def described(what: str, weaker_because: Sequence[str]) -> str:
    return f"{what} No se ha podido más: {'; '.join(weaker_because)}." if weaker_because else what


LAYER_NOT_INSTALLED = "no está instalado"
LAYER_NO_KERNEL = "este núcleo no lo tiene"
LAYER_NO_HELPER = "hace falta arrancar el contenedor como root"
LAYER_DOES_NOT_RUN = "la orden de prueba no llega a ejecutarse"
