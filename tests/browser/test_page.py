"""The page in a real browser: charts, search and map, switches and rights, with eyes, keyboard and screen reader."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h3
import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, FloatRect, Locator, Page, Route, expect
from support.browsing import Site, site, until
from support.edge import AS_OF, LISBON, PORTO, decide, keep_nights

from recsys.artifacts.addresses import artist_address, song_address
from recsys.consents.log import Purpose, State
from recsys.serving.pages import templates
from recsys.settings import Settings

AXE = templates.PAGES / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture
def visitor(served: Site, browser: Browser) -> Iterator[BrowserContext]:
    context = served.visitor(browser)
    yield context
    context.close()


def me(visitor: BrowserContext, site: Site, user_id: str) -> Page:
    page = visitor.new_page()
    page.goto(f"/me#token={site.token(user_id)}")
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    return page


def test_everything_comes_from_the_servers_own_origin(served: Site, visitor: BrowserContext) -> None:
    urls: list[str] = []
    said: list[str] = []
    visitor.on("request", lambda request: urls.append(request.url))
    page = me(visitor, served, "listener")
    page.on("console", lambda message: said.append(message.text))
    for path in ("/", f"/?place={LISBON}", "/?q=lis", "/me", "/licences", "/transparency"):
        answer = page.goto(path, wait_until="networkidle")
        assert answer is not None
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    page.evaluate("fetch('https://example.org/').catch(() => {})")
    assert [url for url in urls if not url.startswith(served.url + "/")] == [], "the policy stops even what is tried"
    assert [text for text in said if "example.org" not in text] == [], "the policy blocks nothing of our own"


def test_a_place_is_found_by_keyboard_alone(visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto("/")
    for _ in range(3):  # past the link to the content and the name of the page
        page.keyboard.press("Tab")
    expect(page.get_by_role("combobox")).to_be_focused()
    page.keyboard.type("lis")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Lisboa")
    expect(page).to_have_url(re.compile(f"place={LISBON}$"))
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("contributing listeners a night").first).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("The whole world")


def test_a_tap_on_the_map_opens_the_region(visitor: BrowserContext) -> None:
    page = visitor.new_page()
    with page.expect_response("**/v1/regions/map.json"):
        page.goto(f"/?place={LISBON}&chart=local")
    page.wait_for_timeout(300)  # frames in which the map gets there
    page.locator("#map canvas").click()
    expect(page).to_have_url(re.compile(f"/\\?place={LISBON}$"))
    page.locator("#map canvas").press("-")
    page.get_by_role("button", name="Zoom in").click()
    page.locator("#map canvas").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Lisboa")


def test_the_map_drawn_while_it_moves_is_the_one_drawn_when_it_rests(visitor: BrowserContext) -> None:
    """Moving, the map is a picture that was drawn before, shifted: to the eye there is no difference."""
    page = visitor.new_page()
    page.goto(f"/?place={LISBON}", wait_until="networkidle")
    page.wait_for_timeout(400)  # until it rests
    hexagon = page.evaluate(HEXAGON)
    assert hexagon is not None
    page.locator("#map canvas").focus()
    for key, moved in (("ArrowLeft", 60), ("ArrowRight", 0), ("ArrowRight", -60)):
        moving, resting = page.evaluate(PRESSED, key)
        assert abs(moving - hexagon - moved) <= 1, key
        assert abs(resting - moving) <= 1, key


# Where the chosen region begins in the middle row of the map, in its pixels: the only colour of its kind.
HEXAGON = """() => {
  const canvas = document.querySelector("#map canvas");
  const row = canvas.getContext("2d").getImageData(0, canvas.height >> 1, canvas.width, 1).data;
  for (let x = 0; x < canvas.width; x++) {
    if (row[4 * x] > 150 && row[4 * x + 1] < 90 && row[4 * x + 2] < 60) return x;
  }
}"""
PRESSED = f"""async (key) => {{
  const hexagon = {HEXAGON}, rest = (ms) => new Promise((go) => setTimeout(go, ms));
  document.querySelector("#map canvas").dispatchEvent(new KeyboardEvent("keydown", {{ key }}));
  await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
  const moving = hexagon();
  await rest(400);
  return [moving, hexagon()];
}}"""


def test_the_whole_world_is_the_whole_world(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, viewport={"width": 1400, "height": 900})
    page = visitor.new_page()
    page.goto(f"/?place={LISBON}", wait_until="networkidle")
    page.get_by_role("button", name="Show the whole world").click()
    page.wait_for_timeout(400)  # until it rests
    sea = page.evaluate(COLOUR, [-30, 0])
    places = {"Kyoto": [136, 35.5], "Australia": [134, -24], "California": [-119, 37], "Antarctica": [0, -80]}
    assert [name for name, at in places.items() if page.evaluate(COLOUR, at) == sea] == ["Antarctica"]
    visitor.close()


# The colour at a longitude and a latitude, where the width of the map is that of the world.
COLOUR = """([longitude, latitude]) => {
  const canvas = document.querySelector("#map canvas"), scale = canvas.width / 2 / Math.PI;
  const north = (degrees) => Math.log(Math.tan(Math.PI / 4 + (degrees * Math.PI) / 360));
  const y = canvas.height / 2 + ((north(74) + north(-57)) / 2 - north(latitude)) * scale;
  return canvas.getContext("2d").getImageData(canvas.width * (0.5 + longitude / 360), y, 1, 1).data.join();
}"""


def test_a_chosen_country_stands_out_on_the_map(visitor: BrowserContext) -> None:
    page = visitor.new_page()
    accented = {}
    for place in ("world", "PT"):
        page.goto(f"/?place={place}", wait_until="networkidle")
        page.wait_for_timeout(400)  # until it rests
        accented[place] = page.evaluate(ACCENTED)
    assert accented["world"] == 0
    assert accented["PT"] > 50


ACCENTED = """() => {
  const canvas = document.querySelector("#map canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.filter((red, at) => at % 4 === 0 && red > 150 && data[at + 1] < 90 && data[at + 2] < 60).length;
}"""


def test_the_map_has_the_colours_of_number_ones_and_names_them(visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.route("**/v1/regions/map.json", lambda route: route.fulfill(json=TWO_SONGS))
    page.goto(f"/?place={LISBON}", wait_until="networkidle")
    page.wait_for_timeout(400)  # until it rests
    label, legend = page.locator(".map-label"), page.locator(".legend li")
    assert (legend.all_text_contents(), label.is_hidden()) == (["Quintal"], True)
    popular = page.evaluate(IN_THE_MIDDLE)
    page.locator("#map canvas").hover()
    expect(label).to_have_text("Lisboa, PortugalNumber one: QuintalFesta")
    page.get_by_role("button", name="Special there").click()
    expect(legend).to_have_text(["Barco"])
    expect(page.get_by_role("button", name="Special there")).to_have_attribute("aria-pressed", "true")
    page.mouse.move(0, 0)
    expect(label).to_be_hidden()
    page.wait_for_timeout(100)
    assert page.evaluate(IN_THE_MIDDLE) != popular
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")  # from the second of the two buttons to what stands before them
    expect(page.locator("#map canvas")).to_be_focused()
    expect(label).to_have_text("Lisboa, PortugalSpecial (a guess): BarcoFesta")
    page.keyboard.press("+")
    expect(label).to_be_visible()
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    expect(label).to_be_hidden()  # there is nothing but the sea


# Of Lisbon's hexagon, whose chart and what is special differ.
TWO_SONGS = {
    "as_of": "2026-10-31",
    "total": 1,
    "tracks": [
        {"track_id": f"t{at}", "title": title, "artist": "Festa"} for at, title in enumerate(["Quintal", "Barco"])
    ],
    "regions": [
        {
            "id": LISBON,
            "name": "Lisboa",
            "country": "Portugal",
            "parent": "PT",
            "popular": 0,
            "local": 1,
            "grade": "guess",
        }
        | {"corners": [[longitude, latitude] for latitude, longitude in h3.cell_to_boundary(LISBON)]}
    ],
}
IN_THE_MIDDLE = """() => {
  const canvas = document.querySelector("#map canvas");
  return canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data.join();
}"""


def test_a_first_tap_says_what_is_there_and_a_second_one_goes_there(phone: BrowserContext) -> None:
    page = phone.new_page()
    page.goto("/?place=PT")
    page.get_by_role("button", name="Map").click()
    expect(page.locator(".legend li")).to_have_count(1)
    page.wait_for_timeout(400)  # until it rests
    page.locator("#map canvas").tap()
    expect(page.locator(".map-label")).to_contain_text("Number one: Song 1 of")
    expect(page).to_have_url(re.compile("place=PT$"))
    page.locator("#map canvas").tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lisboa")


def test_a_tap_on_the_name_of_a_place_goes_there(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = visitor.new_page()
    page.goto("/?place=PT")
    page.get_by_role("button", name="Map").click()
    expect(page.locator(".legend li")).to_have_count(1)
    page.wait_for_timeout(400)  # until it rests
    page.locator("#map canvas").tap()
    page.locator(".map-label").get_by_role("link", name="Lisboa").tap()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lisboa")
    visitor.close()


def test_the_map_says_that_it_cannot_be_shown(served: Site, browser: Browser) -> None:
    for away in ("**/assets/map.js", "**/v1/regions/map.json"):
        visitor = served.visitor(browser)
        page = visitor.new_page()
        failed: list[str] = []
        page.on("pageerror", lambda error, said=failed: said.append(str(error)))
        page.route(away, lambda route: route.fulfill(status=503, json={}))
        page.goto("/", wait_until="networkidle")
        expect(page.locator("#map .failure")).to_be_visible()
        expect(page.locator("#map button")).to_have_count(5)
        assert page.locator("#map").get_by_role("button").count() == 0, "what does nothing is not there"
        assert failed == []
        visitor.close()


@pytest.mark.parametrize("away", ["**/assets/cells.js", "**/v1/regions/all.json"])
def test_places_without_charts_are_asked_for_again_where_they_could_not_be_had(
    visitor: BrowserContext, away: str
) -> None:
    page = visitor.new_page()
    visitor.route(away, lambda route: route.fulfill(status=503, json={}))
    page.goto(f"/?place={PORTO}", wait_until="networkidle")
    page.wait_for_timeout(400)  # until it rests, with all of the world in sight
    assert page.evaluate(ACCENTED) == 0
    visitor.unroute(away)
    with page.expect_response("**/v1/regions/all.json"):
        page.locator("#map canvas").hover()
        page.get_by_role("link", name="Portugal").first.hover()
        page.locator("#map canvas").hover()
    page.goto("/")
    page.goto(f"/?place={PORTO}")
    until(page, f"({ACCENTED})() > 50")


def test_others_are_asked_for_once_it_is_known_which_have_charts(visitor: BrowserContext) -> None:
    page = visitor.new_page()
    held: list[Route] = []
    page.route("**/v1/regions/map.json", lambda route: held.append(route))  # noqa: PLW0108 - its parameters are looked at
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto("/")
    page.locator("#map.ready canvas").hover()
    page.wait_for_timeout(300)
    assert "all.json" not in asked
    with page.expect_response("**/v1/regions/all.json"):
        held[0].continue_()


def test_of_a_place_that_the_map_does_not_know_it_says_whether_there_is_a_chart(visitor: BrowserContext) -> None:
    page = visitor.new_page()
    none = TWO_SONGS | {"regions": []}  # as of more than the map has the largest alone
    page.route("**/v1/regions/map.json", lambda route: route.fulfill(json=none))
    for place, said in ((LISBON, "choose it to see its chart"), (PORTO, "follows a larger place")):
        page.goto(f"/?place={place}", wait_until="networkidle")
        until(page, f"({ACCENTED})() > 50")
        page.mouse.move(0, 0)
        page.locator("#map canvas").hover()
        expect(page.locator(".map-label")).to_contain_text(said)


def test_the_map_stays_near_me_when_what_was_chosen_before_arrives(served: Site, visitor: BrowserContext) -> None:
    """The place of a listener and the region of before may be the same one."""
    page = visitor.new_page()
    held: list[Route] = []
    visitor.route("**/v1/regions/all.json", lambda route: held.append(route))  # noqa: PLW0108 - its parameters are looked at
    page.goto(f"/?place={PORTO}")
    until(page, "document.querySelector('#map.ready') !== null")
    page.wait_for_timeout(400)
    page.evaluate(NEAR, {"id": PORTO, "cell": max(h3.cell_to_children(PORTO, 5))})
    page.wait_for_timeout(400)
    near = page.evaluate(CELL)
    assert near is not None
    with page.expect_response("**/v1/regions/all.json"):
        held[0].continue_()
    page.wait_for_timeout(600)
    assert page.evaluate(CELL) == near


NEAR = "(detail) => document.dispatchEvent(new CustomEvent('cell-shown', { detail }))"
# Where the cell begins in the middle row of the map, in its pixels: nothing else there is as dark.
CELL = """() => {
  const canvas = document.querySelector("#map canvas");
  const row = canvas.getContext("2d").getImageData(0, canvas.height >> 1, canvas.width, 1).data;
  for (let x = 0; x < canvas.width; x++) if (row[4 * x] < 60) return x;
}"""


def test_places_without_charts_are_fetched_once_somebody_looks_at_the_map(visitor: BrowserContext) -> None:
    page = visitor.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto("/", wait_until="networkidle")
    assert "map.json" in asked
    assert not {"all.json", "cells.js"} & set(asked)
    with page.expect_response("**/v1/regions/all.json"):
        page.locator("#map canvas").hover()
    page.goto(f"/?place={PORTO}")  # which has none, and stands out all the same
    with page.expect_response("**/v1/regions/all.json"):
        until(page, f"({ACCENTED})() > 50")


def test_a_link_that_cannot_be_fetched_is_left_to_the_browser(served: Site, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(f"/?place={LISBON}")
    page.route(
        "**/places/portugal-PT/", lambda to: to.abort() if to.request.resource_type == "fetch" else to.continue_()
    )
    page.get_by_role("link", name="Portugal").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Portugal")
    page.wait_for_load_state("networkidle")
    visitor.set_offline(True)
    page.get_by_role("link", name="World").click()
    expect(page.get_by_role("heading", level=1)).not_to_have_text("Portugal")
    assert failed == []


def test_the_parts_of_my_page_stay_in_reach_below_the_top(served: Site, browser: Browser) -> None:
    for size in (820, 1400):
        visitor = served.visitor(browser, viewport={"width": size, "height": 900})
        page = me(visitor, served, "scroller")
        page.locator("#my-list > li").last.scroll_into_view_if_needed()
        page.get_by_role("link", name="My switches").click()  # which what is above it would not let through
        expect(page.get_by_role("heading", name="My switches")).to_be_in_viewport()
        visitor.close()


@pytest.fixture
def phone(served: Site, browser: Browser) -> Iterator[BrowserContext]:
    context = served.visitor(browser, viewport={"width": 390, "height": 844}, has_touch=True)
    yield context
    context.close()


def test_on_a_phone_intervals_are_seen(phone: BrowserContext) -> None:
    page = phone.new_page()
    page.goto(f"/?place={LISBON}")
    row = page.locator(".chart > li").first
    assert width(row.locator(".whisker")) > 250
    assert width(row.locator(".line")) > 5 * width(row.locator("circle"))
    assert all(box(link)["height"] >= 24 for link in page.locator(".wider a").all())


def test_on_a_phone_the_map_is_there_only_where_it_shows_something(served: Site, phone: BrowserContext) -> None:
    page = phone.new_page()
    for path in ("/transparency", "/?q=lis", "/me", f"/?place={LISBON}"):
        page.goto(path)
        expect(page.locator("#map")).to_be_hidden()
    songs = page.locator(".chart > li")
    expect(songs.nth(4)).to_be_in_viewport(ratio=1)  # five songs, before anything is touched
    page.get_by_role("button", name="Map").click()
    expect(page.get_by_role("button", name="Map")).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#map")).to_be_visible()
    page.get_by_role("button", name="Map").click()
    expect(page.locator("#map")).to_be_hidden()
    page = me(phone, served, "walker")
    expect(page.locator("#map")).to_be_hidden()
    page.get_by_role("switch", name="Near me").click()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#map")).to_be_in_viewport(ratio=0.9)
    page.wait_for_timeout(400)  # until it rests
    assert page.evaluate(ACCENTED) > 100, "the place is drawn, though the map was not there before"
    assert page.locator("#map canvas").evaluate("canvas => getComputedStyle(canvas).touchAction") == "pan-y"


def test_near_me_is_allowed_beside_its_button(served: Site, phone: BrowserContext) -> None:
    page = me(phone, served, "nearby")
    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#my-place")).to_be_hidden()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "false")
    page.get_by_role("button", name="Turn it on and look near me").click()
    expect(page.locator("#my-place")).to_contain_text("Lisboa")
    expect(page.locator("#near-first")).to_be_hidden()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "true")


def test_on_a_phone_the_switches_are_in_reach_of_every_line(served: Site, phone: BrowserContext) -> None:
    page = me(phone, served, "scroller")
    page.locator("#my-list > li").last.scroll_into_view_if_needed()
    page.get_by_role("link", name="My switches").click()
    expect(page.get_by_role("switch", name="Near me")).to_be_in_viewport()
    page.get_by_role("button", name="Near me").click()
    page.get_by_role("link", name="the switch “Near me”").click()
    expect(page.get_by_role("switch", name="Near me")).to_be_in_viewport()
    page.locator("#switches").get_by_text("Kept: not at all; it chooses").click()
    expect(page.locator("#switches").get_by_text("anything finer is refused")).to_be_visible()


def box(found: Locator) -> FloatRect:
    is_there = found.bounding_box()
    assert is_there is not None
    return is_there


def width(found: Locator) -> float:
    return box(found)["width"]


def test_a_switch_takes_one_click_each_way_and_acts_at_once(served: Site, visitor: BrowserContext) -> None:
    page = me(visitor, served, "switcher")
    switches = page.get_by_role("switch")
    assert [each.get_attribute("aria-checked") for each in switches.all()] == ["false"] * len(Purpose)
    one = page.get_by_role("switch", name="Count my plays in my area’s charts")
    box = one.bounding_box()
    for key, state, checked in (("Space", "given", "true"), ("Enter", "withdrawn", "false")):
        with page.expect_request(lambda request: request.method == "PUT") as sent:
            one.focus()
            page.keyboard.press(key)
        assert json.loads(str(sent.value.post_data)) == {"state": state, "notice_version": "2026-09"}
        expect(one).to_have_attribute("aria-checked", checked)
        expect(one).to_be_focused()
        after = one.bounding_box()
        assert box is not None
        assert after is not None
        assert (after["width"], after["height"]) == (box["width"], box["height"])


def test_a_song_is_hidden_where_the_switch_for_it_is_on_and_shown_again(served: Site, visitor: BrowserContext) -> None:
    page = me(visitor, served, "hider")
    lines, said = page.locator("#my-list > li"), page.locator("#said")
    titles, hide = lines.locator(".title"), page.get_by_role("button", name="Hide Song 2 of world from my lists")
    expect(titles).to_have_count(50)
    lines.nth(1).locator("summary").click()
    expect(lines.nth(1).locator(".hiding")).to_be_hidden()
    switch = page.get_by_role("switch", name="Hear what I hide and play")
    switch.click()
    expect(switch).to_have_attribute("aria-checked", "true")
    hide.click()
    expect(said).to_contain_text("Song 2 of world is hidden from your lists.")
    expect(titles.nth(1)).to_have_text("Song 3 of world")
    expect(lines.nth(1).locator("summary")).to_be_focused()
    expect(titles).to_have_count(50)
    said.get_by_role("button", name="Show it again").click()
    expect(titles.nth(1)).to_have_text("Song 2 of world")
    lines.nth(1).locator("summary").click()
    hide.click()
    expect(titles.nth(1)).to_have_text("Song 3 of world")
    switch.click()
    expect(titles.nth(1)).to_have_text("Song 2 of world")
    expect(page.locator(".hiding").first).to_be_hidden()


def test_a_line_that_is_open_stays_so_where_the_list_is_another_one(served: Site, visitor: BrowserContext) -> None:
    page = me(visitor, served, "opener")
    lines = page.locator("#my-list > li")
    lines.nth(1).locator("summary").click()
    for decided in ("true", "false"):
        with page.expect_response("**/v1/me/trending"):
            page.get_by_role("switch", name="Hear what I hide and play").click()
        expect(page.get_by_role("switch", name="Hear what I hide and play")).to_have_attribute("aria-checked", decided)
        expect(lines.nth(1).locator("details")).to_have_attribute("open", "")
        expect(page.locator("#my-list details[open]")).to_have_count(1)


def test_the_places_that_listen_alike_are_asked_for_once_they_are_near_to_be_seen(
    served: Site, visitor: BrowserContext
) -> None:
    page = visitor.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/me#token={served.token('looker')}", wait_until="networkidle")
    assert f"{served.url}/v1/me/trending" in asked
    assert f"{served.url}/v1/me/twin" not in asked
    page.locator("#twin-title").scroll_into_view_if_needed()
    expect(page.locator("#twin-why")).to_contain_text("Your plays were not used")
    assert asked.count(f"{served.url}/v1/me/twin") == 1


@pytest.mark.parametrize("width", [390, 1280])
def test_no_switch_moves_where_the_places_that_listen_alike_come_late(
    served: Site, browser: Browser, width: int
) -> None:
    visitor = served.visitor(browser, viewport={"width": width, "height": 844})
    page = me(visitor, served, "jumper")
    expect(page.locator("#my-list > li")).to_have_count(50)
    held: list[Route] = []
    page.route("**/v1/me/twin", lambda to: held.append(to))  # noqa: PLW0108 - it would wrap what is built in
    page.get_by_role("link", name="My switches").click()
    page.wait_for_timeout(200)
    (twin,) = held
    before = box(page.locator("#switches-title"))
    place = {"country": "Portugal", "level": "region", "parent": "PT"}
    places = [{"region": place | {"id": str(n), "name": name}} for n, name in enumerate(("Lisboa", "Porto", "Braga"))]
    twin.fulfill(json={"as_of": AS_OF, "history_used": True, "places": places, "surely": "nowhere"})
    expect(page.locator("#twin li")).to_have_count(3)
    assert box(page.locator("#switches-title")) == before
    visitor.close()


def test_places_that_cannot_be_compared_now_are_no_reason_to_take_back_what_was_said(
    served: Site, visitor: BrowserContext
) -> None:
    page = me(visitor, served, "unlucky")
    expect(page.locator("#my-list > li")).to_have_count(50)
    problem = {"type": "/problems/not-ready", "status": 503, "detail": "the lists are away", "hint": "Try again later."}
    page.route(
        "**/v1/me/twin", lambda to: to.fulfill(status=503, json=problem, content_type="application/problem+json")
    )
    page.evaluate("document.getElementById('said').textContent = 'Something was said.'")
    page.locator("#twin-title").scroll_into_view_if_needed()
    expect(page.locator("#twin-why")).to_contain_text("Try again later.")
    expect(page.locator("#said")).to_have_text("Something was said.")


def test_what_is_agreed_to_is_the_text_that_was_shown(served: Site, visitor: BrowserContext) -> None:
    """Where the notice changed after the page came, the page shows the new one: that of the version that it sends."""
    later = {"notice_version": "2027-01", "text": "What is new since."}

    def answer(to: Route) -> None:
        told = to.fetch().json()
        told["notice_version"] = later["notice_version"]
        for each in told["consents"]:
            each["text"] = later["text"]
        to.fulfill(json=told)

    page = visitor.new_page()
    page.route("**/v1/me/consents", answer)
    page.goto(f"/me#token={served.token('agreer')}")
    for each in page.locator("#switches > li").all():
        expect(each.locator("p.small").first).to_contain_text(later["text"])
    expect(page.locator("#near-notice")).to_have_text(later["text"])
    with page.expect_request(lambda request: request.method == "PUT") as sent:
        page.get_by_role("switch", name="Near me").click()
    assert json.loads(str(sent.value.post_data)) == {"state": "given", "notice_version": later["notice_version"]}
    page.unroute_all(behavior="wait")


def test_the_token_is_in_no_address(served: Site, visitor: BrowserContext) -> None:
    urls: list[str] = []
    visitor.on("request", lambda request: urls.append(request.url))
    page = me(visitor, served, "quiet")
    assert page.url == f"{served.url}/me"
    token = served.token("quiet")
    assert [url for url in urls if token in url.split("#")[0]] == []
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    page.get_by_role("button", name="Sign out").click()
    assert page.evaluate("sessionStorage.length") == 0
    paste(page, "no.good.token")
    expect(page.get_by_role("status")).to_contain_text("Please sign in again")


def paste(page: Page, token: str) -> None:
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Your token").fill(token)
    page.get_by_role("dialog").get_by_role("button", name="Sign in").click()


def test_a_token_survives_a_paste_and_what_is_none_is_not_kept(served: Site, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto("/me")
    for text in ("not a token", "ein.gültiges.nicht", "one.part-too.many.parts", "two.parts"):
        paste(page, text)
        expect(page.get_by_role("status")).to_contain_text("This is no token")
        assert page.evaluate("sessionStorage.length") == 0
    token = served.token("paster")
    paste(page, f"  {token[:40]}\n{token[40:80]}\r\n {token[80:]}\n")
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    page.reload()
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    page.reload()
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))


def test_a_link_signs_nobody_in_unasked_where_somebody_else_is(served: Site, visitor: BrowserContext) -> None:
    page = me(visitor, served, "first")
    kept = "sessionStorage.getItem('hearabouts-token')"
    mine, theirs = page.evaluate(kept), served.token("other")
    asked: list[str] = []
    answers = iter([False, True])

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept() if next(answers) else dialog.dismiss()

    page.on("dialog", answer)
    for token in (mine, theirs, theirs):
        page.evaluate("(token) => { location.hash = `token=${token}`; }", token)
        expect(page).to_have_url(f"{served.url}/me")
        expect(page.get_by_role("switch")).to_have_count(len(Purpose))
        expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    assert ["Somebody else is signed in" in text for text in asked] == [True, True], "and of one's own token it is not"
    assert page.evaluate(kept) == theirs


def test_signing_out_leaves_nothing_for_the_next_one(served: Site, visitor: BrowserContext) -> None:
    page = me(visitor, served, "first")
    page.get_by_role("switch", name="Near me").click()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#my-place")).to_contain_text("Lisboa")
    page.evaluate("document.addEventListener('place-shown', ({detail}) => { globalThis.shown = detail.id; })")
    page.get_by_role("button", name="Sign out").click()
    assert left(page) == []
    assert page.evaluate("globalThis.shown") == "world", "the cell is off the map"
    paste(page, served.token("second"))
    expect(page.locator("#my-list > li")).to_have_count(50)
    expect(page.locator("#my-place")).to_be_hidden()
    page.get_by_role("button", name="Erase everything").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(page.locator("#erasure")).to_contain_text("Your receipt:")
    page.get_by_role("button", name="Sign out").click()
    assert left(page) == []
    paste(page, served.token("third"))
    expect(page.locator("#my-list > li")).to_have_count(50)
    expect(page.locator("#erasure")).to_be_hidden()


def left(page: Page) -> list[str]:
    """Which parts of a listener's page still hold something."""
    parts = ["my-list", "list-why", "my-place", "switches", "notice", "erasure"]
    found = "(id) => document.getElementById(id).innerHTML !== ''"
    return [part for part in parts if page.evaluate(found, part)]


def test_an_answer_under_way_is_not_shown_to_who_signed_out(served: Site, visitor: BrowserContext) -> None:
    page = me(visitor, served, "hasty")
    expect(page.locator("#my-list > li")).to_have_count(50)
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.evaluate(SLOW_ANSWERS)
    page.get_by_role("button", name="Download everything").click()
    page.get_by_role("switch", name="Near me").click()
    until(page, "globalThis.waiting.length === 3")  # and the places that listen alike, which came into view
    page.get_by_role("button", name="Sign out").click()
    page.evaluate("globalThis.waiting.forEach((go) => go())")
    page.evaluate("fetch('/healthz', {headers: {'X-Last': '1'}})")
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    assert left(page) == []
    assert page.evaluate("globalThis.waiting.length") == 3, "and nothing more is asked for"
    assert failed == []


SLOW_ANSWERS = """() => {
  const real = globalThis.fetch;
  globalThis.waiting = [];
  globalThis.fetch = async (path, options) => {
    const answer = await real(path, options);
    if (path.startsWith("/v1/me/")) await new Promise((go) => globalThis.waiting.push(go));
    return answer;
  };
}"""


def test_numbers_of_other_places_do_not_share_the_scale_of_my_list(served: Site, visitor: BrowserContext) -> None:
    lisbon = {"id": LISBON, "name": "Lisboa", "country": "Portugal", "level": "region", "parent": "PT"}
    sources = [(LISBON, 4.0), ("world", 236.0), ("PT", 40.0), (LISBON, 2.0)]
    items = [line(rank, place=place, listeners=most) for rank, (place, most) in enumerate(sources, 1)]
    mixed = {"region": lisbon, "scope": "region", "as_of": "2026-10-31", "location_used": False, "items": items}
    visitor.route("**/v1/me/trending", lambda route: route.fulfill(json=mixed))
    page = me(visitor, served, "mixed")
    rows = page.locator("#my-list > li")
    expect(rows).to_have_count(4)
    assert [row.locator("circle").count() for row in rows.all()] == [1, 0, 0, 1]
    assert [row.locator(".from").all_text_contents() for row in rows.all()] == [[], ["worldwide"], ["in Portugal"], []]
    # The scale ends at 8, the upper bound of the first: 4 is its middle, and 236 from elsewhere moves nothing.
    assert [rows.nth(at).locator("circle").get_attribute("cx") for at in (0, 3)] == ["50%", "25%"]
    assert page.locator("#my-list .move").count() == 0, "the ranks before are those of other lists"
    expect(rows.nth(1).locator("[data-spoken]")).to_have_text(
        "About 236 listeners a night, between 118 and 472, worldwide"
    )


def line(rank: int, *, place: str, listeners: float) -> dict[str, Any]:
    """An item of a listener's list whose numbers are of a place: half as many listeners to twice as many."""
    interval = {"estimate": listeners, "low": listeners / 2, "high": listeners * 2}
    facts = {"title": f"Song {rank}", "artist": "The Ünits", "nights": 7, "nights_on_chart": 3}
    lift = {"lift": 1.0, "lift_interval": {"low": 0.5, "high": 2.0}}
    source = {"chart": "popular", "place": place}
    facts |= lift | {"rank": rank, "page": "/songs/s/", "previous_rank": 40}
    return facts | {"listeners": interval, "source": source}


def test_a_line_of_my_list_has_the_cover_that_the_song_has_elsewhere(served: Site, visitor: BrowserContext) -> None:
    page = visitor.new_page()
    page.goto("/")
    elsewhere = covers(page)
    page = me(visitor, served, "collector")
    expect(page.locator("#my-list > li")).to_have_count(50)
    assert len({*elsewhere}) > 45
    assert covers(page) == elsewhere


def test_a_cover_of_the_site_lies_over_the_drawn_one_which_stays_where_there_is_none(
    tmp_path: Path, settings: Settings, browser: Browser
) -> None:
    catalogue = settings.catalogue.model_copy(update={"image": "/covers/{track_id}.svg"})
    with site(tmp_path / "w", settings=settings.model_copy(update={"catalogue": catalogue})) as served:
        visitor = served.visitor(browser)
        there = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
        visitor.route("**/covers/*", lambda to: to.fulfill(status=404))
        visitor.route("**/covers/track-1.svg", lambda to: to.fulfill(body=there, content_type="image/svg+xml"))
        page = visitor.new_page()
        page.goto(f"/?place={LISBON}", wait_until="networkidle")
        assert pictures(page)[:3] == [9, 0, 0]
        assert page.locator(".chart .cover svg").count() == page.locator(".chart > li").count()
        page.locator(".chart .cover").nth(1).screenshot(path=tmp_path / "without.png")
        page.locator(".chart .cover img").nth(1).evaluate("picture => picture.remove()")
        page.locator(".chart .cover").nth(1).screenshot(path=tmp_path / "drawn.png")
        assert (tmp_path / "without.png").read_bytes() == (tmp_path / "drawn.png").read_bytes()
        asked: list[str] = []
        page = visitor.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"/me#token={served.token('looker')}", wait_until="networkidle")
        expect(page.locator("#my-list > li")).to_have_count(50)
        assert [url for url in asked if "/covers/" in url] == [], "what is on somebody's own list is asked for openly"
        visitor.close()


