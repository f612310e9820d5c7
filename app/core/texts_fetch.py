"""What is said about web pages and about the network of commands."""

from __future__ import annotations

from app.core.texts_safety import shown

URL_NEEDS_SCHEME = "La dirección debe empezar por http:// o https://."
URL_UNREADABLE = "Esa dirección no se entiende."
URL_TOO_LONG = "Esa dirección es demasiado larga."
URL_CREDENTIALS = "No se abren direcciones con usuario o contraseña dentro."
URL_DOWNGRADE = "La página redirige de https a http: no se sigue."
URL_LEAKS = "La dirección contiene una clave o contraseña: no se abre, porque la filtraría a ese sitio."
TOO_MANY_REDIRECTS = "La página redirige demasiadas veces."
FETCH_BAD_DATA = "La página llega comprimida de una forma que no se puede leer."
FETCH_BAD_HTTP = "El sitio no responde como una página web."
FETCH_CUT = "El sitio ha cortado la respuesta a la mitad."
FETCH_EMPTY = "El sitio responde sin ningún contenido."
BINARY = "datos binarios"


def url_port(port: int) -> str:
    return f"No se abren direcciones en el puerto {port}."


def url_private(host: str) -> str:
    return f"«{shown(host)}» no es una dirección pública de Internet: no se abre."


def fetch_no_dns(host: str) -> str:
    return f"No existe el sitio «{shown(host)}» o el DNS no responde."


def fetch_no_connection(host: str) -> str:
    return f"No se puede conectar con «{shown(host)}»."


def fetch_bad_certificate(host: str) -> str:
    return f"El certificado de «{shown(host)}» no es válido."


def fetch_bad_tls(host: str) -> str:
    return f"No se puede establecer una conexión segura con «{shown(host)}»."


def fetch_timeout(seconds: float) -> str:
    return f"La página no ha llegado entera en {seconds:g} s."


def fetch_status(status: int) -> str:
    return f"El sitio responde con el error {status}."


def fetch_redirect_nowhere(status: int) -> str:
    return f"El sitio redirige ({status}) sin decir adónde."


def fetch_not_text(kind: str) -> str:
    return f"La dirección no es una página de texto, sino «{shown(kind)}»: no se descarga."


# ---------------------------------------------------------------- the proxy of commands

PROXY_BAD_REQUEST = "Petición al proxy que no se entiende."
PROXY_NOT_YOURS = "Este proxy solo sirve a la orden para la que se abrió."
PROXY_NOT_HERE = "En este sistema las órdenes no pueden tener red a través de un proxy."
PROXY_FAILED = "No se ha podido abrir la red para la orden: no se ha ejecutado. El registro dice por qué."
PROXY_BUSY = "Demasiadas conexiones a la vez para una sola orden."


def proxy_host(host: str) -> str:
    return f"La red no permitió: «{shown(host)}» (no está en NETWORK_HOSTS)."


def proxy_port(host: str, port: int) -> str:
    return f"A «{shown(host)}» no se permite ir por el puerto {port}."


def proxy_other_name(host: str, name: str) -> str:
    return f"Se pidió «{shown(host)}», pero la conexión nombra «{shown(name)}»: no se permite."


def proxy_not_tls(host: str) -> str:
    return f"Por el túnel a «{shown(host)}» solo se permite TLS."


def bad_allowed_host(text: str) -> str:
    return f"«{shown(text)}» no es un sitio que se pueda permitir: escribe un nombre (pypi.org) o *.nombre."
