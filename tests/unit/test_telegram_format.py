"""Markdown → Telegram messages: every part is one that Telegram takes as it is, and nothing is lost on the way."""

from __future__ import annotations

import re
from collections import Counter
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telegram import MessageEntity

from app.cloud import telegram_format
from app.cloud.telegram_format import to_parts, utf16_len
from app.core.contracts import Part
from tests.fakes import telegram_text


def entities(part: Part) -> list[MessageEntity]:
    return list(cast("tuple[MessageEntity, ...]", part.payload))


def shown(part: Part, kind: str) -> list[str]:
    """The texts that the entities of that kind cover."""
    units = part.text.encode("utf-16-le")
    return [
        units[2 * e.offset : 2 * (e.offset + e.length)].decode("utf-16-le") for e in entities(part) if e.type == kind
    ]


def check(parts: list[Part]) -> None:
    for part in parts:
        assert utf16_len(part.text) <= 4000
        assert telegram_text.problems(part.text, [e.to_dict() for e in entities(part)]) == []


def only(markdown: str) -> Part:
    parts = to_parts(markdown)
    check(parts)
    assert len(parts) == 1
    return parts[0]


def test_every_construct_becomes_text_and_entities() -> None:
    part = only(
        "# Título\n\nHola **negrita**, *cursiva*, ~~tachado~~, `código` y [enlace](https://a.b/c).\n\n"
        "- uno\n  - dos\n- [ ] pendiente\n- [x] hecha\n\n```python\nprint('ñ')\n```\n\n> cita\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |"
    )
    assert shown(part, "bold") == ["Título", "negrita"]
    assert shown(part, "italic") == ["cursiva"]
    assert shown(part, "strikethrough") == ["tachado"]
    assert shown(part, "code") == ["código"]
    assert shown(part, "text_link") == ["enlace"]
    assert shown(part, "pre") == ["print('ñ')", "a | b\n--+--\n1 | 2"]
    assert shown(part, "blockquote") == ["cita"]
    assert [e.language for e in entities(part) if e.type == "pre"] == ["python", None]
    assert [e.url for e in entities(part) if e.url] == ["https://a.b/c"]
    assert "• uno\n  • dos\n⬜ pendiente\n✅ hecha" in part.text


@pytest.mark.parametrize(
    "text",
    [
        "usa List<String> o Map<K, V>",
        "<div class='x'>hola</div>",
        "<details>\n<summary>Ver</summary>\ntexto\n</details>",
        "si a || b || c entonces",
        "export PATH=$HOME/bin:$PATH",
        "$E = mc^2$ y $$x^2$$",
        "mira [loop.py](app/core/loop.py) y ![esquema](docs/esquema.png)",
        "cuesta ~10 o ~20",
        "snake_case_name y __init__.py y *.py",
    ],
)
def test_what_is_no_markup_for_a_developer_is_shown_as_written(text: str) -> None:
    assert only(text).text == text


def test_html_and_pipes_inside_code_are_left_alone() -> None:
    part = only("<b>\n```html\n<b>a || b || c</b>\n```\n</b> `x || y || <i>`")
    assert shown(part, "pre") == ["<b>a || b || c</b>"]
    assert shown(part, "code") == ["x || y || <i>"]


def test_offsets_count_utf16_units() -> None:
    part = only("😀👍🏽 **ñ** `👨‍👩‍👧` [e😀](https://a.b)")
    assert [shown(part, kind) for kind in ("bold", "code", "text_link")] == [["ñ"], ["👨‍👩‍👧"], ["e😀"]]


def test_what_telegram_does_not_nest_is_not_nested() -> None:
    part = only("[`código`](https://a.b) **negrita `con código`**\n\n> cita\n> > otra dentro\n> > `x`")
    assert shown(part, "text_link") == ["código"]
    assert shown(part, "code") == ["con código", "x"]
    assert shown(part, "bold") == ["negrita con código"]
    assert len(shown(part, "blockquote")) == 1
    assert "otra dentro" in shown(part, "blockquote")[0]


@pytest.mark.parametrize("text", ["", "   \n\t\n", "\u200b\u2800\ufeff", "```\n\n```", "\x00\x07", "[](http://a.b)"])
def test_nothing_to_see_gives_no_part(text: str) -> None:
    assert to_parts(text) == []


def test_what_telegram_cannot_take_is_replaced() -> None:
    assert only("a\ud83db\x00c").text == "a\ufffdbc"
    assert only("a\ud83d\ude00b").text == "a😀b"  # two halves that belong together
    assert only("```\nif x:\n\treturn\n```").text == "if x:\n    return"  # Telegram makes one space of a tab
    assert only("uno\r\ndos\u2028tres").text == "uno\ndos\ntres"


def test_long_prose_is_cut_between_paragraphs() -> None:
    paragraphs = [f"Párrafo {i}. " + "palabra " * 60 for i in range(20)]
    parts = to_parts("\n\n".join(paragraphs))
    check(parts)
    assert len(parts) == 3
    assert all(part.text.startswith("Párrafo") for part in parts)
    assert "\n\n".join(part.text for part in parts) == "\n\n".join(p.strip() for p in paragraphs)


def test_a_long_code_block_goes_on_as_code_with_its_language_and_indentation() -> None:
    code = "\n".join(f"    línea_{i} = 'ñandú 😀' * {i}" for i in range(400))
    parts = to_parts(f"Mira:\n\n```python\n{code}\n```\n\nFin.")
    check(parts)
    assert len(parts) > 2
    for part in parts:
        assert [e.language for e in entities(part)] == ["python"]
    assert "\n".join(shown(part, "pre")[0] for part in parts) == code
    assert all(piece.startswith("    línea_") for part in parts for piece in shown(part, "pre"))
    assert parts[-1].text.endswith("\n\nFin.")


