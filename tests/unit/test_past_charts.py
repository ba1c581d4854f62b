"""Past charts: drawn once a night, kept for ever, and what a line says over all nights."""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from support.releasing import catalogue

from recsys.artifacts import chart_history
from recsys.artifacts.chart_history import listed, mark_of, nights_of, open_history, told
from recsys.errors import InputError, NotReadyError
from recsys.releases.charts.charts import Charts
from recsys.releases.snapshot import past_charts
from recsys.releases.snapshot.past_charts import PastCharts
from recsys.releases.snapshot.publishing import lists_of
from recsys.schemas import Chart
from recsys.settings import HistorySettings

NIGHTS = [date(2026, 10, 1) + timedelta(days=day) for day in range(12)]
ORDERS = ["abc", "bac", "bca", "cxb", "acb", "abc", "abd", "abd", "abd", "dab", "dab", "bda"]  # of each night
TODAY = date(2026, 10, 20)


class Drawing:
    """Draws a chart of three tracks a night, and remembers for which nights."""

    def __init__(self) -> None:
        self.nights: list[date] = []

    def __call__(self, nights: Sequence[date]) -> Charts:
        self.nights.append(nights[-1])
        schema = {name: column.dtype for name, column in Chart.columns().items()}
        numbers = dict.fromkeys(("low", "high", "lift", "lift_low", "lift_high"), 1.5)
        facts = {"place": "world", "chart": "popular", "nights_on_chart": 1, "nights": 7}
        rows = [
            {**facts, **numbers, "estimate": 508.3 / rank, "rank": rank, "track_id": track}
            for rank, track in enumerate(ORDERS[NIGHTS.index(nights[-1])], start=1)
        ]
        return Charts(pl.DataFrame(rows, schema=schema), ("popular",), nights=tuple(nights[-7:]))


def past(
    folder: Path, draw: past_charts.Draw, *, version: str = "1", today: date = TODAY, **settings: int
) -> PastCharts:
    chosen = HistorySettings(**{"lines": 50, "songs": 100, "catch_up_nights": 400} | settings)
    return PastCharts(folder / "history.db", draw, version, catalogue(list("abcdx")), today, chosen)


def moves(charts: Charts) -> list[tuple[str, int | None, int]]:
    return charts.lines.select("track_id", "previous_rank", "nights_on_chart").rows()


def all_told(charts: Charts) -> list[object]:
    columns = ("track_id", "first_night", "first_rank", "peak_rank", "peak_night", "listed_nights")
    return [row if row[0] == "c" else None for row in charts.lines.select(columns).rows()]


def test_ranks_and_nights_run_on_from_night_to_night(tmp_path: Path) -> None:
    draw = Drawing()
    found = [moves(past(tmp_path, draw).charts(NIGHTS[:last])) for last in range(1, 6)]
    assert found == [
        [("a", None, 1), ("b", None, 1), ("c", None, 1)],
        [("b", 2, 2), ("a", 1, 2), ("c", 3, 2)],
        [("b", 1, 3), ("c", 3, 3), ("a", 2, 3)],
        [("c", 2, 4), ("x", None, 1), ("b", 1, 4)],
        [("a", None, 1), ("c", 1, 5), ("b", 3, 5)],  # what comes back is new, but was seen before
    ]
    assert draw.nights == NIGHTS[:5]  # each once


def test_a_line_tells_of_all_nights(tmp_path: Path) -> None:
    found = past(tmp_path, Drawing()).charts(NIGHTS[:6])
    assert all_told(found) == [None, None, ("c", NIGHTS[0], 3, 1, NIGHTS[3], 6)]


def test_a_catch_up_draws_every_night_once_and_says_when(tmp_path: Path) -> None:
    draw = Drawing()
    told: list[tuple[int, int]] = []
    found = past(tmp_path, draw).charts(NIGHTS, told=lambda done, of: told.append((done, of)))
    assert draw.nights == NIGHTS
    assert told == [(done, len(NIGHTS)) for done in range(1, len(NIGHTS) + 1)]
    assert moves(found) == [("b", 3, 12), ("d", 1, 6), ("a", 2, 8)]
    assert {night.drawn for night in nights_of(tmp_path / "history.db")} == {TODAY}


