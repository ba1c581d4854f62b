"""What the charts of a place are sure of, and what of it holds near the smaller places in it."""

from typing import Any

import pytest

from recsys.artifacts.standings import LESS, MORE, RISES, TOP, standings_near, standings_of


def item(track: str, low: float, high: float, *, rank: int = 20, grade: str | None = None) -> dict[str, Any]:
    more = {} if grade is None else {"grade": grade}
    return {"track_id": track, "rank": rank, "lift_interval": {"low": low, "high": high}, **more}


def test_only_intervals_that_leave_one_out_are_sure() -> None:
    popular = [
        item("a", 1.01, 3),
        item("b", 0.2, 0.99),
        item("c", 1.0, 2.0),
        item("d", 0.5, 1.0),
        item("e", 1, 1, rank=10),
    ]
    assert standings_of("popular", popular) == {"a": MORE, "b": LESS, "e": TOP}
    assert standings_of("rising", [item("a", 1.2, 3, grade="surely"), item("b", 1.2, 3, grade="likely")]) == {
        "a": RISES
    }
    assert standings_of("rising", [item("a", 1.0, 3, grade="surely")]) == {}
    assert not standings_of("local", [item("a", 0.9, 9, grade="likely")])["a"] & (MORE | LESS | RISES | TOP)
    assert standings_of("local", [item("a", 1.1, 9, grade="likely")])["a"] & MORE


def test_where_the_place_itself_only_guesses_no_larger_one_makes_it_sure() -> None:
    guess = standings_of("local", [item("t", 0.8, 9, grade="guess")])["t"]
    sure = standings_of("local", [item("t", 1.5, 9, grade="surely")])["t"]
    for here, expected in ((guess, 0), (0, MORE)):
        known = {"here": here, "PT": sure}
        assert standings_near(["t"], ["here", "PT"], known=lambda at, _, k=known: k[at]).tolist() == [expected]


@pytest.mark.parametrize(
    ("here", "country", "expected"),
    [
        (0, "local", MORE),  # listed here without a clear difference, and special in the country
        (0, "less", 0),
        (None, "less", LESS),  # not even listed here
        (None, "popular", 0),  # its share in the country, of which a small place may be no part
        (LESS, "local", LESS),  # what the place itself says counts
        (MORE, "less", MORE),
        (0, "rising", RISES),
        (TOP, None, TOP),
    ],
)
def test_a_larger_place_speaks_where_the_place_itself_does_not(here: int | None, country: str, expected: int) -> None:
    items = {
        "local": ("local", item("t", 1.5, 9)),
        "less": ("popular", item("t", 0.1, 0.5)),
        "popular": ("popular", item("t", 1.5, 9)),
        "rising": ("rising", item("t", 1.5, 9, grade="surely")),
    }
    above = standings_of(items[country][0], [items[country][1]])["t"] if country else 0
    known = {"here": here, "PT": above, "world": RISES | LESS}
    assert standings_near(["t"], ["here", "PT", "world"], known=lambda at, _: known[at]).tolist() == [expected]


def test_the_list_of_the_world_is_near_nothing() -> None:
    assert standings_near(["t"], ["world"], known=lambda *_: TOP | RISES).tolist() == [0]
