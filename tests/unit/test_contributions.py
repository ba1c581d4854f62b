"""Contributions: one part a night, all tracks alike, as much as was earned; never a look at anybody else."""

from collections import Counter
from datetime import date, timedelta

import polars as pl
import pytest
from support.arriving import KEY, NIGHT, Quarters, coarse

from recsys.cells.contributions import Bounded, bound, bound_for_partner
from recsys.cells.earnings import BALANCES
from recsys.errors import InputError
from recsys.schemas import Contributions
from recsys.settings import PrivacySettings, load_settings
from recsys.weights import FULL, SQUARE

ANA, BO = "a" * 32, "b" * 28 + "0001"
DAY = timedelta(days=1)
SETTINGS = load_settings()
PRIVACY = SETTINGS.privacy
NOTHING = pl.DataFrame(schema=dict(BALANCES))


def full(*listeners: str, night: date = NIGHT - DAY) -> pl.DataFrame:
    """Balances that hold as much as they can: 20 listeners squared."""
    rows = [(who, night, 20 * SQUARE, 20 * SQUARE) for who in listeners]
    return pl.DataFrame(rows, schema=dict(BALANCES), orient="row")


def bounded(
    listens: pl.DataFrame,
    *,
    balances: pl.DataFrame = NOTHING,
    settings: PrivacySettings = PRIVACY,
    night: date = NIGHT,
    key: bytes = KEY,
) -> pl.DataFrame:
    return found(listens, balances=balances, settings=settings, night=night, key=key).contributions


def found(
    listens: pl.DataFrame,
    *,
    balances: pl.DataFrame = NOTHING,
    settings: PrivacySettings = PRIVACY,
    night: date = NIGHT,
    key: bytes = KEY,
) -> Bounded:
    return bound(listens.lazy(), night=night, atlas=Quarters(), balances=balances, settings=settings, key=key)


def partner_file(*nightly: pl.DataFrame, night: date = NIGHT, **bounds: int) -> pl.DataFrame:
    settings = SETTINGS.partner.model_copy(update=bounds)
    return bound_for_partner(pl.concat(nightly).lazy(), night=night, settings=settings, key=KEY)


def test_plays_are_summed_by_listener_and_track() -> None:
    found = bounded(coarse([(ANA, "t1", 1), (ANA, "t1", 1), (ANA, "t2", 1), (BO, "t1", 2)]))
    assert found.rows() == [
        (ANA, NIGHT, "P1", "t1", 2, FULL, True, None),
        (ANA, NIGHT, "P1", "t2", 1, FULL, True, None),
        (BO, NIGHT, "P2", "t1", 1, FULL, True, None),
    ]
    assert Contributions.is_valid(found)