def test_a_catch_up_is_bounded(tmp_path: Path) -> None:
    draw = Drawing()
    past(tmp_path, draw, catch_up_nights=2).charts(NIGHTS)
    assert draw.nights == NIGHTS[-3:]


@dataclass(frozen=True)
class Remembering:
    """Draws like the other, in any process, and fails where what it remembers is not there yet."""

    folder: Path

    def __call__(self, nights: Sequence[date]) -> Charts:
        earlier = [night for night in nights if night <= nights[-1] - timedelta(days=3)]
        assert not earlier or (self.folder / f"{earlier[-1]}").exists()
        (self.folder / f"{nights[-1]}").write_text(str(os.getpid()))
        if nights[-1] == NIGHTS[5]:
            raise NotReadyError("another atlas")
        return Drawing()(nights)


@pytest.mark.parametrize("nights", [NIGHTS, NIGHTS[::2], [*NIGHTS[:3], *NIGHTS[8:]]])
def test_a_backlog_drawn_side_by_side_is_the_same(tmp_path: Path, nights: list[date]) -> None:
    """Also where nights are missing: what a night remembers is there before it is drawn."""
    alone, together = (replace(past(tmp_path, Remembering(tmp_path)), file=tmp_path / name) for name in "ab")
    found = replace(together, window_nights=3, workers=2).charts(nights)
    assert str(os.getpid()) not in {(tmp_path / f"{night}").read_text() for night in nights}  # the last neither
    assert found.lines.equals(alone.charts(nights).lines)
    assert nights_of(tmp_path / "b") == nights_of(tmp_path / "a")


def test_what_was_published_stays_whatever_would_be_drawn_now(tmp_path: Path) -> None:
    """Another run of the same night, under other settings and on another day, changes no byte."""
    past(tmp_path, Drawing()).charts(NIGHTS[:4])
    before = (tmp_path / "history.db").read_bytes()
    again = past(tmp_path, Drawing(), version="2", today=TODAY + timedelta(days=1)).charts(NIGHTS[:4])
    assert moves(again) == [("c", 2, 4), ("x", None, 1), ("b", 1, 4)]
    assert (tmp_path / "history.db").read_bytes() == before


def test_ranks_that_closed_up_are_followed_as_they_are_told(tmp_path: Path) -> None:
    """The catalogue lost b, of the charts abc, bac, bca, cxb: what is told is ac, ac, ca, cx."""
    found = replace(past(tmp_path, Drawing()), catalogue=catalogue("acdx"))
    columns = ("track_id", "rank", "previous_rank", "first_rank", "peak_rank", "peak_night")
    assert found.charts(NIGHTS[:3]).lines.select(columns).rows() == [
        ("c", 1, 2, 2, 1, NIGHTS[2]),
        ("a", 2, 1, 1, 1, NIGHTS[0]),
    ]
    assert found.charts(NIGHTS[:4]).lines.select(columns).rows() == [
        ("c", 1, 1, 2, 1, NIGHTS[2]),
        ("x", 2, None, 2, 2, NIGHTS[3]),
    ]
    for night in NIGHTS[:4]:
        [(_, _, items)] = told(tmp_path / "history.db", night)
        assert [item["rank"] for item in items] == [1, 2]
        assert all(item["history"]["peak_rank"] <= item["rank"] for item in items)
    assert "b" not in found.lists(NIGHTS[:5])["track_id"].to_list()  # drawn


