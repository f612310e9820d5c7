"""Quick looks at the disk by which a call's risk is judged. Any doubt is answered with the worse answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path, PurePath

from app.core.errors import WorkspaceError
from app.safety.bounds import Bounds
from app.safety.paths import MissingPathError, locate
from app.safety.repository import DoubtError, Repository, is_git_file, is_git_name, links_outside, repositories


class DiskSurvey:
    """Implements Survey."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    def stays_inside(self, path: str, base: Path, *, deep: bool = False) -> bool:
        try:
            with locate(self._bounds, path, base) as place:
                return not (deep and self._bounds.hides_below(place.real))
        except (MissingPathError, FileNotFoundError):
            return ".." not in PurePath(path).parts
        except (WorkspaceError, OSError):
            return False

    def lands(self, path: str, base: Path) -> Path | None:
        """Links are followed to where nothing is yet: a write would make the file there."""
        try:
            return Path(os.path.realpath(Path(base, path)))
        except (OSError, ValueError):
            return None

    def in_repository(self, path: str, base: Path) -> bool:
        asked = PurePath(path)
        if any(map(is_git_name, asked.parts)):
            return True
        for known in (asked, *asked.parents):  # what is missing would be made below what is there
            try:
                with locate(self._bounds, str(known), base) as place:
                    return is_git_file(place.real)
            except (MissingPathError, FileNotFoundError):
                if ".." in asked.parts:
                    return True
            except (WorkspaceError, OSError):
                break
        return False  # the tool refuses it

    def repository_is_plain(self, folder: Path) -> bool:
        def plain(repository: Repository) -> bool:
            repository.check_plain()
            return not self._bounds.hides_below(repository.folder)

        return self._every(folder, plain)

    def repository_stays_inside(self, folder: Path) -> bool:
        try:
            found = list(repositories(folder.resolve(), self._bounds.holds, bare=True))
            return all(repository.stays_inside(self._bounds.holds) for repository in found)
        except (DoubtError, OSError, ValueError):
            return False

    def filters_named(self, folder: Path) -> set[str]:
        try:
            found = list(repositories(folder.resolve(), self._bounds.holds))
        except (DoubtError, OSError, ValueError):
            return set()
        return {name for repository in found for name in repository.filters_named()}

    def has_submodules(self, folder: Path) -> bool:
        return not self._every(folder, lambda repository: not repository.has_submodules())

    def links_outside(self, folder: Path) -> bool:
        return not self._every(folder, lambda repository: not links_outside(repository.folder, self._bounds.holds))

    def _every(self, folder: Path, sound: Callable[[Repository], bool]) -> bool:
        try:
            return all(map(sound, repositories(folder.resolve(), self._bounds.holds)))
        except (DoubtError, OSError, ValueError):  # ValueError: not UTF-8, not git's grammar
            return False
