"""Whatever a listener plays, and in whatever order nights and rows come: the bounds of promise 5 hold."""

import tempfile
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from support.arriving import KEY, NIGHT, Quarters, coarse

from recsys.cells.contributions import bound
from recsys.cells.store import Store
from recsys.settings import PrivacySettings, StoreSettings, load_settings

LISTENERS = ("a" * 32, "0" * 28 + "0003")
PLAYS = st.lists(
    st.tuples(st.sampled_from(LISTENERS), st.integers(0, 7).map("t{}".format), st.none() | st.integers(0, 6)),
    max_size=25,
)
SCHEMA = {"listener": pl.String, "night": pl.Date}


def privacy(max_tracks: int, max_nights: int, max_nights_per_year: int = 365) -> PrivacySettings:
    caps = {"max_tracks": max_tracks, "max_nights": max_nights, "max_nights_per_year": max_nights_per_year}
    return load_settings().privacy.model_copy(update=caps)


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


@settings(max_examples=40)
@given(
    days=st.permutations(range(60)).flatmap(lambda order: st.integers(10, 60).map(lambda n: order[:n])),
    apart=st.sampled_from([1, 1, 7, 13]),
    max_nights=st.integers(1, 28),
    max_nights_per_year=st.integers(1, 60),
)
def test_no_window_holds_more_counted_nights_than_its_cap_in_whatever_order_they_are_run(
    days: list[int], apart: int, max_nights: int, max_nights_per_year: int
) -> None:
    counted: dict[str, set[date]] = defaultdict(set)
    caps = privacy(1, max_nights, max_nights_per_year)
    for night in (NIGHT + timedelta(days=day * apart) for day in days):
        past = pl.DataFrame(
            [(who, other) for who, others in counted.items() for other in others], schema=SCHEMA, orient="row"
        )
        listens = coarse([(who, "t1", 1) for who in LISTENERS], night=night)
        found = bound(listens, night=night, atlas=Quarters(), past=past, settings=caps, key=KEY)
        for who in found.filter("counted")["listener"]:
            counted[who].add(night)
    for nights in counted.values():
        for first in nights:
            assert sum(first <= other < first + timedelta(days=28) for other in nights) <= max_nights
            assert sum(first <= other < first + timedelta(days=365) for other in nights) <= max_nights_per_year


@settings(max_examples=15)
@given(
    steps=st.lists(st.integers(1, 40), min_size=5, max_size=30),
    late=st.lists(st.integers(0, 7), min_size=30, max_size=30),
    max_nights_per_year=st.integers(1, 12),
)
def test_the_store_remembers_who_was_counted_for_as_long_as_a_cap_reaches(
    steps: list[int], late: list[int], max_nights_per_year: int
) -> None:
    """Nights come in order or up to 7 late, one may be run twice, and every one lets older ones expire."""
    order = [NIGHT + timedelta(days=sum(steps[: i + 1]) - late[i]) for i in range(len(steps))]
    caps, counted = privacy(1, 28, max_nights_per_year), defaultdict(set)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), StoreSettings(nights=35, buckets=2))
        for night in [*order, *order[-1:]]:
            listens = coarse([(who, "t1", 1) for who in LISTENERS], night=night)
            past = store.counted_nights((0, 1), night)
            found = bound(listens, night=night, atlas=Quarters(), past=past, settings=caps, key=KEY)
            store.write_night(night, [((0, 1), found)])
            store.expire(night)
            for who in LISTENERS:
                counted[who] -= {night}
            for who in found.filter("counted")["listener"]:
                counted[who].add(night)
    for nights in counted.values():
        for first in nights:
            assert sum(first <= other < first + timedelta(days=365) for other in nights) <= max_nights_per_year


@given(plays=PLAYS, others=PLAYS, max_tracks=st.integers(1, 4))
def test_allowing_partner_statistics_changes_nothing_else(
    plays: list[tuple[str, str, int | None]], others: list[tuple[str, str, int | None]], max_tracks: int
) -> None:
    def bounded(listens: pl.DataFrame) -> pl.DataFrame:
        past = pl.DataFrame(schema=SCHEMA)
        return bound(listens, night=NIGHT, atlas=Quarters(), past=past, settings=privacy(max_tracks, 12), key=KEY)

    partners_alone = coarse(others, charts=False, models=False, partner=True).with_columns(cell=pl.lit(None, pl.UInt64))
    found = bounded(pl.concat([coarse(plays, partner=True), partners_alone]))
    charts = found.filter(pl.col("counted") | pl.col("trained")).drop("partner_part")
    assert charts.equals(bounded(coarse(plays)).drop("partner_part"))
    partner = found.filter(pl.col("partner_part").is_not_null())
    assert partner.group_by("listener").agg(pl.col("partner_part").n_unique())["partner_part"].to_list() in (
        [], [1], [1, 1]
    )  # fmt: skip
    seen = {(who, track, f"P{cell % 4}") for who, track, cell in plays + others if cell is not None}
    assert set(partner.select("listener", "track_id", "partner_part").rows()) <= seen
