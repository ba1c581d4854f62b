"""Metrics as hand-written fractions: the expected value shows how it is derived."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse

from recsys.models import metrics
from recsys.models.metrics import LENGTH, NOTHING, Lists, coverage, ndcg_at_10, rank, recall_at_20, top, without

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


@pytest.mark.parametrize(("hits", "relevant", "expected"), [([1, 20], 2, 2 / 2), ([5], 3, 1 / 3), ([], 4, 0 / 4)])
def test_recall_at_20(hits: list[int], relevant: int, expected: float) -> None:
    assert recall_at_20(lists([hits], [relevant])) == pytest.approx([expected])


def test_coverage_counts_each_track_of_the_first_ten_places_once() -> None:
    two = lists([[], []], [1, 1])
    two.tracks[1] = np.arange(5, 5 + LENGTH)
    two.tracks[1, 9] = NOTHING
    assert coverage(two, tracks=28) == 14 / 28  # 0 to 9 and 5 to 13


def test_equal_scores_are_ranked_by_column_and_minus_infinity_not_at_all() -> None:
    scores = np.array([[1, 3, 3, -np.inf, 2], [0, 0, 0, 0, 0]], dtype=np.float32)
    assert top(scores, 5).tolist() == [[1, 2, 4, 0, NOTHING], [0, 1, 2, 3, 4]]
    assert top(scores, 2).tolist() == [[1, 2], [0, 1]]
    assert top(scores, 7)[1].tolist() == [0, 1, 2, 3, 4, NOTHING, NOTHING]
    assert top(np.full((1, 3), -np.inf, dtype=np.float32), 2).tolist() == [[NOTHING, NOTHING]]


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
