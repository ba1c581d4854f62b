from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from recsys.errors import NotReadyError
from recsys.releases.charts.charts import Charts
from recsys.releases.charts.rank_history import lists_of, with_history
from recsys.schemas import Chart

NIGHTS = [date(2026, 10, 1) + timedelta(days=day) for day in range(12)]
ORDERS = ["abc", "bac", "bca", "cxb", "acb", "abc", "abd", "abd", "abd", "dab", "dab", "bda"]  # of each night


class Drawing:
    """Draws a chart of three tracks a night, and remembers for which nights."""

    def __init__(self) -> None:
        self.nights: list[date] = []

    def __call__(self, nights: Sequence[date]) -> Charts:
        self.nights.append(nights[-1])
        schema = {name: column.dtype for name, column in Chart.columns().items()}
        numbers = dict.fromkeys(("estimate", "low", "high", "lift", "lift_low", "lift_high"), 1.0)
        facts = {"place": "world", "chart": "popular", "previous_rank": None, "nights_on_chart": 1, "nights": 7}
        rows = [
            {**facts, **numbers, "rank": rank, "track_id": track, "kind": None}
            for rank, track in enumerate(ORDERS[NIGHTS.index(nights[-1])], start=1)
        ]
        return Charts(pl.DataFrame(rows, schema=schema), ("popular",))


def moves(charts: Charts) -> list[tuple[str, int | None, int]]:
    return charts.lines.select("track_id", "previous_rank", "nights_on_chart").rows()


def test_ranks_and_nights_run_on_from_night_to_night(tmp_path: Path) -> None:
    draw, found = Drawing(), []
    for last in range(1, 5):
        found.append(moves(with_history(NIGHTS[:last], draw=draw, folder=tmp_path, version="1")))
    assert found == [
        [("a", None, 1), ("b", None, 1), ("c", None, 1)],
        [("b", 2, 2), ("a", 1, 2), ("c", 3, 2)],
        [("b", 1, 3), ("c", 3, 3), ("a", 2, 3)],
        [("c", 2, 4), ("x", None, 1), ("b", 1, 4)],
    ]
    assert draw.nights == NIGHTS[:4]  # each once


def test_a_track_that_comes_back_is_new(tmp_path: Path) -> None:
    for last in range(1, 6):
        found = with_history(NIGHTS[:last], draw=Drawing(), folder=tmp_path, version="1")
    assert moves(found) == [("a", None, 1), ("c", 1, 5), ("b", 3, 5)]


def test_the_same_night_again_changes_nothing(tmp_path: Path) -> None:
    first, again = (with_history(NIGHTS[:4], draw=Drawing(), folder=tmp_path, version="1") for _ in range(2))
    assert moves(first) == moves(again)


def test_a_catch_up_draws_three_nights(tmp_path: Path) -> None:
    draw = Drawing()
    found = with_history(NIGHTS, draw=draw, folder=tmp_path, version="1")
    assert draw.nights == NIGHTS[-3:]
    assert moves(found) == [("b", 3, 3), ("d", 1, 3), ("a", 2, 3)]


def test_a_gap_is_filled_as_far_as_three_nights_go(tmp_path: Path) -> None:
    with_history(NIGHTS[:10], draw=Drawing(), folder=tmp_path, version="1")
    draw = Drawing()
    with_history(NIGHTS[:12], draw=draw, folder=tmp_path, version="1")
    assert draw.nights == NIGHTS[10:12]


def test_other_settings_derive_anew(tmp_path: Path) -> None:
    with_history(NIGHTS[:11], draw=Drawing(), folder=tmp_path, version="1")
    draw = Drawing()
    with_history(NIGHTS[:12], draw=draw, folder=tmp_path, version="2")
    assert draw.nights == NIGHTS[9:12]


def test_a_damaged_file_is_derived_anew(tmp_path: Path) -> None:
    with_history(NIGHTS[:11], draw=Drawing(), folder=tmp_path, version="1")
    (tmp_path / f"{NIGHTS[10]}.parquet").write_bytes(b"PAR1 but no")
    draw = Drawing()
    found = with_history(NIGHTS[:12], draw=draw, folder=tmp_path, version="1")
    assert draw.nights == NIGHTS[10:12]
    assert moves(found) == [("b", 3, 4), ("d", 1, 4), ("a", 2, 4)]


def test_only_a_week_of_files_is_kept(tmp_path: Path) -> None:
    for last in range(1, 13):
        with_history(NIGHTS[:last], draw=Drawing(), folder=tmp_path, version="1")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{night}.parquet" for night in NIGHTS[-7:]]


def test_lists_that_were_kept_are_not_drawn_again(tmp_path: Path) -> None:
    """Those of the last night of some, in order; of a night that was not kept, or by other settings, they are drawn."""
    with_history(NIGHTS[:6], draw=Drawing(), folder=tmp_path, version="1")
    for last, version, drawn in ((5, "1", False), (2, "1", True), (5, "2", True)):
        draw = Drawing()
        found = lists_of(NIGHTS[:last], draw=draw, folder=tmp_path, version=version)
        assert found.rows() == [("world", "popular", track) for track in ORDERS[last - 1]]
        assert draw.nights == ([NIGHTS[last - 1]] if drawn else [])
    assert not (tmp_path / f"{NIGHTS[1]}.parquet").exists()


def test_nights_under_another_atlas_have_no_charts(tmp_path: Path) -> None:
    """Only the last night is under this atlas: it is drawn, and its tracks are new."""
    drawing = Drawing()

    def draw(nights: Sequence[date]) -> Charts:
        if nights[-1] < NIGHTS[5]:
            raise NotReadyError("the last nights were released under another atlas")
        return drawing(nights)

    assert moves(with_history(NIGHTS[:6], draw=draw, folder=tmp_path, version="1"))[0] == ("a", None, 1)
    with pytest.raises(NotReadyError):
        with_history(NIGHTS[:5], draw=draw, folder=tmp_path, version="1")
