"""`python3 dev.py bench [durability | files | sandbox]`: prints the figures as a table. Linux (it reads /proc)."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from app.core.contracts import ModelRequest
from app.core.prompt import system_prompt
from app.core.toolkit import Toolbox
from app.core.tools import ALL_TOOLS
from app.core.usage import count_request
from app.safety.surroundings import LocalSurroundings
from bench.durability import durability
from bench.files import files
from bench.sandbox import sandbox
from bench.turns import measure


async def base_tokens(folder: Path) -> int:
    """Estimated tokens of a request before anything is said: system prompt and tool schemas."""
    schemas = Toolbox(ALL_TOOLS).schemas
    around = LocalSurroundings(folder, [folder], "bash")
    return count_request(ModelRequest([], system=await system_prompt(around, str(folder), schemas), tools=schemas))


async def everyday(folder: Path) -> list[tuple[str, str]]:
    f = await measure(folder)
    return [
        ("arranque hasta responder", f"{f.ready_s:.2f} s"),
        ("CPU hasta responder", f"{f.cpu_to_ready_ms:.0f} ms"),
        ("memoria en reposo (PSS)", f"{f.rest_mb:.0f} MB"),
        ("primer mensaje", f"{f.first_ms:.0f} ms"),
        ("mensaje con una herramienta (mediana, p90)", f"{f.turn_ms:.1f} ms, {f.turn_p90_ms:.1f} ms"),
        ("CPU por mensaje con una herramienta", f"{f.turn_cpu_ms:.1f} ms"),
        (f"{f.crowd} chats a la vez, modelo de 200 ms", f"{f.crowd_per_second:.0f} mensajes/s"),
        ("CPU por mensaje en esa prueba", f"{f.crowd_cpu_ms:.1f} ms"),
        ("memoria después (PSS), máxima (RSS)", f"{f.after_mb:.0f} MB, {f.peak_mb:.0f} MB"),
        ("petición base (sistema + herramientas)", f"{await base_tokens(folder)} tokens estimados"),
    ]


_KINDS = {"durability": durability, "files": files, "sandbox": sandbox}


async def main(what: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        rows = await _KINDS.get(" ".join(what), everyday)(Path(name))
    for label, figure in rows:
        print(f"{label:<46} {figure}")


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("Las medidas leen /proc: solo en Linux.")
    asyncio.run(main(sys.argv[1:]))
