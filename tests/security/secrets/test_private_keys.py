"""A private key however a tool shows it: numbered, behind a file's name, as a diff, without its beginning or end."""

from __future__ import annotations

import base64
import random
import time

import pytest

from app.safety.redaction import SecretRedactor

REDACTOR = SecretRedactor([])
_CHANCE = random.Random(7)


def _body(start: bytes, size: int) -> list[str]:
    text = base64.b64encode(start + _CHANCE.randbytes(size)).decode()
    return [text[i : i + 64] for i in range(0, len(text), 64)]


KEYS = {
    "OPENSSH": _body(b"openssh-key-v1\0\0\0\0\4none\0\0\0\4none", 240),
    "RSA": _body(bytes.fromhex("308204a40201000282010100"), 1_180),
    "": _body(bytes.fromhex("302e020100300506032b657004220420"), 32),
    "EC": _body(bytes.fromhex("30770201010420"), 112),
}
VIEWS = {
    "whole": lambda lines: lines,
    "without its first line": lambda lines: lines[1:],
    "without its last line": lambda lines: lines[:-1],
    "its beginning": lambda lines: lines[:3],
    "its end": lambda lines: lines[-3:],
    "numbered": lambda lines: [f"{n:6}\t{line}" for n, line in enumerate(lines, 1)],
    "numbered, without its first line": lambda lines: [f"{n:6}\t{line}" for n, line in enumerate(lines, 1)][1:],
    "found": lambda lines: [f"casa/.ssh/id:{n}:{line}" for n, line in enumerate(lines, 1)],
    "added": lambda lines: [f"+{line}" for line in lines],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", KEYS)
def test_no_line_of_it_is_seen(kind: str, view: str) -> None:
    name = f"{kind} PRIVATE KEY".strip()
    lines = VIEWS[view]([f"-----BEGIN {name}-----", *KEYS[kind], f"-----END {name}-----"])
    text = "\n".join(["antes", *lines, "después", ""])
    seen = REDACTOR.redact(text)
    assert [line for line in KEYS[kind] if len(line) > 20 and line in seen] == []
    assert seen.startswith("antes\n") and seen.endswith("después\n")


@pytest.mark.parametrize("kind", ["CERTIFICATE", "PUBLIC KEY"])
def test_what_is_public_stays(kind: str) -> None:
    body = "\n".join(_body(bytes.fromhex("308203a930820291a0030201020214"), 900))
    text = f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"
    assert REDACTOR.redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        ("A" * 76 + "\n") * 20_000,
        ("PRIVATE KEY-----\n" + "A" * 70 + "\n") * 4_000,
        "b3BlbnNzaC1rZXktdjE" * 20_000,
        ("palabra " * 9 + "\n") * 5_000 + "-----END PRIVATE KEY-----",
        ("A" * 60 + " -----END PRIVATE KEY-----\n") * 3_000,
    ],
)
def test_length_alone_costs_time(text: str) -> None:
    began = time.process_time()
    REDACTOR.redact(text)
    assert time.process_time() - began < 5
