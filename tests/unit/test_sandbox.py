"""Commands: what they see, how they end, and that nothing of them stays behind."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.contracts import CommandResult, RunLimits
from app.core.errors import SandboxError
from app.safety.capture import HeadTail
from app.safety.sandbox import ProcessSandbox
from app.safety.shell import Shell, find_shell

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands are written for bash")


@pytest.fixture
def sandbox(tmp_path: Path) -> ProcessSandbox:
    return ProcessSandbox(tmp_path / "casa", timezone="Europe/Madrid", ceilings=[tmp_path])


async def sh(sandbox: ProcessSandbox, command: str, cwd: Path, **limits: float) -> CommandResult:
    return await sandbox.run(sandbox.shell(command), cwd, RunLimits(**limits))  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """A zombie that nobody reaps (no init in the container) is dead."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_output_and_exit_code(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    done = await sh(sandbox, "echo uno; echo dos >&2; echo 'señal €'; exit 3", tmp_path)
    assert (done.output, done.exit_code) == ("uno\ndos\nseñal €\n", 3)
    assert (done.dropped, done.timed_out) == (0, False)
    assert done.seconds < 2
    assert (await sh(sandbox, "kill -9 $$", tmp_path)).exit_code == 137
    assert (await sh(sandbox, "printf '\\xff\\xfe'", tmp_path)).output == "\ufffd\ufffd"


async def test_the_environment_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secreto")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("PATH", f".:relativa:{sys.prefix}/bin:{os.environ['PATH']}")
    home = tmp_path / "casa"
    sandbox = ProcessSandbox(home, timezone="Europe/Madrid", ceilings=[tmp_path], env={"GIT_AUTHOR_NAME": "Ana"})
    done = await sandbox.run(["env", "-0"], tmp_path, RunLimits(env={"CI": "1"}))
    env = dict(pair.split("=", 1) for pair in done.output.split("\0") if pair)
    assert set(env) == {
        "PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "TERM", "PYTHONUTF8", "PYTHONIOENCODING", "PAGER",
        "GIT_PAGER", "GIT_TERMINAL_PROMPT", "GIT_CEILING_DIRECTORIES", "GIT_AUTHOR_NAME", "CI",
    }  # fmt: skip
    assert env["HOME"] == str(home)
    assert env["TZ"] == "Europe/Madrid"
    assert Path(env["TMPDIR"]).is_dir()
    entries = env["PATH"].split(":")
    assert all(Path(entry).is_absolute() for entry in entries)
    if sys.prefix != sys.base_prefix:
        assert f"{sys.prefix}/bin" not in entries


