"""Matrices and id maps, against values derived by hand."""

import math

import numpy as np
import polars as pl
import pytest
from support.listening import contributions

from recsys.errors import InputError
from recsys.models.interactions import gather, heard_later
from recsys.settings import ModelsSettings, load_settings


def models(**keys: float) -> ModelsSettings:
    return load_settings(overrides={"models": {"min_listeners_per_track": 1, "alpha": 10.0, **keys}}).models


def test_confidence_grows_with_the_logarithm_of_all_plays() -> None:
    rows = contributions([("a", 0, None, "x", 1), ("a", 1, None, "x", 2), ("b", 0, None, "y", 1)])
    found = gather(rows, settings=models())
    expected = [[1 + 10 * math.log(1 + 3), 0], [0, 1 + 10 * math.log(1 + 1)]]
    np.testing.assert_allclose(found.confidence.toarray(), expected, rtol=1e-6)
    assert found.confidence.dtype == np.float32


def test_rows_and_columns_are_the_sorted_ids_in_whatever_order_they_came() -> None:
    rows = contributions([("b", 0, "P", "y", 1), ("a", 1, "Q", "x", 4), ("c", 0, "P", "x", 2), ("a", 0, "Q", "y", 1)])
    found = gather(rows, settings=models())
    assert (found.listeners.to_list(), found.tracks.to_list(), found.parts) == (["a", "b", "c"], ["x", "y"], ("P", "Q"))
    for seed in range(3):
        again = gather(rows.sample(fraction=1, shuffle=True, seed=seed).lazy(), settings=models())
        assert again.listeners.equals(found.listeners)
        assert (again.confidence != found.confidence).nnz == 0
        assert (again.recent != found.recent).nnz == 0
        assert again.homes.tolist() == found.homes.tolist() == [1, 0, 0]


def test_the_vocabulary_counts_listeners_and_not_plays() -> None:
    rows = [("a", 0, None, "x", 1), ("b", 0, None, "x", 1), ("a", 0, None, "y", 50), ("a", 1, None, "y", 50)]
    found = gather(contributions(rows), settings=models(min_listeners_per_track=2))
    assert found.tracks.to_list() == ["x"]


def test_who_knows_no_track_of_the_vocabulary_is_not_there() -> None:
    rows = [("a", 0, "P", "x", 1), ("b", 0, "P", "x", 1), ("c", 0, "Q", "y", 1)]
    found = gather(contributions(rows), settings=models(min_listeners_per_track=2))
    assert (found.listeners.to_list(), found.parts) == (["a", "b"], ("P",))


def test_only_what_may_be_trained_on_counts() -> None:
    allowed, refused = contributions([("a", 0, "P", "x", 1)]), contributions([("b", 0, "P", "x", 1)], trained=False)
    assert gather(pl.concat([allowed, refused]), settings=models()).listeners.to_list() == ["a"]


@pytest.mark.parametrize(
    ("stays", "home"),
    [
        ([(0, "P", 9), (1, "Q", 1), (2, "Q", 1)], "Q"),  # two nights before nine plays
        ([(0, "P", 2), (1, "Q", 3)], "Q"),  # nights are equal: plays decide
        ([(0, "Q", 2), (1, "P", 2)], "P"),  # all is equal: the alphabet decides
        ([(0, None, 5), (1, None, 5), (2, "Q", 1)], "Q"),  # the unknown is nobody's home
        ([(0, None, 5)], None),
    ],
)
def test_home_is_where_most_nights_are(stays: list[tuple[int, str | None, int]], home: str | None) -> None:
    rows = [("a", night, part, "x", plays) for night, part, plays in stays]
    found = gather(contributions(rows), settings=models())
    assert [found.parts[position] if position >= 0 else None for position in found.homes] == [home]


def test_residents_are_counted_by_home() -> None:
    rows = [("a", 0, "P", "x", 1), ("b", 0, "Q", "x", 1), ("c", 0, "Q", "x", 1), ("d", 0, None, "x", 1)]
    found = gather(contributions(rows), settings=models())
    assert found.residents().tolist() == [1, 2]
    assert found.rows_of(1).tolist() == [1, 2]