def test_the_part_with_the_most_plays_is_the_listeners_and_only_what_was_played_there_counts() -> None:
    found = bounded(
        coarse([(ANA, "t1", 1), (ANA, "t2", 1), (ANA, "t3", 2), (ANA, "t2", 2), (ANA, "t4", None), (ANA, "t1", 5)])
    )
    assert found.select("part", "track_id", "plays", "weight").rows() == [
        ("P1", "t1", 2, FULL),  # of what one night earns two tracks can be paid in full
        ("P1", "t2", 2, FULL),
        ("P1", "t3", 1, 0),  # played in P2
        ("P1", "t4", 1, 0),  # played nobody knows where
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
    assert trains.select("part", "weight", "trained").rows() == [("P1", 0, True)]
    counts = bounded(coarse([(ANA, "t1", 1), (ANA, "t2", None)], models=False))
    assert counts.select("track_id", "weight", "trained").rows() == [("t1", FULL, False)]


def test_a_play_that_may_not_train_adds_nothing_to_one_that_may() -> None:
    listens = pl.concat([coarse([(ANA, "t1", 1)] * 3, models=False), coarse([(ANA, "t1", 1)] * 2)])
    assert bounded(listens).select("plays", "weight", "trained").rows() == [(2, FULL, True)]


def test_all_tracks_weigh_alike_however_often_they_were_played() -> None:
    """Of 2,560 squared sixteenths: 20 tracks of 11 cost 2,420 and a little, of 12 they would cost 2,880."""
    favourite = [(f"{i:032x}", "t0", 1) for i in range(300) for _ in range(50)]
    others = [(f"{i:032x}", f"t{track}", 1) for i in range(300) for track in range(1, 20)]
    night = bounded(coarse(favourite + others), balances=full(*(f"{i:032x}" for i in range(300))))
    assert night.select("weight", "trained").unique().rows() == [(11, True)]
    assert night.height == 300 * 20  # no track is left out


@pytest.mark.parametrize(
    ("tracks", "weight"),
    [(1, 16), (9, 16), (10, 15), (20, 11), (40, 7), (64, 6), (200, 3), (2_000, 1), (3_000, 0)],
)
def test_the_weight_of_a_night_is_the_largest_that_the_bound_of_a_night_allows(tracks: int, weight: int) -> None:
    """The largest w with tracks w² <= 2,560, less what the totals cost: 40 tracks could have 8 without them."""
    night = bounded(coarse([(ANA, f"t{i}", 1) for i in range(tracks)]), balances=full(ANA))
    assert night["weight"].unique().to_list() == [weight]
    assert tracks * (weight + 1) ** 2 > 2_560 - 500 or weight == FULL


def test_who_is_not_known_has_what_one_night_earns() -> None:
    """687 squared sixteenths, of the year's (1,000 - 20) * 256 / 365: four tracks of 13 cost 676, and the totals 1."""
    night = bounded(coarse([(BO, f"t{i}", 1) for i in range(4)]))
    assert night["weight"].to_list() == [13] * 4
    assert found(coarse([(BO, f"t{i}", 1) for i in range(4)])).balances.rows() == [(BO, NIGHT, 914 - 677, 687 - 677)]


def test_light_nights_save_for_heavy_ones() -> None:
    """20 tracks on the second night: after one track on the first (257) there are 687 - 256 + 687 = 1,118 for them."""
    heavy = coarse([(BO, f"t{i}", 1) for i in range(20)], night=NIGHT + DAY)
    light = found(coarse([(BO, "t1", 1)]))
    assert light.balances.rows() == [(BO, NIGHT, 914 - 256, 687 - 256)]  # in both totals so little was rounded to 0
    weights = [
        bounded(heavy, balances=balances, night=NIGHT + DAY)["weight"][0] for balances in (light.balances, NOTHING)
    ]
    assert weights == [7, 5]  # 980 and 500, and the totals; 8 would cost 1,280, and 6 720


def test_balances_of_those_who_did_not_play_are_passed_on_as_they_are() -> None:
    """Also of one who played, but nothing that may count."""
    before = pl.concat([full(ANA), full("c" * 32, night=NIGHT - 9 * DAY)])
    listens = pl.concat([coarse([(BO, "t1", 1)]), coarse([("c" * 32, "t1", 1)], charts=False)])
    night = found(listens, balances=before)
    assert night.balances["listener"].to_list() == [ANA, BO, "c" * 32]
    assert night.balances.filter(pl.col("listener") != BO).equals(before)


def test_a_night_that_is_not_after_the_balance_adds_nothing() -> None:
    for days in (0, 1):
        night = found(coarse([(ANA, "t1", 1)]), balances=full(ANA, night=NIGHT + days * DAY))
        assert night.contributions["weight"].to_list() == [0]


def test_the_order_of_rows_changes_nothing() -> None:
    rows = [(f"{i % 7:032x}", f"t{i % 23}", i % 5) for i in range(500)]
    listens, settings = coarse(rows), PRIVACY.model_copy(update={"most_per_night": 3})
    assert bounded(listens, settings=settings).equals(bounded(listens.reverse(), settings=settings))


def test_partner_statistics_have_a_part_of_their_own_and_count_nowhere_else() -> None:
    """At home in P1 for the charts; for partners, who may see other plays of the night, in P2."""
    charts = coarse([(ANA, "t1", 1), (ANA, "t1", 1), (ANA, "t2", 1), (ANA, "t3", 2)])
    partner = coarse([(ANA, "t3", 2), (ANA, "t4", 2), (ANA, "t5", 3)], charts=False, models=False, partner=True)
    partner = partner.with_columns(cell=pl.lit(None, pl.UInt64))
    found = bounded(pl.concat([charts, partner]))
    assert found.select("part", "track_id", "plays", "weight", "trained", "partner_part").rows() == [
        ("P1", "t1", 2, FULL, True, None),
        ("P1", "t2", 1, FULL, True, None),
        ("P1", "t3", 1, 0, True, "P2"),
        ("P1", "t4", 1, 0, False, "P2"),  # t5 was played elsewhere, and is for nothing else
    ]
    alone = bounded(charts)
    used = (pl.col("weight") > 0) | pl.col("trained")
    assert found.filter(used).drop("partner_part").equals(alone.drop("partner_part"))


def test_a_partner_file_has_one_part_and_a_few_tracks_of_a_listener() -> None:
    nightly = [
        bounded(coarse([(ANA, f"t{i}", part) for i in range(9)], night=night, partner=True), night=night)
        for part, night in ((1, NIGHT), (2, NIGHT + DAY), (2, NIGHT + 2 * DAY))
    ]
    nightly.append(bounded(coarse([(BO, "t1", 3)])))  # who does not allow it
    found = partner_file(*nightly, max_tracks=4)
    assert found.select("listener", "part").unique().rows() == [(ANA, "P2")]
    assert found["track_id"].n_unique() == found.height == 4
    assert found.select("night", "plays", "weight").unique().rows() == [(NIGHT, 2, FULL)]  # on two nights
    again = partner_file(pl.concat(nightly).reverse(), max_tracks=4)
    assert again.equals(found)


def test_other_listeners_change_nothing_in_a_partner_file() -> None:
    mine = bounded(coarse([(ANA, f"t{i}", 1) for i in range(30)], partner=True))
    crowd = bounded(coarse([(f"{i:032x}", f"t{j}", 1) for i in range(9) for j in range(i)], partner=True))
    alone, among = partner_file(mine, max_tracks=5), partner_file(crowd, mine, max_tracks=5)
    assert alone.height == 5
    assert among.filter(pl.col("listener") == ANA).equals(alone)


@pytest.mark.parametrize(("tracks", "weight"), [(1, 16), (29, 16), (30, 15), (100, 8), (150, 7), (200, 6), (250, 6)])
def test_the_more_tracks_a_partner_file_has_of_a_listener_the_less_each_weighs(tracks: int, weight: int) -> None:
    """The largest w with tracks w² and the totals within 30 * 256 = 7,680, of 200 tracks at most."""
    nightly = bounded(coarse([(ANA, f"t{i}", 1) for i in range(tracks)], partner=True))
    file = partner_file(nightly)
    assert file.height == min(tracks, 200)
    assert file["weight"].unique().to_list() == [weight]


def test_a_partner_file_depends_on_nothing_that_was_earned() -> None:
    """Whether a listener counted in full in the charts, or not at all: the file has a bound of its own."""
    listens = coarse([(ANA, f"t{i}", 1) for i in range(20)], partner=True)
    rich, poor = (
        bounded(listens, balances=balances)
        for balances in (full(ANA), full(ANA).with_columns(of_28=pl.lit(-9_999, pl.Int32)))
    )
    assert (rich["weight"].max(), poor["weight"].max()) == (11, 0)
    assert partner_file(rich).equals(partner_file(poor))


def test_other_listeners_change_nothing() -> None:
    mine = [(ANA, f"t{i}", i % 3) for i in range(30)]
    alone = found(coarse(mine), balances=full(ANA))
    crowd = [(f"{i // 10:032x}", f"t{i % 30}", i // 10 % 4) for i in range(400)]  # they have too many, too
    owing = full(BO, *(f"{i:032x}" for i in range(9))).with_columns(of_28=pl.lit(-9_999, pl.Int32))
    among = found(coarse(crowd + mine), balances=pl.concat([full(ANA), owing]))
    assert among.contributions.filter(pl.col("listener") == ANA).equals(alone.contributions)
    assert among.balances.filter(pl.col("listener") == ANA).equals(alone.balances)


def test_a_night_without_listens_has_no_contributions() -> None:
    assert bounded(coarse([])).is_empty()


def test_a_frame_with_a_position_does_not_cross_the_border() -> None:
    with pytest.raises(InputError, match="latitude: found Float64, expected None"):
        bounded(coarse([(ANA, "t1", 1)]).with_columns(latitude=38.7))
