"""What holds of every ranking."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recsys.models.evaluation.beyond_accuracy import coverage, gini, overlap, stability
from recsys.models.evaluation.intervals import paired
from recsys.models.metrics import (
    CUTS,
    LENGTH,
    NOTHING,
    Lists,
    Values,
    average_precision,
    ndcg,
    recall,
    reciprocal_rank,
    top,
)

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


def all_metrics(found: Lists) -> list[Values]:
    at_cuts = [metric(found, at=at) for metric in (ndcg, recall) for at in CUTS]
    return [*at_cuts, average_precision(found), reciprocal_rank(found)]


@given(HITS, st.integers(0, 40))
def test_metrics_are_shares(hits: np.ndarray, missed: int) -> None:
    for values in all_metrics(lists(hits, missed=missed)):
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()


@given(HITS)
def test_a_list_that_begins_with_all_relevant_tracks_is_perfect(hits: np.ndarray) -> None:
    found = lists(-np.sort(-hits.astype(int), axis=1) == 1)
    for values in (*(ndcg(found, at=at) for at in CUTS), recall(found, at=LENGTH), average_precision(found)):
        np.testing.assert_allclose(values, hits.any(axis=1))


@given(HITS, st.integers(1, LENGTH - 1))
def test_moving_a_hit_up_never_hurts(hits: np.ndarray, place: int) -> None:
    better = hits.copy()
    better[:, place - 1] |= hits[:, place]
    better[:, place] = hits[:, place - 1] & hits[:, place]
    for after, before in zip(all_metrics(lists(better)), all_metrics(lists(hits)), strict=True):
        assert (after >= before - 1e-12).all()


LISTED = arrays(np.int64, st.tuples(st.integers(1, 6), st.just(LENGTH)), elements=st.integers(0, 30))


def listed(tracks: np.ndarray) -> Lists:
    return Lists(np.arange(len(tracks)), tracks, np.zeros(tracks.shape, bool), np.ones(len(tracks), int))


@given(LISTED)
def test_beyond_accuracy_are_shares_and_a_list_is_like_itself(tracks: np.ndarray) -> None:
    distinct = np.argsort(np.argsort(tracks, axis=1, kind="stable"), axis=1)  # no track twice in a list
    found = listed(distinct)
    assert stability(found, found) == 1
    assert 0 < coverage(found, tracks=LENGTH) <= 1
    assert -1e-12 <= gini(found, tracks=LENGTH) < 1
    homes = np.arange(len(distinct)) % 2
    if len(distinct) > 1:
        alike = overlap(found, homes, tracks=LENGTH, at_least=1)
        assert 0 <= alike <= 1
        assert overlap(found, 1 - homes, tracks=LENGTH, at_least=1) == alike


@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.just(1)), elements=st.floats(-1, 1)))
def test_an_interval_holds_the_mean_in_its_middle_and_turns_with_the_differences(differences: np.ndarray) -> None:
    strata = np.arange(len(differences)) % 3
    (found,), (opposite,) = paired(differences, strata), paired(-differences, strata)
    means = [differences[strata == stratum].mean() for stratum in np.unique(strata)]
    middle = found.mean if np.isnan(found.low) else (found.low + found.high) / 2
    np.testing.assert_allclose([found.mean, middle], [np.mean(means)] * 2, atol=1e-9)
    assert np.isnan(found.low) == (len(differences) == 1)
    np.testing.assert_allclose([opposite.mean, opposite.low, opposite.high], [-found.mean, -found.high, -found.low])
    assert np.isnan(found.chance) or 0 <= found.chance <= 1
