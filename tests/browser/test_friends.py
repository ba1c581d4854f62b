"""Friends by mutual choice, in two real browsers: the book is blinded in the page, and no number leaves it."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from support.browsing import Site
from support.contacts import NUMBERS, befriend
from support.edge import NOW, decide, remember_plays

from recsys.artifacts.addresses import song_address
from recsys.consents.log import Purpose, State
from recsys.serving.auth.tokens import mint
from recsys.serving.pages import templates
from recsys.settings import Settings

PATIENCE = 60_000  # milliseconds: arithmetic of the group, on a busy machine


@pytest.fixture
def blinding() -> None:
    if not (templates.BUILT / "blind.js").is_file():
        pytest.skip("the page was not built: `make page`, which needs node")


@pytest.fixture
def pages(served: Site, browser: Browser, settings: Settings, blinding: None) -> Iterator[dict[str, Page]]:
    """Ana and Ben, each signed in by an app that has verified the number."""
    opened = {}
    for who in ("ana", "ben"):
        token = mint(who, workspace=served.workspace, settings=settings, now=NOW, identifiers=[NUMBERS[who]])
        opened[who] = served.visitor(browser).new_page()
        opened[who].goto(f"/me#token={token}")
        expect(opened[who].get_by_role("switch")).to_have_count(len(Purpose))
    yield opened
    for page in opened.values():
        page.context.close()


def turn_on(page: Page) -> None:
    page.get_by_role("switch", name="Find friends in my address book").click()
    expect(page.get_by_label("Numbers and addresses in your book")).to_be_visible()


def look_for(page: Page, *book: str) -> None:
    page.get_by_label("Numbers and addresses in your book").fill("\n".join(book))
    with page.expect_response(
        lambda answer: answer.url.endswith("/contacts") and answer.status == 204, timeout=PATIENCE
    ):
        page.get_by_role("button", name="Look for friends").click()


def test_two_become_friends_and_no_number_leaves_the_page(served: Site, pages: dict[str, Page]) -> None:
    ana, ben = pages["ana"], pages["ben"]
    expect(ana.get_by_role("heading", name="My friends")).to_have_count(0)  # nothing of it where it is off
    turn_on(ana)
    look_for(ana, "+351 91 000-0001", "Nobody@Example.org")
    expect(ana.locator("#friends")).to_contain_text("No friends yet.")
    turn_on(ben)
    look_for(ben, NUMBERS["ana"])
    expect(ben.get_by_role("button", name=f"Unfriend: {NUMBERS['ana']}")).to_be_visible()
    ana.reload()
    expect(ana.get_by_role("button", name=f"Unfriend: {NUMBERS['ben']}")).to_be_visible()
    ana.get_by_role("button", name=f"Block: {NUMBERS['ben']}").click()
    expect(ana.locator("#friends")).to_contain_text("No friends yet.")
    ben.reload()
    expect(ben.locator("#friends")).to_contain_text("No friends yet.")
    for page in pages.values():
        page.get_by_role("button", name="Sign out").click()
        expect(page.locator("#friends")).to_be_hidden()
        assert page.evaluate("sessionStorage.length") == 0  # whoever is next in this tab finds no book
    sent = b"".join(served.sent)
    assert b"/v1/me/contacts/blinded" in sent
    written = ["91 000-0001", "nobody@example.org", "Nobody@Example.org", *NUMBERS.values()]
    assert [each for each in written if each.encode() in sent or each.strip("+").encode() in sent] == []


def test_a_book_that_is_being_typed_outlives_other_switches_and_not_its_own(pages: dict[str, Page]) -> None:
    ana = pages["ana"]
    turn_on(ana)
    book = ana.get_by_label("Numbers and addresses in your book")
    book.fill("nobody@example.org")
    other = ana.get_by_role("switch", name="Hear what I hide and play")
    other.click()
    expect(other).to_have_attribute("aria-checked", "true")
    ana.wait_for_load_state("networkidle")
    expect(book).to_have_value("nobody@example.org")
    ana.reload()
    expect(book).to_have_value("nobody@example.org")
    look_for(ana, "nobody@example.org")
    expect(book).to_have_value("")
    book.fill("somebody@example.org")
    ana.get_by_role("switch", name="Find friends in my address book").click()
    expect(book).to_have_count(0)
    assert "example.org" not in str(ana.evaluate("JSON.stringify(sessionStorage)"))


def test_sharing_is_shown_on_both_sides_and_the_list_says_that_there_are_too_few(pages: dict[str, Page]) -> None:
    ana, ben = pages["ana"], pages["ben"]
    for page, other in ((ana, NUMBERS["ben"]), (ben, NUMBERS["ana"])):
        turn_on(page)
        expect(page.locator("#friends")).to_contain_text("Not enough friends yet")
        look_for(page, other)
    ben.get_by_role("button", name=f"Share under my name: {NUMBERS['ana']}").click()
    expect(ben.get_by_role("button", name=f"Stop sharing: {NUMBERS['ana']}")).to_be_visible()
    ana.reload()
    expect(ana.locator("#friends li")).to_contain_text("shares with you")
    ben.get_by_role("button", name=f"Stop sharing: {NUMBERS['ana']}").click()
    expect(ben.get_by_role("button", name=f"Share under my name: {NUMBERS['ana']}")).to_be_visible()
    ana.reload()
    expect(ana.locator("#friends li")).to_contain_text(NUMBERS["ben"])
    expect(ana.locator("#friends li")).not_to_contain_text("shares with you")


def test_what_friends_played_is_listed_with_who_shares_it(served: Site, pages: dict[str, Page]) -> None:
    ana, others = pages["ana"], ("ben", "cho", "dov", "eve", "fay", "gus")
    turn_on(ana)
    turn_on(pages["ben"])
    for who in others:
        for purpose in (Purpose.CONTACTS, Purpose.CONTRIBUTE_TRENDS):
            decide(served.workspace, who, State.GIVEN, purpose=purpose)
    befriend(served.workspace, "ana", *others, day=NOW.date())
    remember_plays(served.workspace, {who: ("PT", ["track-1"]) for who in others})
    look_for(pages["ben"], NUMBERS["ana"])
    pages["ben"].get_by_role("button", name=f"Share under my name: {NUMBERS['ana']}").click()
    look_for(ana, NUMBERS["ben"])
    line = ana.locator("#friends ol li")
    expect(line).to_contain_text("Title of track-1 The Ünits")
    expect(line).to_contain_text(f"Played by {NUMBERS['ben']}")
    expect(line.get_by_role("link")).to_have_attribute("href", song_address("track-1", "Title of track-1"))


def test_the_arithmetic_is_loaded_by_who_looks_for_friends_alone(pages: dict[str, Page]) -> None:
    loaded: list[str] = []
    ana = pages["ana"]
    ana.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    ana.reload()
    expect(ana.get_by_role("switch")).to_have_count(len(Purpose))
    assert not {"friends.js", "blind.js"} & set(loaded)
    turn_on(ana)
    assert ("friends.js" in loaded, "blind.js" in loaded) == (True, False)
