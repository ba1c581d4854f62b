"""The light ranker: what it learns, when it does not, and how it deals scores out again."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from recsys.models.ranker import Pool, gain_of_trees, learned_trees, learned_weights, reordered, rounded

GUESS = np.array([0.5, 0.5])


def pool(seed: int, *, listeners: int) -> Pool:
    """Everybody plays later the track of their pool whose first feature is largest; the second is noise."""
    features = np.random.default_rng(seed).normal(size=(listeners, 20, 2)).astype(np.float32)
    played = features[:, :, 0] == features[:, :, 0].max(axis=1, keepdims=True)
    everywhere = np.ones_like(played)
    return Pool(features, everywhere, played, np.ones(listeners, dtype=np.int64), np.arange(listeners) % 3 - 1)


@pytest.mark.parametrize("seed", [1, 2])
def test_weights_prefer_what_predicts(seed: int) -> None:
    weights = learned_weights(pool(seed, listeners=300), starts=[GUESS])
    assert weights[0] > 5 * abs(weights[1])


def test_weights_are_never_worse_than_a_start() -> None:
    given = pool(3, listeners=200)
    start = np.array([1.0, 0.01])
    assert given.ndcg(learned_weights(given, starts=[GUESS, start])) >= given.ndcg(start)


def test_with_too_few_to_learn_from_the_first_guess_stands() -> None:
    few = pool(1, listeners=99)
    np.testing.assert_array_equal(learned_weights(few, starts=[GUESS]), GUESS)
    assert learned_trees(few, seed=1) is None
    assert gain_of_trees(few, seed=1) is None
    assert gain_of_trees(pool(1, listeners=199), seed=1) is None  # 99 in one half


def test_trees_order_by_what_predicts_and_the_same_for_any_number_of_threads() -> None:
    given, asked = pool(1, listeners=600), pool(2, listeners=50)
    values = asked.features.reshape(-1, 2)
    orders = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            trees = learned_trees(given, seed=1)
            assert trees is not None
            orders.append(trees.decision_function(values))
    np.testing.assert_array_equal(*orders)
    best = orders[0].reshape(50, 20).argmax(axis=1)
    assert (asked.played[np.arange(50), best]).mean() > 0.8


@pytest.mark.parametrize("seed", [1, 2])
def test_trees_know_no_value_from_what_it_is_rounded_to(seed: int) -> None:
    given = pool(seed, listeners=600)
    trees = learned_trees(given, seed=1)
    assert trees is not None
    values = given.features.reshape(-1, 2)
    kept = rounded(values, most=255)
    assert [len(np.unique(column)) for column in kept.T] == [255, 255]
    assert np.abs(kept - values).mean() < 0.01  # of a standard normal: the middle ones are 0.01 apart
    np.testing.assert_array_equal(trees.decision_function(kept), trees.decision_function(values))


def test_of_few_values_none_is_rounded() -> None:
    values = np.array([[0, 0.5], [1, 0.5], [1, 0.5], [3, 0.5]], dtype=np.float32)
    np.testing.assert_array_equal(rounded(values, most=255), values)
    assert set(rounded(np.arange(9, dtype=np.float32)[:, None], most=3)[:, 0]) == {0, 4, 8}


def test_trees_of_one_half_are_judged_by_the_other() -> None:
    """Everybody plays the first track of their pool, or everybody the last; trees see where it stands, or noise."""
    first = np.zeros((600, 20), dtype=np.bool_)
    first[:, 0] = True
    noise = replace(pool(1, listeners=600), played=first)
    lost = gain_of_trees(noise, seed=1)
    assert lost is not None
    assert -1 < lost.mean() < -0.3  # of 20 tracks in no order, the one is among the first ten half of the time
    last = replace(noise, played=first[:, ::-1], features=first[:, ::-1, None] * np.float32(1))
    np.testing.assert_array_equal(gain_of_trees(last, seed=1), np.ones(600))


def test_what_may_only_rise_is_never_held_against_a_track() -> None:
    """Everybody plays the track whose first feature is smallest: trees that must not say so say nothing of it."""
    given = pool(1, listeners=600)
    given = replace(given, features=given.features * np.float32([-1, 1]))
    values = np.stack([np.linspace(-3, 3, 100), np.zeros(100)], axis=1).astype(np.float32)
    free, bound = (learned_trees(given, seed=1, rising=rising) for rising in (None, (1, 0)))
    assert free is not None
    assert bound is not None
    assert np.diff(free.decision_function(values)).min() < 0
    assert np.diff(bound.decision_function(values)).min() >= 0


def test_a_feature_that_decides_is_important_and_noise_is_not() -> None:
    given = pool(1, listeners=600)
    trees = learned_trees(given, seed=1)
    assert trees is not None
    decides, noise = pool(2, listeners=300).importances(trees, seed=1)
    assert decides > 0.3  # in no order of 20, the one is among the first ten half of the time
    assert abs(noise) < 0.02
    alone = replace(given, features=given.features[:, :, :1])
    [lost] = alone.importances(learned_trees(alone, seed=1), seed=1)  # type: ignore[arg-type]
    np.testing.assert_array_equal(alone.features, given.features[:, :, :1])  # which are dealt out in a copy
    assert lost > 0.3


def test_an_odd_number_of_judges_each_has_a_gain_of_their_own() -> None:
    """Of 601 listeners every third has the track they play in front already, and has nothing to gain."""
    given = pool(1, listeners=601)
    order = np.argsort(-given.features[:, :, 0], axis=1, kind="stable")
    best_first = np.arange(601)[:, None] % 3 == 0
    taken = np.where(best_first, order, order[:, ::-1])
    gain = gain_of_trees(
        replace(
            given,
            features=np.take_along_axis(given.features, taken[:, :, None], axis=1),
            played=np.take_along_axis(given.played, taken, axis=1),
        ),
        seed=1,
    )
    assert gain is not None
    assert gain[::3].max() <= 0
    assert np.delete(gain, np.s_[::3]).mean() > 0.8


def test_scores_are_dealt_out_again_in_the_learned_order() -> None:
    scores = np.array([[9, 5, 1, 7], [4, 3, 2, 1]], dtype=np.float32)
    columns = np.array([[3, 1, 2], [0, 1, -1]])  # the second listener has two tracks to rank
    order = np.array([[0.1, 0.3, 0.2], [0.1, 0.2, 9]], dtype=np.float32)
    found = reordered(scores, columns=columns, order=order)
    np.testing.assert_array_equal(found, [[9, 7, 5, 1], [3, 4, 2, 1]])  # 1 before 2 before 3; 1 before 0
