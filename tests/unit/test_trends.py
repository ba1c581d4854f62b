"""Trends of places, against shares derived by hand."""

from fractions import Fraction

import numpy as np
import pytest
from support.checkerboard import settings
from support.listening import contributions

from recsys.models.interactions import gather
from recsys.models.place_tree import Places
from recsys.models.trends import TRENDS, shares, standardized, trends

# In P of X two listeners play x, in Q of X one plays y; someone without a home plays y.
KNOWN = gather(
    contributions([("a", 0, "P", "x", 1), ("b", 0, "P", "x", 1), ("c", 1, "Q", "y", 1), ("d", 0, None, "y", 1)]),
    settings=settings(),
    parents={"P": "X", "Q": "X"},
)
PLACES = Places.of(KNOWN)


def test_shares_are_shrunk_toward_the_parents() -> None:
    heard = (KNOWN.confidence > 0).astype(np.float32)
    found = shares(heard, interactions=KNOWN, places=PLACES, shrinkage=3)
    world = Fraction(5, 2) / 5  # two listeners and a half, of two tracks alike
    country = (2 + 3 * world) / (3 + 3)
    part = {"P": (2 + 3 * country) / (2 + 3), "Q": (0 + 3 * country) / (1 + 3)}
    expected = [float(share) for share in (part["P"], part["Q"], country, world)]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_each_trend_is_a_row_of_z_scores_for_every_place_and_the_world() -> None:
    near = settings(trend_shrinkage=3)  # so far from its parent that float32 sees the difference
    found = dict(zip(TRENDS, trends(KNOWN, places=PLACES, settings=near), strict=True))
    assert {trend.shape for trend in found.values()} == {(4, 2)}
    # A night ago counts 2^(-1/3) = 0.79: in X x has 1.59 and y 1, in the world y has 1.79.
    assert np.sign(found["recent"]).tolist() == [[1, -1], [-1, 1], [1, -1], [-1, 1]]
    assert np.sign(found["growth"][-1]).tolist() == [-1, 1]  # y was played on the last night, x on the one before
    np.testing.assert_array_equal(found["new"], 0)  # both were first played on the first night


def test_rows_are_standardized_and_constants_become_zeros() -> None:
    scores = np.array([[1, 3], [4, 4]], dtype=np.float32)
    np.testing.assert_array_equal(standardized(scores), [[-1, 1], [0, 0]])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([1, 3, 6], [-1, 1, 4]), ([5, 5 + 1e-6, 8], [0, 0, 3 / np.std([5, 5, 8])])],  # the second: those of the whole row
)
def test_the_mean_and_the_deviation_can_be_those_of_some_columns(scores: list[float], expected: list[float]) -> None:
    found = standardized(np.array([scores], dtype=np.float32), np.array([0, 1]))
    np.testing.assert_allclose(found, [expected], atol=1e-5)
