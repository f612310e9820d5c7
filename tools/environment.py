"""The virtual environment and the .env file: made when missing, otherwise left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WINDOWS = os.name == "nt"
RUNTIME = "requirements.txt"
DEV = "requirements-dev.txt"  # holds everything in RUNTIME, too


class SetupError(Exception):
    """Something the person has to fix; the message says what, in Spanish."""


@dataclass(frozen=True)
class Environment:
    root: Path = ROOT

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if WINDOWS else "bin/python")

    @property
    def stamp(self) -> Path:
        return self.venv / "nanobot-installed.json"

    def ensure(self, requirements: str) -> Path:
        """The venv's python, with that hash-locked file installed; at once when it already is."""
        wanted = file_hash(self.root / "requirements" / requirements)
        installed = self.installed()
        if installed.get(requirements) == wanted:
            return self.python
        if not installed and not self.usable():
            self.create()
        self.stamp.unlink(missing_ok=True)  # an interrupted installation counts as none
        self.install(self.root / "requirements" / requirements)
        covered = [requirements, RUNTIME] if requirements == DEV else [requirements]
        hashes = {name: file_hash(self.root / "requirements" / name) for name in covered}
        self.stamp.write_text(json.dumps({**installed, **hashes, "python": self.interpreter()}), "utf-8")
        return self.python

    def installed(self) -> dict[str, Any]:
        """File name → hash of what is installed; empty when that is for another interpreter, or unknown."""
        try:
            installed = json.loads(self.stamp.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return installed if installed.get("python") == self.interpreter() else {}

    def interpreter(self) -> str | None:
        """Where the venv's python really is: upgrading the system's makes the installed packages useless."""
        return str(self.python.resolve()) if self.python.exists() else None

    def usable(self) -> bool:
        """True for a venv that we did not make (Poetry's, an editor's) and that works with this project."""
        check = "import sys; sys.exit(sys.version_info < (3, 11) or sys.prefix == sys.base_prefix)"
        try:
            return subprocess.run([self.python, "-c", check], check=False).returncode == 0
        except OSError:
            return False

    def create(self) -> None:
        print("Creando .venv…", flush=True)
        if subprocess.run([sys.executable, "-m", "venv", "--clear", self.venv], check=False).returncode:
            raise SetupError(
                "No se ha podido crear .venv. En Debian y Ubuntu suele faltar: sudo apt install python3-venv"
            )

    def install(self, requirements: Path) -> None:
        print(f"Instalando dependencias ({requirements.name}); solo la primera vez o si cambian…", flush=True)
        if subprocess.run([self.python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
            subprocess.run([self.python, "-m", "ensurepip"], capture_output=True, check=False)
        pip = [self.python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        if subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", requirements], check=False).returncode:
            raise SetupError("No se han podido instalar las dependencias: arriba dice por qué. ¿Hay conexión?")

    def create_dotenv(self) -> None:
        """.env from .env.example, readable by its owner only. Never touches one that exists."""
        example, target = self.root / ".env.example", self.root / ".env"
        if target.exists() or not example.exists():
            return
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(example.read_bytes())
        print("Creado .env a partir de .env.example: ahí van tus claves.", flush=True)


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def poetry_command() -> str:
    poetry = shutil.which("poetry")
    if poetry is None:
        raise SetupError("Falta Poetry: pipx install poetry && pipx inject poetry poetry-plugin-export")
    return poetry
