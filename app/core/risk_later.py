"""Files that are harmless when they are written, and later make somebody else's program run something.

That program is outside every confinement: the user's shell, his editor, git, a build server. What runs when the user
himself starts it by name (Makefile, package.json, a script) is ordinary work and not in here. Git's own files are
known by DiskSurvey.in_repository.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from pathlib import PurePath

from app.core.machine import folder
from app.core.survey import survey

# One pattern a line, folded to lower case, for the end of a real path. `/**`: whatever lies below.
_PATTERNS = """
.envrc  .direnv/**  .config/direnv/**
mise.toml  .mise.toml  mise.*.toml  .mise.*.toml  .mise/**  mise/config.toml  .config/mise/**  .config/mise.toml
.rtx.toml  .autoenv  .autoenv.zsh
.github/workflows/**  .github/actions/**  .gitea/workflows/**  .forgejo/workflows/**  action.yml  action.yaml
.gitlab-ci.yml  .gitlab-ci.yaml  *.gitlab-ci.yml  .gitlab/ci/**  .circleci/**  .buildkite/**  .woodpecker/**
.woodpecker.yml  .woodpecker.yaml  .drone.yml  .travis.yml  .cirrus.yml  .appveyor.yml  appveyor.yml  .semaphore/**
jenkinsfile  jenkinsfile.*  *.jenkinsfile  .teamcity/**  azure-pipelines.yml  azure-pipelines.yaml
azure-pipelines-*.yml  azure-pipelines.*.yml  .azure-pipelines/**  .azuredevops/**  bitbucket-pipelines.yml
buildspec.yml  cloudbuild.yaml  cloudbuild.yml  .tekton/**  .builds/**  .build.yml
.husky/**  .githooks/**  .git-hooks/**  .hooks/**  .pre-commit-config.yaml  .pre-commit-config.yml
.pre-commit-hooks.yaml  lefthook.*  .lefthook.*  lefthook-local.*  .lefthook-local.*  .lefthook/**
.lefthook-local/**  .overcommit.yml  .git-hooks.yml  .huskyrc  .huskyrc.*  .lintstagedrc  .lintstagedrc.*
.vscode/tasks.json  .vscode/launch.json  .vscode/settings.json  .vscode/mcp.json  *.code-workspace
.idea/runconfigurations/**  .idea/watchertasks.xml  .idea/tools/**  .idea/externaltools.xml  .idea/workspace.xml
.run/**  .fleet/**  .zed/**  .nova/**  *.sublime-project  .nvim/**  .nvim.lua  .nvimrc  .exrc  .vimrc  _vimrc  .vim/**
.config/nvim/**  .dir-locals.el  .dir-locals-2.el  .emacs  .emacs.d/**  .helix/**  .gdbinit  .lldbinit
.devcontainer/**  .devcontainer.json  .gitpod.yml  .idx/**  .replit
.claude/settings*.json  .claude/hooks/**  .claude/commands/**  .claude/skills/**  .claude/plugins/**
.claude.json  .mcp.json  mcp.json  mcp_config.json  mcp_settings.json  .cursor/hooks.json  .cursor/hooks/**
.cursor/environment.json  .codex/**  .gemini/settings.json  .gemini/extensions/**  .opencode/**  opencode.json
.kiro/hooks/**  .kiro/settings/**  .continue/**  .aider.conf.yml  .amazonq/**
.bashrc  .bash_profile  .bash_login  .bash_logout  .bash_aliases  .profile  .zshrc  .zshenv  .zprofile  .zlogin
.zlogout  .kshrc  .cshrc  .tcshrc  .login  .inputrc  .xprofile  .xinitrc  .xsession  .xsessionrc  .config/fish/**
.config/autostart/**  .config/systemd/**  .config/environment.d/**  .config/git/**  .gitconfig  .ssh/**
library/launchagents/**  .tmux.conf  .config/tmux/**  .screenrc  .pythonstartup  .pdbrc  .irbrc  .pryrc  .local/bin/**
"""
_STAR = re.escape("*")


def runs_later(path: str) -> bool:
    """Judged by where the file really is and, as long as it is not there, by what it is called too."""
    look = survey()
    real = look.lands(path, folder()) if look else None
    return any(_LATER.search(_folded(place)) for place in (PurePath(path), real) if place is not None)


def _folded(path: PurePath) -> str:
    return "/" + "/".join(filter(None, map(folded, path.parts)))


def folded(name: str) -> str:
    """As the least discerning disk compares names: HFS+ (invisible characters), NTFS (streams, trailing dots)."""
    visible = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
    return visible.partition(":")[0].rstrip(" .").casefold()


def _regex(pattern: str) -> str:
    """For a path that begins with a slash."""
    name = pattern.removesuffix("/**")
    return f"/{re.escape(name).replace(_STAR, '[^/]*')}{'/' if name != pattern else '$'}"


def _holders() -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for pattern in _PATTERNS.split():
        top, slash, rest = pattern.partition("/")
        if slash:
            found.setdefault(top, set()).add("*" if rest == "**" else rest.partition("/")[0])
    return {top: tuple(sorted(names)) for top, names in found.items()}


_LATER = re.compile("|".join(map(_regex, _PATTERNS.split())))
# The folders that such files lie in, and what of each: patterns for the folded names in it.
HOLDERS: Mapping[str, tuple[str, ...]] = _holders()


@lru_cache(4_096)
def is_later_name(name: str) -> bool:
    """For a file at the top of a project."""
    return bool(_LATER.search(f"/{folded(name)}"))
