"""Contributions: one part a night, a few tracks, a few nights; never a look at anybody else."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl
import pytest
from support.arriving import KEY, NIGHT, Quarters, coarse

from recsys.cells.contributions import bound, bound_for_partner
from recsys.errors import InputError
from recsys.schemas import Contributions
from recsys.settings import PrivacySettings, load_settings

ANA, BO = "a" * 32, "b" * 28 + "0001"
NO_PAST = pl.DataFrame(schema={"listener": pl.String, "night": pl.Date})
DAY = timedelta(days=1)


def privacy(max_tracks: int = 10, max_nights: int = 12, max_nights_per_year: int = 365) -> PrivacySettings:
    caps = {"max_tracks": max_tracks, "max_nights": max_nights, "max_nights_per_year": max_nights_per_year}
    return load_settings().privacy.model_copy(update=caps)


def bounded(
    listens: pl.DataFrame,
    *,
    past: pl.DataFrame = NO_PAST,
    settings: PrivacySettings | None = None,
    night: date = NIGHT,
    key: bytes = KEY,
) -> pl.DataFrame:
    return bound(listens, night=night, atlas=Quarters(), past=past, settings=settings or privacy(), key=key)


def nights(listener: str, *back: int) -> pl.DataFrame:
    return pl.DataFrame({"listener": listener, "night": [NIGHT - days * DAY for days in back]}, schema=NO_PAST.schema)


def counts_after(*back: int, **caps: int) -> bool:
    found = bounded(coarse([(BO, "t1", 1)]), past=nights(BO, *back), settings=privacy(**caps))
    return bool(found["counted"].item())


def test_plays_are_summed_by_listener_and_track() -> None:
    found = bounded(coarse([(ANA, "t1", 1), (ANA, "t1", 1), (ANA, "t2", 1), (BO, "t1", 2)]))
    assert found.rows() == [
        (ANA, NIGHT, "P1", "t1", 2, True, True, None),
        (ANA, NIGHT, "P1", "t2", 1, True, True, None),
        (BO, NIGHT, "P2", "t1", 1, True, True, None),
    ]
    assert Contributions.is_valid(found)


def test_the_part_with_the_most_plays_is_the_listeners_and_only_what_was_played_there_counts() -> None:
    found = bounded(
        coarse([(ANA, "t1", 1), (ANA, "t2", 1), (ANA, "t3", 2), (ANA, "t2", 2), (ANA, "t4", None), (ANA, "t1", 5)])
    )
    assert found.select("part", "track_id", "plays", "counted").rows() == [
        ("P1", "t1", 2, True),
        ("P1", "t2", 2, True),
        ("P1", "t3", 1, False),  # played in P2
        ("P1", "t4", 1, False),  # played nobody knows where
    ]


def test_between_equal_parts_the_key_decides() -> None:
    rows = [(f"{i:032x}", "t1", part) for i in range(200) for part in (1, 2)]
    parts = Counter(bounded(coarse(rows)).unique("listener")["part"])
    assert parts.keys() == {"P1", "P2"}
    assert min(parts.values()) > 60  # of 200 fair draws fewer than 61 are 1 in 10^8
    other = bounded(coarse(rows), key=b"another")
    assert not other["part"].equals(bounded(coarse(rows))["part"])


def test_what_may_not_count_still_trains_and_what_is_neither_is_gone() -> None:
    trains = bounded(coarse([(ANA, "t1", 1)], charts=False))
    assert trains.select("part", "counted", "trained").rows() == [("P1", False, True)]
    counts = bounded(coarse([(ANA, "t1", 1), (ANA, "t2", None)], models=False))
    assert counts.select("track_id", "counted", "trained").rows() == [("t1", True, False)]


def test_a_play_that_may_not_train_adds_nothing_to_one_that_may() -> None:
    listens = pl.concat([coarse([(ANA, "t1", 1)] * 3, models=False), coarse([(ANA, "t1", 1)] * 2)])
    assert bounded(listens).select("plays", "counted", "trained").rows() == [(2, True, True)]


def test_at_most_max_tracks_count_and_plays_do_not_choose_them() -> None:
    favourite = [(f"{i:032x}", "t0", 1) for i in range(300) for _ in range(50)]
    others = [(f"{i:032x}", f"t{track}", 1) for i in range(300) for track in range(1, 10)]
    found = bounded(coarse(favourite + others), settings=privacy(max_tracks=4))
    counted = found.filter("counted")
    assert set(counted.group_by("listener").len()["len"]) == {4}
    assert found.height == 3000  # the rest still trains
    expected, sigma = 300 * 4 / 10, (300 * 0.4 * 0.6) ** 0.5
    assert all(abs(n - expected) < 5 * sigma for n in Counter(counted["track_id"]).values())


def test_the_choice_of_tracks_differs_from_night_to_night() -> None:
    rows = [(ANA, f"t{track}", 1) for track in range(20)]
    chosen = {
        tuple(bounded(coarse(rows, night=night), night=night).filter("counted")["track_id"])
        for night in (NIGHT + days * DAY for days in range(20))
    }
    assert len(chosen) > 15


def test_the_order_of_rows_changes_nothing() -> None:
    rows = [(f"{i % 7:032x}", f"t{i % 23}", i % 5) for i in range(500)]
    listens, settings = coarse(rows), privacy(max_tracks=3)
    assert bounded(listens, settings=settings).equals(bounded(listens.reverse(), settings=settings))


@pytest.mark.parametrize(
    ("others", "counts"), [(range(3, 27, 3), True), (range(3, 28, 2), False), (range(28, 60), True)]
)
def test_nobody_counts_on_more_than_max_nights_of_any_28(others: range, counts: bool) -> None:
    assert counts_after(*others, max_nights=12) == counts  # 8, 13 and none within 27 nights


def test_the_bound_looks_both_ways_in_whatever_order_nights_are_run() -> None:
    assert not counts_after(*range(-24, 0, 2), max_nights=12)
    assert counts_after(*range(-60, -27), max_nights=12)


@pytest.mark.parametrize(
    ("others", "counts"),
    [
        (range(92, 365, 30), True),  # 10 nights
        (range(90, 365, 25), False),  # 11
        (range(-364, -92, 25), False),
        (range(365, 700, 7), True),
        (range(-700, -364, 7), True),
        ([*range(100, 250, 25), *range(-250, -100, 30)], False),  # 6 and 5 on either side
    ],
)
def test_nobody_counts_on_more_than_the_nights_of_a_year(others: Sequence[int], counts: bool) -> None:
    assert counts_after(*others, max_nights_per_year=11) == counts


def test_within_91_own_nights_only_a_quarter_of_a_year_counts() -> None:
    """BO's digits 0001 start its quarters on days whose ordinal is 1 modulo 91: by hand, 739,285 = 91 * 8124 + 1."""
    start = date.fromordinal(739_285)
    for days, expected in ((90, False), (91, True)):
        night = start + days * DAY
        past = pl.DataFrame({"listener": BO, "night": [start, start + 40 * DAY]}, schema=NO_PAST.schema)
        settings = privacy(max_nights_per_year=8)  # a quarter of which is 2
        found = bounded(coarse([(BO, "t1", 1)], night=night), past=past, night=night, settings=settings)
        assert found["counted"].item() == expected


