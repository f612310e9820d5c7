"""What a user does while the server dies: each scenario is small, and all of them pass every kind of point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

OWNER, FRIEND = 42, 43
CROWD = range(OWNER, OWNER + 6)
Plan = dict[str, list[list[dict[str, Any]]]]


def call(name: str, **arguments: str) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


COUNT = call("execute_shell", command="echo hecho >> contador.txt")
LOOK = call("list_dir", path=".")


@dataclass(frozen=True, eq=False)
class Scenario:
    """`says`: (chat, text) in order. `web`: messages of the browser. `answers`: a text that each must lead to."""

    name: str
    says: tuple[tuple[int, str], ...] = ()
    web: tuple[str, ...] = ()
    plans: Plan = field(default_factory=Plan)
    env: dict[str, str] = field(default_factory=dict[str, str])
    groq_down: bool = False
    webhook: bool = False
    always: bool = False  # what is asked is permitted for good
    counted: bool = False  # the counter must have been raised exactly once unless the crash made it uncertain


SCENARIOS = (
    Scenario("respuesta", says=((OWNER, "hola"),)),
    Scenario(
        "tres herramientas",
        says=((OWNER, "cuenta esto"),),
        plans={"cuenta": [[LOOK, COUNT, call("read_file", path="contador.txt")]]},
        env={"APPROVALS": "nunca"},
        counted=True,
    ),
    Scenario(
        "permiso",
        says=((OWNER, "cuenta esto"),),
        plans={"cuenta": [[COUNT]]},
        env={"SANDBOX": "ninguno", "ALLOW_UNCONFINED_SHELL": "true"},  # confined, it would not have to ask
        always=True,
        counted=True,
    ),
    Scenario("claude", says=((OWNER, "hola"),), groq_down=True),
    Scenario("largo, poco a poco", says=((OWNER, "algo largo, poco a poco"),)),
    Scenario(
        "dos chats",
        says=((OWNER, "mira uno"), (FRIEND, "mira dos"), (OWNER, "y tres")),
        plans={"mira": [[LOOK]]},
    ),
    Scenario("multitud", says=tuple((chat, "hola") for chat in CROWD)),
    Scenario("órdenes", says=((OWNER, "uno"), (OWNER, "/nuevo"), (OWNER, "dos"), (OWNER, "/estado"))),
    Scenario("webhook", says=((OWNER, "cuenta esto"), (OWNER, "y ya")), plans={"cuenta": [[LOOK]]}, webhook=True),
    Scenario("navegador", web=("cuenta esto", "hola"), plans={"cuenta": [[COUNT]]}, env={"APPROVALS": "nunca"}),
)
