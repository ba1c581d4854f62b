"""The languages of the page in a real browser: by what it asks for, by the switch, with its script and without."""

from playwright.sync_api import Browser, Page, expect
from support.browsing import Site
from support.edge import LISBON

from recsys.serving.pages.words import LANGUAGES


def test_the_switch_is_remembered_and_nothing_else_is(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, locale="de-AT")
    page = visitor.new_page()
    page.goto("/?place=PT&utm_source=mail")
    assert spoken(page) == "de"
    expect(page.get_by_role("navigation", name="Sprache").get_by_role("link")).to_have_text([*LANGUAGES.values()])
    assert visitor.cookies() == []
    page.get_by_role("link", name="日本語").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("ポルトガル")
    expect(page).to_have_url(f"{served.url}/?place=PT&utm_source=mail")
    (cookie,) = visitor.cookies()
    assert (cookie["name"], cookie["value"], cookie["path"], cookie["sameSite"]) == ("language", "ja", "/", "Lax")
    page.get_by_role("link", name="人気", exact=True).click()  # swapped into the page
    page.get_by_role("link", name="世界", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("世界全体")
    page.reload()
    assert spoken(page) == "ja"
    visitor.close()


def test_a_link_names_a_language_for_its_page_alone(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, locale="fr-FR")
    page = visitor.new_page()
    page.goto("/?place=PT&language=de")
    assert spoken(page) == "de"
    page.get_by_role("link", name="Welt", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Le monde entier")
    assert spoken(page) == "fr", "no page is half in one language and half in another"
    page.goto("/?place=PT&language=de")
    page.get_by_role("link", name="Español").click()
    expect(page.get_by_role("link", name="En alza")).to_be_visible()
    expect(page).to_have_url(f"{served.url}/?place=PT")
    visitor.close()


def test_the_switch_works_without_scripts(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, java_script_enabled=False, locale="en")
    page = visitor.new_page()
    page.goto("/?q=lisboa")
    page.get_by_role("link", name="Português").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Busca: “lisboa”")
    assert visitor.cookies() == []
    visitor.close()


def test_what_is_a_listeners_own_is_told_in_the_listeners_language(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, locale="de")
    page = visitor.new_page()
    page.goto(f"/me#token={served.token('deutsch')}")
    switch = page.get_by_role("switch", name="In meiner Nähe")
    expect(switch).to_have_attribute("aria-checked", "false")
    switch.click()
    expect(page.get_by_text("An seit 1.\xa0November\xa02026, Hinweis 2026-09.")).to_have_count(1)
    expect(page.locator("#switches").get_by_text("Deine genaue Position kommt hier nie an")).to_have_count(1)
    page.get_by_role("button", name="In meiner Nähe").click()
    expect(page.locator("#my-place")).to_contain_text("Als dein Ort gilt Lisboa, Portugal.")
    expect(page.locator("#list-why")).to_contain_text("in den 7 Nächten bis 31.\xa0Oktober\xa02026.")
    page.locator("#my-list summary").first.click()
    expect(page.locator("#my-list .reason").first).to_contain_text("beitragende Hörer pro Nacht")
    expect(page.locator("#list-why")).to_contain_text("Deine Wiedergaben wurden nicht benutzt.")
    expect(page.locator("#twin-why")).to_have_text(
        "Deine Wiedergaben wurden nicht benutzt; das sind also einfach die größten Orte."
    )
    page.locator("#switch-personalisation").click()
    for why in ("#list-why", "#twin-why"):
        expect(page.locator(why)).to_contain_text("Du erlaubst, dass deine Wiedergaben mitwählen, aber")
    page.get_by_role("button", name="Abmelden").click()
    expect(page.locator("#said")).to_have_text("Du bist abgemeldet.")
    visitor.close()


def test_the_map_names_countries_as_the_page_does(served: Site, browser: Browser) -> None:
    visitor = served.visitor(browser, locale="ja")
    page = visitor.new_page()
    page.goto(f"/?place={LISBON}", wait_until="networkidle")
    page.wait_for_timeout(400)  # until it rests
    page.locator("#map canvas").hover()
    expect(page.locator(".map-label")).to_contain_text("ポルトガル Lisboa")
    visitor.close()


def spoken(page: Page) -> str | None:
    return page.locator("html").get_attribute("lang")