def pictures(page: Page) -> list[int]:
    """How wide the pictures of a list are by themselves; 0 where there is none."""
    return page.locator(".chart .cover img").evaluate_all("all => all.map(picture => picture.naturalWidth)")


def covers(page: Page) -> list[str]:
    """The covers of a list, as the browser has them."""
    return page.locator(".chart .cover").evaluate_all("covers => covers.map(cover => cover.innerHTML)")


def test_a_line_leads_on_and_is_shared_by_a_readable_link(tmp_path: Path, settings: Settings, browser: Browser) -> None:
    catalogue = settings.catalogue.model_copy(update={"url": "https://play.example/{track_id}"})
    with site(tmp_path / "w", settings=settings.model_copy(update={"catalogue": catalogue})) as served:
        visitor = served.visitor(browser)
        visitor.grant_permissions(["clipboard-read", "clipboard-write"], origin=served.url)
        by_name, artist = "/songs/song-1-abcdefghijklmnop/", "/artists/the-units-abcdefghijklmnop/"
        song = line(1, place="world", listeners=4.0) | {"track_id": "a-1/2", "page": by_name, "artist_page": artist}
        unsigned = line(2, place="world", listeners=2.0) | {"track_id": "b"}  # of a night before artists had ids
        world = {"id": "world", "name": "World", "country": None, "level": "world", "parent": None}
        mixed = {"region": world, "scope": "world", "as_of": "2026-10-31", "location_used": False}
        mixed["items"] = [song, unsigned]
        visitor.route("**/v1/me/trending", lambda route: route.fulfill(json=mixed))
        page = me(visitor, served, "sharer")
        for row in page.locator("#my-list summary").all():
            row.click()
        ways, fewer = page.locator("#my-list .ways").all()
        assert hrefs(ways) == ["https://play.example/a-1%2F2", by_name, f"{by_name}#history", artist]
        assert hrefs(fewer) == ["https://play.example/b", "/songs/s/", "/songs/s/#history"]
        expect(fewer.get_by_role("button", name="Share")).to_be_visible()
        page.evaluate("delete Navigator.prototype.share")
        ways.get_by_role("button", name="Share").click()
        expect(ways.get_by_role("button")).to_have_text("Link copied")
        assert page.evaluate("navigator.clipboard.readText()") == served.url + by_name
        page.evaluate("() => { navigator.share = async (what) => { globalThis.shared = what; }; }")
        ways.get_by_role("button").click()
        until(page, "globalThis.shared !== undefined")
        assert page.evaluate("globalThis.shared") == {"title": "Song 1", "url": served.url + by_name}
        for name, copied in (("AbortError", "nothing"), ("NotAllowedError", served.url + by_name)):
            page.evaluate("navigator.clipboard.writeText('nothing')")
            page.evaluate("(name) => { navigator.share = async () => { throw new DOMException('', name); }; }", name)
            ways.get_by_role("button").click()
            page.wait_for_timeout(100)
            assert page.evaluate("navigator.clipboard.readText()") == copied, name
        visitor.close()