def test_partner_statistics_have_a_part_of_their_own_and_count_nowhere_else() -> None:
    """At home in P1 for the charts; for partners, who may see other plays of the night, in P2."""
    charts = coarse([(ANA, "t1", 1), (ANA, "t1", 1), (ANA, "t2", 1), (ANA, "t3", 2)])
    partner = coarse([(ANA, "t3", 2), (ANA, "t4", 2), (ANA, "t5", 3)], charts=False, models=False, partner=True)
    partner = partner.with_columns(cell=pl.lit(None, pl.UInt64))
    found = bounded(pl.concat([charts, partner]))
    assert found.select("part", "track_id", "plays", "counted", "trained", "partner_part").rows() == [
        ("P1", "t1", 2, True, True, None),
        ("P1", "t2", 1, True, True, None),
        ("P1", "t3", 1, False, True, "P2"),
        ("P1", "t4", 1, False, False, "P2"),  # t5 was played elsewhere, and is for nothing else
    ]
    alone = bounded(charts)
    unused = pl.col("counted") | pl.col("trained")
    assert found.filter(unused).drop("partner_part").equals(alone.drop("partner_part"))


def test_a_partner_file_has_one_part_and_a_few_tracks_of_a_listener() -> None:
    nightly = [
        bounded(coarse([(ANA, f"t{i}", part) for i in range(9)], night=night, partner=True), night=night)
        for part, night in ((1, NIGHT), (2, NIGHT + DAY), (2, NIGHT + 2 * DAY))
    ]
    nightly.append(bounded(coarse([(BO, "t1", 3)])))  # who does not allow it
    found = bound_for_partner(pl.concat(nightly).lazy(), night=NIGHT, max_tracks=4, key=KEY)
    assert found.select("listener", "part").unique().rows() == [(ANA, "P2")]
    assert found["track_id"].n_unique() == found.height == 4
    assert found.select("night", "plays", "counted").unique().rows() == [(NIGHT, 2, True)]  # on two nights
    again = bound_for_partner(pl.concat(nightly).reverse().lazy(), night=NIGHT, max_tracks=4, key=KEY)
    assert again.equals(found)


