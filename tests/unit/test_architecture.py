"""What import-linter cannot see: the core touches no file by itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent.parent / "app/core"
DISK = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "unlink", "rmdir", "touch"}


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield node.lineno, node.func.id
            elif isinstance(node.func, ast.Attribute) and not is_port(node.func.value):
                yield node.lineno, node.func.attr


def is_port(owner: ast.expr) -> bool:
    """Methods of the Workspace and of other parts that were handed in are not the disk."""
    text = ast.unparse(owner)
    return text.startswith("self.") or "workspace" in text


def disk_calls(source: str) -> list[tuple[int, str]]:
    return [(line, name) for line, name in calls(ast.parse(source)) if name in DISK]


def test_the_core_opens_no_file() -> None:
    found = {path.name: disk_calls(path.read_text("utf-8")) for path in CORE.rglob("*.py")}
    assert found
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_check_would_see_one() -> None:
    assert disk_calls("from pathlib import Path\nPath('x').read_text()\nopen('y')") == [
        (2, "read_text"),
        (3, "open"),
    ]
    assert disk_calls("await self.files.open('x')") == []
