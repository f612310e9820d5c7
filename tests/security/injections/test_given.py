"""Which addresses count as given: word for word, but not letter for letter."""

from __future__ import annotations

import time

import pytest

from app.core.given import is_given
from app.core.messages import Message, ToolCall

CALL = ToolCall(id="a", name="web_fetch", arguments='{"url": "https://sitio.example/docs/indice"}')
PAGE = """Índice
https://sitio.example/docs/indice

[uno](https://otro.example/uno) y [dos](/dos), [tres](tres.html), <https://cuatro.example/a_(b)> o
https://cinco.example/x, y (https://seis.example/y). **https://siete.example/z**"""


def window(words: str = "", page: str = PAGE, *, name: str = "web_fetch", failed: bool = False) -> list[Message]:
    call = CALL.model_copy(update={"name": name})
    return [
        Message(role="user", content=words, seq=1),
        Message(role="assistant", tool_calls=(call,), content="miro https://modelo.example/", seq=2),
        Message(role="tool", content=page, tool_call_id="a", seq=3, is_error=failed),
    ]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://a.example/x?y=1", "mira https://a.example/x?y=1"),
        ("https://a.example/x", "mira (https://a.example/x)."),
        ("https://a.example/x", "«https://a.example/x», por favor"),
        ("https://a.example/x", "[guía](https://a.example/x)"),
        ("https://a.example./x", "https://a.example/x"),
        ("https://a.example", "https://a.example/"),
        ("https://A.Example/x", "https://a.example/x"),
        ("https://a.example:443/x", "https://a.example/x"),
        ("https://a.example/x#parte", "https://a.example/x"),
        ("https://a.example/x", "http://a.example/x"),
        ("https://a.example/x", "a.example/x"),
        ("https://a.example/", "entra en a.example y dime"),
        ("https://www.a.example/", "www.a.example."),
        ("https://a.example/ni%C3%B1o", "https://a.example/niño"),
        ("https://xn--nio-8ma.example/", "niño.example"),
        ("https://es.wikipedia.org/wiki/Luna_(sat%C3%A9lite)", "https://es.wikipedia.org/wiki/Luna_(satélite)"),
        ("https://otro.example/uno", ""),
        ("https://sitio.example/dos", ""),
        ("https://sitio.example/docs/tres.html", ""),
        ("https://cuatro.example/a_(b)", ""),
        ("https://cinco.example/x", ""),
        ("https://seis.example/y", ""),
        ("https://siete.example/z", ""),
        ("https://sitio.example/docs/indice", ""),
    ],
)
def test_given(url: str, words: str) -> None:
    assert is_given(url, window(words))


@pytest.mark.parametrize(
    "url",
    [
        "https://otro.example/uno?d=1", "https://otro.example/un", "https://otro.example/uno/dos", "https://otro.example/",
        "https://d.otro.example/uno", "https://otro.example:8443/uno", "https://user:d@otro.example/uno",
        "https://otro.example/uno;d", "https://otro.example/uno%2Fd", "https://otro.example/UNO", "ftp://otro.example/uno",
        "https://modelo.example/", "https://", "", "no es", "https://[", "https://otro.example.malo.example/uno",
        "https://otro.example\\@malo.example/uno", "https://sitio.example/docs/../tres",
"https://sitio.example/dos/../tres",
    ],
)  # fmt: skip
def test_not_given(url: str) -> None:
    assert not is_given(url, window("hola a.example"))


@pytest.mark.parametrize(
    "url",
    [
        "https://otro.example/uno/", "https://otro.example/uno//////", "https://otro.example//uno",
        "https://solo.example//", "https://solo.example///////", "http://otro.example/uno", "http://solo.example/",
        "https://otro.example../uno", "https://otro.example...../uno", "https://solo.example../",
    ],
)  # fmt: skip
def test_how_it_is_written_carries_nothing(url: str) -> None:
    """Each of these would ask the same site for the same, and say something by its form."""
    assert is_given("https://otro.example/uno", window("mira solo.example"))
    assert not is_given(url, window("mira solo.example"))


def test_only_pages_and_the_users_own_words_give() -> None:
    url = "https://otro.example/uno"
    assert not is_given(url, window(name="execute_shell"))
    assert not is_given(url, window(failed=True))
    assert not is_given(url, [Message(role="user", content=f"[Resumen]\n{url}")]), "a summary is the model's"
    assert not is_given(url, [Message(role="assistant", content=url, seq=1)])


@pytest.mark.parametrize("piece", ["a.", "https://", "](x", "a.b/", "https://a.b)", "](", "-", "(", "@a"])
def test_time_grows_with_the_length_only(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.perf_counter()
    assert not is_given("https://no.example/", window(text, text))
    assert time.perf_counter() - began < 5
