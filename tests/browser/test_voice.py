"""Voice control in a real browser, whose recogniser alone is replaced: what is started and sent, where it leads."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browsing import Site
from support.edge import LISBON, decide

from recsys.consents.log import Purpose, State

# Hears `heard` on the device; `known` says what stands there for which language, `started` what was started, and how.
RECOGNISER = """
globalThis.started = [];
globalThis.known = globalThis.known ?? "available";
globalThis.SpeechRecognition = class {
  static async available({langs, processLocally}) { return processLocally ? globalThis.known : "available"; }
  static async install({processLocally}) { if (processLocally) globalThis.known = "available"; return processLocally; }
  get processLocally() { return this.local ?? false; }
  set processLocally(is) { this.local = is; }
  start() {
    started.push({local: this.processLocally, lang: this.lang});
    setTimeout(() => {
      if (globalThis.heard) this.onresult({results: [[{transcript: globalThis.heard}]]});
      this.onend();
    }, 20);
  }
  abort() { this.onend(); }
};
"""


@pytest.fixture(autouse=True)
def _patience() -> Iterator[None]:
    """The first text after a start makes the index of names, which takes seconds on a busy machine."""
    expect.set_options(timeout=30_000)
    yield
    expect.set_options(timeout=5_000)


def signed_in(site: Site, browser: Browser, user_id: str, *, script: str = RECOGNISER, language: str = "en") -> Page:
    """Open the listener's own part, with voice control on."""
    decide(site.workspace, user_id, State.GIVEN, purpose=Purpose.VOICE)
    context = site.visitor(browser, locale=language)
    context.add_init_script(script)
    page = context.new_page()
    page.goto(f"/me#token={site.token(user_id)}")
    expect(page.locator("#speak")).to_be_visible()
    return page


def say(page: Page, text: str) -> None:
    page.evaluate("text => { globalThis.heard = text; }", text)
    page.locator("#speak").click()


def started(page: Page) -> list[dict[str, object]]:
    return list(page.evaluate("globalThis.started"))


def test_without_the_switch_there_is_no_button_and_nothing_of_it_is_loaded(served: Site, browser: Browser) -> None:
    context = served.visitor(browser)
    context.add_init_script(RECOGNISER)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto("/")
    expect(page.locator("#speak")).to_be_hidden()
    page.goto(f"/me#token={served.token('silent')}")
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    expect(page.locator("#speak")).to_be_hidden()
    page.get_by_role("switch", name="Voice control").click()
    expect(page.locator("#speak")).to_be_visible()
    page.get_by_role("switch", name="Voice control").click()
    expect(page.locator("#speak")).to_be_hidden()
    assert not any("voice" in url and "/consents/" not in url for url in asked)
    assert started(page) == []
    context.close()


def test_a_place_that_was_said_is_shown_and_its_text_alone_is_sent(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "speaker")
    page.goto(f"/?place={LISBON}&chart=rising")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or "") if request.method == "POST" else None)
    say(page, "what is popular in portugal")
    expect(page).to_have_title("Popular in Portugal · Hearabouts")
    assert page.url.endswith("/places/portugal-PT/")
    assert [json.loads(each) for each in sent] == [{"text": "what is popular in portugal", "language": "en"}]
    assert started(page) == [{"local": True, "lang": "en-US"}]
    expect(page.locator("#heard")).to_be_hidden()
    page.context.close()


def test_a_switch_is_turned_after_a_yes_and_not_before(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "switcher")
    near = page.get_by_role("switch", name="Near me")
    decided: list[str] = []
    page.on("request", lambda request: decided.append(request.url) if request.method == "PUT" else None)
    for answer, state in (("No", "false"), ("Yes", "true")):
        say(page, "turn near me on")
        expect(page.locator("#said")).to_contain_text("Turn on “Near me”? When you ask for what is near you")
        expect(near).to_have_attribute("aria-checked", "false")
        page.get_by_role("button", name=answer, exact=True).click()
        expect(page.locator("#said")).to_be_empty()
        expect(near).to_have_attribute("aria-checked", state)
    assert [url.rpartition("/")[2] for url in decided] == ["local_trends"]
    page.goto("/")
    say(page, "turn voice control off")
    page.get_by_role("button", name="Yes", exact=True).click()
    expect(page.get_by_role("switch", name="Voice control")).to_have_attribute("aria-checked", "false")
    expect(page.locator("#speak")).to_be_hidden()
    page.context.close()


def test_near_me_goes_the_way_of_its_button(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "walker")
    page.goto("/")
    say(page, "near me")
    expect(page.locator("#near-first")).to_be_visible()  # its own switch is off
    assert page.evaluate("globalThis.asked") == 0
    page.context.close()


def test_what_is_not_understood_or_not_heard_is_said(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "mumbler")
    say(page, "blah blah blah")
    expect(page.locator("#heard")).to_contain_text("That was not understood.")
    page.get_by_role("heading", level=1).click()
    expect(page.locator("#heard")).to_be_hidden()
    say(page, "")
    expect(page.locator("#heard")).to_have_text("Nothing was heard.")
    page.context.close()


@pytest.mark.parametrize(
    "script",
    [
        "delete globalThis.SpeechRecognition; delete globalThis.webkitSpeechRecognition;",
        RECOGNISER.replace('globalThis.known ?? "available"', '"unavailable"'),
        RECOGNISER.replace("static async available", "static async other"),
        # One that sends the sound somewhere, as browsers had before they could be told to stay on the device.
        "globalThis.started = []; globalThis.SpeechRecognition = globalThis.webkitSpeechRecognition = class {"
        " start() { started.push(1); } };",
    ],
    ids=["none", "not for this language", "not to be asked", "elsewhere alone"],
)
def test_where_there_is_no_recogniser_on_the_device_none_is_started(
    served: Site, browser: Browser, script: str
) -> None:
    page = signed_in(served, browser, "plain", script=f"globalThis.started = [];{script}")
    page.locator("#speak").click()
    expect(page.locator("#heard")).to_contain_text("nothing was started")
    assert started(page) == []
    page.context.close()


def test_what_the_device_needs_is_downloaded_after_a_click_alone(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "loader", script=f'globalThis.known = "downloadable";{RECOGNISER}')
    say(page, "what is popular in portugal")
    expect(page.locator("#heard")).to_contain_text("has to download")
    assert (started(page), page.evaluate("globalThis.known")) == ([], "downloadable")
    page.get_by_role("button", name="Download it").click()
    expect(page).to_have_title("Popular in Portugal · Hearabouts")
    page.context.close()


def test_after_a_withdrawal_elsewhere_nothing_is_started(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "leaver")
    page.goto("/")
    decide(served.workspace, "leaver", State.WITHDRAWN, purpose=Purpose.VOICE)
    say(page, "near me")
    expect(page.locator("#heard")).to_contain_text("Voice control is off.")
    expect(page.locator("#speak")).to_be_hidden()
    assert started(page) == []
    page.context.close()


def test_it_listens_in_the_language_of_the_page(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "sprecher", language="de-AT")
    say(page, "was ist in portugal beliebt")
    expect(page.get_by_role("heading", level=1)).to_have_text("Portugal")
    assert started(page) == [{"local": True, "lang": "de-AT"}]
    page.context.close()


def test_signing_out_takes_the_button_away(served: Site, browser: Browser) -> None:
    page = signed_in(served, browser, "goer")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#speak")).to_be_hidden()
    page.goto("/")
    expect(page.locator("#speak")).to_be_hidden()
    page.context.close()
