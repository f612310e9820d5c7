"""What an attack and a piece of ordinary work are, as data.

Commands find what they reach for in variables, see arena.py. `$OK` is what one prints that can see its own success.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

# How the positive control runs: `plain` as the server's user with nothing around it; `cage` in a PID namespace with a
# victim of its own, for what would hit the whole machine; `root` in a user namespace where it is root, for what only
# root may do; `real` as the machine's root, where the tests are that: such a command is harmless or takes itself back;
# `other` as a user that has nothing else running, where the tests are root; `alone` not at all: it looks at the walls.
Control = Literal["plain", "cage", "root", "real", "other", "alone"]
Effect = Literal[
    "said", "changed", "connected", "victim", "survives", "worked", "set-id", "later", "late", "flood", "server", "fills"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Attack:
    """`effect`: what the control must show; of an attack any effect at all is one too many.

    `before`: a command that came earlier in the same place. `control`: another command to show the effect with, where
    the attack itself would be too much for this machine. `small`: under little ceilings.
    """

    family: str
    name: str
    command: str
    effect: Effect
    how: Control = "plain"
    before: str = ""
    control: str = ""
    needs: str = ""
    seconds: float = 10.0
    small: bool = False

    @property
    def id(self) -> str:
        return f"{self.family}: {self.name}"


def family(name: str, effect: Effect, commands: Mapping[str, str], **more: object) -> list[Attack]:
    """A program that not every machine has is named before a colon: `node: …`."""
    made: list[Attack] = []
    for title, command in commands.items():
        needs, colon, _ = title.partition(": ")
        made.append(Attack(name, title, command, effect, needs=needs if colon else ""))
    return [replace(attack, **more) for attack in made]  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Work:
    """Ordinary: it ends with 0, and Nanobot has nothing to say about it."""

    name: str
    command: str
    needs: str = ""
