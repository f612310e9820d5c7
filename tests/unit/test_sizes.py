from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import sizes

SOURCE = '''\
class Loop:
    def step(self, a, b, *, c=1, **rest):
        """Doc."""
        def inner():
            return a
        return inner

    @staticmethod
    def free(a):
        return a

class Port(Library):
    def send(self, text): ...

    @typing_extensions.override
    def dictated(self, a, b, c, d, e, f, g): ...
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "tools").mkdir()
    (tmp_path / "app/loop.py").write_text(SOURCE)
    (tmp_path / "app/__init__.py").write_text('"""Nothing but a docstring."""\n')
    write_limits(tmp_path)
    return tmp_path


def write_limits(root: Path, **changed: int) -> None:
    limits = {**sizes.DESIGN, **changed}
    (root / sizes.LIMITS).write_text("".join(f"{name} = {value}\n" for name, value in limits.items()))


def test_measures_files_functions_and_parameters(project: Path) -> None:
    report = sizes.measure(project / "app")

    assert report.files == [sizes.Measure("app/loop.py", 16)], "a bare __init__.py does not count"
    assert [(m.where.split()[1], m.value) for m in report.functions] == [
        ("step", 5),
        ("inner", 2),
        ("free", 2),
    ]
    assert {m.where.split()[1]: m.value for m in report.parameters} == {
        "step": 4,  # a, b, c and **rest; not self
        "inner": 0,
        "free": 1,  # a static method has no self
        "send": 1,  # `dictated` has the signature of the library that it overrides
    }


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("file_max", 15),
        ("file_median", 15),
        ("function_max", 4),
        ("function_median", 1),
        ("parameters_max", 3),
    ],
)
def test_every_limit_bites(project: Path, capsys: pytest.CaptureFixture[str], limit: str, value: int) -> None:
    assert sizes.main(project) == 0
    write_limits(project, **{limit: value})

    assert sizes.main(project) == 1
    assert limit in capsys.readouterr().out.splitlines()[-1]


def test_no_limit_may_be_looser_than_the_design(project: Path) -> None:
    write_limits(project, function_max=51)
    assert sizes.main(project) == 1

    (project / sizes.LIMITS).write_text("file_max = 300\n")
    assert len(sizes.loosened({"file_max": 300}, [])) == 4, "a missing limit is no limit"


def test_a_limit_once_committed_never_gets_looser_again(project: Path) -> None:
    def git(*arguments: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(project), *who, *arguments], check=True, capture_output=True)

    git("init", "-q")
    write_limits(project, file_max=200)
    git("add", "-A")
    git("commit", "-qm", "tighter")
    write_limits(project, file_max=250)
    git("commit", "-qam", "looser: must not go unnoticed even when committed")

    assert sizes.main(project) == 1
    write_limits(project, file_max=199)
    assert sizes.main(project) == 0
