from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tools import serve, stages, testkit
from tools.environment import DEV, RUNTIME, Environment, SetupError, file_hash

POSIX = os.name == "posix"


@pytest.fixture
def fresh(tmp_path: Path) -> Environment:
    """A project with nothing to install and nothing installed."""
    (tmp_path / "requirements").mkdir()
    for name in (RUNTIME, DEV):
        (tmp_path / "requirements" / name).write_text(f"# {name}\n")
    return Environment(tmp_path)


def installed(environment: Environment) -> Environment:
    """As after an installation, without waiting for one."""
    environment.python.parent.mkdir(parents=True)
    if POSIX:
        environment.python.symlink_to(sys.executable)
    else:
        environment.python.write_bytes(b"")
    hashes = {name: file_hash(environment.root / "requirements" / name) for name in (RUNTIME, DEV)}
    environment.stamp.write_text(json.dumps({**hashes, "python": environment.interpreter()}))
    return environment


def test_the_first_ensure_makes_a_working_venv_and_the_second_touches_nothing(fresh: Environment) -> None:
    python = fresh.ensure(DEV)
    ran = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert Path(ran.stdout.strip()).resolve() == fresh.venv.resolve()
    before = {path: path.stat().st_mtime_ns for path in fresh.venv.rglob("*")}

    assert fresh.ensure(DEV) == python
    assert fresh.ensure(RUNTIME) == python, "the development set holds the runtime one"
    assert {path: path.stat().st_mtime_ns for path in fresh.venv.rglob("*")} == before


def test_changed_requirements_are_not_taken_for_installed(fresh: Environment) -> None:
    installed(fresh)
    (fresh.root / "requirements" / RUNTIME).write_text("loguru==0\n")  # no hash: pip must refuse it

    with pytest.raises(SetupError, match="No se han podido instalar"):
        fresh.ensure(RUNTIME)
    assert not fresh.stamp.exists(), "a failed installation counts as none"


def test_another_interpreter_makes_what_is_installed_worthless(fresh: Environment) -> None:
    installed(fresh)
    stamp = json.loads(fresh.stamp.read_text())
    fresh.stamp.write_text(json.dumps({**stamp, "python": "/usr/bin/python3.4"}))

    assert fresh.installed() == {}


def test_dotenv_is_private_and_never_overwritten(fresh: Environment) -> None:
    fresh.create_dotenv()
    assert not (fresh.root / ".env").exists(), "no example, no .env"

    (fresh.root / ".env.example").write_bytes("# Tu clave, con ñ\nGROQ_API_KEY=\n".encode())
    fresh.create_dotenv()
    dotenv = fresh.root / ".env"
    assert dotenv.read_bytes() == (fresh.root / ".env.example").read_bytes()
    if POSIX:
        assert stat.S_IMODE(dotenv.stat().st_mode) == 0o600

    dotenv.write_text("GROQ_API_KEY=mine\n")
    fresh.create_dotenv()
    assert dotenv.read_text() == "GROQ_API_KEY=mine\n"


@pytest.mark.parametrize(
    ("dotenv", "environment", "arguments", "expected"),
    [
        ("", {}, [], ("127.0.0.1", 8000)),
        ("HOST=0.0.0.0\nPORT=9000\n", {}, [], ("0.0.0.0", 9000)),
        ("# PORT=1\nexport PORT = \"9001\"  # mine\nHOST=''\n", {}, [], ("127.0.0.1", 9001)),
        ("PORT=9000\n", {"PORT": "9002"}, ["--reload"], ("127.0.0.1", 9002)),
        ("PORT=9000\n", {"PORT": ""}, [], ("127.0.0.1", 9000)),
        ("PORT=9000\n", {"PORT": "9002"}, ["--port", "9003", "--host=::1"], ("::1", 9003)),
    ],
)
def test_address_prefers_options_then_environment_then_dotenv(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dotenv: str,
    environment: dict[str, str],
    arguments: list[str],
    expected: tuple[str, int],
) -> None:
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / ".env").write_text(dotenv)

    assert serve.address(arguments, tmp_path / ".env") == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_the_address_is_read_from_what_other_editors_write(tmp_path: Path, encoding: str) -> None:
    (tmp_path / ".env").write_bytes("# año\nPORT=8123\n".encode(encoding))
    assert serve.address([], tmp_path / ".env")[1] == 8123


@pytest.mark.parametrize("port", ["ocho", "0", "65536", "-1"])
def test_a_malformed_port_is_named(tmp_path: Path, port: str) -> None:
    with pytest.raises(SetupError, match="PORT debe ser un número"):
        serve.address(["--port", port], tmp_path / ".env")


def test_a_taken_port_is_refused_before_anything_starts() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(SetupError, match="otro Nanobot"):
        serve.refuse_taken_port("127.0.0.1", port)
    serve.refuse_taken_port("127.0.0.1", port)


if POSIX:

    def test_the_server_gets_the_signal_and_its_exit_code_is_ours() -> None:
        server = (
            "import signal, sys, time\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
            "print('up', flush=True)\n"
            "time.sleep(30)"
        )
        launcher = f"from tools.serve import replace_process as r; import sys; r([sys.executable, '-c', {server!r}])"
        with subprocess.Popen([sys.executable, "-c", launcher], cwd=serve.ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 7


def test_a_failing_stage_stops_none_and_fails_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    def stage(name: str, code: str) -> stages.Stage:
        return stages.Stage(name, [sys.executable, "-c", code])

    good = stage("buena", "import os; print('x', os.environ['NANOBOT_NODE'])")
    code = stages.run_all([stage("mala", "raise SystemExit(3)"), good], {"NANOBOT_NODE": "here"})

    lines = capfd.readouterr().out.strip().splitlines()
    assert code == 1
    assert "x here" in lines
    assert lines[-1].startswith("FALLA: mala · ✗ mala ")
    assert "✓ buena" in lines[-1]
    assert stages.run_all([good], {"NANOBOT_NODE": "here"}) == 0
    assert capfd.readouterr().out.strip().splitlines()[-1].startswith("TODO BIEN")


def test_what_it_does_without_a_command_is_explain() -> None:
    shown = subprocess.run([sys.executable, "dev.py", "-h"], cwd=serve.ROOT, capture_output=True, check=True)
    text = shown.stdout.decode("utf-8")
    assert all(f"  {command} " in text for command in ("run", "test", "check", "fix", "bench", "lock"))
    unknown = subprocess.run([sys.executable, "dev.py", "vuela"], cwd=serve.ROOT, capture_output=True, check=False)
    assert unknown.returncode == 2


def test_dev_py_can_be_parsed_by_an_old_python() -> None:
    """Else it could not say that it is too old."""
    import ast

    ast.parse((serve.ROOT / "dev.py").read_text("utf-8"), feature_version=(3, 4))


@pytest.mark.needs("node", "aimock")
def test_the_emulator_found_is_the_one_that_is_pinned() -> None:
    entry, node = os.environ["NANOBOT_AIMOCK"], os.environ["NANOBOT_NODE"]
    package = json.loads((Path(entry).parent.parent / "package.json").read_text("utf-8"))
    wanted = json.loads(testkit.AIMOCK_MANIFESTS[0].read_text("utf-8"))
    assert {package["name"]: package["version"]} == wanted["dependencies"]
    assert subprocess.run([node, entry, "--help"], capture_output=True, check=False).returncode == 0


@pytest.mark.needs("chromium")
def test_the_browser_found_exists() -> None:
    assert os.access(os.environ["NANOBOT_CHROMIUM"], os.X_OK)
