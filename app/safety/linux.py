"""Linux: every command goes through the helper, whatever confines it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from app.core import texts_safety
from app.core import texts_sandbox as texts
from app.core.contracts import RunLimits
from app.core.errors import SandboxError
from app.safety.brought import GitsOwn
from app.safety.ceilings import ceilings
from app.safety.confine.mask import is_masked, lies_in
from app.safety.confine.plan import Ceilings, Layer, Plan
from app.safety.confined import ConfinedJob
from app.safety.ground import AnyJob, Ground
from app.safety.helper import Helper, shared_helper
from app.safety.planted import Places, WatchedJob
from app.safety.probe import choose
from app.safety.verdict import Mode, Verdict

_verdicts: dict[object, Verdict] = {}  # of this process: what the machine offers does not change
_choosing = threading.Lock()
_ANSWER = 1 << 20  # bytes


class LinuxBackend:
    def __init__(self, ground: Ground, helper: Helper | None = None, most: Ceilings | None = None) -> None:
        self._ground = ground
        self._helper = helper or shared_helper()
        self._ceilings = most or ceilings()

    def choose(self, mode: Mode) -> Verdict:
        if mode == "ninguno":
            return Verdict(mode, "none")
        key = mode, os.geteuid(), self._helper.privileged, tuple(map(_device, self._writable()))
        with _choosing:
            if key not in _verdicts:
                _verdicts[key] = choose(mode, self._any_plan, self._helper)
            return _verdicts[key]

    def job(self, verdict: Verdict, argv: Sequence[str], cwd: Path, limits: RunLimits) -> AnyJob:
        layer = cast("Layer", verdict.kind)
        if layer == "none" and limits.proxy is not None:
            raise SandboxError(texts.NETWORK_UNSUPPORTED)
        here = cwd.resolve()
        if layer != "none":
            self._check_inside(here)
        job = ConfinedJob(self._plan(layer, argv, here, limits), self._helper, limits.output_bytes)
        if layer == "none" or limits.lasting:
            return job
        brought = GitsOwn(lambda words, folder: self._ask(layer, words, folder), networked=limits.proxy is not None)
        return WatchedJob(job, Places(self._ground.roots, here), brought)

    def _ask(self, layer: Layer, argv: Sequence[str], folder: Path) -> str:
        """Of git, about a project: confined like everything that works in it."""
        plan = self._plan(layer, argv, folder, RunLimits(seconds=10, env={"GIT_NO_REPLACE_OBJECTS": "1"}))
        return ConfinedJob(plan, self._helper, _ANSWER).execute().output

    def _any_plan(self, layer: Layer) -> Plan:
        return self._plan(layer, ["true"], self._ground.home, RunLimits())

    def _check_inside(self, folder: Path) -> None:
        roots = [*map(str, self._ground.roots), str(self._ground.home)]
        inside = [root for root in roots if lies_in(str(folder), root)]
        masked = [mask for mask in self._masked() if any(lies_in(mask, root) for root in inside)]
        if not inside:
            raise SandboxError(texts_safety.outside_workspace(str(folder), roots[:-1]))
        if is_masked(str(folder), masked):
            raise SandboxError(texts_safety.hidden_path(str(folder)))

    def _plan(self, layer: Layer, argv: Sequence[str], cwd: Path, limits: RunLimits) -> Plan:
        home = self._helper.home if layer == "landlock-uid" and self._helper.home else str(self._ground.home)
        env = {**self._ground.env, **limits.env, "HOME": home, "TMPDIR": str(Path(home, "tmp"))}
        return Plan(
            layer, list(argv), str(cwd), _trusting(env) if layer == "landlock-uid" else env, home, self._writable(),
            readable=[str(folder) for folder in self._ground.readable], masked=self._masked(),
            seconds=limits.seconds, ceilings=self._ceilings, proxy=limits.proxy,
        )  # fmt: skip

    def _writable(self) -> list[str]:
        return [str(root) for root in self._ground.roots if root.is_dir()]

    def _masked(self) -> list[str]:
        """What is there now (it may have been made since), and what a command could make. Never through a link."""
        names = {name for path in self._ground.hidden for name in (path.absolute(), path.resolve())}
        real = [name for name in names if name.parent.resolve() == name.parent]
        return sorted(str(name) for name in real if name.exists() or any(map(name.is_relative_to, self._ground.roots)))


def _trusting(env: Mapping[str, str]) -> dict[str, str]:
    """Git works on repositories of the server's user: here they are of another."""
    count = int(env.get("GIT_CONFIG_COUNT", "0"))
    own = {f"GIT_CONFIG_KEY_{count}": "safe.directory", f"GIT_CONFIG_VALUE_{count}": "*"}
    return {**env, "GIT_CONFIG_COUNT": str(count + 1), **own}


def _device(folder: str) -> int:
    return Path(folder).stat().st_dev
