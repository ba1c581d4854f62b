"""Factors by alternating least squares: their seed, their loss, and listeners folded in."""

from collections.abc import Iterator

import numpy as np
import pytest
from support.checkerboard import checkerboard, settings
from support.listening import world
from threadpoolctl import threadpool_limits

from recsys.models.als import Factors, Residents, fit_place, fit_world, fold_in
from recsys.models.interactions import Interactions, gather

EVERYBODY = np.arange(50)


@pytest.fixture(scope="module", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """As for whoever trains."""
    with threadpool_limits(1, "blas"):
        yield


@pytest.fixture(scope="module")
def board() -> Interactions:
    return gather(checkerboard(), settings=settings())


def test_the_seed_decides(board: Interactions) -> None:
    once, again, other = (fit_world(board, settings=settings(seed=seed)).vectors for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


def test_a_listener_folded_in_solves_the_normal_equations() -> None:
    known = gather(world(7, listeners=80, tracks=60, parts=2, nights=6, plays=20), settings=settings())
    factors = fit_world(known, settings=settings())
    vectors = factors.vectors.astype(float)
    for row, found in enumerate(fold_in(known.confidence, factors)):
        confidence = known.confidence[[row]].toarray()[0]
        weight = np.where(confidence > 0, confidence, 1)  # 1 where there was no play
        system = (vectors * weight[:, None]).T @ vectors + factors.ridge * np.eye(vectors.shape[1])
        np.testing.assert_allclose(found, np.linalg.solve(system, vectors.T @ confidence), rtol=1e-2, atol=1e-3)


def test_the_loss_of_every_sweep_is_watched_and_falls(board: Interactions) -> None:
    seen: list[tuple[int, float]] = []
    fit_world(board, settings=settings(iterations=4), watch=lambda step, loss: seen.append((step, loss)))
    assert [step for step, _ in seen] == [0, 1, 2, 3]
    assert seen[-1][1] < seen[0][1]


def test_a_place_knows_the_tracks_that_are_played_there(board: Interactions) -> None:
    shared = fit_world(board, settings=settings())
    before = shared.vectors.copy()
    even = fit_place(board.matrices(board.rows_of(0)), world=shared, settings=settings())
    assert even.columns.tolist() == list(range(0, 50, 2))
    assert not even.scores(board, EVERYBODY)[:, 1::2].any()
    np.testing.assert_array_equal(shared.vectors, before)


def test_a_place_alone_has_no_longer_vectors_than_listeners(board: Interactions) -> None:
    few = board.rows_of(0)[:3]
    assert fit_place(board.matrices(few), world=None, settings=settings()).vectors.shape[1] == 3 < settings().factors
    shared = fit_world(board, settings=settings())
    assert fit_place(board.matrices(few), world=shared, settings=settings()).vectors.shape[1] == settings().factors


def test_nothing_to_learn_from_gives_zeros(board: Interactions) -> None:
    nobody = fit_place(board.matrices(np.array([], dtype=np.int64)), world=None, settings=settings())
    assert not nobody.scores(board, EVERYBODY).any()


def test_no_vector_is_in_the_printed_form(board: Interactions) -> None:
    assert "array" not in repr(Factors(EVERYBODY, np.ones((50, 2), np.float32), 50, 1.0))


def test_residents_get_the_same_bits_whoever_is_asked_with_them(board: Interactions) -> None:
    here = board.rows_of(0)
    factors = fit_place(board.matrices(here), world=fit_world(board, settings=settings()), settings=settings())
    residents = Residents(factors, board, here)
    for rows in (here, here[::-1], here[3:5]):
        np.testing.assert_array_equal(residents.scores(board, rows), factors.scores(board, rows))
    others = gather(checkerboard(), settings=settings())
    np.testing.assert_array_equal(residents.scores(others, EVERYBODY), factors.scores(others, EVERYBODY))


def test_sessions_and_recency_are_of_ease_alone() -> None:
    rows = world(7, listeners=40, tracks=30, parts=2, nights=6, plays=20)
    every = [settings(sitting_weight=w, recency_power=p) for w, p in ((0, 0), (0.5, 1))]
    known = [gather(rows, settings=keys) for keys in every]
    models = [fit_world(some, settings=keys) for some, keys in zip(known, every, strict=True)]
    listeners = np.arange(known[0].shape[0])
    np.testing.assert_array_equal(*(model.scores(some, listeners) for model, some in zip(models, known, strict=True)))
