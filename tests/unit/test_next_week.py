"""Next week from the history to the page: forecasts are made once, kept, judged by what was published, and shown."""

import shutil
import sqlite3
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import pytest
from support.edge import AS_OF, LISBON, PORTO, Client, past_items, publish

from pipelines.night.forecasts import forecast_next_week
from recsys.artifacts.chart_history import Night, append, open_history
from recsys.geography.atlas import Atlas
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

LAST = date.fromisoformat(AS_OF)
NIGHTS = 45
_BORN = "born-{}"  # on which night


def _listed(night: date) -> list[str]:
    """Tracks by rank: every second night one enters at rank 95, climbs nine ranks a night to 5 and is gone."""
    tracks = [f"stays-{rank}" for rank in range(1, 101)]
    for born in range(night.toordinal() - 10, night.toordinal() + 1):
        if born % 2 == 0:
            tracks[95 - 9 * (night.toordinal() - born) - 1] = _BORN.format(born)
    return tracks


def _keep(file: Path, night: date) -> None:
    items = [
        item | {"track_id": track, "title": track}
        for item, track in zip(past_items("anywhere", night, size=100), _listed(night), strict=True)
    ]
    append(
        file, Night(night, night, 7, "v"), [(p, "popular", items) for p in (LISBON, "PT", "world")], kept=50, artists={}
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, world_atlas: Atlas) -> Path:
    """A history with forecasts."""
    workspace = Workspace(tmp_path_factory.mktemp("kept"))
    for back in range(NIGHTS - 1, -1, -1):
        _keep(workspace.history, LAST - timedelta(days=back))
    assert _forecast(workspace, world_atlas, load_settings()) == 5  # the last night, and four whole weeks before it
    return workspace.history


def _forecast(workspace: Workspace, atlas: Atlas, settings: Settings) -> int:
    return forecast_next_week(workspace, atlas=atlas, charts=settings.charts, settings=settings.forecasts)


@pytest.fixture
def client(kept: Path, workspace: Workspace, settings: Settings) -> Client:
    shutil.copy(kept, workspace.history)
    publish(workspace)
    return Client(workspace, settings=settings)


def test_a_forecast_is_made_once_and_never_changed(
    kept: Path, workspace: Workspace, world_atlas: Atlas, settings: Settings
) -> None:
    shutil.copy(kept, workspace.history)
    before = open_history(workspace.history, until=LAST).forecasts(LISBON, nights=[LAST])
    assert _forecast(workspace, world_atlas, settings) == 0
    _keep(workspace.history, LAST + timedelta(days=1))
    assert _forecast(workspace, world_atlas, settings) == 5  # the next night, and the weeks before that one
    assert open_history(workspace.history, until=LAST).forecasts(LISBON, nights=[LAST]) == before


def test_a_forecast_of_the_past_is_what_it_would_have_been_then(
    kept: Path, workspace: Workspace, world_atlas: Atlas, settings: Settings
) -> None:
    then = LAST - timedelta(days=7)
    for back in range(NIGHTS - 1, 6, -1):
        _keep(workspace.history, LAST - timedelta(days=back))
    assert _forecast(workspace, world_atlas, settings) > 0
    late, early = (open_history(file, until=LAST).forecasts("PT", nights=[then]) for file in (kept, workspace.history))
    assert late == early
    assert early


def test_nothing_is_forecast_from_too_short_a_past_or_where_it_is_not_wanted(
    kept: Path, workspace: Workspace, world_atlas: Atlas
) -> None:
    for back in range(10, -1, -1):
        _keep(workspace.history, LAST - timedelta(days=back))
    assert _forecast(workspace, world_atlas, load_settings()) == 0
    shutil.copy(kept, workspace.history)
    _keep(workspace.history, LAST + timedelta(days=1))
    assert _forecast(workspace, world_atlas, load_settings(overrides={"forecasts": {"lessons": 0}})) == 0


