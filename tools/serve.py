"""`dev.py run`: uvicorn in the foreground, as this very process where the system allows it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from tools.environment import ROOT, WINDOWS, SetupError

DEFAULTS = {"HOST": "127.0.0.1", "PORT": "8000"}
# The application closes its event streams by itself; a client that holds on anyway gets this many seconds.
GRACE = "5"


def serve(python: Path, arguments: list[str]) -> int:
    host, port = address(arguments, ROOT / ".env")
    refuse_taken_port(host, port)
    # The application reads the same two names, so what it believes is what uvicorn does.
    os.environ.update(HOST=host, PORT=str(port))
    shown = "localhost" if host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else host  # noqa: S104
    print(f"Nanobot: http://{shown}:{port}  (Ctrl+C para salir)", flush=True)
    where = ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", GRACE]
    return replace_process([str(python), "-m", "uvicorn", "app.main:app", *where, *arguments])


def replace_process(command: list[str]) -> int:
    """Signals reach the server itself and its exit code is ours."""
    os.chdir(ROOT)
    sys.stdout.flush()
    if not WINDOWS:
        os.execv(command[0], command)  # noqa: S606
    with subprocess.Popen(command) as server:  # Ctrl+C reaches both; the server decides when it ends
        while True:
            try:
                return server.wait()
            except KeyboardInterrupt:
                continue


def address(arguments: list[str], dotenv: Path) -> tuple[str, int]:
    """uvicorn's own options, then the environment, then .env, then 127.0.0.1:8000."""
    values = {**DEFAULTS, **read_dotenv(dotenv)}
    values |= {name: os.environ[name] for name in DEFAULTS if os.environ.get(name)}
    for position, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        name = option.removeprefix("--").upper()
        if option.startswith("--") and name in DEFAULTS:
            values[name] = value if equals else "".join(arguments[position + 1 : position + 2])
    host, port = values["HOST"], values["PORT"]
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise SetupError(f"PORT debe ser un número entre 1 y 65535, y dice «{port}».")
    return host, int(port)


def read_dotenv(path: Path) -> dict[str, str]:
    """HOST and PORT of a .env file; the application reads all the rest itself."""
    if not path.exists():
        return {}
    line = re.compile(r"""^\s*(?:export\s+)?(HOST|PORT)\s*=\s*(["']?)([^"'#\s]+)\2\s*(?:#.*)?$""", re.MULTILINE)
    return {name: value for name, _, value in line.findall(text_of(path.read_bytes()))}


def text_of(raw: bytes) -> str:
    """PowerShell's `>` writes UTF-16. What is no text at all is refused by the application, with a reason."""
    encoding = "utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    return raw.decode(encoding, "replace")


def refuse_taken_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        if not WINDOWS:  # there it would mean "share the port"
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SetupError(
                f"No se puede abrir {host}:{port} ({error.strerror}). ¿Hay otro Nanobot en marcha? "
                "Cambia PORT en .env, o prueba con --port 8001."
            ) from error
