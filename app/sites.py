"""The sites that a command with network may reach when NETWORK_HOSTS says nothing: code and packages."""

from __future__ import annotations

from app.urls import is_host

# Names to which a program uploads with no more than a key (api.github.com, upload.pypi.org) are left out on purpose.
DEFAULT_SITES = (
    "github.com", "codeload.github.com", "*.githubusercontent.com", "gitlab.com", "bitbucket.org", "codeberg.org",
    "pypi.org", "files.pythonhosted.org", "registry.npmjs.org", "registry.yarnpkg.com", "nodejs.org",
    "crates.io", "index.crates.io", "static.crates.io", "static.rust-lang.org",
    "proxy.golang.org", "sum.golang.org", "rubygems.org", "repo.packagist.org",
    "repo.maven.apache.org", "repo1.maven.org", "deb.debian.org", "security.debian.org",
)  # fmt: skip


def is_site(text: str) -> bool:
    """A whole name, or `*.` and one: neither an address nor a single word."""
    name = text.removeprefix("*.").removesuffix(".")
    return is_host(name) and "." in name and not name.rpartition(".")[2].isdecimal()
