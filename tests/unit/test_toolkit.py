"""A typed function becomes a tool: schema, validation, risk. And what the tools answer when there is much to say."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest

from app.assembly import build_machine
from app.core import texts
from app.core.approvals import asks, digest
from app.core.contracts import Page
from app.core.errors import ToolError
from app.core.gates import build_handler, invoke
from app.core.machine import Machine, machine, use_folder, use_machine
from app.core.messages import ToolCall
from app.core.toolkit import Risk, Toolbox, canonical, tool
from app.core.tools import ALL_TOOLS, split_git
from app.core.usage import count_tool
from tests.support import make_settings


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


# ---------------------------------------------------------------- long answers

CHARS = 2_000
KEY = "gsk_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4hJ6kL8n"
SHORT = "clave12"
TOOLS, HANDLER = Toolbox(ALL_TOOLS), build_handler([])


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home/proyectos"
    settings = make_settings(tmp_path, tool_output_chars=CHARS, groq_api_key=SHORT)
    use_machine(build_machine(settings))
    use_folder(folder)
    yield folder
    use_folder(None)


async def call(name: str, **arguments: object) -> str:
    """As the loop calls it: with redaction and the last cut."""
    request = ToolCall(id="1", name=name, arguments=json.dumps(arguments))
    return (await invoke(HANDLER, TOOLS, machine(), request)).content


async def read_by_the_notes(path: str) -> str:
    """Follows the offsets that the answers give, as a model does."""
    whole, offset = "", 1
    for _ in range(500):
        answer = await call("read_file", path=path, offset=offset)
        assert len(answer) <= CHARS
        assert "omitidos" not in answer
        note = re.search(r"\n\[… hasta la línea (\d+) de \d+; sigue con offset=(\d+)\]$", answer)
        if note is None:
            return whole + answer
        assert int(note[2]) == int(note[1]) + 1 > offset
        whole, offset = whole + answer[: note.start()], int(note[2])
    raise AssertionError("no end")


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"línea {n} " + "x" * (n * 7 % 90) + "\n" for n in range(1_500)),
        "\n" * 3_000,
        "a\n\n\n" * 1_000 + "fin",
        "ñ€🚀\u2028\x0b\x85" * 20 + "\n" + "corta\n" * 900,
        ("y" * 1_700 + "\n") * 9,
        "una sola, sin fin de línea",
    ],
)
async def test_reading_by_the_offsets_reproduces_the_file(project: Path, text: str) -> None:
    (project / "a.txt").write_bytes(text.encode())
    assert await read_by_the_notes("a.txt") == text


async def test_a_mark_longer_than_the_secret_does_not_cut_the_middle(project: Path) -> None:
    (project / "a.txt").write_text(f"x {SHORT}\n" * 900)
    assert await read_by_the_notes("a.txt") == "x [secreto oculto]\n" * 900


async def test_an_endless_line_is_cut_with_a_note_and_the_next_one_follows(project: Path) -> None:
    (project / "a.txt").write_text("z" * 50_000 + "\nfin\n")
    answer = await call("read_file", path="a.txt")
    assert "línea cortada" in answer
    assert answer.endswith("offset=2]")
    assert len(answer) <= CHARS
    assert await call("read_file", path="a.txt", offset=2) == "fin\n"


async def test_a_file_too_large_to_get_there_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.safety.textfile.MAX_SCAN", 300)
    monkeypatch.setattr("app.safety.textfile.CHUNK", 100)
    (project / "a.txt").write_text("x\n" * 9_000)
    assert "sed -n" in await call("read_file", path="a.txt", offset=8_000)


@pytest.mark.skipif(os.name == "nt", reason="the command is written for bash")
async def test_a_flood_has_one_note_with_the_right_number(project: Path) -> None:
    answer = await call("execute_shell", command="seq 1 300000")
    assert len(answer) <= CHARS
    [said] = re.findall(r"(\d+) (?:caracteres|bytes)", answer)
    head, _, tail = answer.partition("[… ")
    shown = len(head) - 1 + len(tail.partition("]\n")[2].rpartition("\n")[0])
    total = sum(len(f"{n}\n") for n in range(1, 300_001))
    assert total - shown - 1 == int(said)  # the last line break is not shown
    assert answer.startswith("1\n2\n")
    assert "300000\n[código de salida 0" in answer


@pytest.mark.skipif(os.name == "nt", reason="the command is written for bash")
@pytest.mark.parametrize("before", [*range(1_880, 2_060, 20), *range(3_900, 4_060, 20)])
async def test_a_key_at_the_edge_of_a_cut_is_not_shown_by_half(project: Path, before: int) -> None:
    (project / "e.txt").write_text("a" * before + KEY + "b" * 40_000 + "ñ" * 100)
    answer = await call("execute_shell", command="cat e.txt; cat e.txt")
    assert KEY[:12] not in answer
    assert KEY[-12:] not in answer
    wide = "🚀" * 300  # four bytes each: fewer characters than the limit, and yet the sandbox cut it
    (project / "e.txt").write_text(wide + "a" * (before - 1_200) + KEY + wide * 9)
    assert KEY[:12] not in await call("execute_shell", command="cat e.txt; true")


@pytest.mark.parametrize("name", ["write_file", "edit_file"])
@pytest.mark.parametrize(
    "note",
    [
        texts.cut_middle("x" * 900, 300)[90:300],
        texts.cut_output("x" * 9_000, 3_000, 1_000)[1_300:1_700],
        texts.more_lines(4, 90),
        texts.LINE_CUT,
        texts.more_entries(7),
        "a […línea cortada: ocupa 9000 bytes; para ver el resto usa cut -c en la shell]",
        "a\n[… 900 bytes omitidos en el medio …]\nb",
        texts.fetched("u", "t", "x" * 900, truncated=False, limit=300),
    ],
)
async def test_a_note_of_ours_is_not_written_into_a_file(project: Path, name: str, note: str) -> None:
    (project / "a.txt").write_text("uno\n")
    arguments = {"content": note} if name == "write_file" else {"old": "uno", "new": note}
    assert "aviso de Nanobot" in await call(name, path="a.txt", **arguments)
    assert (project / "a.txt").read_text() == "uno\n"


async def test_ordinary_ellipses_are_written(project: Path) -> None:
    content = "puntos […] y [… otros] «[… y más]» omitidos\n"
    await call("write_file", path="a.txt", content=content)
    assert (project / "a.txt").read_text() == content


async def test_a_long_page_has_one_note(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pages:
        async def fetch(self, url: str, max_chars: int = 20_000) -> Page:
            return Page(url, "Título", ("palabra " * 9_000)[:max_chars], truncated=True)

        async def aclose(self) -> None: ...

    here = machine()
    use_machine(Machine(here.workspace, here.sandbox, Pages(), here.redactor, here.limits))
    answer = await call("web_fetch", url="https://example.org/")
    assert len(answer) <= CHARS
    assert answer.endswith("\n[… la página sigue]")
    assert "omitidos" not in answer


# ---------------------------------------------------------------- the question


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("\u202e", "\\u202e"), ("\u200b", "\\u200b"), ("\x1b[2K", "\\x1b[2K"), ("\r", "\\r"), ("\x00", "\\x00"),
        ("\xa0", "\\xa0"), ("\u3164", "\\u3164"), ("\u2800", "\\u2800"), ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"), ("\u2028", "\\u2028"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_written_out(hidden: str, shown: str) -> None:
    question = texts.question("execute_shell", {"command": f"ls a{hidden}b"}, "/p", "execute")
    assert f"ls a{shown}b" in question
    assert hidden not in question


def test_blank_space_does_not_push_a_command_out_of_view() -> None:
    command = "ls" + " " * 3_000 + "; curl x" + "\n \t" * 500 + "\n| sh"
    question = texts.question("execute_shell", {"command": command}, "/p", "execute")
    assert len(question) < 400
    assert "[… 3000 espacios …] ; curl x" in question
    assert "500 líneas en blanco" in question
    assert question.count("| sh") == 1


def test_ordinary_text_is_shown_as_it_is() -> None:
    content = "def f():\n\treturn 'ñ € 漢 ❤️'\n\n\n" + " " * 30 + "x\n"
    question = texts.question("write_file", {"path": "a.py", "content": content}, "/p", "write")
    assert content in question
