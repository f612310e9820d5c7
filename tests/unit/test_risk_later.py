"""Files that make something run later ask; ordinary work on a project does not."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.assembly import build_machine
from app.core.machine import use_folder, use_machine
from app.core.risk import write_risk
from app.core.risk_later import runs_later
from app.core.toolkit import Risk
from tests.support import make_settings

LATER = [
    ".envrc", "sub/.envrc", ".direnv/x", ".mise.toml", "mise.toml", "mise.local.toml", ".mise/tasks/build",
    ".config/mise/config.toml", ".github/workflows/ci.yml", ".github/workflows/new/deep.yml",
    ".github/actions/mine/action.yml", "action.yml", ".gitlab-ci.yml", "ci/build.gitlab-ci.yml", ".gitlab/ci/x.yml",
    ".circleci/config.yml", "Jenkinsfile", "ci/Jenkinsfile", "Jenkinsfile.release", "deploy.jenkinsfile",
    "azure-pipelines.yml", "azure-pipelines-release.yml", ".buildkite/pipeline.yml", ".travis.yml",
    "bitbucket-pipelines.yml", ".drone.yml", ".woodpecker/x.yml", ".forgejo/workflows/x.yml", "cloudbuild.yaml",
    ".husky/pre-commit", ".husky/_/husky.sh", ".githooks/pre-push", ".pre-commit-config.yaml", "lefthook.yml",
    "lefthook-local.yml", ".lefthook/pre-commit/x.sh", ".lintstagedrc.json", ".vscode/tasks.json",
    ".vscode/launch.json", ".vscode/settings.json", "a/b/.vscode/tasks.json", "mi.code-workspace",
    ".idea/runConfigurations/App.xml", ".idea/workspace.xml", ".run/App.run.xml", ".zed/tasks.json", ".nvim/init.lua",
    ".nvim.lua", ".exrc", ".dir-locals.el", ".helix/languages.toml", ".gdbinit", ".devcontainer/devcontainer.json",
    ".devcontainer.json", ".gitpod.yml", ".claude/settings.json", ".claude/settings.local.json", ".claude/hooks/x.sh",
    ".mcp.json", ".cursor/mcp.json", ".cursor/hooks.json", ".codex/config.toml", ".gemini/settings.json", ".bashrc",
    ".profile", ".zshenv", ".ssh/authorized_keys", ".config/autostart/x.desktop", ".config/fish/config.fish",
    ".gitconfig", ".ENVRC", ".Github/Workflows/ci.yml", "JENKINSFILE", ".VSCODE/Tasks.JSON", ".envrc.",
    ".vscode/tasks.json:$DATA", ".en\u200cvrc", "./.envrc", "x/../.envrc", ".vscode/../.envrc",
]  # fmt: skip
ORDINARY = [
    "a.py", "src/main.rs", "README.md", "Makefile", "package.json", "pyproject.toml", "Dockerfile",
    "docker-compose.yml", "setup.py", "conftest.py", ".env", ".gitignore", ".editorconfig", ".tool-versions",
    ".python-version", ".nvmrc", ".github/dependabot.yml", ".github/ISSUE_TEMPLATE/bug.md", ".github/CODEOWNERS",
    ".vscode/extensions.json", ".idea/misc.xml", ".claude/CLAUDE.md", ".cursor/rules/x.mdc", "CLAUDE.md", "AGENTS.md",
    "docs/workflows/ci.yml", "github/workflows/ci.yml", "envrc", "mi.envrc.md", "tasks.json", "settings.json",
    "launch.json", "hooks/use-thing.ts", "run/App.run.xml", "Jenkinsfile_notes.txt", "lefthook/readme.md",
    "src/lefthooks.ts", "profile", ".profiles.json", "ssh/config", "jenkinsfiles.md", "actions.yml", "misevalue.toml",
    ".prettierrc",
]  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home" / "proyectos"
    use_machine(build_machine(make_settings(tmp_path)))
    use_folder(folder)
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    yield folder
    use_folder(None)


@pytest.mark.parametrize("path", LATER)
def test_what_runs_later_asks(path: str) -> None:
    assert runs_later(path)
    assert write_risk({"path": path}) is Risk.DESTRUCTIVE


@pytest.mark.parametrize("path", ORDINARY)
def test_ordinary_work_does_not(path: str) -> None:
    assert not runs_later(path)
    assert write_risk({"path": path}) is Risk.WRITE


@pytest.mark.parametrize("there", [True, False], ids=["there", "not yet"])
@pytest.mark.parametrize("target", [".envrc", ".github/workflows/ci.yml", ".vscode/tasks.json"])
def test_through_a_link_it_is_the_same_file(project: Path, target: str, there: bool) -> None:
    if there:
        (project / target).parent.mkdir(parents=True, exist_ok=True)
        (project / target).write_text("x")
    (project / "notas.md").symlink_to(target)
    assert runs_later("notas.md")


def test_through_a_folder_that_is_a_link(project: Path) -> None:
    (project / ".github" / "workflows").mkdir(parents=True)
    (project / "docs").symlink_to(".github")
    (project / "abs").symlink_to(project / ".github" / "workflows")
    assert runs_later("docs/workflows/ci.yml") and runs_later("abs/nuevo/ci.yml")
    assert runs_later(str(project / "docs" / "workflows" / "ci.yml"))
    assert not runs_later("docs/CODEOWNERS")


def test_a_link_to_an_ordinary_file_still_has_the_name(project: Path) -> None:
    """Whoever reads `.envrc` follows the link as well."""
    (project / "a.txt").write_text("x")
    (project / ".envrc").symlink_to("a.txt")
    assert runs_later(".envrc")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX links")
def test_what_leads_out_is_refused_not_asked(project: Path) -> None:
    (project / "fuera").symlink_to("/etc")
    assert not runs_later("fuera/passwd")
