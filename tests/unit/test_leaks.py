"""URLs that would carry a secret away, and those that only look like it. See also tests/security/urls."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.safety.leaks import UrlGuard
from app.safety.redaction import SecretRedactor

KEY = "gsk_Zx9Qw7Lm3Pv5Tr1Yb8Nc2Kd4"
guard = UrlGuard(SecretRedactor([KEY, "corta7"]))

ORDINARY = [
    "https://example.com/", "https://example.com/?page=gsk_", "https://example.com/gsk/Zx9/", "https://example.com/?q=corta",
    "https://example.com/cortas7", "https://a.com/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "https://a.com/?id=123e4567-e89b-12d3-a456-426614174000", "https://a.com/?jwt=eyJhbGciOi", "https://sk-learn.org/sk",
    "https://github.com/a/b/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "https://a.com/?X-Amz-Signature=" + "ab" * 32,
    "https://a.s3.amazonaws.com/x?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101%2Fx%2Fs3",
    "https://[2606:4700:4700::1111]/", "https://[", "no es una url", "",
    "https://a.com/?" + "&".join(f"a{n}={n}" for n in range(400)),
    "https://a.com/" + "%25" * 900,
]  # fmt: skip


@pytest.mark.parametrize("url", ORDINARY)
def test_ordinary_urls_are_not_blocked(url: str) -> None:
    assert not guard.carries_secret(url)


def encodings() -> list[str]:
    whole = [KEY, quote(KEY, safe=""), KEY.encode().hex(), base64.b64encode(KEY.encode()).decode()]
    whole += [base64.urlsafe_b64encode(f"clave={KEY}!".encode()).decode(), "".join(f"%{c:02X}" for c in KEY.encode())]
    return [
        *whole,
        KEY.upper(),
        KEY.lower(),
        KEY[::-1],
        base64.b32encode(KEY.encode()).decode().rstrip("="),
        ".".join(KEY),
        KEY[:10] + "/" + KEY[10:],
    ]


@pytest.mark.parametrize("form", encodings())
@pytest.mark.parametrize(
    "where", ["https://a.com/{}", "https://a.com/?k={}&b=1", "https://a.com/#{}", "https://a.com/?a=1;k=x{}x"]
)
def test_a_key_is_found_in_every_form_and_place(form: str, where: str) -> None:
    assert guard.carries_secret(where.format(form))
    assert guard.carries_secret(quote(where.format(form), safe=":/?#"))


@given(st.integers(5, len(KEY) - 5), st.sampled_from([".", "-", "/", "%2F", "+", "&b=", "&b=&c=", "//", "%252e"]))
def test_a_key_is_found_in_two_pieces(cut: int, between: str) -> None:
    assert guard.carries_secret(f"https://a.com/?a={KEY[:cut]}{between}{KEY[cut:]}")


@pytest.mark.parametrize("between", ["/", "&b=", "&b=&c=", "%2F"])
def test_an_encoded_key_is_found_in_two_pieces(between: str) -> None:
    for form in (base64.b64encode(KEY.encode()).decode(), KEY.encode().hex()):
        assert guard.carries_secret(f"https://a.com/{'?a=' if '&' in between else ''}{form[:20]}{between}{form[20:]}")


def test_short_secrets_count_as_whole_words() -> None:
    assert guard.carries_secret("https://a.com/?p=corta7")


def test_a_key_saved_later_counts_from_then_on() -> None:
    redactor = SecretRedactor([])
    late = UrlGuard(redactor)
    url = "https://a.com/?k=una-clave-nueva-9"
    assert not late.carries_secret(url)
    redactor.add(["Una-Clave-Nueva-9"])
    assert late.carries_secret(url)