def hrefs(within: Locator) -> list[str]:
    return within.get_by_role("link").evaluate_all("links => links.map(link => link.getAttribute('href'))")


def test_my_data_can_be_taken_along_and_erased(served: Site, visitor: BrowserContext) -> None:
    page = me(visitor, served, "leaver")
    for button, name in (("Download everything", "my-data.ndjson"), ("Download receipts", "consent-receipt.json")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        assert download.value.suggested_filename == name
    page.get_by_role("button", name="Erase everything").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    expect(page.locator("#erasure")).to_be_hidden()
    page.get_by_role("button", name="Erase everything").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase").click()
    expect(page.locator("#erasure")).to_contain_text("Your receipt:")
    page.get_by_role("button", name="Look again").click()
    expect(page.locator("#erasure")).to_contain_text("the next night finishes it")


def test_a_new_notice_asks_again(tmp_path: Path, settings: Settings, built: None, browser: Browser) -> None:
    consents = settings.consents.model_copy(update={"notice_version": "2027-01", "earlier_notices": {}})
    with site(tmp_path / "w", settings=settings.model_copy(update={"consents": consents})) as served:
        decide(served.workspace, "earlier", State.GIVEN, notice="2026-09")
        visitor = served.visitor(browser)
        page = me(visitor, served, "earlier")
        expect(page.get_by_text("You allowed this under an earlier notice")).to_have_count(1)
        expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "false")
        page.get_by_role("switch", name="Near me").click()
        expect(page.get_by_text("On since 1\xa0November\xa02026, notice 2027-01.")).to_have_count(1)
        visitor.close()


