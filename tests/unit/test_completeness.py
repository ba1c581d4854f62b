"""The completeness gate's judgement: a year without a false stop, every planted fault, and what it says of them."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from support.year import FAULTS, FIRST, NIGHTS, Deliveries, said_of, stops, year

from recsys.arrivals.completeness import judge
from recsys.settings import CompletenessSettings, Settings

FROM_THE_FIRST_NIGHT = (
    "the same rows twice",
    "in three formats",
    "nobody allows anything",
    "one source with latitude and longitude exchanged",
)


@pytest.fixture(scope="module")
def nights() -> Deliveries:
    return year(np.random.default_rng(7))


@pytest.fixture
def completeness(settings: Settings) -> CompletenessSettings:
    return settings.completeness


@pytest.mark.parametrize(("seed", "countries"), [(7, 30), (8, 1)])
def test_a_year_in_which_nothing_is_wrong_is_stopped_once_at_most(
    completeness: CompletenessSettings, seed: int, countries: int
) -> None:
    """Weekends, holidays, Christmas, growth and a viral hit, from the first night on."""
    stopped = stops(year(np.random.default_rng(seed), countries=countries), settings=completeness)
    assert len(stopped) <= 1, stopped


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_caught(nights: Deliveries, completeness: CompletenessSettings, fault: str) -> None:
    early = () if fault == "half a night" else (4, 12)  # a Friday's half is more than half of a Monday
    for day in (*early, 25, 60, 200, NIGHTS - 1):
        night = FIRST + timedelta(days=day)
        faulty = FAULTS[fault](nights[night], nights[night - timedelta(days=1)])
        assert said_of(night, nights, settings=completeness, faulty=faulty), day


@pytest.mark.parametrize("fault", FROM_THE_FIRST_NIGHT)
def test_what_a_night_tells_by_itself_needs_no_other(
    nights: Deliveries, completeness: CompletenessSettings, fault: str
) -> None:
    faulty = FAULTS[fault](nights[FIRST], nights[FIRST])
    assert judge(FIRST, nights={FIRST: faulty}, released=(), settings=completeness, least=20)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("a twentieth", "rows: about 5 % of what is usual on Fridays"),
        ("other rows, fivefold", "listeners: about 5 times what is usual on Fridays"),
        ("a country gone", "share of listeners in C01: almost nothing of what is usual on Fridays"),
        ("cut at 16 h", "share of rows from 16-20 h UTC: almost nothing of what is usual on Fridays"),
        ("one source cut to 70 rows", "share of rows in files like 'ios.parquet': almost nothing of"),
        ("all positions null", "share of rows with a position: almost nothing of what is usual on Fridays"),
        (
            "one source with latitude and longitude exchanged",
            "positions in files like 'ios.parquet' are where people live if latitude and longitude are exchanged",
        ),
        ("the same rows twice", "50 % of its rows repeat another"),
        ("yesterday again", "its rows are those of 2025-07-10 again, but for the date"),
    ],
)
def test_it_says_what_and_where(nights: Deliveries, completeness: CompletenessSettings, fault: str, said: str) -> None:
    night = FIRST + timedelta(days=130)
    faulty = FAULTS[fault](nights[night], nights[night - timedelta(days=1)])
    assert said in "; ".join(said_of(night, nights, settings=completeness, faulty=faulty))


def test_in_a_catch_up_the_nights_that_are_due_are_each_others_past(
    nights: Deliveries, completeness: CompletenessSettings
) -> None:
    due = {night: nights[night] for night in list(nights)[:10]}
    for faulty in list(due):
        spoiled = {**due, faulty: FAULTS["a twentieth"](due[faulty], due[faulty])}
        said = {night: judge(night, nights=spoiled, released=(), settings=completeness, least=20) for night in due}
        assert [night for night, found in said.items() if found] == [faulty]


def test_what_was_accepted_is_not_stopped_on_the_next_night(
    nights: Deliveries, completeness: CompletenessSettings
) -> None:
    """As when a country is left for good, or a service moves: it is asked once."""
    first, second = (FIRST + timedelta(days=day) for day in (130, 131))
    left = {night: FAULTS["half a night"](nights[night], nights[night]) for night in (first, second)}
    assert said_of(first, {**nights, **left}, settings=completeness)
    assert said_of(second, {**nights, **left}, settings=completeness) == []
    assert said_of(second, {**nights, second: left[second]}, settings=completeness)


def test_files_that_were_let_pass_with_exchanged_positions_are_not_stopped_again(
    nights: Deliveries, completeness: CompletenessSettings
) -> None:
    first, second = list(nights)[:2]
    swapped = {night: replace(nights[night], swapped=("ios.parquet",)) for night in (first, second)}
    assert said_of(second, swapped, settings=completeness) == []
    also = replace(swapped[second], swapped=("ios.parquet", "web.csv"))
    assert "'web.csv'" in "; ".join(said_of(second, swapped, settings=completeness, faulty=also))
    due = judge(second, nights=swapped, released=(), settings=completeness, least=20)  # a catch-up: nobody let it pass
    assert "'ios.parquet'" in "; ".join(due)


def test_of_few_listeners_nothing_is_judged_or_said(nights: Deliveries, completeness: CompletenessSettings) -> None:
    """No number of fewer than `least` can be told from a message, and chance alone makes them stray."""
    night = FIRST + timedelta(days=130)
    small = min(nights[night].by_country, key=lambda name: nights[night].by_country[name])
    gone = {name: count for name, count in nights[night].by_country.items() if name != small}
    faulty = replace(nights[night], by_country=gone)
    usual = nights[night].by_country[small]
    known = {**{other: found for other, found in nights.items() if other < night}, night: faulty}
    said = [
        judge(night, nights=known, released=(), settings=completeness, least=least) for least in (usual // 2, 2 * usual)
    ]
    assert f"share of listeners in {small}" in "; ".join(said[0])
    assert said[1] == []


def test_rows_that_always_repeat_are_usual(nights: Deliveries, completeness: CompletenessSettings) -> None:
    """As where times are dates: the first such night is stopped, a later one only if it is there twice."""
    night = FIRST + timedelta(days=30)
    same = {other: replace(found, repeated=0.3) for other, found in nights.items()}
    assert said_of(FIRST, same, settings=completeness)
    assert said_of(night, same, settings=completeness) == []
    assert (
        said_of(night, same, settings=completeness, faulty=FAULTS["the same rows twice"](same[night], same[night]))
        != []
    )


def test_where_times_are_coarse_nights_of_the_same_habits_are_no_copies(
    nights: Deliveries, completeness: CompletenessSettings
) -> None:
    night = FIRST + timedelta(days=1)
    assert said_of(night, nights, settings=completeness, faulty=nights[FIRST])
    dates = replace(nights[FIRST], times=1)
    assert said_of(night, {**nights, FIRST: dates}, settings=completeness, faulty=dates) == []
