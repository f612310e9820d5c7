"""The commands of dev.py."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from tools import lock, stages, testkit
from tools.environment import DEV, ROOT, RUNTIME, Environment, SetupError
from tools.serve import serve

HELP = """\
órdenes:
  run     prepara lo necesario y arranca Nanobot (http://localhost:8000); lo que siga va a uvicorn (--reload…)
  test    todas las comprobaciones y pruebas; con argumentos, solo pytest con ellos (tests/unit -k lanes…)
  check   solo las comprobaciones estáticas: formato, estilo, tipos, importaciones, tamaños, dependencias
  fix     arregla formato y estilo
  bench   mediciones (python -m bench)
  crash   mata el servidor en cada punto de cada escenario y comprueba que nada se pierde ni se repite (Linux)
  lock    recalcula poetry.lock y requirements/ tras cambiar pyproject.toml (necesita Poetry)
"""


def main(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]  # old Windows consoles
    parser = argparse.ArgumentParser(
        prog="dev.py", epilog=HELP, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False
    )
    parser.add_argument("-h", "--help", action="help", help="muestra esta ayuda")
    parser.add_argument("command", choices=COMMANDS, metavar="orden")
    chosen = parser.parse_args(arguments[:1])
    try:
        return COMMANDS[chosen.command](arguments[1:])
    except SetupError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def run(arguments: list[str]) -> int:
    environment = Environment()
    python = environment.ensure(RUNTIME)
    environment.create_dotenv()
    return serve(python, arguments)


def test(arguments: list[str]) -> int:
    python = Environment().ensure(DEV)
    tools, problems = testkit.ensure(python)
    for problem in problems:
        print(f"\n!!! FALTA {problem}\n!!! Las pruebas que lo necesitan se saltan.", flush=True)
    exported = {name: str(path) for name, path in tools.items()}
    tests = stages.test_stage(python, arguments)
    everything = [tests] if arguments else [*stages.static_stages(python), tests]
    code = stages.run_all(everything, exported, missing=", ".join(line.partition(":")[0] for line in problems))
    return code or (1 if problems and in_ci() else 0)


def check(_: list[str]) -> int:
    return stages.run_all(stages.static_stages(Environment().ensure(DEV)))


def fix(_: list[str]) -> int:
    python = str(Environment().ensure(DEV))
    linted = subprocess.run([python, "-m", "ruff", "check", "--fix", "."], cwd=ROOT, check=False)
    formatted = subprocess.run([python, "-m", "ruff", "format", "."], cwd=ROOT, check=False)
    return linted.returncode or formatted.returncode


def bench(arguments: list[str]) -> int:
    return module("bench", arguments)


def crash(arguments: list[str]) -> int:
    return module("tests.crash", arguments)


def module(name: str, arguments: list[str]) -> int:
    python = Environment().ensure(DEV)
    tools, _ = testkit.ensure(python)
    exported = {variable: str(path) for variable, path in tools.items()}
    return subprocess.run(
        [str(python), "-m", name, *arguments], cwd=ROOT, env={**os.environ, **exported}, check=False
    ).returncode


def relock(_: list[str]) -> int:
    return lock.relock()


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true"}


COMMANDS = {"run": run, "test": test, "check": check, "fix": fix, "bench": bench, "crash": crash, "lock": relock}
