"""macOS and Windows: a process of the server's own, on macOS wrapped in sandbox-exec."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from app.core import texts_sandbox as texts
from app.core.contracts import RunLimits
from app.core.errors import SandboxError
from app.safety import seatbelt
from app.safety.confine.variables import through
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
        confined = verdict.kind == "seatbelt"
        if limits.proxy is not None and not confined:
            raise SandboxError(texts.NETWORK_UNSUPPORTED)
        whole = self._wrapped(argv, limits.proxy) if confined else argv
        way = through(limits.proxy) if limits.proxy is not None else {}
        return Job(whole, cwd, {**self._ground.env, **limits.env, **way}, limits)

    def _wrapped(self, argv: Sequence[str], proxy: str | None = None) -> list[str]:
        ground = self._ground
        port = urlsplit(proxy).port if proxy is not None else None
        grounds = seatbelt.Grounds(ground.roots, ground.readable, ground.hidden, ground.home, port)
        return seatbelt.confined(argv, grounds)

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
