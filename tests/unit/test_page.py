"""The page as the server writes it: whole without a script, names escaped, nothing from elsewhere."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
from support import edge
from support.edge import LISBON, SUVA, Client, items, publish

from recsys.consents.log import Purpose
from recsys.serving.pages import templates
from recsys.serving.pages.chart_rows import rows
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

PATHS = ["/", f"/?place={LISBON}", "/?place=PT&chart=local", "/?q=lis", "/me", "/licences", "/transparency"]


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    return Client(workspace, settings=settings)


@pytest.mark.parametrize("path", PATHS)
def test_every_page_comes_with_a_policy_that_names_no_other_origin(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert re.findall(r'(?:src|href|action)="(?!/|#|\?)[^"]*"', answer.text) == []
    assert re.findall(r"<script(?!( type=\"module\")? src=)|<style| style=| on\w+=", answer.text) == []


def test_a_place_shows_its_chart_with_reasons_and_the_way_up(client: Client) -> None:
    text = client.get(f"/?place={LISBON}").text
    assert text.count('<li class="row">') == 50
    assert text.count("<span data-reason>About ") == 50
    assert '<a href="/places/portugal-PT/">Portugal</a>' in text
    assert f"/places/lisboa-{LISBON}/rising/" in text
    # Rank 1 was 2nd, rank 2 is new: see `edge.items`.
    assert re.findall(r'class="move (\w+)"', text)[:2] == ["up", "new"]


def test_an_empty_chart_says_why_and_leads_on(client: Client) -> None:
    for place in ("FJ", SUVA):  # without charts of their own, and the world has no local one
        text = client.get(f"/?place={place}&chart=local").text
        assert "Too few people in" in text
        assert "clearly stands out" not in text
        assert 'the charts of <a href="/places/world/">the world</a>' in text
    assert "Too few" not in client.get("/?chart=local").text


def test_the_first_page_says_what_this_is(client: Client) -> None:
    assert 'class="lead"' in client.get("/").text
    assert 'class="lead"' not in client.get("/?place=PT").text


def test_what_can_be_allowed_is_explained_by_the_settings_without_signing_in(workspace: Workspace) -> None:
    publish(workspace, size=1)
    text = unescape(Client(workspace, settings=load_settings(overrides={"store": {"nights": 41}})).get("/me").text)
    assert [purpose for purpose in Purpose if purpose.explained not in text] == []
    shown = text.split("<template")[0]
    assert re.findall(r"Kept: ([^.]*)\.", shown) == [
        "not at all; it chooses the list and is in no log", *["41 nights"] * 3,
        "until you show them again or turn the switch off",
        "until you remove or replace them, or turn the switch off",
        "not at all; it finds what you mean and is in no log",
        "until you turn the switch off",
    ]  # fmt: skip
    assert "an area of about 253 km² or more (H3 cells of resolution 5 or coarser)" in shown


def test_no_line_breaks_within_a_date(client: Client) -> None:
    assert "over the 7 nights to 31\xa0October\xa02026." in client.get(f"/?place={LISBON}").text


def test_names_are_escaped(client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "items", lambda _, *, size: items("<script>alert(1)</script>", size=size))
    publish(workspace, as_of="2026-11-01")
    for path in ("/?q=%3Cscript%3E", "/?place=PT"):
        text = client.get(path).text
        assert "<script>" not in text, path
        assert "&lt;script&gt;" in text, path


def test_an_unknown_place_or_chart_is_a_page_of_its_own(client: Client) -> None:
    for path in ("/?place=nowhere", "/?chart=best"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "nowhere" not in answer.text
        assert "best" not in answer.text.split("<main")[1].split("</main>")[0]


@pytest.mark.parametrize("path", ["/nothing-here", "/docs", "/places/world", "/a/b.html", "/me/", "/robots.txt"])
def test_an_unknown_address_is_a_page_for_people_and_a_problem_for_programs(client: Client, path: str) -> None:
    page = client.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<h1>There is no such page</h1>" in page.text
    assert '<input id="q" name="q" type="search"' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    problem = client.get(path)
    assert (problem.status_code, problem.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("path", ["/v1/nothing", "/assets/nothing.js", "/.well-known/nothing", "/readyz/nothing"])
def test_an_address_for_programs_answers_them_alone(client: Client, path: str) -> None:
    assert client.get(path, headers={"Accept": "text/html"}).headers["content-type"] == "application/problem+json"


ODD = [
    "a" * 25,
    "a" * 180,
    "%00",
    "a%00b",
    "%FF%FE",
    "%ED%A0%80",
    "..%2F..",
    "-",
    "%25s",
    "%F0%9F%8E%B5",
    "x%27%22--",
    "a%0Ab",
]


def test_no_address_is_too_odd_for_a_page_that_says_there_is_none(client: Client) -> None:
    """Whatever stands where a place, a chart, a song or a file would."""
    pages = ("places/{}", "places/world/{}", "places/{}/history", "songs/{}", "artists/{}")
    asked = [(f"/{page.format(name)}/", "text/html; charset=utf-8") for name in ODD for page in pages]
    data = ("tracks/{}", "artists/{}", "regions/{}", "regions/world/charts/{}", "releases/{}/x", "history/x/{}")
    asked += [(f"/v1/{path.format(name)}", "application/problem+json") for name in ODD for path in data]
    browser = {"headers": {"Accept": "text/html"}}
    answers = client.all([("GET", path, browser) for path, _ in asked])
    found = [(answer.status_code, answer.headers["content-type"]) for answer in answers]
    assert [pair for pair in zip(asked, found, strict=True) if pair[1] != (404, pair[0][1])] == []


def test_the_night_of_the_form_cannot_be_left_empty(client: Client, workspace: Workspace) -> None:
    edge.keep_nights(workspace, nights=3)
    edge.publish(workspace, as_of="2026-11-01")
    assert re.findall(r'<input type="date" name="night" required ', client.get("/").text)


def test_before_the_first_night_the_page_says_so(workspace: Workspace, settings: Settings) -> None:
    answer = Client(workspace, settings=settings).get("/")
    assert answer.status_code == 503
    assert "still being made" in answer.text


@pytest.mark.parametrize(
    "path", ["/?lat=1", "/?place=PT&x=38.71,-9.14", "/me?x=38.71", "/licences?x=38%20-9", "/assets/page.js?x=1"]
)
def test_what_no_page_asks_for_is_refused(client: Client, path: str) -> None:
    assert client.get(path).status_code == 400


def test_a_town_is_found_as_its_region_and_the_page_says_so(client: Client) -> None:
    found = client.get("/?q=Almada").text
    assert f"/places/lisboa-{LISBON}/" in found
    assert "with Almada · Portugal" in found
    assert "with Lisboa" not in client.get("/?q=Ulyssipo").text


def test_what_others_hang_on_a_link_is_ignored(client: Client) -> None:
    others = "utm_source=mail&utm_campaign=2026-11&utm_term=24-7&fbclid=IwAR1-2_9mw3-9&gclid=Cj0KCQiA3-2_5BhD8-9"
    for path in ("/?place=PT", "/me", "/transparency", "/licences"):
        sign = "&" if "?" in path else "?"
        assert client.get(f"{path}{sign}{others}").content == client.get(path).content


@pytest.mark.parametrize(
    "path", ["/?q=38.7", "/?lat=1", f"/?q={'x' * 101}", "/me?lon=1", "/transparency?x=canary,38.71"]
)
def test_people_are_told_in_a_page_what_is_refused_and_programs_in_a_problem(client: Client, path: str) -> None:
    told = client.get(path, headers={"Accept": "text/html,*/*;q=0.8"})
    assert (told.status_code, told.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "See what the whole world listens to" in told.text
    assert "default-src 'none'" in told.headers["content-security-policy"]
    assert "canary" not in told.text
    problem = client.get(path)
    assert problem.headers["content-type"] == "application/problem+json"
    assert f"<h1>{problem.json()['title']}</h1>" in told.text


def test_a_page_is_sent_once(client: Client, workspace: Workspace) -> None:
    for path in ("/", "/me", "/transparency"):
        tag = client.get(path).headers["etag"]
        again = client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert "content-security-policy" in again.headers
    publish(workspace, as_of="2026-11-01", size=2)
    assert client.get("/", headers={"If-None-Match": client.get("/me").headers["etag"]}).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_packed_for_who_takes_it(client: Client, path: str) -> None:
    packed, plain = (client.get(path, headers={"Accept-Encoding": coding}) for coding in ("gzip", "identity"))
    assert packed.content == plain.content
    assert (packed.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding, Accept-Language, Cookie"
    assert int(packed.headers["content-length"]) < len(plain.content) / 2
    assert packed.headers["etag"] != plain.headers["etag"]


def test_a_cache_tells_the_page_of_an_error_from_its_problem(client: Client) -> None:
    for path in ("/nowhere", "/songs", "/data/nothing.csv"):
        for accepted in ("text/html,*/*", "application/json", "*/*"):
            answer = client.get(path, headers={"Accept": accepted})
            assert (answer.status_code, answer.headers["vary"].split(", ")[0]) == (404, "Accept"), path
            assert answer.headers["content-type"].startswith("text/html") == accepted.startswith("text/html")
            assert answer.headers.get_list("cache-control") == ["no-store"]


@pytest.mark.parametrize(
    "name", ["page.py", "..%2fpage.py", "place.html", "build.mjs", "package.json", "map.js.gz", ".npmrc", "nothing.js"]
)
def test_only_assets_are_served(client: Client, name: str) -> None:
    assert client.get(f"/assets/{name}").status_code == 404


def test_an_asset_is_sent_once_and_packed_where_it_can_be(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "BUILT", tmp_path)
    content = b"the map " * 200
    (tmp_path / "map.js").write_bytes(content)
    packed = client.get("/assets/map.js", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/assets/map.js", headers={"Accept-Encoding": "identity"})
    assert packed.content == plain.content == content
    assert (packed.headers["content-encoding"], plain.headers.get("content-encoding")) == ("gzip", None)
    again = client.get("/assets/map.js", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    refused = client.get("/assets/map.js", headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert (refused.headers.get("content-encoding"), refused.content) == (None, content)
    assert client.get("/assets/map.js", headers={"If-None-Match": "*"}).status_code == 304


def test_without_a_build_the_page_says_what_is_missing(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "BUILT", tmp_path)
    text = client.get("/").text
    assert "without the map and without “near me”" in text
    assert "map.js" not in text
    assert 'data-do="near"' not in client.get("/me").text
    assert "no code but our own" in client.get("/licences").text


def test_listeners_are_drawn_from_nothing_to_the_largest_bound() -> None:
    # Rank 1: 100 of [90, 110], rank 2: 50 of [45, 55]; the scale ends at 110.
    first, second = rows(items("here", size=2), chart="popular")
    assert (first.low, first.dot, first.high) == (81.8, 90.9, 100.0)
    assert (second.low, second.dot, second.high) == (40.9, 45.5, 50.0)
    assert (first.figure, second.spoken) == (100, "About 50 listeners a night, between 45 and 55")
    assert first.base is None


def test_times_are_drawn_as_logarithms_with_as_much_as_elsewhere_marked() -> None:
    (item,) = items("here", size=1)
    item |= {"lift": 2.0, "lift_interval": {"low": 1.0, "high": 4.0}}
    (row,) = rows([item], chart="local")
    assert (row.base, row.low, row.dot, row.high) == (0.0, 0.0, 50.0, 100.0)
    assert str(row.figure) == "2.0"
    # Of the fourth of a scale from 1/4 to 4, "as much" is the middle.
    item |= {"lift_interval": {"low": 0.25, "high": 4.0}}
    assert rows([item], chart="local")[0].base == 50.0
    assert rows([], chart="local") == []


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((templates.PAGES / "package-lock.json").read_text())
    assert [name for name, each in lock["packages"].items() if "resolved" in each] == []
    assert [name for name, each in lock["packages"].items() if name and "integrity" not in each] == []
