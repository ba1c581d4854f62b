"""EASE, against the inverse written out, in both of its forms."""

import numpy as np
import pytest
from support.checkerboard import settings
from support.listening import contributions, world

from recsys.models.ease import ExampleWeights, TrackWeights, fit_ease
from recsys.models.interactions import Interactions, gather

KEYS = {"ease_dropout": 0.5, "sitting_weight": 0.3, "recency_power": 0.2}


@pytest.fixture(scope="module")
def known() -> Interactions:
    return gather(world(1, listeners=60, tracks=40, parts=3, nights=6, plays=15), settings=settings(**KEYS))


def dense_scores(known: Interactions, rows: np.ndarray, *, ridge: float) -> np.ndarray:
    """The definition, with m x m matrices of doubles."""
    confidence = known.confidence.toarray()[rows].astype(float)
    plays = np.where(confidence > 0, (confidence - 1) / (10 * np.log(2)), 0)  # log2(1 + plays)
    sessions = known.sessions.toarray()[np.isin(known.session_of, rows)].astype(float)
    gram = 0.7 * plays.T @ plays + 0.3 * sessions.T @ sessions
    x, s = (plays**2).sum(axis=0), sessions.sum(axis=0)
    inverse = np.linalg.inv(gram + np.diag(ridge + 0.5 * x + 0.3 * np.maximum(x - s, 0)))
    weights = np.eye(len(gram)) - inverse / np.diag(inverse)
    scores = known.query.toarray() @ weights
    return np.where(x > 0, scores, 0)  # whom nobody here plays is not known here


@pytest.mark.parametrize(("few", "form"), [(False, TrackWeights), (True, ExampleWeights)])
def test_both_forms_are_the_definition(known: Interactions, few: bool, form: type) -> None:
    rows = np.arange(2) if few else np.arange(known.shape[0])
    model = fit_ease(known.matrices(rows), ridge=5.0, settings=settings(**KEYS))
    assert isinstance(model, form)
    everybody = np.arange(known.shape[0])
    np.testing.assert_allclose(model.scores(known, everybody), dense_scores(known, rows, ridge=5.0), atol=2e-5)


def test_repeated_nights_leave_every_ridge_positive() -> None:
    """Ten nights with the same two tracks: their sessions weigh more than their listener."""
    rows = [("a", night, None, track, 1) for night in range(10) for track in "xy"]
    keys = settings(sitting_weight=0.9, ease_dropout=0)
    known = gather(contributions([*rows, ("b", 0, None, "z", 1)]), settings=keys)
    scores = fit_ease(known.matrices(np.arange(2)), ridge=0.1, settings=keys).scores(known, np.arange(2))
    assert np.isfinite(scores).all()
    assert scores[0, 0] == pytest.approx(scores[0, 1], rel=1e-4)
    assert scores[0, 0] > scores[0, 2] == pytest.approx(0, abs=1e-6)


def test_without_sessions_plays_count_alone() -> None:
    """Everybody has one track a night, so that there is no session, whatever sessions weigh."""
    alone = contributions([("a", 0, None, "x", 1), ("a", 1, None, "y", 2), ("b", 0, None, "y", 1)])
    found = [
        fit_ease(gather(alone, settings=keys).matrices(np.arange(2)), ridge=1.0, settings=keys).scores(
            gather(alone, settings=keys), np.arange(2)
        )
        for keys in (settings(sitting_weight=0.0), settings(sitting_weight=0.5))
    ]
    np.testing.assert_array_equal(*found)


def test_more_tracks_than_ease_may_have_need_no_sessions() -> None:
    rows = contributions([("a", 0, None, "x", 1), ("a", 0, None, "y", 2)])
    shapes = [gather(rows, settings=settings(sitting_weight=0.5, ease_max_tracks=m)).sessions.shape for m in (1, 2)]
    assert shapes == [(0, 2), (1, 2)]
