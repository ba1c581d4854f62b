"""Pictures in a real browser: chosen one by one, drawn small by the page, and sent without what their files say."""

import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from support.browsing import Site, until
from support.edge import decide
from support.picturing import FORMATS, canary, drawn, file_of, markers, quarters, traces, with_canaries

from recsys.consents.log import ConsentLog, Purpose, State
from recsys.workspace import listener_of

UPRIGHT = ["red", "green", "blue", "yellow"]


@pytest.fixture
def visitor(plain: Site, browser: Browser) -> Iterator[BrowserContext]:
    decide(plain.workspace, "listener", State.GIVEN, purpose=Purpose.IMAGES)
    context = plain.visitor(browser)
    yield context
    context.close()


@pytest.fixture
def page(visitor: BrowserContext, plain: Site) -> Page:
    page = visitor.new_page()
    page.goto(f"/me#token={plain.token('listener')}")
    return page


def part(page: Page, name: str = "My picture") -> Locator:
    return (
        page.get_by_role("list", name="My pictures")
        .get_by_role("listitem")
        .filter(has=page.get_by_role("heading", name=name))
    )


def choose(page: Page, file: Path, name: str = "My picture") -> None:
    with page.expect_file_chooser() as chooser:
        part(page, name).get_by_role("button", name="Choose a picture").click()
    assert not chooser.value.is_multiple()
    assert chooser.value.element.get_attribute("accept") == "image/*"
    chooser.value.set_files(file)


def kept(site: Site) -> list[tuple[str, bytes]]:
    listener = listener_of("listener", key=site.workspace.listener_key())
    return ConsentLog(site.workspace.consents).pictures.every(listener)


def is_drawn(page: Page) -> None:
    until(page, "document.querySelector('#pictures img')?.naturalWidth > 0")


def bodies(sent: bytes) -> list[bytes]:
    """The pictures that were sent: each is as long as its request says."""
    heads = re.finditer(rb"PUT /v1/me/images/[^\r]*\r\n.*?\r\n\r\n", sent, re.DOTALL)
    lengths = ((each.end(), re.search(rb"content-length: (\d+)", each.group(), re.IGNORECASE)) for each in heads)
    return [sent[at : at + int(length.group(1))] for at, length in lengths if length]


@pytest.mark.parametrize("format_", FORMATS)
def test_the_page_sends_what_is_to_be_seen_and_nothing_else_of_a_file(
    page: Page, plain: Site, tmp_path: Path, format_: str
) -> None:
    """Its seven kinds of metadata, its name and its time stay on the device."""
    name = canary(format_, "name")
    (tmp_path / f"{name}.{format_.lower()}").write_bytes(with_canaries(format_))
    choose(page, tmp_path / f"{name}.{format_.lower()}")
    is_drawn(page)
    sent = b"".join(plain.sent)
    (body,) = bodies(sent)
    assert quarters(_square(body)) == UPRIGHT
    assert markers(body) <= {0xE0, 0xE2, 0xDB, 0xC0, 0xC4, 0xDA}  # with the browser's own name for sRGB
    assert traces(sent) == []
    ((kind, content),) = kept(plain)
    assert (kind, quarters(content)) == ("profile", UPRIGHT)


def _square(content: bytes) -> bytes:
    return file_of(Image.open(BytesIO(content)).resize((256, 256)), "PNG")


def test_a_large_picture_is_made_small_before_it_is_sent(page: Page, plain: Site, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(file_of(drawn(4_000, 3_000)))
    choose(page, tmp_path / "large.jpg")
    is_drawn(page)
    (body,) = bodies(b"".join(plain.sent))
    assert int.from_bytes(body[body.index(b"\xff\xc0") + 7 :][:2], "big") == 1_024


def test_a_picture_is_shown_at_once_removed_and_gone_with_the_switch(page: Page, plain: Site, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(file_of(drawn(), "PNG"))
    expect(page.get_by_role("img", name="My picture")).to_have_count(0)
    choose(page, tmp_path / "one.png")
    expect(page.get_by_role("img", name="My picture")).to_be_visible()
    expect(part(page).get_by_role("button", name="Choose a picture")).to_be_focused()
    expect(part(page).get_by_role("button", name="Share")).to_have_count(0)
    choose(page, tmp_path / "one.png", "Cover of my list")
    expect(part(page, "Cover of my list").get_by_role("button", name="Share")).to_be_visible()
    page.reload()
    expect(page.get_by_role("img", name="My picture")).to_be_visible()
    part(page).get_by_role("button", name="Remove").click()
    expect(page.get_by_role("img", name="My picture")).to_have_count(0)
    assert [kind for kind, _ in kept(plain)] == ["covers/trending"]
    page.get_by_role("switch", name="Keep pictures that I choose").click()
    expect(page.get_by_role("list", name="My pictures")).to_be_hidden()
    assert kept(plain) == []


def test_what_is_no_picture_is_said_to_be_none(page: Page, plain: Site, tmp_path: Path) -> None:
    (tmp_path / "none.jpg").write_bytes(b"none")
    choose(page, tmp_path / "none.jpg")
    expect(page.locator("#said")).to_contain_text("cannot read this picture")
    assert bodies(b"".join(plain.sent)) == []


def test_without_the_switch_nothing_is_asked_for(visitor: BrowserContext, plain: Site) -> None:
    page = visitor.new_page()
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(f"/me#token={plain.token('other')}")
    expect(page.get_by_role("switch")).to_have_count(len(Purpose))
    expect(page.get_by_role("list", name="My pictures")).to_be_hidden()
    assert not any("images" in url or "pictures" in url for url in urls)
