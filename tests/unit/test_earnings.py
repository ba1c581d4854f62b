"""Earnings: what two leaky buckets hold, what a night takes from them, and with which weight."""

from datetime import date, timedelta

import polars as pl
import pytest
from support.arriving import NIGHT

from recsys.cells.earnings import BALANCES, Bucket, buckets, pay
from recsys.settings import PrivacySettings, load_settings
from recsys.weights import SQUARE, totals

DAY = timedelta(days=1)
PRIVACY = load_settings().privacy
ANA, BO = "a" * 32, "b" * 28 + "0001"  # whose parts in the totals are known, see test_weights
NOTHING = pl.DataFrame(schema=dict(BALANCES))


def balances(*rows: tuple[str, date, int, int]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict(BALANCES), orient="row")


def paid(
    tracks: dict[str, int], before: pl.DataFrame, *, night: date = NIGHT, settings: PrivacySettings = PRIVACY
) -> list[tuple[object, ...]]:
    played = pl.DataFrame({"listener": list(tracks), "tracks": list(tracks.values())})
    return pay(played, before, night=night, settings=settings).drop("tracks").rows()


def test_size_and_earnings_of_28_and_of_365_nights_come_to_their_bound_and_not_to_more() -> None:
    """100 * 256 / 28 = 914.3 and 980 * 256 / 365 = 687.3 a night, rounded down."""
    found = buckets(PRIVACY)
    assert found == {"of_28": Bucket(5_120, 914), "of_365": Bucket(5_120, 687)}
    for (name, most), nights in zip({"of_28": 120, "of_365": 1_000}.items(), (28, 365), strict=True):
        bucket = found[name]
        assert bucket.size + nights * bucket.earning <= most * SQUARE < bucket.size + nights * (bucket.earning + 1)


def test_a_first_night_has_one_nights_earnings_and_no_more() -> None:
    """One track costs 256, of 687; ten of 8 cost 640, and their totals (10 + 1) // 8 and (80 + 6) // 32 squared 5."""
    assert paid({BO: 1}, NOTHING) == [(BO, NIGHT, 914 - 256, 687 - 256, 16)]
    assert paid({BO: 10}, NOTHING) == [(BO, NIGHT, 914 - 645, 687 - 645, 8)]


@pytest.mark.parametrize("nights", [1, 2, 5])
def test_every_night_is_earned_whoever_plays_or_not(nights: int) -> None:
    before = balances((BO, NIGHT - nights * DAY, 10, 20))
    assert paid({BO: 1}, before) == [(BO, NIGHT, 10 + nights * 914 - 256, 20 + nights * 687 - 256, 16)]


def test_no_bucket_holds_more_than_its_size() -> None:
    for nights in (6, 8, 1_000):
        before = balances((BO, NIGHT - nights * DAY, 0, 4_433))
        assert paid({BO: 1}, before) == [(BO, NIGHT, 5_120 - 256, 5_120 - 256, 16)]  # 6 * 914 = 5,484
    before = balances((BO, NIGHT - 5 * DAY, 0, 4_000))
    assert paid({BO: 1}, before) == [(BO, NIGHT, 4_570 - 256, 5_120 - 256, 16)]  # 5 * 914, and 4,000 + 5 * 687


def test_the_emptier_bucket_decides_and_no_more_than_a_night_may_cost_is_spent() -> None:
    """With 645 in one bucket ten tracks of 8, with 644 of 7; with both full, 15, for 2,250 + 1 + 16 of 2,560."""
    for of_28, of_365, weight, cost in (
        (645, 5_120, 8, 645),
        (5_120, 645, 8, 645),
        (644, 5_120, 7, 495),  # 490, 1 and (70 + 6) // 32 squared
        (5_120, 5_120, 15, 2_267),
    ):
        before = balances((BO, NIGHT - DAY, of_28 - 914, of_365 - 687))
        assert paid({BO: 10}, before) == [(BO, NIGHT, of_28 - cost, of_365 - cost, weight)]


def test_a_debt_is_earned_off_before_anything_counts() -> None:
    before = balances((BO, NIGHT - DAY, -2_000, 0))
    assert paid({BO: 1}, before) == [(BO, NIGHT, -1_086, 687, 0)]
    before = balances((BO, NIGHT - 3 * DAY, -2_000, 0))
    assert paid({BO: 1}, before) == [(BO, NIGHT, 742 - 256, 3 * 687 - 256, 16)]


def test_a_night_that_is_not_after_the_balance_has_nothing_and_leaves_it_no_larger() -> None:
    for days in (0, 3):
        ((_, last, of_28, of_365, weight),) = paid({BO: 1}, balances((BO, NIGHT + days * DAY, 300, 400)))
        assert (last, weight) == (NIGHT + days * DAY, 0)
        assert (of_28, of_365) == (0, 0)


def test_listeners_pay_from_their_own_balances() -> None:
    before = balances((ANA, NIGHT - DAY, 0, 0), (BO, NIGHT - DAY, -5_000, 4_000))
    both = paid({BO: 2, ANA: 1}, before)
    assert both == [*paid({BO: 2}, before), *paid({ANA: 1}, before)]
    assert [row[-1] for row in both] == [0, 16]


@pytest.mark.parametrize("most", [1, 2, 10])
def test_a_night_costs_at_most_what_the_settings_say(most: int) -> None:
    """Of one track in full and its totals, 256 and nothing: more for nobody, however much was earned."""
    settings = PRIVACY.model_copy(update={"most_per_night": most})
    full = balances((BO, NIGHT - DAY, 5_120, 5_120))
    for tracks in (1, 2, 7, 30, 300):
        ((_, _, of_28, _, weight),) = paid({BO: tracks}, full, settings=settings)
        assert tracks * weight**2 <= 5_120 - of_28 <= most * SQUARE


@pytest.mark.parametrize(
    ("nights", "bounds"),
    [(28, {"most_per_28_nights": 60}), (365, {}), (365, {"most_per_365_nights": 300})],
    ids=["28", "365", "365, with less to earn"],
)
def test_who_plays_much_every_night_spends_what_a_window_allows_and_no_more(
    nights: int, bounds: dict[str, int]
) -> None:
    """From full buckets on, 30 tracks a night: little is left that a weight of one sixteenth more would not have."""
    settings = PRIVACY.model_copy(update=bounds)
    most = {28: settings.most_per_28_nights, 365: settings.most_per_365_nights}[nights] * SQUARE
    before, added = balances((BO, NIGHT - DAY, 5_120, 5_120)), 0
    played = pl.DataFrame({"listener": [BO], "tracks": [30]})
    for day in range(nights):
        paid = pay(played, before, night=NIGHT + day * DAY, settings=settings)
        weight, of_tracks, of_weights = (
            paid["weight"].item(),
            *(
                paid.select(total).item()
                for total in totals(pl.col("tracks"), pl.col("weight"), night=NIGHT + day * DAY)
            ),
        )
        added += 30 * weight**2 + of_tracks**2 + of_weights**2
        before = paid.select(*BALANCES)
    assert 0.9 * most < added <= most
