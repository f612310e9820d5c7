"""Runs the corpus: each case in an arena of its own, judged by what happened around it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from app.core.contracts import RunLimits
from app.core.errors import SandboxError
from app.safety.confine.home import make_usable
from app.safety.environment import clean_environment
from app.safety.ground import Ground
from app.safety.verdict import Kind, Verdict
from tests.security.commands.arena import DONE, Arena, arena, base_folder
from tests.security.commands.case import Attack, Work
from tests.security.layers import PATH, ROOT, helper_for

if TYPE_CHECKING:
    from app.safety.confine.plan import Ceilings
    from app.safety.helper import Helper

AT_ONCE = 3
OUTPUT = 20_000  # bytes kept
SETTLED = 0.3  # s until what was begun at the end can be seen
LATE = 4.0  # s after the deadline
SMALL = {"memory": 150 << 20, "processes": 100, "file": 10 << 20, "open_files": 256, "disk": 60 << 20}
C = TypeVar("C")
R = TypeVar("R")


@dataclass(frozen=True)
class Trial:
    """`effects`: what could be seen outside. None of them: it was stopped."""

    case: Attack | Work
    effects: frozenset[str]
    code: int
    output: str
    seconds: float

    def __str__(self) -> str:
        name = self.case.id if isinstance(self.case, Attack) else self.case.name
        return f"{name} → {', '.join(sorted(self.effects)) or self.code} ({self.seconds:.1f} s): {self.output[-400:]!r}"


@dataclass(frozen=True)
class Layer:
    """One layer for one user."""

    kind: Kind
    uid: int
    helper: Helper

    def run(self, place: Arena, command: str, limits: RunLimits, most: Ceilings | None = None) -> tuple[int, str]:
        from app.safety.linux import LinuxBackend

        make_usable(str(place.home))
        env = clean_environment(place.home, "UTC", []) | {"PATH": PATH}
        ground = Ground(place.home, env, [place.root], place.hidden, [])
        try:
            job = LinuxBackend(ground, self._helper(place), most).job(
                Verdict("auto", self.kind), ["bash", "-c", command], place.project, limits
            )
            done = job.execute()
        except SandboxError as error:
            return 1, f"SandboxError: {error}"
        return done.exit_code, done.output

    def _helper(self, place: Arena) -> Helper:
        """The commands' user has a home of its own in the arena; the helper is everybody's."""
        if self.kind != "landlock-uid":
            return self.helper
        return _Elsewhere(self.helper, str(place.folder / "casa-herramientas"))  # type: ignore[return-value]


class _Elsewhere:
    """A helper with another home for the commands."""

    def __init__(self, helper: Helper, home: str) -> None:
        self._helper = helper
        self.home = home
        self.privileged = helper.privileged

    def submit(self, output: int) -> object:
        return self._helper.submit(output)


@contextmanager
def layer(kind: Kind, uid: int, version: int = 0) -> Iterator[Layer]:
    with helper_for(uid, base_folder(), version) as helper:
        yield Layer(kind, uid, helper)


def try_all(cases: Sequence[C], work: Callable[[C], R]) -> list[R]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(work, cases))


# ---------------------------------------------------------------- attacks


def attack(where: Layer, case: Attack) -> Trial:
    from app.safety.confine.plan import Ceilings

    most = Ceilings(**SMALL) if case.small else None
    with arena(where.uid, base_folder()) as place:
        limits = RunLimits(seconds=case.seconds, output_bytes=OUTPUT, env=place.variables())
        if case.before:
            where.run(place, case.before, limits, most)
        began = time.monotonic()
        code, output = where.run(place, case.command, limits, most)
        seconds = time.monotonic() - began
        effects = set(_effects(place, case, output))
        if seconds > case.seconds + LATE:
            effects.add("late")
        if where.run(place, "echo sigue", RunLimits())[1] != "sigue\n":
            effects.add("server")
        return Trial(case, frozenset(effects), code, output, seconds)


def _effects(place: Arena, case: Attack, output: str) -> Iterator[str]:
    if case.effect == "survives":
        time.sleep(SETTLED)
    if place.token in output:
        yield "said"
    if place.changes():
        yield "changed"
    if place.on_the_system():
        yield "changed"
    if case.effect == "connected" and place.connected():  # other tests' clients may come by otherwise
        yield "connected"
    if place.victim_state() != place.victim_before:
        yield "victim"
    if place.survivors():
        yield "survives"
    if place.set_ids():
        yield "set-id"
    if place.later_changes():
        yield "later"
    if len(output) > 2 * OUTPUT:
        yield "flood"
    if case.small and _size(place) > SMALL["disk"] * 2:
        yield "fills"
    if case.effect == "worked" and DONE in output:
        yield "worked"


def _size(place: Arena) -> int:
    """Bytes on the disk."""
    files = [path for top in (place.root, place.home) for path in top.rglob("*") if not path.is_symlink()]
    return sum(path.stat().st_blocks * 512 for path in files if path.is_file())


# ---------------------------------------------------------------- positive controls


def control(uid: int, case: Attack) -> Trial:
    """Without any guard, for the same user: the declared effect has to show."""
    with arena(uid, base_folder()) as place:
        env = clean_environment(place.home, "UTC", []) | {"PATH": PATH} | place.variables(control=True)
        began = time.monotonic()
        if case.before:
            _run(_bare(uid, case, case.before), place, env, case.seconds)
        code, output = _run(_bare(uid, case, case.control or case.command), place, env, case.seconds)
        seconds = time.monotonic() - began
        effects = set(_effects(place, case, output))
        if code == LOST:
            effects.add("late")
        for pid in {*place.survivors(), *place.residents()}:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        return Trial(case, frozenset(effects), code, output, seconds)


LOST = 124
_CAGE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
_VICTIM = """setsid sleep 1000 & export V=$!
setsid bash -c "$ORDEN" & wait $!
sleep 0.1; grep -qs 'State:.[SR]' /proc/$V/status || echo $OK
"""


def _bare(uid: int, case: Attack, command: str) -> tuple[list[str], dict[str, str], bool]:
    """The words, what they find in their environment, and whether they drop to `uid` at once."""
    if case.how == "cage":
        drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if ROOT else []
        own = [] if ROOT else ["--user", "--map-current-user"]
        return [_CAGE[0], *own, *_CAGE[1:], *drop, "bash", "-c", _VICTIM], {"ORDEN": command}, False
    if case.how == "root":
        words = ["unshare", "--user", "--map-root-user", "--mount", "--uts", "--ipc", "--net", *_CAGE[1:]]
        return [*words, "bash", "-c", command], {}, True
    return ["bash", "-c", command], {}, case.how != "real"


def _run(
    what: tuple[list[str], dict[str, str], bool], place: Arena, env: dict[str, str], seconds: float
) -> tuple[int, str]:
    words, more, drops = what
    user = place.uid if drops and ROOT else None
    with (Path(place.folder) / ".salida").open("w+b") as output:
        process = subprocess.Popen(
            words, cwd=place.project, env=env | more, stdin=subprocess.DEVNULL, stdout=output, user=user, group=user,
            stderr=subprocess.STDOUT, start_new_session=True, extra_groups=[] if ROOT else None,
        )  # fmt: skip
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = LOST
            _end_group(process)
        output.seek(0)
        return code, output.read(4 << 20).decode("utf-8", "replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


# ---------------------------------------------------------------- ordinary work


def work(where: Layer, case: Work) -> Trial:
    with arena(where.uid, base_folder()) as place:
        began = time.monotonic()
        limits = RunLimits(seconds=60, output_bytes=OUTPUT, env=place.variables())
        code, output = where.run(place, f"set -e; {case.command}", limits)
        return Trial(case, frozenset(), code, output, time.monotonic() - began)


def failed(trial: Trial) -> bool:
    return trial.code != 0 or "[Nanobot" in trial.output


assert sys.platform != "win32" or not ROOT
