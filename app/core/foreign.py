"""Text that comes from outside, made fit for a model: marked as data, without hidden text or anybody's voice.

The frame carries a number that is drawn when the text is already there, so nothing in it can close the frame. What
looks like a role, a turn or a frame gets a small dot in it (system‧:); `restored` takes the dots out again when such
a text is written into a file.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from itertools import pairwise

from app.core import texts_taint as texts
from app.core.texts_safety import shown
from app.core.unseen import seen

FRAME_ROOM = 240  # characters that a frame adds at most
_DOT = "‧"
_LONGEST_ORIGIN = 80

# What looks like a letter or a sign of ASCII, one for one: places in the text stay the same.
_FOLD = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict(
        zip(map(ord, "аеорсухіјѕԁһӏмткнвАЕОРСУХІЈЅМТКНВ"), map(ord, "aeopcyxijsdhlmtkhbAEOPCYXIJSMTKHB"), strict=True)
    ),
    **dict(zip(map(ord, "αιορτυνκμΑΙΟΡΤΥΝΚΜ"), map(ord, "aioptuvkmAIOPTYNKM"), strict=True)),
    **dict.fromkeys(map(ord, "꞉∶ː﹕︓：׃"), ord(":")),
    **dict.fromkeys(map(ord, "‹〈⟨﹤"), ord("<")),
    **dict.fromkeys(map(ord, "›〉⟩﹥"), ord(">")),
    **dict.fromkeys(map(ord, "❘∣ǀ⎮│"), ord("|")),
    **dict.fromkeys(map(ord, "⁅［【〔"), ord("[")),
    **dict.fromkeys(map(ord, "⁆］】〕"), ord("]")),
}
_ROLES = (
    "system|assistant|user|human|developer|tool|function|ai|sistema|asistente|usuario|humano|desarrollador|herramienta"
    "|resultado|nanobot"
)
_LABEL = re.compile(
    rf"(?:^|\\n)[ \t>#*_`~\[(\"'|-]{{0,12}}(?:{_ROLES}|(?<=#)\s?(?:instruction|response|input))"
    r"(?:[ \t_-]{1,3}(?:prompt|message|mensaje|instructions?|instrucciones|note|result|response|turn|says))?"
    r"[ \t*_`~\])\"'|]{0,6}(?=:)",
    re.IGNORECASE | re.MULTILINE,
)
_TAG = re.compile(
    r"<(?=\|[^<>\n]{1,60}\||"
    rf"<?/?\s?(?:{_ROLES}|sys|im_(?:start|end)|(?:start|end)_of_turn|(?:tool|function)s?_\w{{1,20}}|invoke|parameter"
    r"|instructions?|system[-_]\w{1,20}|antml:\w{1,30}|bos|eos|s|pad|think(?:ing)?|result|output|documents?|context"
    r"|untrusted\w{0,20}|data|datos)(?:[\s/:][^<>\n]{0,120})?>)",
    re.IGNORECASE,
)
_BRACKET = re.compile(
    rf"\[(?=/?(?:inst|sys|{_ROLES})\]|(?:datos de fuera|fin de los datos|nota del programa|correcci[oó]n del mensaje"
    r"|ha editado un mensaje|reenviado|responde a|resumen de la conversaci[oó]n|enlaces:)"
    r"|(?:system|developer|assistant)[ _-](?:message|prompt|note)\b)",
    re.IGNORECASE,
)
_FRAME = re.compile(r"\[Datos de fuera [0-9a-f]{12} · (?P<origin>[^;:\]\n]{1,100})")
_RESTORED = re.compile(rf"(?<=[<‹〈⟨﹤＜\[⁅［【〔]){_DOT}|{_DOT}(?=[:꞉∶ː﹕︓：׃])")


def framed(text: str, origin: str, clean: Callable[[str], str] = str) -> str:
    """`origin`: in a few words, where it comes from. `clean` gets the text as people see it."""
    plain, hidden = seen(text)
    mark = secrets.token_hex(6)
    return f"{texts.opening(mark, named(origin), hidden)}\n{voiceless(clean(plain))}\n{texts.closing(mark)}"


def voiceless(text: str) -> str:
    """Nothing in it speaks as somebody else."""
    view = text.translate(_FOLD)
    places = {found.end() for pattern in (_LABEL, _TAG, _BRACKET) for found in pattern.finditer(view)}
    bounds = [0, *sorted(places), len(text)]
    return _DOT.join(text[start:end] for start, end in pairwise(bounds)) if places else text


def origin_in(text: str) -> str:
    """Of the first frame that stands in it."""
    found = _FRAME.search(text)
    return found["origin"] if found else ""


def restored(text: str) -> str:
    """As it stood where it was read."""
    return _RESTORED.sub("", text) if _DOT in text else text


def named(origin: str) -> str:
    """Sites and people choose their own names."""
    plain = re.sub(r"[\[\]<>;:\n]", " ", seen(origin)[0])
    return voiceless(shown(plain)[:_LONGEST_ORIGIN]).strip()
