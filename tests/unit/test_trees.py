"""Boosted trees that are asked in one loop: they say what scikit-learn's say."""

import pickle

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from recsys.models.trees import Trees


@pytest.mark.parametrize("leaves", [2, 8])
def test_trees_say_what_those_that_were_grown_say(leaves: int) -> None:
    values = np.random.default_rng(1).normal(size=(3000, 3)).astype(np.float32)
    asked = np.concatenate([values, np.random.default_rng(2).normal(size=(2000, 3)).astype(np.float32)])
    growing = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=leaves, random_state=1)
    grown = growing.fit(values, values[:, 0] + values[:, 1] ** 2 > 1)
    trees = Trees.of(grown)
    np.testing.assert_array_equal(trees.decision_function(asked), grown.decision_function(asked))
    again = pickle.loads(pickle.dumps(trees))
    np.testing.assert_array_equal(again.decision_function(asked[::2]), grown.decision_function(asked[::2]))


def test_a_value_at_a_threshold_goes_left() -> None:
    values = np.repeat([[0.0], [1.0]], 200, axis=0).astype(np.float32)
    grown = HistGradientBoostingClassifier(max_iter=3, random_state=1).fit(values, values[:, 0] > 0)
    asked = np.array([[0.5], [np.nextafter(np.float32(0.5), np.float32(1))]], dtype=np.float32)
    np.testing.assert_array_equal(Trees.of(grown).decision_function(asked), grown.decision_function(asked))