def test_without_a_build_and_without_scripts_the_page_is_whole(plain: Site, browser: Browser) -> None:
    visitor = plain.visitor(browser, java_script_enabled=False)
    page = visitor.new_page()
    page.goto("/")
    expect(page.get_by_text("set up without the map and without “near me”")).to_be_visible()
    page.get_by_role("searchbox").fill("lisboa")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Lisboa").click()
    expect(page.locator(".chart > li")).to_have_count(50)
    page.locator("summary").first.click()
    expect(page.get_by_text("contributing listeners a night").first).to_be_visible()
    page.get_by_role("link", name="Special", exact=True).click()
    expect(page).to_have_title("Special in Lisboa, Portugal · Hearabouts")
    visitor.close()


def test_without_scripts_the_page_says_what_is_missing_and_leaves_no_gap(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, java_script_enabled=False)
    page = visitor.new_page()
    page.goto("/")
    expect(page.locator("#map noscript .note")).to_contain_text("so do signing in, your own list and your switches")
    expect(page.locator("#map canvas")).to_be_hidden()
    assert page.locator("#map").evaluate("map => map.offsetHeight") < 160
    page.goto("/me")
    expect(page.locator("noscript .note").first).to_contain_text("Signing in needs JavaScript")
    expect(page.get_by_role("heading", name="Count my plays in my area’s charts")).to_be_visible()
    visitor.close()


