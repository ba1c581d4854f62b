"""How a page feels: nothing moves while it is read, and it is light; how soon it is there, a bench tells."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from support.browsing import Site, site
from support.edge import LISBON, keep_nights
from support.watching import DESK, PAGES, PHONE, seen

from recsys.artifacts.chart_history import mark_of
from recsys.settings import load_settings

OTHERS = [
    "/?q=song",
    f"/artists/{mark_of('ünits')}/",
    f"/places/lisboa-{LISBON}/history/",
    "/data/",
    "/transparency",
    "/licences",
    "/nowhere",
]

MOVED = 0.02  # layout shift; 0.1 is still called good
WEIGHT, WEIGHT_ON_PHONE = 250_000, 100_000  # bytes on the wire; on a phone without the map, which nobody asked for


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site") / "workspace", settings=load_settings()) as running:
        keep_nights(running.workspace, nights=10)
        yield running


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_nothing_moves_and_nothing_is_heavy(
    shown: Site, built: None, browser: Browser, path: str, size: dict[str, int]
) -> None:
    found = seen(shown, browser, path, size=size)
    assert found.moved <= MOVED
    assert 0 < found.weight <= (WEIGHT_ON_PHONE if size is PHONE else WEIGHT), "with the map, where that stands beside"


def test_no_part_of_the_map_is_asked_for_before_it_is_wanted(shown: Site, built: None, browser: Browser) -> None:
    visitor = shown.visitor(browser, viewport=PHONE)
    page = visitor.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto("/", wait_until="networkidle")
    assert not {"map.js", "map.json", "land-far.json", "land.json", "cells.js", "all.json"} & set(asked)
    page.get_by_role("button", name="Map").click()
    expect(page.locator(".legend li")).to_have_count(1)
    assert {"map.js", "map.json", "land-far.json"} <= set(asked)
    visitor.close()
