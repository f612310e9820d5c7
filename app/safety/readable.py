"""The readable text of an HTML page, as Markdown: made by `extractor.py` in another process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path

from loguru import logger

MAX_HTML = 1_200_000  # characters
_MAX_PLAIN = 500_000  # characters
_WORKERS = 2
_PAGES = 20  # of one process: then a fresh one, with its memory back
_IDLE_SECONDS = 60.0
_MAX_ANSWER = 32_000_000  # bytes
_TITLE = re.compile(r"<title\b[^>]{0,200}>([^<]{0,500})", re.IGNORECASE)
_SCRIPTS = re.compile(r"<(/?)(script|style)\b", re.IGNORECASE)
_PASSED = ("PATH", "SystemRoot", "LANG", "LC_ALL")


class PageReader:
    """Two pages at a time, in threads of its own. A process stays for the next page, for a minute."""

    def __init__(self) -> None:
        self._threads = _threads()
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._retire: threading.Timer | None = None

    async def read(self, html: str, url: str, seconds: float) -> tuple[str, str]:
        """Title and text. When the good way takes longer than `seconds`, or breaks, the text is plain."""
        end = time.monotonic() + seconds
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, html[:MAX_HTML], url, end)

    def close(self) -> None:
        """What comes afterwards starts anew."""
        threads, self._threads = self._threads, _threads()
        threads.shutdown(wait=False, cancel_futures=True)
        self._dismiss()

    def _read(self, html: str, url: str, end: float) -> tuple[str, str]:
        found = _TITLE.search(html)
        title = " ".join(unescape(found[1]).split()) if found else ""
        return title, self._article(html, url, end - time.monotonic()) or plain(html[:_MAX_PLAIN])

    def _article(self, html: str, url: str, seconds: float) -> str:
        if seconds <= 0:
            return ""
        try:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            worker = worker or _Worker()
            text = worker.article(html, url, seconds)
        except OSError as error:
            logger.warning("the reader of pages does not start: {}", type(error).__name__)
            return ""
        if text is None:
            logger.info("a page took too long to read, or too much memory: its text is plain")
        if text is None or worker.pages >= _PAGES:
            worker.end()
        else:
            self._keep(worker)
        return text or ""

    def _keep(self, worker: _Worker) -> None:
        with self._lock:
            self._idle.append(worker)
            if self._retire is not None:
                self._retire.cancel()
            self._retire = threading.Timer(_IDLE_SECONDS, self._dismiss)
            self._retire.daemon = True
            self._retire.start()

    def _dismiss(self) -> None:
        with self._lock:
            workers, self._idle = self._idle, []
            if self._retire is not None:
                self._retire.cancel()
                self._retire = None
        for worker in workers:
            worker.end()


class _Worker:
    def __init__(self) -> None:
        program = Path(__file__).with_name("extractor.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-X", "utf8", str(program)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in _PASSED if name in os.environ},
            start_new_session=True,
        )  # fmt: skip
        self._line(json.dumps(sys.path).encode())
        self.pages = 0

    def article(self, html: str, url: str, seconds: float) -> str | None:
        """None when it did not answer: it is useless then."""
        watch = threading.Timer(max(0.1, seconds), self._process.kill)
        watch.daemon = True
        watch.start()
        try:
            return self._converse(html, url)
        except (OSError, ValueError):
            return None
        finally:
            watch.cancel()

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    logger.debug("the reader of pages was gone already")
        self._process.wait()

    def _converse(self, html: str, url: str) -> str:
        self.pages += 1
        data = html.encode("utf-8", "replace")
        self._line(json.dumps({"url": url, "length": len(data)}).encode())
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(data)
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline(_MAX_ANSWER))["text"])

    def _line(self, line: bytes) -> None:
        assert self._process.stdin
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_WORKERS, "nanobot-reader")


def plain(html: str) -> str:
    """The last resort: no tags, no scripts, no runs of blank space. Linear, whatever the page."""
    text = re.sub(r"<[^<>]{0,2000}>", " ", _without_scripts(html))
    lines = (" ".join(unescape(line).split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _without_scripts(html: str) -> str:
    kept: list[str] = []
    since, inside = 0, ""
    for tag in _SCRIPTS.finditer(html):
        closes, name = tag[1] == "/", tag[2].lower()
        if not inside and not closes:
            kept.append(html[since : tag.start()])
            inside = name
        elif closes and inside == name:
            since, inside = tag.start(), ""
    return "".join(kept) + ("" if inside else html[since:])
