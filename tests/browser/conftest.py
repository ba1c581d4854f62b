"""A real browser, a server on loopback, and a wire between them that keeps every byte that the browser sends."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from support.browsing import Site, site

from recsys.serving.pages import templates
from recsys.settings import Settings

# Two pages of suggestions under the address bar, which Chromium draws for each visitor though nobody sees a window:
# more than half of the processor time of a short visit; and a process for a page that may come, a quarter of the rest.
# The others are what Playwright turns off, of whose list and this one the last counts: waiting with what is painted, a
# change to https, and questions to the network at the start.
NOT_USED = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "AimEnabled", "PaintHolding", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "MediaRouter", "OptimizationHints", "NetworkTimeServiceQuerying"),
    *("PreconnectToSearch", "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose"),
    "SpareRendererForSitePerProcess",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window; no longer than a module, as its event loop is in the way of any other.

    Its build without any windows takes a third of the processor time, but stood still for many seconds now and then.
    """
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on this machine")
    with sync_playwright() as playwright:
        without = f"--disable-features={','.join(NOT_USED)}"
        running = playwright.chromium.launch(executable_path=chromium, args=[without])
        yield running
        running.close()


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