def test_two_runs_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        past(tmp_path / name, Drawing()).charts(NIGHTS)
    one, two = ((tmp_path / name / "history.db").read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_crash_in_the_midst_of_a_night_leaves_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    past(tmp_path, Drawing()).charts(NIGHTS[:3])
    before = (tmp_path / "history.db").read_bytes()

    def dying(charts: Charts, *, catalogue: pl.DataFrame) -> Iterator[object]:
        yield from lists_of(charts, catalogue=catalogue)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(past_charts, "lists_of", dying)
        with pytest.raises(KeyboardInterrupt):
            past(tmp_path, Drawing()).charts(NIGHTS[:5])
    assert (tmp_path / "history.db").read_bytes() == before
    draw = Drawing()
    assert moves(past(tmp_path, draw).charts(NIGHTS[:5]))[1] == ("c", 1, 5)
    assert draw.nights == NIGHTS[3:5]


def test_what_is_no_history_is_named_and_nothing_is_drawn(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"no database" * 100)
    draw = Drawing()
    with pytest.raises(InputError, match="cannot be used as the chart history"):
        past(tmp_path, draw).charts(NIGHTS[:2])
    assert draw.nights == []


def test_a_history_of_a_later_release_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    past(tmp_path, Drawing()).charts(NIGHTS[:2])
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        database.execute("PRAGMA user_version = 3")
    before, draw = file.read_bytes(), Drawing()
    with pytest.raises(InputError, match="of version 3, this release reads 2 and before"):
        past(tmp_path, draw).charts(NIGHTS[:3])
    with pytest.raises(InputError, match="of version 3"):
        open_history(file, until=NIGHTS[1])
    assert (file.read_bytes(), draw.nights) == (before, [])


def test_a_history_from_before_it_had_a_version_goes_on(tmp_path: Path) -> None:
    past(tmp_path, Drawing()).charts(NIGHTS[:2])
    with closing(sqlite3.connect(tmp_path / "history.db")) as database:
        database.execute("PRAGMA user_version = 0")
    assert moves(past(tmp_path, Drawing()).charts(NIGHTS[:3]))[0] == ("b", 1, 3)
    with closing(sqlite3.connect(tmp_path / "history.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)


def test_the_folder_is_brought_to_the_disk_once_the_journal_is_gone(tmp_path: Path) -> None:
    """Else a power loss brings back the journal of a night, which takes the night back: SQLite calls that EXTRA."""
    with chart_history._opened(tmp_path / "history.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("PRAGMA synchronous").fetchone() == (3,)
        assert database.execute("PRAGMA page_size").fetchone() == (16384,)


def test_lists_that_were_kept_are_not_drawn_again(tmp_path: Path) -> None:
    """Those of the last night of some, in order; by other settings they are drawn, and not kept."""
    past(tmp_path, Drawing()).charts(NIGHTS[:6])
    for last, version, drawn in ((5, "1", False), (2, "1", False), (5, "2", True), (7, "1", True)):
        draw = Drawing()
        found = past(tmp_path, draw, version=version).lists(NIGHTS[:last])
        assert found.rows() == [("world", "popular", track) for track in ORDERS[last - 1]]
        assert draw.nights == ([NIGHTS[last - 1]] if drawn else [])
    assert [night.night for night in nights_of(tmp_path / "history.db")] == NIGHTS[:6]


def test_nights_under_another_atlas_have_no_charts(tmp_path: Path) -> None:
    """Only the last night is under this atlas: it is drawn, and its tracks are new."""
    drawing = Drawing()

    def draw(nights: Sequence[date]) -> Charts:
        if nights[-1] < NIGHTS[5]:
            raise NotReadyError("the last nights were released under another atlas")
        return drawing(nights)

    assert moves(past(tmp_path, draw).charts(NIGHTS[:6]))[0] == ("a", None, 1)
    with pytest.raises(NotReadyError):
        past(tmp_path, draw).charts(NIGHTS[:5])


def test_of_a_long_list_the_first_lines_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    found = past(tmp_path, Drawing(), lines=1).charts(NIGHTS[:2])
    assert moves(found) == [("b", 2, 2), ("a", 1, 2), ("c", 3, 2)]
    file = tmp_path / "history.db"
    assert [(place, chart, len(items)) for place, chart, items in told(file, NIGHTS[1])] == [("world", "popular", 1)]
    assert [track for _, _, track in listed(file, NIGHTS[1])] == list("bac")


def test_a_history_is_read_by_list_and_by_track_up_to_a_night(tmp_path: Path) -> None:
    past(tmp_path, Drawing()).charts(NIGHTS)
    history = open_history(tmp_path / "history.db", until=NIGHTS[4])
    assert list(history.nights) == NIGHTS[:5]
    items = history.items("world", "popular", night=NIGHTS[3]) or []
    assert [(item["track_id"], item["listeners"]["estimate"], item["history"]["nights"]) for item in items] == [
        ("c", 508.3, 4),
        ("x", 254.2, 1),
        ("b", 169.4, 4),
    ]
    assert history.items("PT", "popular", night=NIGHTS[3]) is None
    assert [step[:2] for step in history.course("world", "popular", "a")] == [
        (NIGHTS[0], 1),
        (NIGHTS[1], 2),
        (NIGHTS[2], 3),
        (NIGHTS[4], 1),
    ]
    assert [(each.night, each.places, each.rank, each.world) for each in history.spread("x")] == [
        (NIGHTS[3], 1, 2, (2, 254.2, 1.5, 1.5))
    ]
    [seen] = history.sightings("b", night=NIGHTS[3])
    assert (seen.place, seen.chart, seen.rank, seen.previous_rank, seen.nights_on_chart, seen.peak_rank) == (
        "world",
        "popular",
        3,
        1,
        4,
        1,
    )
    assert history.ranks("world", "popular", nights=[NIGHTS[0], NIGHTS[3]]) == {
        NIGHTS[0]: ["a", "b", "c"],
        NIGHTS[3]: ["c", "x", "b"],
    }
    history.close()
    with pytest.raises(sqlite3.ProgrammingError):
        history.song("a")


def test_songs_are_found_by_words_ids_and_marks(tmp_path: Path) -> None:
    past(tmp_path, Drawing()).charts(NIGHTS)
    history = open_history(tmp_path / "history.db", until=NIGHTS[-1])
    song = history.song("a")
    assert song is not None
    assert history.song(song.mark) == song
    assert song.mark.isalpha()
    assert history.by_artist(song.artist_mark) == history.by_artist(song.artist_id) != []
    assert song in history.named(song.title[:3].upper(), limit=10)
    assert history.named("%", limit=10) == history.named("nothing like it", limit=10) == []
    assert history.song("unknown") is None
    history.close()


@pytest.mark.parametrize(("until", "limit", "found"), [(-1, 3, "abd"), (-1, 4, "abcd"), (4, 3, "abc"), (4, 9, "abcx")])
def test_the_latest_songs_are_those_that_were_listed_last(tmp_path: Path, until: int, limit: int, found: str) -> None:
    """The track c left on the seventh night, x after the fourth."""
    past(tmp_path, Drawing()).charts(NIGHTS)
    history = open_history(tmp_path / "history.db", until=NIGHTS[until])
    assert "".join(sorted(song.track_id for song in history.latest_songs(limit=limit))) == found
    history.close()


def test_what_was_listed_first_after_the_last_night_is_not_known(tmp_path: Path) -> None:
    """The track x came on the fourth night, d on the seventh; only the first line of each list can be read again."""
    file = tmp_path / "history.db"
    past(tmp_path, Drawing(), lines=1).charts(NIGHTS[:3])
    opened = open_history(file, until=NIGHTS[2])  # before there were more
    past(tmp_path, Drawing(), lines=1).charts(NIGHTS)
    for history, known in (
        (opened, "abc"),
        (open_history(file, until=NIGHTS[2]), "abc"),
        (open_history(file, until=NIGHTS[3]), "abcx"),
        (open_history(file, until=NIGHTS[-1]), "abcdx"),
        (open_history(file, until=NIGHTS[0] - timedelta(days=1)), ""),
    ):
        assert sorted(song.track_id for song in history.latest_songs(limit=100)) == list(known)
        assert {song.track_id for song in history.named("song", limit=10)} == set(known)
        assert set(history.songs("abcdx")) == set(known)
        for track in "abcdx":
            found = history.song(track)
            assert (found is not None, history.by_artist(f"a-{track}") != []) == (track in known,) * 2
            assert history.song(mark_of(track)) == found
        history.close()
