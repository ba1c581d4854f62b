"""Popularity and neighbours, counted by hand."""

import numpy as np
import pytest
from support.checkerboard import settings
from support.listening import contributions

from recsys.models.evaluation.baselines import ItemNeighbours, PopularRegion, PopularWorld, RecentRegion, fit_baselines
from recsys.models.interactions import Interactions, gather

# Tracks by column: x, y, z. Home of a and b is P, of c and d is Q; e's is unknown.
ROWS = [
    ("a", 0, "P", "x", 9),
    ("b", 0, "P", "x", 1),
    ("b", 6, "P", "y", 1),
    ("c", 0, "Q", "z", 1),
    ("d", 0, "Q", "z", 1),
    ("e", 0, None, "z", 1),
]


@pytest.fixture
def five() -> Interactions:
    return gather(contributions(ROWS), settings=settings(half_life_nights=2))


def test_popular_in_the_world_counts_listeners_not_plays(five: Interactions) -> None:
    np.testing.assert_array_equal(PopularWorld.fit(five).scores(np.array([0, 4])), [[2, 1, 3], [2, 1, 3]])


def test_popular_in_a_region_counts_those_at_home_there(five: Interactions) -> None:
    scores = PopularRegion.fit(five).scores(np.array([0, 2]))
    np.testing.assert_array_equal(np.floor(scores), [[2, 1, 0], [0, 0, 2]])


def test_in_a_region_the_world_decides_among_equals_only(five: Interactions) -> None:
    home_q = PopularRegion.fit(five).scores(np.array([2]))[0]
    assert np.argsort(-home_q).tolist() == [2, 0, 1]  # nobody in Q plays x or y; in the world x has more listeners
    assert home_q[0] < 1  # less than any one listener at home


def test_without_a_home_popular_is_popular_in_the_world(five: Interactions) -> None:
    for model in (PopularRegion, RecentRegion):
        fitted = model.fit(five)
        np.testing.assert_array_equal(fitted.scores(np.array([4]))[0], fitted.fame[-1])
    np.testing.assert_array_equal(PopularRegion.fit(five).scores(np.array([4])), [[2, 1, 3]])


def test_recent_popularity_halves_every_half_life(five: Interactions) -> None:
    scores = RecentRegion.fit(five).scores(np.array([0]))[0]
    np.testing.assert_allclose(scores[:2], [2 / 8, 1], atol=1 / 16)  # x: two listeners three half-lives ago; y: one now
    assert scores[1] > scores[0]


def test_neighbours_are_played_by_the_same_listeners() -> None:
    rows = [(who, 0, None, what, 1) for who, what in ("ax", "ay", "bx", "by", "cz", "cw", "dx")]
    found = ItemNeighbours.fit(gather(contributions(rows), settings=settings()), threads=1)
    d_scores = dict(zip("wxyz", found.scores(np.array([3]))[0], strict=True))
    assert d_scores["y"] > 0
    assert (d_scores["z"], d_scores["w"]) == (0, 0)


def test_a_listener_of_everything_has_neighbours_too() -> None:
    rows = [(who, 0, None, what, 1) for who, what in ("ax", "ay", "bx")]
    assert np.isfinite(ItemNeighbours.fit(gather(contributions(rows), settings=settings())).scores(np.array([0]))).all()


def test_others_get_what_is_popular_where_they_are(five: Interactions) -> None:
    others = gather(contributions([("f", 0, "Q", "x", 1), ("g", 0, "R", "x", 1)]), settings=settings())
    fitted = PopularRegion.fit(five)
    scores = fitted.fold_in(others).scores(np.array([0, 1]))
    np.testing.assert_array_equal(scores, fitted.fame[[1, -1]])  # nobody lived in R: the world's
    np.testing.assert_array_equal(PopularWorld.fit(five).fold_in(others).scores(np.array([1])), [[2, 1, 3]])


@pytest.mark.parametrize(("tracks", "there"), [(3, True), (2, False)])
def test_ease_is_left_out_of_larger_vocabularies(five: Interactions, tracks: int, there: bool) -> None:
    models = fit_baselines(five, settings=settings(ease_max_tracks=tracks))
    assert ("ease" in models) == there
    assert {"popular_world", "popular_region", "recent_region", "neighbours"} <= set(models)