def test_without_a_build_the_switches_work(plain: Site, browser: Browser) -> None:
    visitor = plain.visitor(browser)
    missing: list[str] = []
    visitor.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    page = me(visitor, plain, "nodeless")
    expect(page.get_by_role("button", name="Near me")).to_have_count(0)
    expect(page.locator("#my-list > li")).to_have_count(50)
    page.locator("summary").first.click()
    expect(page.get_by_text("contributing listeners a night").first).to_be_visible()
    for purpose in templates.SWITCHES.values():
        page.get_by_role("switch", name=purpose).click()
        expect(page.get_by_role("switch", name=purpose)).to_have_attribute("aria-checked", "true")
    page.get_by_role("link", name="Charts").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The whole world")
    assert missing == []
    visitor.close()


@pytest.fixture
def short(tmp_path: Path, settings: Settings, built: None) -> Iterator[Site]:
    """The whole page, with lists of a few lines: all lines are alike, and axe looks at each for long."""
    serving = settings.serving.model_copy(update={"list_size": 3})
    catalogue = settings.catalogue.model_copy(update={"url": "https://play.example/{track_id}"})
    changed = settings.model_copy(update={"serving": serving, "catalogue": catalogue})
    with site(tmp_path / "workspace", settings=changed) as running:
        keep_nights(running.workspace, nights=10)
        yield running


