"""Interleaving: two rankers pick in turn, neither gains by chance alone, and the better one shows in plays."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.artifacts.interleaving import CHALLENGER, TEAMS, keyed_coin, team_draft
from recsys.models.evaluation.interleaved import PART_SCHEMA, Preference, preference

SIZE, LISTENERS = 30, 400
Order = Callable[[np.random.Generator], np.ndarray]


def fair(seed: int) -> Callable[[], bool]:
    return keyed_coin(str(seed).encode(), key=bytes(32))


orders = st.permutations(range(12)).map(np.array)


@given(champion=orders, challenger=orders, seed=st.integers(0, 99))
def test_everything_is_picked_once_and_both_pick_alike_often(
    champion: np.ndarray, challenger: np.ndarray, seed: int
) -> None:
    order, teams = team_draft(champion, challenger, coin=fair(seed))
    assert sorted(order.tolist()) == list(range(12))
    for end in range(0, 13, 2):
        assert teams[:end].sum() * 2 == end
    for at, (pick, team) in enumerate(zip(order.tolist(), teams.tolist(), strict=True)):
        left = [each for each in (champion, challenger)[team].tolist() if each not in order[:at].tolist()]
        assert pick == left[0]  # the best that was left of the team's own order


@given(order=orders, seed=st.integers(0, 99))
def test_two_that_are_alike_make_the_list_of_either(order: np.ndarray, seed: int) -> None:
    assert team_draft(order, order, coin=fair(seed))[0].tolist() == order.tolist()


@given(champion=orders, challenger=orders, flips=st.lists(st.booleans(), min_size=12, max_size=12))
def test_who_is_called_what_makes_no_difference(
    champion: np.ndarray, challenger: np.ndarray, flips: list[bool]
) -> None:
    one, other = iter(flips), iter([not flip for flip in flips])
    order, teams = team_draft(champion, challenger, coin=lambda: next(one))
    again, swapped = team_draft(challenger, champion, coin=lambda: next(other))
    assert (order.tolist(), teams.tolist()) == (again.tolist(), (1 - swapped).tolist())


def test_nothing_makes_an_empty_list() -> None:
    nothing = np.zeros(0, dtype=np.intp)
    assert [len(each) for each in team_draft(nothing, nothing, coin=fair(0))] == [0, 0]


def test_the_coin_is_fair_and_falls_the_same_way_again() -> None:
    flips = [fair(seed)() for seed in range(2_000)]
    assert 900 < sum(flips) < 1_100
    coin, again = fair(7), fair(7)
    long = [coin() for _ in range(2_000)]  # more than one digest has
    assert 900 < sum(long) < 1_100
    assert long == [again() for _ in range(2_000)]
    other = keyed_coin(b"7", key=b"another key")
    assert long != [other() for _ in range(2_000)]


def played(champion: Order, challenger: Order, *, seed: int, listeners: int = LISTENERS) -> pl.DataFrame:
    """Let listeners look down shared lists from the top, and play what they like: what is of a low number, most often.

    Parameters
    ----------
    champion, challenger : callable
        Draws the order of one listener.
    """
    random, rows = np.random.default_rng(seed), []
    for number in range(listeners):
        order, teams = team_draft(champion(random), challenger(random), coin=fair(1_000 * seed + number))
        seen = random.random(SIZE) < 0.9 ** np.arange(SIZE)  # the top is seen more often, whatever is there
        liked = random.random(SIZE) < 0.6 * 0.85**order
        rows += [(f"{number:032x}", TEAMS[team]) for team in teams[seen & liked].tolist()]
    return pl.DataFrame(rows, schema={"listener": pl.String, "team": pl.String}, orient="row")


def noisy(noise: float) -> Order:
    """A ranker that knows what listeners like, but for some noise."""
    return lambda random: np.argsort(np.arange(SIZE) + noise * random.normal(size=SIZE))


NOBODY_AT_HOME = pl.DataFrame(schema={"listener": pl.String, "part": pl.String, "night": pl.Date, "plays": pl.Int64})


def told(credits: pl.DataFrame, rows: pl.DataFrame = NOBODY_AT_HOME, *, at_least: int = 10) -> Preference:
    return preference(credits, rows, challenger=CHALLENGER, at_least=at_least)


@pytest.mark.parametrize("noise", [0.0, 8.0], ids=["the same ranker", "two that are as good"])
def test_of_two_that_are_alike_neither_is_preferred(noise: float) -> None:
    """On average over many comparisons; and the interval leaves zero out about as seldom as it says."""
    found = [told(played(noisy(noise), noisy(noise), seed=seed, listeners=150)).difference for seed in range(40)]
    means = np.array([each.mean for each in found])
    assert abs(means.mean()) < 3 * means.std() / np.sqrt(len(means))
    assert sum(each.is_certain for each in found) <= 6  # of 40, two are expected, and more than six in one of 150 runs


def test_what_is_better_is_preferred_whichever_it_is() -> None:
    good, bad = noisy(1.0), noisy(30.0)
    assert told(played(bad, good, seed=1)).difference.low > 0
    assert told(played(good, bad, seed=1)).difference.high < 0


def test_every_listener_counts_once() -> None:
    often = pl.DataFrame({"listener": ["a"] * 97 + ["b", "c"], "team": [CHALLENGER] * 97 + ["champion"] * 2})
    found = told(often, at_least=3)
    assert found.difference.mean == pytest.approx((1 - 1 - 1) / 3)
    both = pl.DataFrame({"listener": ["a"] * 4, "team": [CHALLENGER] * 3 + ["champion"]})
    assert told(both, at_least=1).difference.mean == pytest.approx((3 - 1) / (3 + 1))


def test_nothing_is_told_of_few_and_nothing_follows_from_the_rest() -> None:
    """Eleven in one part, ten in another, and one in a third, which would follow from the total."""
    listeners = [f"{number:032x}" for number in range(22)]
    homes = ["big"] * 11 + ["middle"] * 10 + ["small"]
    rows = pl.DataFrame({"listener": listeners, "part": homes, "night": "2026-10-01", "plays": 1})
    credits = pl.DataFrame({"listener": listeners, "team": [CHALLENGER] * 22})
    found = told(credits, rows)
    assert (found.listeners, found.difference.mean) == (22, pytest.approx(1.0))
    assert found.by_part.select("part", "listeners").rows() == [("big", 11)]
    few = told(credits.head(9), rows)
    assert (few.listeners, few.by_part.height, np.isnan(few.difference.mean)) == (None, 0, True)
    assert few.by_part.schema == PART_SCHEMA
    assert told(credits.clear(), rows).listeners is None
