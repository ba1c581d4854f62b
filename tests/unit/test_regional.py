"""Which places get a model of their own, and who is served it."""

import numpy as np
import pytest
from support.checkerboard import checkerboard, settings

from recsys.models.als import Factors
from recsys.models.ease import TrackWeights
from recsys.models.interactions import Interactions, gather
from recsys.models.regional import fit, fit_alone

EVERYBODY = np.arange(50)


@pytest.fixture(scope="module")
def board() -> Interactions:
    return gather(checkerboard(), settings=settings())


@pytest.mark.parametrize("engine", ["als", "ease"])
def test_a_place_gets_a_model_of_its_own_from_enough_listeners_on(board: Interactions, engine: str) -> None:
    own = {
        least: sorted(fit(board, settings=settings(engine=engine, min_listeners_per_region=least)).sides)
        for least in (25, 26)
    }
    assert own == {25: [0, 1], 26: []}  # each colour has 25 listeners


@pytest.mark.parametrize("engine", ["als", "ease"])
def test_without_a_model_of_their_own_listeners_get_the_global_one(board: Interactions, engine: str) -> None:
    fitted = fit(board, settings=settings(engine=engine, min_listeners_per_region=26))
    np.testing.assert_array_equal(fitted.own().scores(EVERYBODY), fitted.world.scores(board, EVERYBODY))


def test_a_country_of_several_parts_has_a_model_and_one_of_a_single_part_does_not() -> None:
    keys = settings(min_listeners_per_region=26)
    country = gather(checkerboard(), settings=keys, parents={"even": "X", "odd": "X"})
    assert sorted(fit(country, settings=keys).sides) == [2]  # 50 listeners
    single = gather(checkerboard(), settings=settings(), parents={"even": "X"})
    assert sorted(fit(single, settings=settings()).sides) == [0, 1]


def test_everybody_is_served_by_their_own_place() -> None:
    country = gather(checkerboard(), settings=settings(), parents={"even": "X", "odd": "X"})
    fitted = fit(country, settings=settings())
    for place, side in fitted.sides.items():
        rows = country.rows_of(place) if place < 2 else np.array([], dtype=np.int64)
        np.testing.assert_allclose(fitted.own().scores(EVERYBODY)[rows], side.scores(country, rows), rtol=1e-4)


@pytest.mark.parametrize("engine", ["als", "ease"])
def test_alone_a_place_knows_nothing_of_the_world(board: Interactions, engine: str) -> None:
    """Nobody else's plays change a score, and the smallest place is fitted too."""
    keys = settings(engine=engine, min_listeners_per_region=26)
    alone = fit_alone(fit(board, settings=keys), settings=keys)
    even = board.rows_of(0)
    only = gather(checkerboard().filter(part="even"), settings=keys)
    here = fit_alone(fit(only, settings=keys), settings=keys)
    np.testing.assert_allclose(alone.scores(even)[:, ::2], here.scores(np.arange(25)), rtol=1e-4, atol=1e-6)
    assert not alone.scores(even)[:, 1::2].any()


@pytest.mark.parametrize("engine", ["als", "ease"])
def test_asked_again_all_are_served_alike(board: Interactions, engine: str) -> None:
    fitted = fit(board, settings=settings(engine=engine))
    again = fitted.asked_again()
    for _ in range(2):
        np.testing.assert_array_equal(again.own().scores(EVERYBODY), fitted.own().scores(EVERYBODY))


@pytest.mark.parametrize(("engine", "other"), [("als", TrackWeights), ("ease", Factors)])
def test_the_other_engine_is_fitted_beside_the_one_that_serves(board: Interactions, engine: str, other: type) -> None:
    both = fit(board, settings=settings(engine=engine))
    assert isinstance(both.beside, other)
    alone = fit(board, settings=settings(engine=engine, both_engines=False))
    assert alone.beside is None
    np.testing.assert_array_equal(alone.own().scores(EVERYBODY), both.own().scores(EVERYBODY))


def test_beyond_so_many_tracks_there_is_no_ease_beside(board: Interactions) -> None:
    found = [fit(board, settings=settings(ease_max_tracks=most)).beside is None for most in (49, 50)]
    assert found == [True, False]


def test_where_nothing_is_learned_the_other_engine_is_not_fitted(board: Interactions) -> None:
    assert fit(board, settings=settings(ranker="none")).beside is None
