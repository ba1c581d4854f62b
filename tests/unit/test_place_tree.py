"""The tree of places: who lives where, whose parent is whose, and who serves whom."""

import numpy as np
import pytest
from support.checkerboard import settings
from support.listening import contributions

from recsys.models.interactions import Interactions, gather
from recsys.models.place_tree import WORLD_ROW, Places

# a and b in two parts of X, c in the remainder of X, d in a part of Y, e in a part without a country, f nowhere.
ROWS = [
    *[("a", 0, "P", "x", 1), ("b", 0, "Q", "x", 1), ("c", 0, "X", "x", 1), ("d", 0, "R", "x", 1)],
    *[("e", 0, "S", "x", 1), ("f", 0, None, "x", 1)],
]
COUNTRIES = {"P": "X", "Q": "X", "R": "Y"}


@pytest.fixture
def known() -> Interactions:
    return gather(contributions(ROWS), settings=settings(), parents=COUNTRIES)


def test_countries_follow_the_parts_and_hold_their_remainders(known: Interactions) -> None:
    places = Places.of(known)
    assert places.names == ("P", "Q", "R", "S", "X", "X/*", "Y/*")
    assert places.parents.tolist() == [5, 5, 6, WORLD_ROW, 5, WORLD_ROW, WORLD_ROW]
    assert places.sizes(known).tolist() == [1, 1, 1, 1, 1, 3, 1]
    assert [known.listeners[places.rows(known, place)].to_list() for place in (0, 5, 6)] == [
        ["a"],
        ["a", "b", "c"],
        ["d"],
    ]


def test_without_countries_everybodys_parent_is_the_world() -> None:
    places = Places.of(gather(contributions(ROWS), settings=settings()))
    assert places.names == ("P", "Q", "R", "S", "X")
    assert set(places.parents.tolist()) == {WORLD_ROW}


def test_whoever_has_no_model_is_served_the_nearest_above(known: Interactions) -> None:
    places = Places.of(known)
    assert places.nearest({0, 5}).tolist() == [0, 5, WORLD_ROW, WORLD_ROW, 5, 5, WORLD_ROW, WORLD_ROW]
    assert set(places.nearest(set()).tolist()) == {WORLD_ROW}


def test_a_part_that_was_never_seen_is_its_country_and_else_the_world(known: Interactions) -> None:
    rows = [("g", 0, "Q", "x", 1), ("h", 0, "new", "x", 1), ("i", 0, "far", "x", 1), ("j", 0, None, "x", 1)]
    other = gather(contributions(rows), settings=settings(), parents={"new": "X", "far": "Z"})
    assert Places.of(known).homes_of(other).tolist() == [1, 5, WORLD_ROW, WORLD_ROW]


def test_nobody_lives_in_an_empty_world() -> None:
    nobody = gather(contributions([]), settings=settings())
    places = Places.of(nobody)
    assert (len(places), places.nearest(set()).tolist()) == (0, [WORLD_ROW])
    np.testing.assert_array_equal(places.sizes(nobody), [])