def test_tonight_itself_does_not_stand_in_its_own_way() -> None:
    assert counts_after(0, max_nights=1)


def test_within_an_own_week_only_a_quarter_of_the_nights_counts() -> None:
    """BO's digits 0001 start its weeks on days whose ordinal is 1 modulo 7: by hand, 739,320 = 7 * 105,617 + 1."""
    start = date.fromordinal(739_320)
    week = [start + days * DAY for days in range(7)]
    counted: list[date] = []
    for night in [*week, week[-1] + DAY]:
        past = pl.DataFrame({"listener": BO, "night": counted}, schema=NO_PAST.schema)
        found = bounded(coarse([(BO, "t1", 1)], night=night), past=past, night=night, settings=privacy(max_nights=8))
        counted += [night] if found["counted"].item() else []
    assert counted == [week[0], week[1], week[-1] + DAY]
    around = pl.DataFrame({"listener": BO, "night": [start - DAY, *(week[-1] + days * DAY for days in (1, 2))]})
    alone = bounded(coarse([(BO, "t1", 1)], night=week[3]), past=around, night=week[3], settings=privacy(max_nights=8))
    assert alone["counted"].all()  # what was counted in the weeks around does not matter


def test_weeks_of_listeners_begin_on_different_days() -> None:
    listeners = [f"{i:032x}" for i in range(700)]
    yesterday = pl.DataFrame({"listener": listeners, "night": NIGHT - DAY}, schema=NO_PAST.schema)
    found = bounded(coarse([(who, "t1", 1) for who in listeners]), past=yesterday, settings=privacy(max_nights=4))
    assert found["counted"].sum() == 100  # whose week begins tonight


def test_other_listeners_change_nothing() -> None:
    mine, settings = [(ANA, f"t{i}", i % 3) for i in range(30)], privacy(max_tracks=5)
    alone = bounded(coarse(mine), settings=settings)
    crowd = [(f"{i // 10:032x}", f"t{i % 30}", i // 10 % 4) for i in range(400)]  # they have too many, too
    among = bounded(coarse(crowd + mine), past=nights(BO, 1, 2, 3), settings=settings)
    assert among.filter(pl.col("listener") == ANA).equals(alone)


def test_a_night_without_listens_has_no_contributions() -> None:
    assert bounded(coarse([])).is_empty()


def test_a_frame_with_a_position_does_not_cross_the_border() -> None:
    with pytest.raises(InputError, match="latitude: found Float64, expected None"):
        bounded(coarse([(ANA, "t1", 1)]).with_columns(latitude=38.7))
