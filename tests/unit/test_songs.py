"""Songs, artists, and the charts of past nights and weeks, as the endpoint answers and as pages show them."""

import random
import re
import secrets
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import h3
import pytest
from markupsafe import escape
from support import edge
from support.edge import AS_OF, LISBON, PORTO, Client, bearer, keep_nights, publish

from recsys.artifacts.addresses import artist_address, id_in, song_address
from recsys.artifacts.chart_history import Night, append, mark_of
from recsys.errors import NotReadyError
from recsys.geography.positions import holds_position
from recsys.serving.lists.songs import artist_answer
from recsys.serving.pages.words import words_in
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.settings import Settings
from recsys.workspace import Workspace

LAST = date.fromisoformat(AS_OF)  # a Saturday
_TOLD = "31 October 2026".replace(" ", "\N{NO-BREAK SPACE}")  # the last night, as a page says it
CHART = f"/v1/regions/{LISBON}/charts/popular"


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    keep_nights(workspace, last=str(LAST + timedelta(days=1)), nights=31)  # a night more than was published
    publish(workspace)
    return Client(workspace, settings=settings)


def test_a_chart_of_a_past_night_is_as_it_was_published_and_says_when_it_was_drawn(client: Client) -> None:
    night = LAST - timedelta(days=20)
    found = client.get(CHART, params={"night": str(night), "limit": 3}).json()
    assert (found["as_of"], found["drawn"]) == (str(night), str(night + timedelta(days=9)))
    assert [item["reason"] for item in found["items"]] == [f"made for {night}"] * 3
    assert found["why"] == f"The popular chart of Lisboa, Portugal of {night}, drawn on {night + timedelta(days=9)}."
    wider = client.get(f"/v1/regions/{PORTO}/charts/popular", params={"night": str(night)}).json()
    assert (wider["scope"], wider["why"][:33]) == ("country", "Pôrto, Portugal had none of its o")


@pytest.fixture
def short(workspace: Workspace, settings: Settings) -> Client:
    """A history in which little rises in Lisbon, more in Portugal, and all in the world: of two Sundays."""
    for night, order in ((date(2026, 10, 18), (1, 2, 3)), (date(2026, 10, 25), (2, 1, 3))):
        songs = {item["track_id"]: item for item in edge.past_items("world", night, size=12)}
        lists = [(LISBON, order[:1]), ("PT", order), ("world", range(1, 13))]
        told = [
            (place, "rising", [{**songs[f"track-{n}"], "rank": rank} for rank, n in enumerate(tracks, 1)])
            for place, tracks in lists
        ]
        append(workspace.history, Night(night, night + timedelta(days=1), 7, "v"), told, kept=50, artists={})
    publish(workspace)
    return Client(workspace, settings=settings)


def test_a_short_list_of_a_past_night_goes_on_as_it_did_then(short: Client) -> None:
    """As on the night itself: lines of larger places say whose their numbers are."""
    found = short.get(f"/v1/regions/{LISBON}/charts/rising", params={"night": "2026-10-25"}).json()
    sources = [each.get("source", {}).get("place") for each in found["items"]]
    assert sources == [None, "PT", "PT", *["world"] * 7]
    assert [each["rank"] for each in found["items"]] == list(range(1, 11))
    assert [each["track_id"] for each in found["items"][:4]] == ["track-2", "track-1", "track-3", "track-4"]
    starts = [each["reason"].partition(": ")[0] for each in found["items"]]
    assert starts == ["made for 2026-10-25", "In Portugal", "In Portugal", *["Worldwide"] * 7]
    assert "goes on with larger ones" in found["why"]


@pytest.mark.parametrize("query", [{"night": "2026-10-25"}, {"week": "2026-W43"}])
def test_where_a_larger_place_stands_in_every_line_of_the_past_says_so(short: Client, query: dict[str, str]) -> None:
    found = short.get(f"/v1/regions/{PORTO}/charts/rising", params=query).json()
    assert {each["source"]["place"] for each in found["items"][:3]} == {"PT"}
    assert [each["reason"][:13] for each in found["items"][:3]] == ["In Portugal: "] * 3