def test_a_word_in_bold_is_not_torn_apart() -> None:
    parts = to_parts("x" * 3900 + " **" + "negrita " * 20 + "aquí** final")
    check(parts)
    assert [shown(part, "bold") for part in parts] == [[], [("negrita " * 20 + "aquí")]]


@pytest.mark.parametrize(
    "unit",
    ["😀", "👨‍👩‍👧‍👦", "👍🏽", "🇪🇸", "e\u0301", "1️⃣", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"],
)
@pytest.mark.parametrize("lead", ["", "a", "ab", "abc"])
def test_no_cut_inside_what_people_see_as_one_character(unit: str, lead: str) -> None:
    text = lead + unit * (9000 // utf16_len(unit))
    parts = to_parts(text)
    check(parts)
    assert "".join(part.text for part in parts) == text
    assert all(part.text.removeprefix(lead if i == 0 else "").replace(unit, "") == "" for i, part in enumerate(parts))


def test_more_than_a_hundred_entities_take_another_message() -> None:
    parts = to_parts(" ".join(f"**n{i}**" for i in range(250)))
    check(parts)
    assert [len(entities(part)) for part in parts] == [100, 100, 50]
    assert [name for part in parts for name in shown(part, "bold")] == [f"n{i}" for i in range(250)]


def test_a_parser_that_fails_costs_the_format_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # how a panic in Rust arrives in Python
        pass

    for error in (ValueError("x"), PanicException("x")):

        def broken(*_args: object, error: BaseException = error, **_more: object) -> None:
            raise error

        monkeypatch.setattr(telegram_format, "convert", broken)
        parts = to_parts("**hola** " + "mundo " * 1000)
        check(parts)
        assert len(parts) == 2
        assert " ".join(part.text for part in parts) == ("**hola** " + "mundo " * 1000).strip()

    def stopped(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(telegram_format, "convert", stopped)
    with pytest.raises(KeyboardInterrupt):
        to_parts("hola")


def test_html_without_end_falls_back_to_plain_text() -> None:
    text = "\n".join(f"<li>cosa {i}</li>" for i in range(1000))
    parts = to_parts(text)
    check(parts)
    assert "\n".join(part.text for part in parts) == text


# ---------------------------------------------------------------- properties

_NASTY = st.text(
    st.sampled_from("ab1 \n\t*_~`|$#>-+.![]()<>&\\'\"\r\x00😀🏽🇪\u200d\ufe0f\ud83d\u2800\u0301") | st.characters(),
    max_size=400,
)
_MARKUP = st.text(st.sampled_from([*"abcd \n*_~`|$#>-+.!{}"]), max_size=300)
_PHRASE = st.lists(st.from_regex(r"[a-zñ]{1,8}|😀", fullmatch=True), min_size=1, max_size=6).map(" ".join)
_INLINE = _PHRASE | st.builds(
    str.format, st.sampled_from(["**{}**", "*{}*", "`{}`", "~~{}~~", "[{}](https://a.b)", "***{}***", "<{}>"]), _PHRASE
)
_LINE = st.lists(_INLINE, min_size=1, max_size=4).map(" ".join)
_BLOCK = st.one_of(
    _LINE,
    _LINE.map("# {}".format),
    _LINE.map("> {}".format),
    _LINE.map("> > {}".format),
    st.lists(_LINE, min_size=1, max_size=4).map(lambda lines: "\n".join(f"- {line}" for line in lines)),
    st.lists(_LINE, min_size=1, max_size=4).map(lambda lines: "\n".join(f"{i}. {x}" for i, x in enumerate(lines, 1))),
    st.lists(_PHRASE, min_size=1, max_size=40).map(lambda lines: "```\n" + "\n".join(lines) + "\n```"),
    _PHRASE.map(lambda cell: f"| {cell} | {cell} |\n|---|---|\n| {cell} | {cell} |"),
)
_DOCUMENT = st.lists(_BLOCK, min_size=1, max_size=30).map("\n\n".join)


@given(_NASTY, st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_parts_that_telegram_takes(text: str, times: int) -> None:
    check(to_parts(text * times))


@given(_MARKUP, st.integers(1, 30))
@settings(max_examples=300, deadline=None)
def test_no_letter_is_lost_however_the_markup_is_broken(markup: str, times: int) -> None:
    parts = to_parts(markup * times)
    check(parts)
    out = "".join(part.text for part in parts)
    labels = {(e.language or "") for part in parts for e in entities(part)}
    missing = Counter(c for c in markup * times if c.isalpha()) - Counter(c for c in out if c.isalpha())
    if "```" not in markup * times and "~~~" not in markup * times:  # else a letter may be a language's name
        assert not missing, labels


@given(_DOCUMENT, st.integers(1, 8))
@settings(max_examples=100, deadline=None)
def test_every_word_of_a_document_arrives_in_order(document: str, times: int) -> None:
    document = "\n\n".join([document] * times)
    parts = to_parts(document)
    check(parts)
    sent = " ".join(part.text for part in parts)
    words = re.findall(r"[a-zñ]+|😀", document.replace("(https://a.b)", ""))
    assert re.findall(r"[a-zñ]+|😀", sent) == words
