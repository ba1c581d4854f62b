"""Near me, in a real browser that would give its position: what is asked, when, and what leaves the machine."""

import h3
import pytest
from playwright.sync_api import Browser, Page, expect
from support.browsing import HERE, Site, traces, until
from support.edge import LISBON

from recsys.consents.log import Purpose


def signed_in(site: Site, browser: Browser, user_id: str) -> Page:
    page = site.visitor(browser).new_page()
    page.goto(f"/me#token={site.token(user_id)}")
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    expect(page.locator("#my-list > li")).to_have_count(50)
    return page


def asked(page: Page) -> int:
    return int(page.evaluate("globalThis.asked"))


def test_only_the_cell_leaves_and_only_after_the_switch(served: Site, browser: Browser) -> None:
    assert h3.latlng_to_cell(*HERE.values(), 5) == LISBON
    page = signed_in(served, browser, "walker")
    told: list[str] = []
    page.context.on("request", lambda request: told.append(f"{request.url} {request.headers} {request.post_data}"))
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))

    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#near-first")).to_be_visible()
    assert asked(page) == 0, "the position was asked for before the switch was given"

    page.get_by_role("switch", name="Near me").click()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "true")
    assert asked(page) == 0, "the switch alone asks for nothing"

    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#my-place")).to_contain_text("Lisboa, Portugal")
    assert asked(page) == 1
    for step in ("Popular", "Rising"):  # and nothing follows later, on other pages
        page.goto(f"/?place={LISBON}")
        page.get_by_role("link", name=step).click()
        expect(page).to_have_title(f"{step} in Lisboa, Portugal · Hearabouts")
    page.context.close()

    assert any(f"?cell={LISBON} " in text for text in told)
    assert sockets == []
    assert f"cell={LISBON}".encode() in b"".join(served.sent)
    assert traces(b"".join(served.sent)) == []
    assert [found for text in told for found in traces(text.encode())] == []


@pytest.mark.parametrize(
    "leak",
    [
        "fetch(`/v1/regions?q=${c.latitude}`)",
        "fetch('/v1/regions', {headers: {'X-Note': c.longitude.toFixed(2)}})",
        "navigator.sendBeacon('/v1/regions', JSON.stringify([c.latitude, c.longitude]))",
        "fetch('/v1/regions', {method: 'POST', body: btoa(`here ${c.latitude}`)})",
        "fetch('/v1/regions?q=8639336b7ffffff')",
        "new WebSocket(`ws://${location.host}/?at=${c.latitude}`)",
    ],
)
def test_the_watch_finds_a_position_wherever_it_is_hidden(served: Site, browser: Browser, leak: str) -> None:
    page = served.visitor(browser).new_page()
    page.goto("/")
    page.evaluate(
        "(leak) => new Promise((done) => navigator.geolocation.getCurrentPosition("
        f"({{coords: c}}) => {{ {leak}; setTimeout(done, 300); }}))",
        leak,
    )
    page.context.close()
    assert traces(b"".join(served.sent)) != []


def test_declining_leaves_a_page_just_as_good(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "decliner")
    for _ in range(2):  # as it is on the first visit, it is on the next
        expect(page.locator("#my-list > li")).to_have_count(50)
        expect(page.locator("#near-first")).to_be_hidden()
        expect(page.locator("dialog[open]")).to_have_count(0)
        expect(page.locator("#list-why")).to_contain_text("Your location was not used")
        assert asked(page) == 0
        page.reload()
    page.get_by_role("switch", name="Near me").click()
    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#my-place")).to_be_visible()
    near = page.locator("#my-list > li").count()
    page.get_by_role("switch", name="Near me").click()
    expect(page.locator("#list-why")).to_contain_text("Your location was not used")
    expect(page.locator("#my-place")).to_be_hidden()
    expect(page.locator("#near-first")).to_be_hidden()
    assert page.locator("#my-list > li").count() == near == 50
    page.context.close()


SLOW = """
const real = Geolocation.prototype.getCurrentPosition;
Geolocation.prototype.getCurrentPosition = function (found, ...others) {
  return real.call(this, (at) => { globalThis.answerNow = () => found(at); }, ...others);
};
"""


@pytest.mark.parametrize("meanwhile", ["switch", "sign out", "another page"])
def test_a_browser_that_answers_after_the_listener_said_no_is_not_passed_on(
    served: Site, browser: Browser, meanwhile: str
) -> None:
    context = served.visitor(browser)
    context.add_init_script(SLOW)
    page = context.new_page()
    page.goto(f"/me#token={served.token('hesitant')}")
    page.get_by_role("switch", name="Near me").click()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Near me").click()
    until(page, "'answerNow' in globalThis")
    if meanwhile == "switch":
        page.get_by_role("switch", name="Near me").click()
        expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "false")
    elif meanwhile == "sign out":
        page.get_by_role("button", name="Sign out").click()
    else:
        page.get_by_role("link", name="Charts").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The whole world")
    page.evaluate("answerNow()")
    page.evaluate("fetch('/healthz')")  # after what it would have sent
    context.close()
    sent = b"".join(served.sent)
    assert b"GET /healthz" in sent
    assert b"cell=" not in sent
    assert b"Bearer null" not in sent


def test_a_browser_that_refuses_is_believed(served: Site, browser: Browser) -> None:
    page = served.visitor(browser, permissions=[]).new_page()
    page.goto(f"/me#token={served.token('refuser')}")
    page.get_by_role("switch", name="Near me").click()
    expect(page.get_by_role("switch", name="Near me")).to_have_attribute("aria-checked", "true")
    page.get_by_role("button", name="Near me").click()
    expect(page.locator("#said")).to_contain_text("keeps your position to itself")
    expect(page.locator("#my-list > li")).to_have_count(50)
    page.context.close()
