"""A typed function becomes a tool: schema, validation, risk."""

from __future__ import annotations

import json
from typing import Annotated

import pytest

from app.core.approvals import asks, digest
from app.core.errors import ToolError
from app.core.toolkit import Risk, Toolbox, canonical, tool
from app.core.tools import ALL_TOOLS, split_git
from app.core.usage import count_tool


@tool(risk=Risk.WRITE)
async def sample(name: Annotated[str, "El nombre"], times: int = 2) -> str:
    """Saluda varias veces.

    What follows the first paragraph is for developers.
    """
    return name * times


BOX = Toolbox([sample])


def test_schema_comes_from_the_signature() -> None:
    [schema] = BOX.schemas
    assert (schema.name, schema.description) == ("sample", "Saluda varias veces.")
    assert schema.parameters == {
        "type": "object",
        "properties": {
            "name": {"description": "El nombre", "type": "string"},
            "times": {"default": 2, "type": "integer"},
        },
        "required": ["name"],
    }


async def test_the_function_stays_a_function() -> None:
    assert await sample("a") == "aa"


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        ("{", "JSON"),
        ("[]", ""),
        ('{"times": 1}', "name"),
        ('{"name": "a", "times": "x"}', "times"),
        ('{"nombre": 1}', "nombre"),
    ],
)
def test_bad_arguments_name_the_field(raw: str, hint: str) -> None:
    with pytest.raises(ToolError) as caught:
        BOX.get("sample").parse(raw)
    assert "sample" in str(caught.value) and hint in str(caught.value)


def test_defaults_and_unknown_tools() -> None:
    assert BOX.get("sample").parse('{"name": "a"}') == {"name": "a", "times": 2}
    with pytest.raises(ToolError, match="sample"):
        BOX.get("samplé")
    assert BOX.risk("nada", "{}") is Risk.READ


def test_the_same_call_written_differently_is_the_same() -> None:
    assert canonical('{"b":1, "a":"ñ"}') == canonical('{"a": "\\u00f1", "b": 1}')
    assert digest("x", '{"a":1}', "/p") == digest("x", '{ "a": 1 }', "/p")
    assert len({digest("x", "{}", "/p"), digest("y", "{}", "/p"), digest("x", "{}", "/q")}) == 3


def test_all_tools_together_stay_small() -> None:
    schemas = Toolbox(ALL_TOOLS).schemas
    assert [s.name for s in schemas] == [
        "execute_shell", "read_file", "write_file", "edit_file", "list_dir", "git_operation", "web_fetch",
    ]  # fmt: skip
    assert all(s.description and "title" not in json.dumps(s.parameters) for s in schemas)
    assert sum(map(count_tool, schemas)) < 900


def test_git_arguments() -> None:
    assert split_git("git log -1") == split_git("log -1") == ["log", "-1"]
    assert split_git("commit -m 'un mensaje'") == ["commit", "-m", "un mensaje"]
    for bad in ("", "git", "log 'x"):
        with pytest.raises(ToolError):
            split_git(bad)


@pytest.mark.parametrize("confined", [True, False])
def test_what_asks(confined: bool) -> None:
    for risk in Risk:
        assert not asks(risk, "nunca", confined=confined)
        assert asks(risk, "siempre", confined=confined) == (risk is not Risk.READ)
    assert not asks(Risk.WRITE, "riesgo", confined=confined)
    assert asks(Risk.EXECUTE, "riesgo", confined=confined) != confined
    assert all(asks(r, "riesgo", confined=confined) for r in (Risk.DESTRUCTIVE, Risk.NETWORK, Risk.OUTSIDE))
