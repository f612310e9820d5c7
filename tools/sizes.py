"""The size ratchet: how long the files and functions of app/ are, against limits that only get tighter."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
LIMITS = "tools/sizes.toml"
# What the design allows at most; tools/sizes.toml may be stricter, never looser.
DESIGN = {"file_max": 300, "file_median": 150, "function_max": 50, "function_median": 10, "parameters_max": 6}


@dataclass(frozen=True)
class Measure:
    where: str
    value: int


@dataclass(frozen=True)
class Report:
    """Lines per file, lines (from `def` to the end) and parameters (no self, no cls) per function."""

    files: list[Measure]
    functions: list[Measure]
    parameters: list[Measure]

    def figures(self) -> dict[str, float]:
        return {
            "file_max": largest(self.files).value,
            "file_median": middle(self.files),
            "function_max": largest(self.functions).value,
            "function_median": middle(self.functions),
            "parameters_max": largest(self.parameters).value,
        }

    def excesses(self, limits: dict[str, int]) -> list[str]:
        groups = {"file_max": self.files, "function_max": self.functions, "parameters_max": self.parameters}
        found = [
            f"{limit}: {measure.where} tiene {measure.value}, el límite es {limits[limit]}"
            for limit, group in groups.items()
            for measure in group
            if measure.value > limits[limit]
        ]
        medians = {"file_median": middle(self.files), "function_median": middle(self.functions)}
        return found + [
            f"{limit}: la mediana es {value:g}, el límite es {limits[limit]}"
            for limit, value in medians.items()
            if value > limits[limit]
        ]


def largest(group: list[Measure]) -> Measure:
    return max(group, key=lambda measure: measure.value, default=Measure("-", 0))


def middle(group: list[Measure]) -> float:
    return median(measure.value for measure in group) if group else 0


def measure(app: Path) -> Report:
    report = Report([], [], [])
    for path in sorted(app.rglob("*.py")):
        source = path.read_text("utf-8")
        name = path.relative_to(app.parent).as_posix()
        tree = ast.parse(source, name)
        if all(map(is_bare, tree.body)):
            continue  # an empty __init__.py would flatter the median
        report.files.append(Measure(name, len(source.splitlines())))
        for function, in_class in functions(tree):
            where = f"{name}:{function.lineno} {function.name}"
            if "override" not in decorators(function):  # a library's signature is not ours to shorten
                report.parameters.append(Measure(where, count_parameters(function, in_class)))
            if not all(map(is_bare, function.body)):  # a Protocol's `...` would flatter it, too
                report.functions.append(Measure(where, (function.end_lineno or 0) - function.lineno + 1))
    return report


def is_bare(statement: ast.stmt) -> bool:
    """A docstring or `...`."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def functions(tree: ast.AST, in_class: bool = False) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, in_class
        yield from functions(node, isinstance(node, ast.ClassDef))


def count_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef, in_class: bool) -> int:
    given = function.args
    count = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) + bool(given.vararg) + bool(given.kwarg)
    return count - (in_class and "staticmethod" not in decorators(function) and count > 0)


def decorators(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in function.decorator_list}


def loosened(limits: dict[str, int], earlier: list[dict[str, int]]) -> list[str]:
    """Limits that are missing, or looser than the design's or than in any version that was ever committed."""
    found: list[str] = []
    for name, allowed in DESIGN.items():
        strictest = min([allowed, *(version.get(name, allowed) for version in earlier)])
        if limits.get(name, sys.maxsize) > strictest:
            found.append(f"{LIMITS}: {name} solo puede bajar; {strictest} o menos, y dice {limits.get(name)}")
    return found


def committed_versions(root: Path) -> list[dict[str, int]]:
    """Every version of the limits in git's history; none where there is no repository."""
    versions: list[dict[str, int]] = []
    for commit in git(root, "log", "--format=%H", "--", LIMITS).split():
        text = git(root, "show", f"{commit}:{LIMITS}")
        versions.append(tomllib.loads(text))
    return versions


def git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, check=False)
    except OSError:
        return ""
    return done.stdout.decode("utf-8") if done.returncode == 0 else ""


def main(root: Path = ROOT) -> int:
    limits = tomllib.loads((root / LIMITS).read_text("utf-8"))
    report = measure(root / "app")
    figures = report.figures()
    print(f"app/: {len(report.files)} archivos, {len(report.functions)} funciones")
    print(" · ".join(f"{name} {figures[name]:g} (límite {limits.get(name)})" for name in DESIGN))
    problems = report.excesses(limits) + loosened(limits, committed_versions(root))
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
