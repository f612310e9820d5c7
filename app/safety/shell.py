"""Which shell runs a command line here, and how it is called."""

from __future__ import annotations

import base64
import os
import shutil
from dataclasses import dataclass

# UTF-8 both ways, and the exit code that bash would give: that of the last thing that ran.
_PROLOGUE = (
    "[Console]::OutputEncoding = [Console]::InputEncoding = [Text.UTF8Encoding]::new($false)\n"
    "$OutputEncoding = [Console]::OutputEncoding\n"
    "$ProgressPreference = 'SilentlyContinue'\n"
)
_EPILOGUE = "\n$ok = $?; if ($ok) { exit 0 }; if ($LASTEXITCODE) { exit $LASTEXITCODE }; exit 1"


@dataclass(frozen=True, slots=True)
class Shell:
    """`name` for the system prompt."""

    name: str
    program: str

    def argv(self, command: str) -> list[str]:
        if not self.name.startswith("PowerShell"):
            return [self.program, "-c", command]
        script = base64.b64encode((_PROLOGUE + command + _EPILOGUE).encode("utf-16-le")).decode()
        options = ["-NoLogo", "-NoProfile", "-NonInteractive", "-OutputFormat", "Text"]
        return [self.program, *options, "-EncodedCommand", script]


def find_shell(path: str, *, windows: bool = os.name == "nt") -> Shell:
    """bash, else sh; PowerShell 7, else the 5.1 that every Windows has."""
    if not windows:
        bash = shutil.which("bash", path=path)
        return Shell("bash", bash) if bash else Shell("sh", shutil.which("sh", path=path) or "/bin/sh")
    seven = shutil.which("pwsh", path=path)
    if seven:
        return Shell("PowerShell 7", seven)
    return Shell("PowerShell 5.1", shutil.which("powershell", path=path) or "powershell.exe")
