"""macOS and Windows: a process of the server's own, on macOS wrapped in sandbox-exec."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from app.core import texts_sandbox as texts
from app.core.contracts import RunLimits
from app.core.errors import SandboxError
from app.safety import seatbelt
from app.safety.ground import AnyJob, Ground
from app.safety.process import Job
from app.safety.verdict import Mode, Verdict

_SECONDS = 10.0


class ElsewhereBackend:
    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def choose(self, mode: Mode) -> Verdict:
        if sys.platform == "win32":
            weakest = "windows"
        elif mode == "auto" and self._seatbelt_holds():
            return Verdict(mode, "seatbelt")
        else:
            weakest = "none"
        if mode in {"auto", "ninguno"}:
            return Verdict(mode, weakest)
        return Verdict(mode, None, (texts.LAYER_NO_KERNEL,))

    def job(self, verdict: Verdict, argv: Sequence[str], cwd: Path, limits: RunLimits) -> AnyJob:
        if limits.proxy is not None:
            raise SandboxError(texts.NETWORK_UNSUPPORTED)
        whole = self._wrapped(argv) if verdict.kind == "seatbelt" else argv
        return Job(whole, cwd, {**self._ground.env, **limits.env}, limits)

    def _wrapped(self, argv: Sequence[str]) -> list[str]:
        ground = self._ground
        return seatbelt.confined(argv, seatbelt.Grounds(ground.roots, ground.readable, ground.hidden, ground.home))

    def _seatbelt_holds(self) -> bool:
        """It works in its own folder, and does not read a file of ours that it would find without it."""
        bait = self._ground.home.parent / "secret.key"
        script = f"echo si > \"$HOME/hecho\" && ! cat '{bait}' '{Path(__file__)}' >/dev/null 2>&1"
        try:
            done = subprocess.run(
                self._wrapped(["/bin/sh", "-c", script]), env=dict(self._ground.env), timeout=_SECONDS, check=False,
                cwd=self._ground.home, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0 and (self._ground.home / "hecho").exists()
