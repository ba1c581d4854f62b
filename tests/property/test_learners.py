"""What holds of every draw of learners."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from support.listening import contributions

from recsys.models.interactions import Interactions, gather
from recsys.models.learners import drawn
from recsys.settings import ModelsSettings, load_settings

SETTINGS = load_settings(overrides={"models": {"min_listeners_per_track": 1}}).models
SIZES = st.lists(st.integers(1, 25), min_size=1, max_size=6)  # of places; the first is nowhere


def models(bound: int, seed: int = 1) -> ModelsSettings:
    return SETTINGS.model_copy(update={"max_training_listeners": bound, "seed": seed})


def rows(sizes: list[int], names: int) -> pl.DataFrame:
    """Return a row a listener, whose names are in no order of places."""
    homes = [None if place == 0 else f"part-{place}" for place, size in enumerate(sizes) for _ in range(size)]
    order = np.random.default_rng(names).permutation(len(homes))
    return contributions([(f"{at:03d}", 0, home, "x", 1) for at, home in zip(order.tolist(), homes, strict=True)])


def known_of(sizes: list[int], names: int) -> Interactions:
    return gather(rows(sizes, names), settings=SETTINGS)


@given(SIZES, st.integers(0, 9), st.integers(1, 160), st.integers(0, 9))
def test_a_draw_is_bounded_sorted_and_the_same_for_any_order_of_rows(
    sizes: list[int], names: int, bound: int, seed: int
) -> None:
    found = drawn(known_of(sizes, names), settings=models(bound, seed))
    assert len(found) == min(bound, sum(sizes))
    assert (np.diff(found) > 0).all()
    shuffled = rows(sizes, names).sample(fraction=1, shuffle=True, seed=seed)
    np.testing.assert_array_equal(drawn(gather(shuffled, settings=SETTINGS), settings=models(bound, seed)), found)


@given(SIZES, st.integers(0, 9), st.integers(1, 160), st.integers(1, 160))
def test_a_larger_bound_draws_the_same_listeners_and_more(sizes: list[int], names: int, one: int, other: int) -> None:
    known = known_of(sizes, names)
    few, many = (drawn(known, settings=models(bound)) for bound in sorted((one, other)))
    assert {*few.tolist()} <= {*many.tolist()}


@given(SIZES, st.integers(0, 9), st.integers(1, 160))
def test_a_larger_place_is_drawn_from_more_and_a_small_one_keeps_everybody(
    sizes: list[int], names: int, bound: int
) -> None:
    """A place no larger than half of an equal share of the bound is drawn from as a whole."""
    known = known_of(sizes, names)
    found = np.bincount(known.homes[drawn(known, settings=models(bound))] + 1, minlength=len(sizes))
    by_size = found[np.argsort(sizes, kind="stable")]
    assert (np.diff(by_size) >= -1).all()  # equal places may be one apart
    whole = np.array(sizes) <= bound // (2 * len(sizes))
    assert (found[whole] == np.array(sizes)[whole]).all()
