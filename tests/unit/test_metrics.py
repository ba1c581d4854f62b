"""Metrics as hand-written fractions: the expected value shows how it is derived."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse

from recsys.models import metrics
from recsys.models.metrics import (
    LENGTH,
    NOTHING,
    Lists,
    average_precision,
    ndcg,
    ndcg_at_10,
    ndcg_of_candidates,
    rank,
    rank_both,
    recall,
    reciprocal_rank,
    top,
    without,
)

ONE, TWO, THREE, TEN = 1 / np.log2(2), 1 / np.log2(3), 1 / np.log2(4), 1 / np.log2(11)  # discounts by place


def lists(hits: list[list[int]], relevant: list[int]) -> Lists:
    """Lists whose 1st, 2nd... place is a hit where it stands in ``hits`` (places counted from 1)."""
    hit = np.array([[place in row for place in range(1, LENGTH + 1)] for row in hits])
    tracks = np.tile(np.arange(LENGTH), (len(hits), 1))
    return Lists(np.arange(len(hits)), tracks, hit, np.array(relevant))


@pytest.mark.parametrize(
    ("hits", "relevant", "expected"),
    [
        ([1], 1, 1),
        ([2], 1, TWO / ONE),
        ([10], 1, TEN / ONE),
        ([11], 1, 0),
        ([1, 3], 2, (ONE + THREE) / (ONE + TWO)),
        ([2, 3], 3, (TWO + THREE) / (ONE + TWO + THREE)),
        ([1], 500, ONE / sum(1 / np.log2(place + 1) for place in range(1, 11))),
    ],
)
def test_ndcg_at_10(hits: list[int], relevant: int, expected: float) -> None:
    assert ndcg_at_10(lists([hits], [relevant])) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("hits", "relevant", "at", "expected"),
    [
        ([11], 1, 20, (1 / np.log2(12)) / ONE),
        ([100], 1, 100, (1 / np.log2(101)) / ONE),
        ([100], 1, 20, 0),
        ([1, 2], 2, 100, 1),
    ],
)
def test_ndcg_further_down(hits: list[int], relevant: int, at: int, expected: float) -> None:
    assert ndcg(lists([hits], [relevant]), at=at) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("hits", "relevant", "at", "expected"),
    [
        ([1, 20], 2, 20, 2 / 2),
        ([1, 20], 2, 10, 1 / 2),
        ([5], 3, 20, 1 / 3),
        ([], 4, 100, 0 / 4),
        ([100], 1, 100, 1 / 1),
    ],
)
def test_recall(hits: list[int], relevant: int, at: int, expected: float) -> None:
    assert recall(lists([hits], [relevant]), at=at) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("hits", "relevant", "expected"),
    [
        ([1], 1, 1),
        ([2], 1, 1 / 2),
        ([1, 3], 2, (1 / 1 + 2 / 3) / 2),
        ([1, 3], 4, (1 / 1 + 2 / 3) / 4),
        ([], 2, 0),
        ([1], 500, (1 / 1) / 100),  # no more than a hundred could have been listed
    ],
)
def test_average_precision(hits: list[int], relevant: int, expected: float) -> None:
    assert average_precision(lists([hits], [relevant])) == pytest.approx([expected])


@pytest.mark.parametrize(("hits", "expected"), [([1, 2], 1 / 1), ([3, 7], 1 / 3), ([100], 1 / 100), ([], 0)])
def test_reciprocal_rank(hits: list[int], expected: float) -> None:
    assert reciprocal_rank(lists([hits], [2])) == pytest.approx([expected])


def test_equal_scores_are_ranked_by_column_and_minus_infinity_not_at_all() -> None:
    scores = np.array([[1, 3, 3, -np.inf, 2], [0, 0, 0, 0, 0]], dtype=np.float32)
    assert top(scores, 5).tolist() == [[1, 2, 4, 0, NOTHING], [0, 1, 2, 3, 4]]
    assert top(scores, 2).tolist() == [[1, 2], [0, 1]]
    assert top(scores, 7)[1].tolist() == [0, 1, 2, 3, 4, NOTHING, NOTHING]
    assert top(np.array([[1, 1, 1], [1, 3, 2]], dtype=np.float32), 2).tolist() == [
        [0, 1],
        [1, 2],
    ]  # ties in one row only
    assert top(np.full((1, 3), -np.inf, dtype=np.float32), 2).tolist() == [[NOTHING, NOTHING]]


@pytest.mark.parametrize("seed", [1, 2])
def test_candidates_in_the_order_of_their_scores_are_worth_what_that_list_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(9, size=(200, 30)).astype(np.float32)  # so few values that most have equals
    there, played = rng.random((2, 200, 30)) < [[[0.8]], [[0.1]]]
    order = top(np.where(there, scores, np.float32(-np.inf)), 10)
    hits = np.take_along_axis(played, order, axis=1) & (order != NOTHING)
    relevant = 1 + played.sum(axis=1)
    found = ndcg_of_candidates(scores, there=there, played=played, relevant=relevant)
    np.testing.assert_array_equal(found, ndcg_at_10(Lists(np.arange(200), order, hits, relevant)))
    same = ndcg_of_candidates(scores[0], there=there, played=played, relevant=relevant)
    each = ndcg_of_candidates(np.tile(scores[0], (200, 1)), there=there, played=played, relevant=relevant)
    np.testing.assert_array_equal(same, each)


@dataclass(frozen=True)
class ByColumn:
    """Prefers the first columns, and remembers how many listeners were asked for at once."""

    tracks: int
    asked: list[int]

    def scores(self, listeners: np.ndarray) -> np.ndarray:
        self.asked.append(len(listeners))
        return np.tile(-np.arange(self.tracks, dtype=np.float32), (len(listeners), 1))


HEARD = sparse.csr_array(np.array([[2, 0, 0, 0], [0, 5, 0, 0], [1, 0, 0, 0]], dtype=np.float32))
LATER = sparse.csr_array(np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=np.float32))


def test_what_was_heard_is_neither_listed_nor_relevant() -> None:
    found = rank(ByColumn(4, []), later=LATER, heard=HEARD)
    assert found.listeners.tolist() == [0]  # listener 1 plays nothing new, listener 2 nothing at all
    assert found.tracks[0, :4].tolist() == [1, 2, 3, NOTHING]
    assert (found.hits[0, :4].tolist(), found.relevant.tolist()) == ([False, True, False, False], [1])


def test_what_was_heard_can_stay() -> None:
    found = rank(ByColumn(4, []), later=LATER)
    assert found.listeners.tolist() == [0, 1]
    assert found.hits[:, :4].tolist() == [[True, False, True, False], [False, True, False, False]]
    assert found.relevant.tolist() == [2, 1]


def test_both_rankings_come_from_one_scoring() -> None:
    asked: list[int] = []
    unheard, everything = rank_both(ByColumn(4, asked), later=LATER, heard=HEARD)
    assert asked == [2]
    for found, expected in (
        (unheard, rank(ByColumn(4, []), later=LATER, heard=HEARD)),
        (everything, rank(ByColumn(4, []), later=LATER)),
    ):
        np.testing.assert_array_equal(found.listeners, expected.listeners)
        np.testing.assert_array_equal(found.tracks, expected.tracks)
        np.testing.assert_array_equal(found.hits, expected.hits)
        np.testing.assert_array_equal(found.relevant, expected.relevant)


def test_nobody_to_rank_for_is_no_list() -> None:
    found = rank(ByColumn(4, []), later=sparse.csr_array((3, 4), dtype=np.float32))
    assert (found.tracks.shape, found.hits.shape, len(found.relevant)) == ((0, LENGTH), (0, LENGTH), 0)


def test_without_leaves_what_is_new() -> None:
    assert without(LATER, HEARD).toarray().tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_listeners_are_scored_in_blocks_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    later = sparse.csr_array(np.eye(7, 4, dtype=np.float32) + np.eye(7, 4, k=-3, dtype=np.float32))
    whole = rank(ByColumn(4, []), later=later)
    monkeypatch.setattr(metrics, "_SCORES_AT_ONCE", 8)
    asked: list[int] = []
    blocks = rank(ByColumn(4, asked), later=later)
    assert asked == [2, 2, 2, 1]
    np.testing.assert_array_equal(blocks.tracks, whole.tracks)
    np.testing.assert_array_equal(blocks.hits, whole.hits)
