from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tools import lock, testkit
from tools.environment import DEV, RUNTIME

FILES = ["pyproject.toml", "poetry.lock", f"requirements/{RUNTIME}", f"requirements/{DEV}"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    (tmp_path / "requirements").mkdir()
    for name in FILES:
        shutil.copy(lock.ROOT / name, tmp_path / name)
    return tmp_path


def test_the_lock_the_project_and_the_exports_agree() -> None:
    assert lock.differences(lock.ROOT) == []


@pytest.mark.parametrize(
    ("file", "pattern", "replacement", "complaint"),
    [
        ("pyproject.toml", r'"loguru>=[^"]+"', '"loguru>=0.1"', "anterior a pyproject.toml"),
        ("pyproject.toml", r'"pytest>=[^"]+"', '"pytest>=1"', "anterior a pyproject.toml"),
        (f"requirements/{RUNTIME}", r"(?m)^loguru==\S+", "loguru==0.0.1", "loguru 0.0.1, y poetry.lock dice"),
        (f"requirements/{RUNTIME}", r"(?m)^loguru==(?:.*\\\n)*.*\n", "", "falta loguru"),
        (f"requirements/{RUNTIME}", r"(?m)\Z", "evil==1.0 \\\n    --hash=sha256:00\n", "sobra evil"),
        (f"requirements/{RUNTIME}", r"(?m)\A", "--index-url https://example.org/simple\n", "--index-url"),
        (f"requirements/{DEV}", r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, "hashes de"),
        (f"requirements/{DEV}", r' and sys_platform == "win32"', "", "condiciones de colorama"),
        ("poetry.lock", r'(name = "loguru"\nversion = )"[^"]+"', r'\1"9.9.9"', "y poetry.lock dice 9.9.9"),
    ],
)
def test_a_disagreement_is_named(copy: Path, file: str, pattern: str, replacement: str, complaint: str) -> None:
    text = (copy / file).read_text("utf-8")
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    (copy / file).write_text(changed, "utf-8")

    assert any(complaint in line for line in lock.differences(copy)), lock.differences(copy)
    assert lock.main(copy) == 1


@pytest.mark.parametrize(
    ("markers", "expected"),
    [
        ("", frozenset()),
        ("sys_platform == 'win32'", frozenset({'sys_platform == "win32"'})),
        ({"dev": 'python_version <= "3.14"'}, frozenset()),
        ({"main": 'os_name == "nt"', "dev": 'os_name == "nt"'}, frozenset({'os_name == "nt"'})),
        ({"main": 'os_name == "nt"', "dev": 'os_name == "posix"'}, None),
    ],
)
def test_a_package_of_two_groups_is_wanted_when_either_wants_it(
    markers: str | dict[str, str], expected: frozenset[str] | None
) -> None:
    assert lock.union(markers, {"main", "dev"}) == expected


def test_no_file_of_the_lock_names_a_registry() -> None:
    """A host in a lock file would send everybody to one machine's mirror."""
    for path in [*(lock.ROOT / name for name in FILES[1:]), *testkit.AIMOCK_MANIFESTS]:
        text = path.read_text("utf-8")
        assert not re.search(r"(?i)file://|\[package\.source\]|\"resolved\"|https?://[^\s\"]*/simple", text), path
