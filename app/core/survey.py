"""What the risk of a call is judged by on the disk. The workspace implements it; one that cannot tell makes us ask."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from app.core.machine import machine


class Survey(Protocol):
    """Quick and synchronous. A doubt is always answered with the worse answer."""

    def stays_inside(self, path: str, base: Path, *, deep: bool = False) -> bool:
        """Links followed; a path where nothing is stays inside. `deep`: and nothing masked lies below it."""
        ...

    def lands(self, path: str, base: Path) -> Path | None:
        """Where a file written to `path` really is, links followed; None when that cannot be said."""
        ...

    def in_repository(self, path: str, base: Path) -> bool:
        """Whether it is one of git's own files: its configuration and hooks start programs."""
        ...

    def repository_is_plain(self, folder: Path) -> bool:
        """Whether no configuration of the repositories that git may find from `folder` can start a program."""
        ...

    def repository_stays_inside(self, folder: Path) -> bool:
        """Whether what git would find from `folder` and above lies in the workspace: its data and its work tree."""
        ...

    def filters_named(self, folder: Path) -> set[str]:
        """Names that .gitattributes gives to filters (lfs…). Best effort: only for a note."""
        ...

    def has_submodules(self, folder: Path) -> bool:
        """Git starts another git there, with the configuration of the submodule."""
        ...

    def links_outside(self, folder: Path) -> bool:
        """Whether a link to a folder, anywhere in the repository, leads out of the workspace."""
        ...


@runtime_checkable
class Surveyed(Protocol):
    @property
    def survey(self) -> Survey: ...


def survey() -> Survey | None:
    workspace = machine().workspace
    return workspace.survey if isinstance(workspace, Surveyed) else None