def test_the_weeks_of_a_line_are_those_of_the_list_that_it_is_from(short: Client) -> None:
    found = short.get(f"/v1/regions/{LISBON}/charts/rising", params={"week": "2026-W43"}).json()["items"]
    moves = [(each["track_id"], each["previous_rank"], each["weeks_on_chart"]) for each in found[:4]]
    assert moves == [("track-2", "new", 1), ("track-1", 1, 2), ("track-3", 3, 2), ("track-4", 4, 2)]


def test_the_last_night_is_the_chart_itself(client: Client) -> None:
    assert client.get(CHART, params={"night": AS_OF}).json() == client.get(CHART).json()


def test_the_chart_of_a_week_is_that_of_its_last_night_and_compares_weeks(client: Client) -> None:
    found = client.get(CHART, params={"week": "2026-W43"}).json()
    assert (found["week"], found["as_of"]) == ("2026-W43", "2026-10-25")
    first = {item["track_id"]: item for item in found["items"]}
    turned = date(2026, 10, 25).toordinal() % 2
    assert first["track-1"]["rank"] == 1 + turned
    assert first["track-1"]["previous_rank"] == 2 - turned  # a week has seven nights: the order was the other
    assert {item["weeks_on_chart"] for item in found["items"]} == {4}


@pytest.mark.parametrize(
    ("query", "status", "problem"),
    [
        ("night=2026-11-01", 404, "unknown-night"),  # it has charts, but the snapshot does not know of it
        ("night=2020-01-01", 404, "unknown-night"),
        ("night=yesterday", 400, "bad-input"),
        ("week=2026-W44", 404, "unknown-night"),  # not over yet
        ("week=2026-W99", 404, "unknown-night"),
        ("week=w", 400, "bad-input"),
        (f"week=2026-W43&night={AS_OF}", 400, "bad-input"),
    ],
)
def test_a_night_that_was_not_published_is_a_clear_problem(
    client: Client, query: str, status: int, problem: str
) -> None:
    answer = client.get(f"{CHART}?{query}")
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{problem}")
    page = client.get(f"/places/lisboa-{LISBON}/?{query}", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")


def test_a_song_tells_where_it_is_and_how_it_came_there(client: Client) -> None:
    found = client.get("/v1/tracks/track-2", params={"place": LISBON}).json()
    assert (found["track"]["artist_id"], found["as_of"]) == ("ünits", AS_OF)
    assert (found["first_night"], found["nights"], found["nights_in_row"]) == (str(LAST - timedelta(days=29)), 30, 30)
    assert found["places"] == {"popular": 3, "rising": 0, "local": 0}
    [first, *_] = found["popular"]
    assert first["listeners"]["low"] < first["listeners"]["estimate"] < first["listeners"]["high"]
    assert [each["places"] for each in found["course"]] == [3] * 30
    assert {each["rank"] for each in found["here"]["nights"]} == {1, 2}
    assert client.get(f"/v1/tracks/{mark_of('track-2')}").json() == client.get("/v1/tracks/track-2").json()


def test_a_song_tells_of_a_past_night_no_more_than_was_known(client: Client) -> None:
    night = LAST - timedelta(days=10)
    found = client.get("/v1/tracks/track-2", params={"night": str(night)}).json()
    assert (found["as_of"], found["course"][-1]["night"], found["nights"]) == (str(night), str(night), 20)


def test_an_artist_has_songs_and_places(client: Client) -> None:
    found = client.get("/v1/artists/%C3%BCnits").json()
    assert found == client.get(f"/v1/artists/{mark_of('ünits')}").json()
    assert len(found["tracks"]) == 10
    assert {each["place"]: each["tracks"] for each in found["places"]} == {LISBON: 10, "PT": 10, "world": 10}


def test_an_artist_takes_as_many_queries_as_a_song(workspace: Workspace) -> None:
    keep_nights(workspace, size=40)
    publish(workspace)
    published = open_published(workspace)
    queries: list[str] = []
    assert published.history._connection
    published.history._connection.set_trace_callback(queries.append)
    found = artist_answer(published, artist_id="ünits", limit=50)
    published.history.close()
    assert (len(found["tracks"]), found["tracks"][0]["nights"]) == (40, 30)
    assert len(queries) <= 4


def test_the_search_finds_songs_and_artists_beside_places(client: Client) -> None:
    found = client.get("/v1/search", params={"q": "unit"}).json()
    assert found["artists"] == [
        {"artist_id": "ünits", "artist": "The Ünits", "page": artist_address("ünits", "The Ünits")}
    ]
    assert len(found["tracks"]) == 10
    assert client.get("/v1/search", params={"q": "lisb"}).json()["places"][0]["id"] == LISBON
    assert client.get("/v1/search").json()["tracks"] == []
    page = client.get("/?q=unit").text
    assert found["tracks"][0]["page"] in page


def test_artists_are_found_by_their_own_names(workspace: Workspace, settings: Settings) -> None:
    """Not by whose songs happen to come first, nor because a song is called so."""
    [item] = edge.past_items("world", LAST, size=1)
    names = [
        ("Joy", "Abba"),
        ("Joy to Zoë", "Bach"),
        *((f"Joy {number}", "Abba") for number in range(9)),
        ("So", "Zoë Joy"),
    ]
    lines = [
        {**item, "rank": rank, "track_id": f"t{rank}", "title": title, "artist": artist}
        for rank, (title, artist) in enumerate(names, 1)
    ]
    append(workspace.history, Night(LAST, LAST, 7, "v"), [("world", "popular", lines)], kept=50, artists={})
    publish(workspace)
    client = Client(workspace, settings=settings)
    for text in ("joy", "zoe", "JOY ZOE"):
        found = client.get("/v1/search", params={"q": text, "limit": 3}).json()
        assert [each["artist"] for each in found["artists"]] == ["Zoë Joy"], text
    page = client.get("/?q=joy").text
    assert re.findall(r'<li><a href="(/artists/[^"]*)">Zoë Joy</a></li>', page) == [
        artist_address("Zoë Joy", "Zoë Joy")
    ]


@pytest.mark.parametrize("path", ["/v1/tracks/nothing", "/v1/artists/nothing", f"/v1/tracks/{'x' * 201}"])
def test_what_was_never_listed_is_a_clear_problem(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (400, 404)
    assert "nothing" not in answer.text


def test_pages_lead_from_a_line_to_the_song_the_artist_and_back(client: Client) -> None:
    song = client.get("/v1/search", params={"q": "song 1"}).json()["tracks"][0]
    page = client.get(song["page"])
    assert page.status_code == 200
    assert artist_address("ünits", "The Ünits") in page.text
    assert f"/places/lisboa-{LISBON}/" in page.text
    assert page.text.count("<polyline") == 2  # places, and listeners in the world
    assert song["page"] in client.get(artist_address("ünits", "The Ünits")).text
    past = client.get(f"/places/lisboa-{LISBON}/history/")
    assert song["page"] in past.text
    assert f"drawn on {words_in('en').day(LAST - timedelta(days=11))}" in past.text
    for wrong in ("/songs/nothing/", "/artists/nothing/", "/places/nowhere/history/", "/places/nowhere/"):
        assert client.get(wrong, headers={"Accept": "text/html"}).status_code == 404


AWKWARD = {
    "17": "1.975",
    "remix-17": "AC/DC",
    "a/1": "10,000 Maniacs",
    "52.52": "Sunn O)))",
    h3.latlng_to_cell(38.72, -9.14, 9): "?",
    "abcdefgh-ponmlkjihgfedcba": "µ-Ziq",
}


def test_a_listeners_own_list_leads_to_pages_whatever_ids_look_like(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids stand in no address: one may have a slash, read like a position, or end as another one."""
    items = edge.items

    def named(place: str, *, size: int) -> list[dict[str, Any]]:
        lines = zip(items(place, size=size), AWKWARD.items(), strict=False)
        return [item | {"track_id": id_, "artist_id": by, "artist": by} for item, (id_, by) in lines]

    monkeypatch.setattr(edge, "items", named)
    lines = edge.past_items("world", LAST, size=len(AWKWARD))
    append(workspace.history, Night(LAST, LAST, 7, "v"), [("world", "popular", lines)], kept=50, artists=AWKWARD)
    publish(workspace)
    client = Client(workspace, settings=settings)
    found = client.get("/v1/me/trending", headers=bearer("listener", workspace=workspace, settings=settings)).json()
    assert [item["track_id"] for item in found["items"]] == list(AWKWARD)
    for item in found["items"]:
        song, artist = client.get(item["page"]), client.get(item["artist_page"])
        assert (song.status_code, artist.status_code) == (200, 200), item["track_id"]
        assert f"<h1>{escape(item['title'])}</h1>" in song.text
        assert f"<h1>{escape(item['artist'])}</h1>" in artist.text


@pytest.mark.parametrize("name", ["remix-17", "x-track-1", "x-ünits"])
def test_what_stands_behind_the_last_hyphen_is_no_id(client: Client, name: str) -> None:
    assert client.get(f"/songs/{name}/").status_code == 404
    assert client.get(f"/artists/{name}/").status_code == 404


def test_a_page_of_a_song_or_an_artist_is_found_by_the_id_alone(client: Client) -> None:
    song = client.get("/v1/search", params={"q": "song 1"}).json()["tracks"][0]
    assert song["track_id"] == "track-1", "an id with a hyphen, before which an address has a name"
    assert client.get("/songs/track-1/").content == client.get(song["page"]).content
    assert client.get("/artists/%C3%BCnits/").content == client.get(artist_address("ünits", "The Ünits")).content


def test_the_operators_app_is_linked_where_it_is_named(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    catalogue = settings.catalogue.model_copy(update={"url": "https://play.example/{track_id}"})
    playing = Client(workspace, settings=settings.model_copy(update={"catalogue": catalogue}))
    assert playing.get("/v1/tracks/track-1").json()["play"] == "https://play.example/track-1"
    assert "play" not in client.get("/v1/tracks/track-1").json()
    for path, links in (("/", 50), ("/songs/track-1/", 1), ("/me", 1)):
        text = playing.get(path).text
        assert (
            len(re.findall(r'<a class="play"[^>]* href="https://play\.example/[^"]*" rel="noopener noreferrer">', text))
            == links
        )
        assert "play.example" not in client.get(path).text
        assert 'class="play"' not in client.get(path).text


def test_a_line_is_played_and_shared_whether_its_artist_has_an_id_or_not(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = edge.items("world", size=3)
    del lines[1]["artist_id"]
    monkeypatch.setattr(edge, "items", lambda place, *, size: lines)
    publish(workspace)
    page = Client(workspace, settings=settings).get("/").text
    assert (page.count("data-share"), page.count("data-song"), page.count("data-by")) == (3, 3, 2)


def test_a_name_that_reads_like_a_position_stands_in_no_address() -> None:
    """Else the position filter would refuse the address."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    draw, parts = random.Random(seed), ("38", "9", "7", "n", "s", "w", "e", "-", " ", "lat", "8539336bfff", "ffff", ".")
    for text in ("".join(draw.choices(parts, k=8)) for _ in range(3_000)):
        assert not holds_position(song_address("t", text)), text


def test_a_page_says_in_its_head_what_it_is_about_and_its_own_address(client: Client) -> None:
    """For search engines, as any words before an id lead to it, and for whom a link is shared with."""
    song = client.get("/v1/search", params={"q": "song 1"}).json()["tracks"][0]["page"]
    artist = artist_address("ünits", "The Ünits")
    place, past = f"/places/lisboa-{LISBON}/", f"/places/lisboa-{LISBON}/history/"
    for asked, own, told in (
        (
            song.replace("/song-", "/called-otherwise-"),
            song,
            f"On the popular chart of 3 places on {_TOLD}. First listed on ",
        ),
        (artist, artist, "The Ünits: Song "),
        (f"/?place={LISBON}", place, f"{_TOLD}: 1. Song 1 of"),
        (past, past, ""),
    ):
        text = client.get(asked).text
        assert f'<link rel="canonical" href="{own}">' in text, asked
        for name in ('name="description"', 'property="og:description"'):
            assert f'<meta {name} content="{told}' in text, asked
    assert "canonical" not in client.get(f"{place}?night={LAST - timedelta(days=3)}").text


def test_a_place_has_one_page_under_both_addresses(client: Client) -> None:
    assert client.get(f"/places/lisboa-{LISBON}/").content == client.get(f"/?place={LISBON}").content
    assert client.get(f"/places/another-name-{LISBON}/").content == client.get(f"/?place={LISBON}").content
    assert client.get("/places/world/").content == client.get("/").content


def test_with_the_history_away_charts_are_served_and_what_needs_it_says_so(
    workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """No song is denied that there is, and the log tells it once."""
    keep_nights(workspace)
    publish(workspace)
    whole = workspace.history.read_bytes()
    workspace.history.write_bytes(b"no database" * 1000)
    client = Client(workspace, settings=settings)
    for path in (CHART, "/", f"/places/lisboa-{LISBON}/", f"{CHART}?night={AS_OF}", "/?q=lisb", "/v1/search?q=lisb"):
        assert client.get(path).status_code == 200, path
    assert capsys.readouterr().err.count("chart history away") == 1
    song, past = song_address("track-2", "Song 2"), f"/places/lisboa-{LISBON}/history/"
    pages = (song, artist_address("ünits", "The Ünits"), past, "/?q=unit", "/places/world/?night=2026-10-20", "/data/")
    answers = ("/v1/tracks/track-2", "/v1/artists/a", "/v1/releases", "/v1/search?q=unit", f"{CHART}?night=2026-10-20")
    for path in (*pages, *answers):
        assert client.get(path, headers={"Accept": "text/html"}).status_code == 503, path
    assert "still being made" not in client.get(song).text
    assert client.get(answers[0]).json()["type"] == "/problems/not-ready"
    workspace.history.write_bytes(whole)
    assert client.get("/v1/tracks/track-2").status_code == 200
    assert "Earlier nights" in client.get("/").text


def test_nothing_is_published_without_its_past(workspace: Workspace, settings: Settings) -> None:
    before = publish(workspace, as_of="2026-10-30", files=settings)
    workspace.history.write_bytes(b"no database" * 1000)
    with pytest.raises(NotReadyError, match="the chart history cannot be read"):
        publish(workspace, files=settings)
    assert workspace.current.read_text() == before


@pytest.mark.parametrize(
    ("title", "address"),
    [
        ("Café au Lait (Live)", "/songs/cafe-au-lait-live-"),
        ("苔浜リツ", "/songs/"),
        ("38.7223, -9.1393", "/songs/"),
        ("../../etc/passwd", "/songs/etc-passwd-"),
    ],
)
def test_any_title_has_an_address_that_leads_to_it(title: str, address: str) -> None:
    found = song_address("id/with ?", title)
    assert found.startswith(address)
    assert id_in(found.strip("/").rpartition("/")[2]) == mark_of("id/with ?")


def test_a_snapshot_from_before_the_history_knows_no_song(workspace: Workspace, settings: Settings) -> None:
    """As after a restore, or while nights are drawn again: all charts that are kept are of later nights."""
    keep_nights(workspace, last=str(LAST + timedelta(days=3)), nights=3)
    publish(workspace)
    client = Client(workspace, settings=settings)
    pages = (song_address("track-1", "x"), artist_address("ünits", "x"))
    for address in (
        "/v1/tracks/track-1",
        f"/v1/tracks/{mark_of('track-1')}",
        f"/v1/artists/{mark_of('ünits')}",
        *pages,
    ):
        assert client.get(address).status_code == 404, address
    assert client.get("/v1/search", params={"q": "track"}).json()["tracks"] == []


def test_a_history_of_a_later_release_takes_only_songs_and_the_past_away(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    with closing(sqlite3.connect(workspace.history)) as database:
        database.execute("PRAGMA user_version = 99")
    later = Client(workspace, settings=settings)
    assert later.get("/v1/tracks/track-1").status_code == 503
    assert later.get(CHART).json() == client.get(CHART).json()
