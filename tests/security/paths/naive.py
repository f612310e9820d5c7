"""The positive control: the same operations as anybody would write them first, and with a check before the opening."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

OLD, NEW = "nadie", "todos"
Operation = Callable[[Path, str], object]


def read(base: Path, path: str) -> str:
    with open(os.path.join(base, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def write(base: Path, path: str) -> None:
    with open(os.path.join(base, path), "w", encoding="utf-8") as file:
        file.write("mío")


def edit(base: Path, path: str) -> None:
    where = os.path.join(base, path)
    text = Path(where).read_text()
    Path(where).write_text(text.replace(OLD, NEW))


def create(base: Path, path: str) -> None:
    write(base, beside(path))


def create_folder(base: Path, path: str) -> None:
    os.mkdir(os.path.join(base, folder_beside(path)))
    write(base, f"{folder_beside(path)}/x")


def listing(base: Path, path: str) -> list[str]:
    return os.listdir(os.path.join(base, parent(path)))


OPERATIONS: dict[str, Operation] = {
    "read": read, "write": write, "edit": edit, "create": create, "create a folder": create_folder, "list": listing,
}  # fmt: skip


def parent(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def beside(path: str) -> str:
    return f"{parent(path)}/nuevo.txt"


def folder_beside(path: str) -> str:
    return f"{parent(path)}/nueva"


def checked(path: str, root: str, hidden: list[str]) -> bool:
    """What most programs do: look where it leads, then open it by the same name."""
    real = os.path.realpath(path)
    info = os.lstat(real)
    inside = real.startswith(root + "/") and not any(real == h or real.startswith(h + "/") for h in hidden)
    return inside and (stat.S_ISDIR(info.st_mode) or (stat.S_ISREG(info.st_mode) and info.st_nlink == 1))
