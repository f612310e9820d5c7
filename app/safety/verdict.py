"""Which layer confines commands here, and why not a stronger one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.core import texts_sandbox as texts
from app.safety.confine.plan import Layer

Mode = Literal["auto", "bubblewrap", "landlock", "ninguno"]
Kind = Layer | Literal["seatbelt", "windows"]

_WHAT: Mapping[Kind, str] = {
    "bubblewrap": texts.SANDBOX_BUBBLEWRAP,
    "landlock-uid": texts.SANDBOX_LANDLOCK_UID,
    "landlock": texts.SANDBOX_LANDLOCK,
    "seatbelt": texts.SANDBOX_SEATBELT,
    "windows": texts.SANDBOX_WINDOWS,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` None: a layer was asked for that is not there, nothing runs. `weaker_because`: what did not work."""

    mode: Mode
    kind: Kind | None
    weaker_because: tuple[str, ...] = ()

    @property
    def confined(self) -> bool:
        return self.kind not in {None, "none", "windows"}

    def shell_refusal(self, *, allow_unconfined: bool) -> str:
        """Why the shell tool is off; '' when it is not."""
        if self.kind != "none" or allow_unconfined:
            return ""
        return texts.SHELL_OFF_ON_PURPOSE if self.mode == "ninguno" else texts.SHELL_OFF

    def refusal(self) -> str:
        """Why nothing runs at all; '' when something does."""
        return texts.layer_not_there(self.mode, "; ".join(self.weaker_because)) if self.kind is None else ""

    def description(self, *, allow_unconfined: bool) -> str:
        if self.kind is None:
            return self.refusal()
        what = _WHAT.get(self.kind) or self.shell_refusal(allow_unconfined=allow_unconfined) or texts.SANDBOX_NONE
        return texts.described(what, self.weaker_because)