EVERY_PAGE = (
    "/",
    f"/?place={LISBON}",
    f"/?place={LISBON}&chart=rising",
    "/?q=lis",
    "/?q=song",
    "/?q=zz",
    "/licences",
    "/transparency",
    "/me",
    f"/places/lisboa-{LISBON}/history/",
    song_address("track-1", "Song 1"),
    artist_address("ünits", "The Ünits"),
    "/data/",
    "/nowhere",
)


@pytest.mark.parametrize("width", [390, 1440])
def test_a_list_has_room_for_its_lines_and_none_where_there_is_no_list(
    short: Site, browser: Browser, width: int
) -> None:
    visitor = short.visitor(browser, viewport={"width": width, "height": 900})
    held: list[Route] = []
    visitor.route("**/v1/me/trending", lambda route: held.append(route))  # noqa: PLW0108 - its parameters are looked at
    page = me(visitor, short, "waiting")
    switches = page.get_by_role("heading", name="My switches")
    before = box(switches)["y"]
    held.pop().continue_()
    expect(page.locator("#my-list > li")).to_have_count(3)
    assert abs(box(switches)["y"] - before) < 8, "pixels"
    page.reload()
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    held.pop().fulfill(status=503, json={"type": "/problems/not-ready", "title": "Away", "detail": "Try again later."})
    expect(page.get_by_role("status").first).to_contain_text("Try again later.")
    assert before - box(switches)["y"] > 150, "of the three lines nothing is left"
    visitor.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
