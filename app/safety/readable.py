"""The readable text of an HTML page, as Markdown. Slow: for a worker thread."""

from __future__ import annotations

import re
from html import unescape

from loguru import logger

MAX_HTML = 2_000_000  # characters; trafilatura needs about 2 s for each million of the worst kind
_TITLE = re.compile(r"<title\b[^>]{0,200}>([^<]{0,500})", re.IGNORECASE)


def readable(html: str, url: str) -> tuple[str, str]:
    """Title and text."""
    html = html[:MAX_HTML]
    found = _TITLE.search(html)
    title = " ".join(unescape(found[1]).split()) if found else ""
    return title, _article(html, url) or _plain(html)


def _article(html: str, url: str) -> str:
    import trafilatura  # late: half a second and many MB

    try:
        text = trafilatura.extract(
            html, url=url, output_format="markdown", include_links=True, include_tables=True, include_comments=False
        )
        return text or trafilatura.html2txt(html)
    except Exception as error:  # noqa: BLE001  the boundary to a parser of hostile pages: the plain text remains
        logger.warning("trafilatura failed on a page: {}", type(error).__name__)
        return ""


def _plain(html: str) -> str:
    """The last resort: no tags, no runs of blank space."""
    lines = (" ".join(unescape(line).split()) for line in re.sub(r"<[^<>]{0,2000}>", " ", html).splitlines())
    return "\n".join(line for line in lines if line)
