"""A real browser, a server on loopback, and a wire between them that keeps every byte that the browser sends."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support.browsing import Site, chromium, site

from recsys.serving.pages import templates
from recsys.settings import Settings


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """No longer than a module, as its event loop is in the way of any other."""
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium on this machine")
    with chromium() as running:
        yield running


@pytest.fixture
def built() -> None:
    """The map and near me, where they were built."""
    if not (templates.BUILT / "map.js").is_file():
        pytest.skip("the page was not built: `make page`, which needs node")


@pytest.fixture
def served(tmp_path: Path, settings: Settings, built: None) -> Iterator[Site]:
    """The whole page."""
    with site(tmp_path / "workspace", settings=settings) as running:
        yield running


@pytest.fixture
def plain(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The page as a machine without node serves it."""
    monkeypatch.setattr(templates, "BUILT", tmp_path)
    with site(tmp_path / "workspace", settings=settings) as running:
        yield running