def test_what_is_on_its_way_up_is_told_with_its_chance(client: Client) -> None:
    found = client.get(f"/v1/regions/{LISBON}/next-week").json()
    assert (found["scope"], found["as_of"], found["until"]) == ("region", AS_OF, str(LAST + timedelta(days=7)))
    day = LAST.toordinal()
    enters = {each["track"]["track_id"]: (each["rank"], each["chance"]) for each in found["enters"]}
    on_the_way = {_BORN.format(born): 95 - 9 * (day - born) for born in range(day - 4, day + 1) if born % 2 == 0}
    assert on_the_way.items() <= {track: rank for track, (rank, _) in enters.items()}.items()
    assert min(enters[track][1] for track in on_the_way) > 0.8
    assert all(each["rank"] <= 50 for each in found["climbs"])
    assert found["climbs"][0]["track"]["track_id"].startswith("born-")


def test_earlier_forecasts_are_told_with_what_happened(client: Client) -> None:
    found = client.get(f"/v1/regions/{LISBON}/next-week").json()
    weeks = found["weeks"]
    assert [each["night"] for each in weeks] == [str(LAST - timedelta(days=7 * week)) for week in range(1, 5)]
    for week in weeks:
        night = date.fromisoformat(week["night"])
        now = {track: rank for rank, track in enumerate(_listed(night), 1)}
        after = [_listed(night + timedelta(days=ahead)) for ahead in range(1, 8)]
        assert week["moves"]
        for move in week["moves"]:
            track = move["track"]["track_id"]
            best = min((tracks.index(track) + 1 for tracks in after if track in tracks), default=999)
            rank = now.get(track, 999)
            assert move["event"] == ("enters" if rank > 50 else "climbs")
            assert move["happened"] == (best <= 50 if rank > 50 else best <= rank - 5)
        assert week["happened"] == sum(move["happened"] for move in week["moves"])
        assert week["expected"] == pytest.approx(sum(move["chance"] for move in week["moves"]), abs=0.2)
    assert found["reliability"][-1]["happened"] > 0.8
    assert [each["low"] for each in found["reliability"]] == sorted(each["low"] for each in found["reliability"])


def test_a_place_without_charts_has_the_forecast_of_a_larger_one(client: Client) -> None:
    found = client.get(f"/v1/regions/{PORTO}/next-week").json()
    assert (found["region"]["id"], found["scope"]) == (PORTO, "country")
    assert found["why"].startswith("Pôrto, Portugal has no forecast of its own. Forecast for Portugal ")


@pytest.mark.parametrize(
    ("url", "status"), [("/v1/regions/nowhere/next-week", 404), ("/v1/regions/PT/next-week?x=1", 400)]
)
def test_a_wrong_question_is_a_problem(client: Client, url: str, status: int) -> None:
    assert client.get(url).status_code == status


def test_a_history_from_before_forecasts_has_none(client: Client, workspace: Workspace, settings: Settings) -> None:
    with closing(sqlite3.connect(workspace.history)) as database:
        database.execute("DROP TABLE forecasts")
        database.execute("PRAGMA user_version = 1")
    found = Client(workspace, settings=settings).get("/v1/regions/PT/next-week").json()
    assert (found["enters"], found["climbs"], found["weeks"], found["reliability"]) == ([], [], [], [])
    assert found["why"] == "Nothing is forecast for Portugal yet: that takes charts of some weeks."


def test_the_page_says_the_same(client: Client) -> None:
    place = client.get(f"/places/lisboa-{LISBON}/")
    assert f'href="/places/lisboa-{LISBON}/next-week/"' in place.text
    page = client.get(f"/places/lisboa-{LISBON}/next-week/")
    assert page.status_code == 200
    found = client.get(f"/v1/regions/{LISBON}/next-week").json()
    first, week = found["enters"][0], found["weeks"][0]
    assert first["track"]["title"] in page.text
    assert f"{week['happened']} of {len(week['moves'])} came true" in page.text
    assert client.get(f"/v1/regions/{LISBON}/next-week.json").json() == found
