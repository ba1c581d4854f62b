"""Whatever a listener plays, and in whatever order nights and rows come: the bounds of promise 5 hold."""

from collections import defaultdict
from datetime import date, timedelta

import polars as pl
from arriving import KEY, NIGHT, Quarters, coarse
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.cells.contributions import bound
from recsys.settings import PrivacySettings, load_settings

LISTENERS = ("a" * 32, "0" * 28 + "0003")
PLAYS = st.lists(
    st.tuples(st.sampled_from(LISTENERS), st.integers(0, 7).map("t{}".format), st.none() | st.integers(0, 6)),
    max_size=25,
)
SCHEMA = {"listener": pl.String, "night": pl.Date}


def privacy(max_tracks: int, max_nights: int) -> PrivacySettings:
    return load_settings().privacy.model_copy(update={"max_tracks": max_tracks, "max_nights": max_nights})


@given(plays=PLAYS, max_tracks=st.integers(1, 4), charts=st.booleans())
def test_a_night_is_bounded_and_does_not_depend_on_the_order_of_rows(
    plays: list[tuple[str, str, int | None]], max_tracks: int, charts: bool
) -> None:
    def bounded(listens: pl.DataFrame) -> pl.DataFrame:
        past = pl.DataFrame(schema=SCHEMA)
        return bound(listens, night=NIGHT, atlas=Quarters(), past=past, settings=privacy(max_tracks, 12), key=KEY)

    found = bounded(coarse(plays, charts=charts))
    assert found.equals(bounded(coarse(sorted(plays, key=str, reverse=True), charts=charts)))
    assert found.filter("counted").height == 0 or charts
    for _, rows in found.group_by("listener"):
        assert rows["part"].n_unique() == 1
        assert rows["counted"].sum() <= max_tracks
    assert not found.select("listener", "track_id").is_duplicated().any()
    played = {(who, track, f"P{cell % 4}") for who, track, cell in plays if cell is not None}
    assert set(found.filter("counted").select("listener", "track_id", "part").rows()) <= played


@settings(max_examples=25, deadline=None)
@given(
    days=st.permutations(range(60)).flatmap(lambda order: st.integers(10, 60).map(lambda n: order[:n])),
    max_nights=st.integers(1, 28),
)
def test_on_any_28_nights_a_listener_counts_on_max_nights_in_whatever_order_they_are_run(
    days: list[int], max_nights: int
) -> None:
    counted: dict[str, set[date]] = defaultdict(set)
    for night in (NIGHT + timedelta(days=day) for day in days):
        past = pl.DataFrame(
            [(who, other) for who, others in counted.items() for other in others], schema=SCHEMA, orient="row"
        )
        listens = coarse([(who, "t1", 1) for who in LISTENERS], night=night)
        found = bound(listens, night=night, atlas=Quarters(), past=past, settings=privacy(1, max_nights), key=KEY)
        for who in found.filter("counted")["listener"]:
            counted[who].add(night)
    for nights in counted.values():
        for first in nights:
            assert sum(first <= other < first + timedelta(days=28) for other in nights) <= max_nights