async def test_stdin_is_empty_and_no_descriptor_is_inherited(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        done = await sh(sandbox, f"cat; read x; echo fin $?; ( : >&{write} ) 2>/dev/null || echo cerrado", tmp_path)
    finally:
        os.close(read)
        os.close(write)
    assert done.output == "fin 1\ncerrado\n"


async def test_each_command_leads_its_own_session(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    done = await sandbox.run(
        [sys.executable, "-c", "import os; print(os.getsid(0) == os.getpid() == os.getpgid(0))"], tmp_path, RunLimits()
    )
    assert done.output == "True\n"


async def test_a_flood_is_cut_in_the_middle(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    done = await sh(sandbox, "seq 1 400000", tmp_path, output_bytes=2_000)
    assert done.output.startswith("1\n2\n3\n")
    assert done.output.endswith("\n399999\n400000\n")
    assert len(done.output) < 2_200
    total = sum(len(f"{n}\n") for n in range(1, 400_001))
    assert done.dropped == total - 2_000
    assert f"{done.dropped} bytes" in done.output


def test_memory_is_bounded_whatever_is_printed() -> None:
    kept = HeadTail(30_000)
    for _ in range(1_000):
        kept.feed(b"x" * 65_536)
        assert len(kept._head) + len(kept._tail) < 200_000
    assert kept.dropped == 65_536_000 - 30_000


@pytest.mark.parametrize("limit", range(2, 40))
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_a_cut_never_breaks_a_character(limit: int, chunk: int) -> None:
    data = ("ñ€🚀a" * 20).encode()
    kept = HeadTail(limit)
    for start in range(0, len(data), chunk):
        kept.feed(data[start : start + chunk])
    assert "\ufffd" not in kept.text()
    assert kept.dropped == len(data) - 2 * (limit // 2)


async def test_the_deadline_ends_the_whole_group(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    done = await sh(sandbox, "sleep 60 & echo $!; sleep 60 | sleep 61", tmp_path, seconds=0.3)
    assert done.timed_out
    assert done.seconds < 2
    assert done.exit_code != 0
    await until(lambda: not alive(int(done.output)))


async def test_a_command_that_ignores_the_request_is_killed(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    done = await sh(sandbox, "trap '' TERM; echo sordo; while :; do sleep 0.05; done", tmp_path, seconds=0.2)
    assert (done.output, done.timed_out, done.exit_code) == ("sordo\n", True, 137)
    assert done.seconds < 3


async def test_a_forgotten_child_neither_hangs_nor_stays(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    done = await sh(sandbox, "sleep 60 & echo $!", tmp_path)
    assert done.seconds < 1.5
    assert not done.timed_out
    await until(lambda: not alive(int(done.output)))


async def test_a_child_in_another_session_that_holds_the_pipe_does_not_hang_us(
    sandbox: ProcessSandbox, tmp_path: Path
) -> None:
    threads = threading.active_count()
    daemon = "import os,time; os.setsid(); print(os.getpid(), flush=True); time.sleep(60)"
    done = await sh(sandbox, f"{sys.executable} -c '{daemon}' & sleep 0.3; echo fin", tmp_path)
    try:
        assert done.output.endswith("fin\n")
        assert done.seconds < 2
        await until(lambda: threading.active_count() <= threads)
    finally:
        os.kill(int(done.output.split()[0]), 9)


async def test_cancelling_ends_the_tree_first(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    command = f"trap '' TERM; sleep 60 & echo $$ $! > {note}; mv {note} {note}.listo; wait; sleep 60"
    task = asyncio.create_task(sh(sandbox, command, tmp_path))
    await until(Path(f"{note}.listo").exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(alive(int(pid)) for pid in Path(f"{note}.listo").read_text().split())


async def test_cancelling_before_it_starts_runs_nothing(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    for _ in range(20):
        task = asyncio.create_task(sh(sandbox, f"sleep 0.2; touch {tmp_path}/hecho", tmp_path))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not (tmp_path / "hecho").exists()


async def test_commands_run_side_by_side(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    began = time.monotonic()
    done = await asyncio.gather(*(sh(sandbox, "sleep 0.3", tmp_path) for _ in range(20)))
    assert all(d.exit_code == 0 for d in done)
    assert time.monotonic() - began < 3


async def test_what_cannot_start_says_why(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    (tmp_path / "texto").write_text("no es un programa")
    for argv, cwd, said in (
        (["no-existe-xyz"], tmp_path, "No encuentro el programa"),
        ([str(tmp_path / "texto")], tmp_path, "no hay permiso"),
        (["true"], tmp_path / "nada", "No existe la carpeta"),
        (["echo", "a\0b"], tmp_path, "No se puede ejecutar"),
        (["echo", "x" * 3_000_000], tmp_path, "No se puede ejecutar"),
        ([], tmp_path, "ninguna orden"),
    ):
        with pytest.raises(SandboxError, match=said):
            await sandbox.run(argv, cwd, RunLimits())


def test_works_on_a_loop_without_subprocesses(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    class Selector(asyncio.SelectorEventLoop):
        async def subprocess_exec(self, *_: object, **__: object) -> None:  # type: ignore[override]
            raise NotImplementedError  # as on Windows under uvicorn --reload

    with asyncio.Runner(loop_factory=Selector) as runner:
        assert runner.run(sh(sandbox, "echo hola", tmp_path)).output == "hola\n"


async def test_says_honestly_what_it_does(sandbox: ProcessSandbox) -> None:
    assert sandbox.confined is False
    assert "no las encierra" in sandbox.description
    assert sandbox.shell_name in {"bash", "sh"}


def test_shells(tmp_path: Path) -> None:
    assert find_shell(str(tmp_path)) == Shell("sh", "/bin/sh")
    assert Shell("bash", "/bin/bash").argv("a | b") == ["/bin/bash", "-c", "a | b"]
    five = find_shell(str(tmp_path), windows=True)
    assert five.name == "PowerShell 5.1"
    *options, script = five.argv('Write-Output "ñ"')
    assert options[-1] == "-EncodedCommand"
    assert 'Write-Output "ñ"\n' in base64.b64decode(script).decode("utf-16-le")
    seven = tmp_path / "pwsh"
    seven.write_text("")
    seven.chmod(0o755)
    assert find_shell(str(tmp_path), windows=True) == Shell("PowerShell 7", str(seven))
