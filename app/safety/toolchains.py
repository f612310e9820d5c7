"""Programs that the user has outside the system's folders and in PATH: what of them commands may read and run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc")
_OF_PROGRAMS = {"bin", "sbin", "shims", "Scripts", "condabin"}
_BESIDE = {  # what the programs of a well-known folder need, when the folder itself also holds other things
    ".cargo": ("../.rustup",),
    ".local": ("lib", "pipx", "share/pipx", "share/uv", "share/pnpm", "share/mise"),
}
_SECRETS = (".ssh", ".gnupg", ".aws", ".netrc", ".git-credentials", ".config", "credentials", "credentials.toml")


def toolchains(path: str, home: Path, kept: Sequence[Path] = ()) -> list[Path]:
    """Folders, real paths. `home`: the server's user, whose own folder is never one of them.

    `kept`: what has rules of its own (projects, data, code); no folder around it or in it is one either.
    """
    found = dict.fromkeys(folder for entry in path.split(":") if entry for folder in _of(Path(entry), home))
    apart = [folder for folder in found if not any(_touch(folder, other.resolve()) for other in kept)]
    return [folder for folder in apart if not any(other in folder.parents for other in apart)]


def _touch(one: Path, other: Path) -> bool:
    return one == other or one in other.parents or other in one.parents


def environment(folders: list[Path]) -> dict[str, str]:
    """What they look for in a HOME that is not theirs here."""
    variables = {".rustup": "RUSTUP_HOME", ".pyenv": "PYENV_ROOT", ".nvm": "NVM_DIR"}
    return {variables[folder.name]: str(folder) for folder in folders if folder.name in variables}


def _of(entry: Path, home: Path) -> Iterator[Path]:
    folder = entry.resolve()
    if not folder.is_dir() or _in_system(folder) or folder in {home, *home.parents}:
        return
    if folder.is_relative_to("/nix"):
        yield Path("/nix/store")
        return
    yield folder
    prefix = folder.parent
    for name in _BESIDE.get(prefix.name, ()):
        if (beside := (prefix / name).resolve()).is_dir():
            yield beside
    whole = folder.name in _OF_PROGRAMS and prefix.name not in _BESIDE and prefix not in {home, *home.parents}
    if whole and not any((prefix / name).exists() for name in _SECRETS):
        yield prefix


def _in_system(folder: Path) -> bool:
    return any(folder.is_relative_to(system) for system in _SYSTEM)
