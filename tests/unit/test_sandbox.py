"""Commands: what they see, how they end, and that nothing of them stays behind."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.core.contracts import CommandResult, RunLimits
from app.core.errors import SandboxError
from app.safety.capture import HeadTail
from app.safety.sandbox import Confinement, ProcessSandbox
from app.safety.shell import Shell, find_shell

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the commands are written for bash")


MODES = ["ninguno", "landlock", "bubblewrap"] if sys.platform == "linux" else ["ninguno"]


@pytest.fixture(params=MODES)
def sandbox(tmp_path: Path, request: pytest.FixtureRequest) -> ProcessSandbox:
    return make(tmp_path, request.param)


def make(folder: Path, mode: str, **more: object) -> ProcessSandbox:
    confinement = Confinement([folder], mode=mode)  # type: ignore[arg-type]
    return ProcessSandbox(folder / "casa", confinement, timezone="Europe/Madrid", ceilings=[folder], **more)  # type: ignore[arg-type]


async def sh(sandbox: ProcessSandbox, command: str, cwd: Path, **limits: float) -> CommandResult:
    return await sandbox.run(sandbox.shell(command), cwd, RunLimits(**limits))  # type: ignore[arg-type]


def unique(seconds: str) -> str:
    """Seconds to sleep that no other test sleeps: by them its processes are found, whatever they are called inside."""
    return f"{seconds}.{os.getpid()}{next(_numbers)}"


def running(name: str) -> bool:
    if sys.platform != "linux":
        return False
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if name.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                return True
    return False


_numbers = itertools.count()


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


@pytest.mark.parametrize("mode", MODES)
async def test_the_environment_holds_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secreto")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("PATH", f".:relativa:{sys.prefix}/bin:{os.environ['PATH']}")
    home = tmp_path / "casa"
    sandbox = make(tmp_path, mode, env={"GIT_AUTHOR_NAME": "Ana"})
    done = await sandbox.run(["env", "-0"], tmp_path, RunLimits(env={"CI": "1"}))
    env = dict(pair.split("=", 1) for pair in done.output.split("\0") if pair)
    of_programs = {"RUSTUP_HOME", "PYENV_ROOT", "NVM_DIR"}
    of_bubblewrap = {"PWD", "USER", "LOGNAME"} if mode == "bubblewrap" else set[str]()
    assert set(env) - of_programs - of_bubblewrap == {
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
    done = await sh(sandbox, "ps() { cut -d' ' -f1,5,6 </proc/$$/stat; }; kill -0 -$$ && echo grupo; echo $$", tmp_path)
    assert done.output.startswith("grupo\n") or "bubblewrap" in sandbox.description


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
    name = unique("60")
    done = await sh(sandbox, f"sleep {name} & sleep {name} | sleep {name}", tmp_path, seconds=0.5)
    assert done.timed_out
    assert done.seconds < 3
    assert done.exit_code != 0
    assert not running(name)


async def test_a_command_that_ignores_the_request_is_killed(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    done = await sh(sandbox, "trap '' TERM; echo sordo; while :; do sleep 0.05; done", tmp_path, seconds=0.2)
    assert (done.output, done.timed_out, done.exit_code) == ("sordo\n", True, 137)
    assert done.seconds < 5


FORGOTTEN = {
    "in its group": "sleep {0} & echo fin",
    "in a session of its own": "setsid sleep {0} & echo fin",
    "forked twice": "(setsid sh -c 'sleep {0} & sleep {0}' &) ; sleep 0.2; echo fin",
    "without output": "nohup setsid sleep {0} >/dev/null 2>&1 & disown; sleep 0.1; echo fin",
}


@pytest.mark.parametrize("kind", FORGOTTEN)
async def test_what_is_forgotten_neither_hangs_nor_stays(sandbox: ProcessSandbox, tmp_path: Path, kind: str) -> None:
    name, threads = unique("61"), threading.active_count()
    done = await sh(sandbox, FORGOTTEN[kind].format(name), tmp_path)
    assert done.output == "fin\n"
    assert not done.timed_out
    if sys.platform == "linux":
        assert not running(name)
    await until(lambda: threading.active_count() <= threads)


async def test_cancelling_ends_the_tree_first(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    note, name = tmp_path / "listo", unique("62")
    command = f"trap '' TERM; (setsid sleep {name} &); sleep {name} & touch {note}; wait; sleep {name}"
    task = asyncio.create_task(sh(sandbox, command, tmp_path))
    await until(note.exists)
    assert running(name)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not running(name)


async def test_cancelling_before_it_starts_runs_nothing(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    for _ in range(20):
        task = asyncio.create_task(sh(sandbox, f"sleep 0.2; touch {tmp_path}/hecho", tmp_path))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not (tmp_path / "hecho").exists()


async def test_commands_run_side_by_side(sandbox: ProcessSandbox, tmp_path: Path) -> None:
    """Each waits for all the others."""
    command = "touch {0}; until [ $(ls | wc -l) -ge 20 ]; do sleep 0.05; done"
    (tmp_path / "juntas").mkdir()
    done = await asyncio.gather(*(sh(sandbox, command.format(n), tmp_path / "juntas", seconds=30) for n in range(20)))
    assert [d.exit_code for d in done] == [0] * 20


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


async def test_says_honestly_what_it_does(tmp_path: Path) -> None:
    off = make(tmp_path, "ninguno")
    assert off.shell_name in {"bash", "sh"}
    await off.ready()
    assert off.confined is False
    assert "shell está apagada" in off.description
    with pytest.raises(SandboxError, match="ALLOW_UNCONFINED_SHELL"):
        await off.ready(shell=True)
    assert (await off.run(["git", "--version"], tmp_path, RunLimits())).exit_code == 0
    allowed = ProcessSandbox(tmp_path / "casa", Confinement([tmp_path], mode="ninguno", unconfined=True))
    await allowed.ready(shell=True)
    assert "no están encerradas" in allowed.description


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
