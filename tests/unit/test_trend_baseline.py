from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom
from support.trending import ATLAS, CHARTS, FIRST, PARTS, TRACKS, counted, drawn, lines, steady

from recsys.artifacts.list_candidates import GRADES
from recsys.schemas import Chart, at_border

AA1 = PARTS.index("aa1")


@pytest.fixture
def random() -> Iterator[np.random.Generator]:
    seed = int(np.random.SeedSequence().entropy) % 2**32  # type: ignore[arg-type]
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def falsely(count: int, lists: int) -> bool:
    """Tell whether so many non-empty lists can hardly be chance, where a tenth may be."""
    return count > binom.ppf(1 - 1e-7, lists, 0.1)


def test_nothing_rises_where_weekdays_and_growth_are_all_there_is(random: np.random.Generator) -> None:
    """Weekends have half as many listeners again, each track has weekdays of its own, and the platform doubles."""
    false = 0
    for _ in range(8):
        rates = steady() * np.exp(0.3 * random.normal(size=(1, len(PARTS), TRACKS)))
        weekdays = np.where(np.arange(7) >= 5, 1.5, 1.0)[:, None] * np.exp(0.15 * random.normal(size=(7, TRACKS)))
        rates *= np.tile(weekdays, (5, 1))[:, None] * np.exp(np.log(2) * np.arange(35) / 34)[:, None, None]
        found = drawn(counted(rates, random=random))
        assert found.kinds == ("popular", "rising", "local")
        at_border(found.lines, Chart)
        false += lines(found, "rising")["place"].n_unique()
    assert not falsely(false, 8 * len(ATLAS.members))


def test_a_planted_step_is_found_in_its_place_with_its_lift(random: np.random.Generator) -> None:
    """Track 80 has 50 listeners a night, and in aa1 200 in the last three nights."""
    rates = steady()
    rates[-3:, AA1, 79] *= 4
    found = lines(drawn(counted(rates, random=random)), "rising")
    assert set(found["track_id"]) >= {"t00079"}
    line = found.row(by_predicate=(pl.col("place") == "aa1") & (pl.col("track_id") == "t00079"), named=True)
    assert line["kind"] == "mover"
    assert line["rank"] == 1
    assert line["lift_low"] / 1.4 < 4 < line["lift_high"] * 1.4  # a 95 % interval alone misses once in twenty
    assert line["lift"] == pytest.approx(4, rel=0.5)
    assert line["estimate"] == pytest.approx(200, abs=6 * 20)
    assert line["nights"] in {2, 4}
    assert "aa2" not in set(found.filter(pl.col("track_id") == "t00079")["place"])


def test_a_debut_is_told_from_a_mover(random: np.random.Generator) -> None:
    """Nobody knew tracks 150 and 151; 10 had a past, and 30 as well, but came out a week ago."""
    rates = steady()
    rates[:, :, [150, 151]] = 0.0
    rates[-4:, AA1, [150, 151]] = 150.0
    rates[-4:, AA1, [10, 30]] += 400.0
    born = {"t00030": FIRST + timedelta(days=28), "t00010": FIRST - timedelta(days=500)}
    found = lines(drawn(counted(rates, random=random), born=born), "rising", ["aa1"])
    kinds = dict(found.select("track_id", "kind").iter_rows())
    assert {track: kinds[track] for track in ("t00150", "t00151", "t00010", "t00030")} == {
        "t00150": "debut",
        "t00151": "debut",
        "t00010": "mover",
        "t00030": "debut",
    }
    assert found["lift"].max() < 1000  # over at least one listener a night


def test_a_planted_track_is_local_where_it_was_planted(random: np.random.Generator) -> None:
    rates = steady(7)
    rates[:, AA1, 99] = 400.0  # 40 elsewhere
    found = drawn(counted(rates, random=random))
    assert found.kinds == ("popular", "local")  # seven nights have no past
    local = lines(found, "local", ["aa1"])
    assert local["track_id"][0] == "t00099"
    assert local["lift_low"][0] <= 10 <= local["lift_high"][0]
    assert lines(found, "local", ["world", "aa2", "bb1"]).filter(pl.col("track_id") == "t00099").is_empty()
    assert lines(found, "rising").is_empty()


def test_charts_name_the_nights_of_their_window_and_what_paid_for_them(random: np.random.Generator) -> None:
    """Of nine nights the last seven; the past of the rising chart is not among them."""
    found = drawn(counted(steady(9), random=random))
    assert found.nights == tuple(FIRST + timedelta(days=day) for day in range(2, 9))
    assert found.ledger_numbers == tuple(range(1, 8))  # as `releasing.window` numbers any seven nights


def test_nothing_is_local_where_all_places_are_alike(random: np.random.Generator) -> None:
    false = sum(lines(drawn(counted(steady(7), random=random)), "local")["place"].n_unique() for _ in range(10))
    assert not falsely(false, 10 * (len(ATLAS.members) - 1))


def test_lists_are_ordered_and_their_intervals_say_what_they_claim(random: np.random.Generator) -> None:
    rates = steady()
    rates[-5:, AA1, 20:40] *= np.linspace(2, 8, 20)
    found = drawn(counted(rates, random=random))
    for chart in ("rising", "local"):
        some = lines(found, chart, ["aa1"])
        assert some["rank"].to_list() == list(range(1, some.height + 1))
        assert some.height <= CHARTS.size
        assert (some["low"] <= some["estimate"]).all()
        assert (some["estimate"] <= some["high"]).all()
        assert (some["lift_low"] >= 1).all()
        assert (some["lift_low"] <= some["lift"]).all()
    local = lines(found, "local", ["aa1"])
    assert local["lift_low"].to_list() == sorted(local["lift_low"], reverse=True)
    assert lines(found, "rising", ["aa1"]).height == CHARTS.size


def test_what_is_sure_comes_first_and_guesses_last(random: np.random.Generator) -> None:
    rates = steady()
    rates[-5:, AA1, 20:24] *= 4
    settings = CHARTS.model_copy(update={"size": 40})
    found = drawn(counted(rates, random=random), settings=settings)
    for chart, place in (("rising", "aa1"), ("local", "aa1"), ("rising", "world")):
        every = found.lines.filter(chart=chart, place=place)
        grades = every["grade"].to_list()
        assert grades == sorted(grades, key=GRADES.index)
        assert grades[0] == "surely"
        assert every["track_id"].is_unique().all()
        assert every["rank"].to_list() == list(range(1, every.height + 1))
        assert every.height <= settings.size
        assert grades.count("guess") <= 10
        unsure = lines(found, chart, [place], unsure=True)
        assert (unsure["lift"] > 1).all()
        assert (unsure["low"] <= unsure["estimate"]).all()
        assert (unsure["estimate"] <= unsure["high"]).all()


def test_where_nothing_happens_a_guess_claims_next_to_nothing(random: np.random.Generator) -> None:
    guesses = lines(drawn(counted(steady(), random=random)), "rising", unsure=True).filter(grade="guess")
    assert guesses.height > 0
    assert guesses["lift"].median() < 1.5
    assert (guesses["lift_low"] < 1).all()


@pytest.mark.parametrize(("nights", "there"), [(12, False), (13, True), (35, True)])
def test_rising_needs_a_week_of_past(nights: int, there: bool, random: np.random.Generator) -> None:
    """The longest of the windows is six nights; the week before them is nights 7 to 12 back, and one more."""
    found = drawn(counted(steady(nights), random=random), settings=CHARTS.model_copy(update={"min_past_nights": 6}))
    assert ("rising" in found.kinds) == there
