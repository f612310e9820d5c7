"""poetry.lock is the truth. Checks, without Poetry, that pyproject.toml and requirements/ agree with it."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.environment import DEV, ROOT, RUNTIME, poetry_command

EXPORTS = {RUNTIME: {"main"}, DEV: {"main", "dev"}}
EXPORT_OPTIONS = {RUNTIME: ["--only", "main"], DEV: ["--with", "dev"]}


@dataclass(frozen=True)
class Pin:
    """`markers`: the conditions, all of which must hold; None where they cannot be compared as text."""

    version: str
    markers: frozenset[str] | None
    hashes: frozenset[str]


def differences(root: Path) -> list[str]:
    """Spanish lines, one per disagreement."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    lock = tomllib.loads((root / "poetry.lock").read_text("utf-8"))
    found: list[str] = []
    if lock["metadata"]["content-hash"] != content_hash(project):
        found.append("poetry.lock es anterior a pyproject.toml")
    found += [
        f"poetry.lock: {package['name']} viene de otro índice" for package in lock["package"] if "source" in package
    ]
    for name, groups in EXPORTS.items():
        text = (root / "requirements" / name).read_text("utf-8")
        found += [f"{name}: sobra la opción {option}" for option in re.findall(r"^--\S+", text, re.MULTILINE)]
        found += compare(name, locked(lock, groups), exported(text))
    return found


def content_hash(project: dict[str, Any]) -> str:
    """Poetry's own (2.3 and later): of the parts of pyproject.toml from which the lock is computed."""
    keys = ("requires-python", "dependencies", "optional-dependencies")
    relevant: dict[str, Any] = {
        "project": {key: project["project"][key] for key in keys if key in project["project"]},
        "dependency-groups": project["dependency-groups"],
        "tool": {"poetry": {}},
    }
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def locked(lock: dict[str, Any], groups: set[str]) -> dict[str, Pin]:
    pins: dict[str, Pin] = {}
    for package in lock["package"]:
        wanted = groups & set(package["groups"])
        if wanted:
            hashes = frozenset(file["hash"] for file in package["files"])
            pins[package["name"]] = Pin(package["version"], union(package.get("markers", ""), wanted), hashes)
    return pins


def union(markers: str | dict[str, str], groups: set[str]) -> frozenset[str] | None:
    """The lock has one marker for all groups, or one each; installed is what any of them asks for."""
    if isinstance(markers, str):
        return conditions(markers)
    asked = {conditions(markers.get(group, "")) for group in groups}
    if frozenset[str]() in asked:
        return frozenset()
    return asked.pop() if len(asked) == 1 else None


def conditions(marker: str) -> frozenset[str] | None:
    if " or " in marker:
        return None
    parts = {part.strip().replace("'", '"') for part in marker.split(" and ")}
    return frozenset(parts - {"", 'python_version >= "3.11"', 'python_version < "4"'})


def exported(text: str) -> dict[str, Pin]:
    pins: dict[str, Pin] = {}
    for entry in re.findall(r"^[A-Za-z0-9](?:.*\\\n)*.*$", text, re.MULTILINE):
        requirement, *hashes = re.split(r"\s*\\\n\s*--hash=", entry)
        pinned, _, marker = requirement.partition(";")
        name, _, version = pinned.strip().partition("==")
        pins[name.partition("[")[0]] = Pin(version, conditions(marker.strip()), frozenset(hashes))
    return pins


def compare(name: str, wanted: dict[str, Pin], found: dict[str, Pin]) -> list[str]:
    lines = [f"{name}: falta {package}" for package in sorted(wanted.keys() - found.keys())]
    lines += [f"{name}: sobra {package}" for package in sorted(found.keys() - wanted.keys())]
    for package in sorted(wanted.keys() & found.keys()):
        lock, export = wanted[package], found[package]
        if lock.version != export.version:
            lines.append(f"{name}: {package} {export.version}, y poetry.lock dice {lock.version}")
        if lock.hashes != export.hashes:
            lines.append(f"{name}: los hashes de {package} no son los de poetry.lock")
        if None not in (lock.markers, export.markers) and lock.markers != export.markers:
            lines.append(f"{name}: las condiciones de {package} no son las de poetry.lock")
    return lines


def relock(root: Path = ROOT) -> int:
    """`dev.py lock`: Poetry computes the lock and writes the exports."""
    poetry = poetry_command()
    subprocess.run([poetry, "lock"], cwd=root, check=True)
    for name, options in EXPORT_OPTIONS.items():
        output = ["--format", "requirements.txt", "--output", f"requirements/{name}"]
        subprocess.run([poetry, "export", *output, *options], cwd=root, check=True)
    return main(root)


def main(root: Path = ROOT) -> int:
    found = differences(root)
    print("\n".join(found) or "poetry.lock, pyproject.toml y requirements/ dicen lo mismo")
    if found:
        print("Se arregla con: python3 dev.py lock")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