def test_a_night_counts_half_after_every_half_life() -> None:
    rows = [("a", 0, None, "x", 7), ("a", 2, None, "x", 1), ("a", 4, None, "y", 1)]
    found = gather(contributions(rows), settings=models(half_life_nights=2))
    np.testing.assert_array_equal(found.recent.toarray(), [[1 / 4 + 1 / 2, 1]])


def test_a_query_counts_old_plays_less_by_the_listeners_own_last_night() -> None:
    rows = [("a", 0, None, "x", 6), ("a", 2, None, "x", 1), ("a", 2, None, "y", 3), ("b", 0, None, "y", 1)]
    plain, aged = (gather(contributions(rows), settings=models(recency_power=p)).query.toarray() for p in (0, 1))
    np.testing.assert_allclose(plain, [[math.log2(1 + 7), math.log2(1 + 3)], [0, 1]], rtol=1e-6)
    np.testing.assert_allclose(aged, [[math.log2(1 + 6 / 3 + 1), math.log2(1 + 3)], [0, 1]], rtol=1e-6)


def test_a_session_is_a_night_with_two_tracks_or_more() -> None:
    rows = [("a", 0, "P", "x", 5), ("a", 0, "Q", "x", 1), ("a", 1, None, "x", 1), ("a", 1, None, "y", 2)]
    rows += [("b", 1, None, "y", 1), ("c", 0, None, "z", 1), ("c", 0, None, "x", 1)]
    assert gather(contributions(rows), settings=models(sitting_weight=0)).sessions.shape == (0, 3)
    found = gather(contributions(rows), settings=models(sitting_weight=0.5))
    np.testing.assert_array_equal(found.sessions.toarray(), [[1, 1, 0], [1, 0, 1]])
    assert found.session_of.tolist() == [0, 2]
    np.testing.assert_array_equal(found.sessions_of(np.array([1, 2])).toarray(), [[1, 0, 1]])
    assert found.sessions_of(np.array([1])).shape == found.sessions_of(np.array([], dtype=np.int64)).shape == (0, 3)


def test_the_age_of_a_track_is_that_of_its_first_play() -> None:
    rows = [("a", 0, None, "x", 1), ("b", 3, None, "x", 1), ("b", 3, None, "y", 1)]
    assert gather(contributions(rows), settings=models()).age.tolist() == [3, 0]


def test_parents_are_those_of_the_parts() -> None:
    rows = contributions([("a", 0, "P", "x", 1), ("b", 0, "Q", "x", 1)])
    assert gather(rows, settings=models(), parents={"Q": "X", "R": "Y"}).parents == ("", "X")


def test_the_vocabulary_may_be_that_of_another_model() -> None:
    rows = contributions([("a", 0, "P", "x", 1), ("b", 0, "P", "new", 1)])
    found = gather(rows, settings=models(min_listeners_per_track=9), tracks=pl.Series(["w", "x"]))
    assert (found.listeners.to_list(), found.tracks.to_list()) == (["a", "b"], ["w", "x"])  # b can be asked for
    np.testing.assert_array_equal(found.confidence.toarray() > 0, [[False, True], [False, False]])
    assert found.age.tolist() == [0, 0]


def test_later_plays_are_ones_of_known_listeners_and_tracks() -> None:
    known = gather(contributions([("a", 0, "P", "x", 1), ("b", 0, "P", "y", 1)]), settings=models())
    later = [("a", 5, "P", "y", 3), ("a", 6, "P", "y", 1), ("b", 5, "P", "new", 1), ("stranger", 5, "P", "x", 1)]
    np.testing.assert_array_equal(heard_later(contributions(later), known=known).toarray(), [[0, 1], [0, 0]])


def test_nothing_becomes_empty_matrices() -> None:
    found = gather(contributions([]), settings=models())
    assert (found.shape, found.parts, found.residents().tolist()) == ((0, 0), (), [])


def test_an_unexpected_column_stops_at_the_border() -> None:
    with pytest.raises(InputError, match="latitude"):
        gather(contributions([("a", 0, "P", "x", 1)]).with_columns(latitude=1.0), settings=models())


def test_no_listener_is_in_the_printed_form() -> None:
    assert "somebody" not in repr(gather(contributions([("somebody", 0, "P", "x", 1)]), settings=models()))
