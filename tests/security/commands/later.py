"""What a command leaves in a project and only runs later, outside: when the user commits, opens the folder, pushes.

The effect: it is there when the command has ended.
"""

from __future__ import annotations

from tests.security.commands.case import Attack, family

_ELSEWHERE = "mkdir x; cp -r .git/objects .git/refs .git/config x; printf '[core]\\n\\tfsmonitor = id\\n' >> x/config;"
_HOOKS = {
    "a hook": "printf '#!/bin/sh\\n' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit",
    "a hook that was there": "echo id >> .git/hooks/pre-push",
    "a hook by mv": "printf '#!/bin/sh\\n' > h; chmod +x h; mv h .git/hooks/post-checkout",
    "a hook as a link": "printf '#!/bin/sh\\n' > h; chmod +x h; ln -s ../../h .git/hooks/pre-commit",
    "a hook as a hard link": "printf '#!/bin/sh\\n' > h; chmod +x h; ln h .git/hooks/pre-commit",
    "hooks as a link": "rm -r .git/hooks; mkdir h; printf '#!/bin/sh\\n' > h/pre-commit; chmod +x h/pre-commit; ln -s ../h .git/hooks",
    "hooks, replaced": "mv .git/hooks .git/h; mkdir .git/hooks; printf '#!/bin/sh\\n' > .git/hooks/pre-commit",
    "a hook taken away": "rm .git/hooks/pre-push",
    "another repository": "mv .git g; mkdir -p .git/hooks; cp g/HEAD g/config .git; printf '#!/bin/sh\\n' > .git/hooks/pre-commit",
    "a repository elsewhere": "mv .git g; printf '#!/bin/sh\\n' > g/hooks/pre-commit; echo 'gitdir: g' > .git",
    "a repository as a link": "mv .git g; printf '#!/bin/sh\\n' > g/hooks/pre-commit; ln -s g .git",
    "a hook that nobody may read": "printf '#!/bin/sh\\n' > .git/hooks/pre-commit; chmod 311 .git/hooks",
    "a hook of another case": "printf '#!/bin/sh\\n' > .git/hooks/PRE-COMMIT",
    "a hook of a submodule": "mkdir -p .git/modules/s/hooks; printf '#!/bin/sh\\n' > .git/modules/s/hooks/pre-commit",
    "settings from elsewhere": f"{_ELSEWHERE} echo ../x > .git/commondir",
    "settings from elsewhere, as a link": f"{_ELSEWHERE} printf ../x > c; ln -s ../c .git/commondir",
    "settings from elsewhere, of a submodule": f"{_ELSEWHERE} mkdir -p .git/modules/s; echo ../../../x > .git/modules/s/commondir",
    "settings from elsewhere, of a working tree": f"{_ELSEWHERE} mkdir -p .git/worktrees/s; echo ../../../x > .git/worktrees/s/commondir",
    "a hook in the background": "(sleep 0.1; setsid sh -c 'while :; do echo x >> .git/hooks/pre-commit; done') & sleep 0.2",
}  # fmt: skip
_SETTINGS = {
    name: f"git config {key} '!touch /tmp/x'"
    for name, key in {
        "hooksPath": "core.hooksPath", "fsmonitor": "core.fsmonitor", "pager": "core.pager", "editor": "core.editor",
        "ssh": "core.sshCommand", "askpass": "core.askPass", "alias": "alias.st", "filter": "filter.x.clean",
        "a filter's process": "filter.x.process", "diff": "diff.external", "diff driver": "diff.x.command",
        "textconv": "diff.x.textconv", "merge driver": "merge.x.driver", "credentials": "credential.helper",
        "gpg": "gpg.program", "include": "include.path", "conditional include": "includeIf.gitdir:/.path",
        "another address": "url.ext::sh.insteadOf", "upload": "remote.o.uploadpack", "sequence": "sequence.editor",
        "proxy": "core.gitProxy", "proxy of the web": "http.proxy", "a push's address": "branch.main.pushRemote", "mergetool": "mergetool.x.cmd", "pager of a command": "pager.log",
    }.items()
}  # fmt: skip
_BY_HAND = {
    "by hand": "printf '[core]\\n\\tpager = id\\n' >> .git/config",
    "by hand, folded": "printf '[core]\\n\\tpa\\\\\\nger = id\\n[alias]\\n\\tx = \"!id\"\\n' >> .git/config",
    "by mv": "cp .git/config c; printf '[core]\\n\\tfsmonitor = id\\n' >> c; mv c .git/config",
    "config.worktree": "git config extensions.worktreeConfig true; printf '[core]\\n\\tfsmonitor = id\\n' > .git/config.worktree",
    "as a link": "mv .git/config c; printf '[core]\\n\\tfsmonitor = id\\n' >> c; ln -s ../c .git/config",
}  # fmt: skip
_FILES = {
    "direnv": "echo id > .envrc",
    "husky": "mkdir .husky; echo id > .husky/pre-commit",
    "pre-commit": "echo 'repos: [x]' > .pre-commit-config.yaml",
    "lefthook": "echo x > lefthook.yml",
    "VS Code's tasks": "echo '{}' > .vscode/tasks.json",
    "VS Code's settings": "echo '{\"x\": 1}' > .vscode/settings.json",
    "VS Code's folder as a link": "mv .vscode v; echo '{}' > v/tasks.json; ln -s v .vscode",
    "a dev container": "mkdir .devcontainer; echo '{}' > .devcontainer/devcontainer.json",
    "IDEA": "mkdir .idea; echo x > .idea/workspace.xml",
    "GitHub": "echo x > .github/workflows/otro.yml",
    "GitHub, what was there": "echo 'on: [x]' > .github/workflows/ci.yml",
    "GitHub, an action": "mkdir -p .github/actions/x; echo x > .github/actions/x/action.yml",
    "GitLab": "echo x > .gitlab-ci.yml",
    "mise": "echo x > mise.toml",
    "an agent's servers": "echo '{}' > .mcp.json",
    "an agent's settings": "mkdir .claude; echo '{}' > .claude/settings.local.json",
    "CircleCI": "mkdir .circleci; echo x > .circleci/config.yml",
}  # fmt: skip

ATTACKS: list[Attack] = [
    *family("correrá luego", "later", _HOOKS),
    *family("correrá luego, git config", "later", _SETTINGS | _BY_HAND),
    *family("correrá luego, archivos", "later", _FILES),
]  # fmt: skip
