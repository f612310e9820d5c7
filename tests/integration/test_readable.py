"""HTML is read in another process: what hostile pages cost, and what that process knows."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.safety import readable
from app.safety.readable import PageReader, plain

ROOT = Path(__file__).parents[2]
URL = "https://example.com/"
ARTICLE = "<html><head><title>t</title></head><body><article><h1>La señal</h1>" + "<p>El niño comió.</p>" * 20
HANGS = "<html><body><article><p>hola" + "<br>" * 280_000  # many seconds in trafilatura


@pytest.fixture
async def reader() -> AsyncIterator[PageReader]:
    reader = PageReader()
    yield reader
    reader.close()


def worker_of(reader: PageReader) -> subprocess.Popen[bytes]:
    return reader._idle[0]._process


async def test_a_page_is_read_and_the_process_waits_for_the_next(reader: PageReader) -> None:
    title, text = await reader.read(ARTICLE, URL, 30)
    assert (title, text.splitlines()[0]) == ("t", "# La señal")
    first = worker_of(reader).pid
    assert "El niño" in (await reader.read(ARTICLE, URL, 30))[1]
    assert worker_of(reader).pid == first


async def test_a_page_that_takes_too_long_is_ended_and_its_text_is_plain(
    reader: PageReader,
) -> None:
    await reader.read(ARTICLE, URL, 30)
    process = worker_of(reader)
    assert (await reader.read(HANGS, URL, 0.3))[1] == "hola"
    assert process.poll() is not None
    assert reader._idle == []
    assert "# La señal" in (await reader.read(ARTICLE, URL, 30))[1]


async def test_a_reader_that_died_costs_one_page_its_form(reader: PageReader) -> None:
    await reader.read(ARTICLE, URL, 30)
    worker_of(reader).kill()
    worker_of(reader).wait()
    assert "El niño comió." in (await reader.read(ARTICLE, URL, 30))[1]
    assert "# La señal" in (await reader.read(ARTICLE, URL, 30))[1]


async def test_memory_of_pages_comes_back(reader: PageReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readable, "_PAGES", 2)
    await reader.read(ARTICLE, URL, 30)
    process = worker_of(reader)
    await reader.read(ARTICLE, URL, 30)
    assert process.poll() is not None


async def test_nobody_waits_for_an_idle_process(reader: PageReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readable, "_IDLE_SECONDS", 0.05)
    await reader.read(ARTICLE, URL, 30)
    async with asyncio.timeout(10):
        while reader._idle:
            await asyncio.sleep(0.01)


async def test_many_at_once_share_two_processes(reader: PageReader) -> None:
    pages = await asyncio.gather(*(reader.read(ARTICLE, URL, 30) for _ in range(8)))
    assert {text.splitlines()[0] for _, text in pages} == {"# La señal"}
    assert 1 <= len(reader._idle) <= 2


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
async def test_the_process_knows_no_key(reader: PageReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_secreto")
    await reader.read(ARTICLE, URL, 30)
    assert b"gsk_secreto" not in Path(f"/proc/{worker_of(reader).pid}/environ").read_bytes()
    opened = [os.readlink(link) for link in Path(f"/proc/{worker_of(reader).pid}/fd").iterdir()]
    assert all(name.startswith(("pipe:", "/dev/null")) for name in opened)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize(
    "act", ["bytearray(400_000_000)", "import os; os.write(os.open('x', os.O_CREAT | os.O_WRONLY), b'x')"]
)
def test_the_process_has_limits(act: str, tmp_path: Path) -> None:
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom app.safety.extractor import limit; {{}}{act}"
    for limited in ("limit(); ", ""):  # without it: the control
        code = script.format(limited)
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is (limited == "")


PLAIN: dict[str, Callable[[int], str]] = {
    "open scripts": lambda n: "<script>" * n,
    "closed scripts": lambda n: "<script></script x" * n,
    "tags": lambda n: "<a " * n,
    "brackets": lambda n: "<" * n,
    "titles": lambda n: "<title " * n,
    "entities": lambda n: "&#1;&amp" * n,
}


@pytest.mark.parametrize("case", PLAIN)
def test_the_plain_way_ends_whatever_the_page(case: str) -> None:
    plain(PLAIN[case](200_000)[: readable._MAX_PLAIN])
    assert readable._TITLE.search(PLAIN[case](200_000)) is None


def test_the_plain_way_leaves_scripts_out() -> None:
    html = "<p>uno</p><SCRIPT>x()</SCRIPT ><style>p{}</style><p>dos &amp; tres</p><script>y()"
    assert plain(html).split() == ["uno", ">", "dos", "&", "tres"] or plain(html).split() == ["uno", "dos", "&", "tres"]
