"""What holds of every ranking."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recsys.models.metrics import LENGTH, NOTHING, Lists, coverage, ndcg_at_10, recall_at_20, top

SCORES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=30),
    elements=st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 1.0, 1e30]) | st.floats(-10, 10, width=32),
)
HITS = arrays(np.bool_, st.tuples(st.integers(1, 5), st.just(LENGTH)))


def lists(hits: np.ndarray, *, missed: int = 0) -> Lists:
    tracks = np.tile(np.arange(LENGTH), (len(hits), 1))
    return Lists(np.arange(len(hits)), tracks, hits, np.maximum(hits.sum(axis=1) + missed, 1))


@given(SCORES, st.integers(1, 25))
def test_top_is_the_beginning_of_a_full_sort(scores: np.ndarray, length: int) -> None:
    for row, found in zip(scores, top(scores, length), strict=True):
        order = sorted((column for column in range(len(row)) if row[column] > -np.inf), key=lambda c: (-row[c], c))
        assert found.tolist() == (order + [NOTHING] * length)[:length]


@given(HITS, st.integers(0, 40))
def test_metrics_are_shares(hits: np.ndarray, missed: int) -> None:
    for metric in (ndcg_at_10, recall_at_20):
        values = metric(lists(hits, missed=missed))
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()
    assert 0 <= coverage(lists(hits), tracks=LENGTH) <= 1


@given(HITS)
def test_a_list_that_begins_with_all_relevant_tracks_is_perfect(hits: np.ndarray) -> None:
    perfect = lists(-np.sort(-hits.astype(int), axis=1) == 1)
    found = hits.any(axis=1)
    np.testing.assert_allclose(ndcg_at_10(perfect), found)
    np.testing.assert_allclose(recall_at_20(perfect), found)


@given(HITS, st.integers(1, LENGTH - 1))
def test_moving_a_hit_up_never_hurts(hits: np.ndarray, place: int) -> None:
    better = hits.copy()
    better[:, place - 1] |= hits[:, place]
    better[:, place] = hits[:, place - 1] & hits[:, place]
    assert (ndcg_at_10(lists(better)) >= ndcg_at_10(lists(hits)) - 1e-12).all()
    np.testing.assert_allclose(recall_at_20(lists(better)), recall_at_20(lists(hits)))
