"""What the map is told of music: a track for every region with charts of its own, and a hexagon to draw."""

import h3
import pytest
from support.edge import LISBON, Client, items, publish

from recsys.serving.lists import number_ones
from recsys.settings import Settings
from recsys.workspace import Workspace


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    return Client(workspace, settings=settings)


def test_every_region_with_charts_has_its_number_one_and_its_corners(client: Client) -> None:
    found = client.get("/v1/regions/map").json()
    first = {"track_id": "track-1", "title": f"Song 1 of {LISBON}", "artist": "The Ünits"}
    assert (found["as_of"], found["total"], found["tracks"]) == ("2026-10-31", 1, [first])
    (region,) = found["regions"]  # neither a country nor a region without charts
    corners = [[round(longitude, 3), round(latitude, 3)] for latitude, longitude in h3.cell_to_boundary(LISBON)]
    assert region == {
        "id": LISBON,
        "name": "Lisboa",
        "country": "Portugal",
        "parent": "PT",
        "corners": corners,
        "popular": 0,
        "local": None,
        "grade": None,
    }


def test_the_most_common_track_comes_first(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    one, two, three = (items(LISBON, size=3)[at] for at in range(3))
    monkeypatch.setattr(number_ones, "_first", lambda *_: {"popular": two, "local": two | {"grade": "likely"}})
    published = client.app.state.endpoint.current.get()
    assert [each["track_id"] for each in number_ones.number_ones_answer(published)["tracks"]] == ["track-2"]
    firsts = iter([{"popular": three, "local": one}])
    monkeypatch.setattr(number_ones, "_first", lambda *_: next(firsts))
    found = number_ones.number_ones_answer(published)
    assert [each["track_id"] for each in found["tracks"]] == ["track-1", "track-3"]
    assert (found["regions"][0]["popular"], found["regions"][0]["local"]) == (1, 0)


def test_of_very_many_regions_the_largest_are_told(monkeypatch: pytest.MonkeyPatch, client: Client) -> None:
    monkeypatch.setattr(number_ones, "MOST", 0)
    found = client.get("/v1/regions/map").json()
    assert (found["total"], found["regions"], found["tracks"]) == (1, [], [])


def test_nothing_else_is_asked_of_the_map(client: Client) -> None:
    assert client.get("/v1/regions/map?limit=1").status_code == 400
    assert client.get("/v1/regions/map/charts/popular").status_code == 404