def test_axe_finds_no_fault(short: Site, browser: Browser, width: int, scheme: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: `make page`, which needs node")
    visitor = short.visitor(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = visitor.new_page()
    for path in EVERY_PAGE:
        page.goto(path)
        for line in page.locator("summary").all()[:2]:
            line.click()
        assert faults(page) == [], path
    page.goto("/me")
    page.get_by_role("button", name="Sign in").click()
    assert faults(page) == [], "dialog"
    page.goto(f"/?place={LISBON}")
    if width < 1000:
        page.get_by_role("button", name="Map").click()
    expect(page.locator(".legend li")).to_have_count(1)
    page.wait_for_timeout(400)  # until it rests
    page.locator("#map canvas").press("+")
    expect(page.locator(".map-label")).to_be_visible()
    assert faults(page) == [], "map"
    page.goto("/")
    page.get_by_role("combobox").type("p")
    page.get_by_role("combobox").type("o")
    expect(page.get_by_role("option").first).to_be_visible()
    assert faults(page) == [], "suggestions"
    page = me(visitor, short, "listener")
    page.get_by_role("switch", name="Near me").click()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#my-place")).to_be_visible()
    assert faults(page) == [], "signed in"
    page.get_by_role("button", name="Erase everything").click()
    assert faults(page) == [], "erasing"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, "the page is wider than the screen"
    visitor.close()


def faults(page: Page) -> list[str]:
    """What axe finds, of whatever weight."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:120]}"
        for each in found["violations"]
        for node in each["nodes"]
    ]
