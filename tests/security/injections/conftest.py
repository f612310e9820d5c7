from __future__ import annotations

from pathlib import Path

import pytest

from tests.security.injections.ground import Pages, make_project


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    made = Pages()

    def fetcher(**_: object) -> Pages:
        return made

    monkeypatch.setattr("app.assembly.WebFetcher", fetcher)
    return made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)
