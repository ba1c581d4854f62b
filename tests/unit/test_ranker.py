"""The light ranker: what it learns, when it does not, and how it deals scores out again."""

from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from recsys.models.ranker import Pool, learned_trees, learned_weights, reordered

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


def test_trees_that_would_order_worse_than_the_guess_are_not_kept() -> None:
    """In the pool everybody's first track is the one they play; trees that see noise alone can only lose it."""
    first = np.zeros((600, 20), dtype=np.bool_)
    first[:, 0] = True
    noise = replace(pool(1, listeners=600), played=first)
    assert noise.ndcg_as_given() == 1
    assert learned_trees(noise, seed=1) is None
    assert (
        learned_trees(replace(noise, features=first[:, :, None] * np.float32(1)), seed=1) is None
    )  # as good, no better
    last = replace(noise, played=first[:, ::-1], features=first[:, ::-1, None] * np.float32(1))
    assert last.ndcg_as_given() == 0
    trees = learned_trees(last, seed=1)
    assert trees is not None
    assert last.ndcg_by(trees) == 1


def test_scores_are_dealt_out_again_in_the_learned_order() -> None:
    scores = np.array([[9, 5, 1, 7], [4, 3, 2, 1]], dtype=np.float32)
    columns = np.array([[3, 1, 2], [0, 1, -1]])  # the second listener has two tracks to rank
    order = np.array([[0.1, 0.3, 0.2], [0.1, 0.2, 9]], dtype=np.float32)
    found = reordered(scores, columns=columns, order=order)
    np.testing.assert_array_equal(found, [[9, 7, 5, 1], [3, 4, 2, 1]])  # 1 before 2 before 3; 1 before 0
