"""One suite for every model: what all promise, on a checkerboard whose right answer is known by construction."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from support.checkerboard import SIZE, checkerboard, settings
from threadpoolctl import threadpool_limits

from recsys.models.collaborative import UNLEARNED, BlendParameters, train
from recsys.models.evaluation.baselines import ItemNeighbours, PopularRegion, PopularWorld, RecentRegion, fit_baselines
from recsys.models.interactions import Interactions, gather
from recsys.models.metrics import Model, top
from recsys.models.regional import fit, fit_alone

EVERYBODY = np.arange(SIZE)
COLOURS = BlendParameters(UNLEARNED.weights, frozenset({"even", "odd"}))
SERVED = ("global", "regional", "blend")


def fit_all(interactions: Interactions, threads: int, **keys: str) -> Mapping[str, Model]:
    return train(interactions, parameters=COLOURS, settings=settings(**keys), threads=threads)


def fit_local(interactions: Interactions, threads: int, **keys: str) -> Model:
    return fit_alone(fit(interactions, settings=settings(**keys)), settings=settings(**keys), threads=threads)


FITS: dict[str, Callable[[Interactions, int], Model]] = {
    "popular_world": lambda interactions, threads: PopularWorld.fit(interactions),
    "popular_region": lambda interactions, threads: PopularRegion.fit(interactions),
    "recent_region": lambda interactions, threads: RecentRegion.fit(interactions),
    "neighbours": lambda interactions, threads: ItemNeighbours.fit(interactions, threads=threads),
    "ease": lambda interactions, threads: fit_baselines(interactions, settings=settings())["ease"],
    **{name: lambda interactions, threads, name=name: fit_all(interactions, threads)[name] for name in SERVED},
    "local": fit_local,
    **{
        f"{name}, ease": lambda interactions, threads, name=name: fit_all(interactions, threads, engine="ease")[name]
        for name in SERVED
    },
    "local, ease": lambda interactions, threads: fit_local(interactions, threads, engine="ease"),
}


@pytest.fixture(params=FITS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def board() -> Interactions:
    return gather(checkerboard(), settings=settings())


def test_the_missing_track_of_ones_colour_comes_first(name: str, board: Interactions) -> None:
    scores = FITS[name](board, 1).scores(EVERYBODY)
    unheard = np.where(board.confidence.toarray() == 0, scores, -np.inf)
    everybody_alike = 1 - EVERYBODY % 2  # every track has as many listeners, so the first of those never heard
    everybody_alike[0] = 0
    expected = everybody_alike if name == "popular_world" else EVERYBODY
    np.testing.assert_array_equal(top(unheard, 1)[:, 0], expected)


def test_every_listener_gets_a_finite_score_of_every_track(name: str, board: Interactions) -> None:
    scores = FITS[name](board, 1).scores(np.array([3, 0, 3]))
    assert (scores.shape, scores.dtype) == ((3, SIZE), np.float32)
    assert np.isfinite(scores).all()


def test_a_listeners_scores_do_not_depend_on_who_else_is_asked_for(name: str, board: Interactions) -> None:
    model = FITS[name](board, 1)
    np.testing.assert_allclose(model.scores(np.array([7, 2])), model.scores(EVERYBODY)[[7, 2]], rtol=1e-4, atol=1e-5)
    assert model.scores(np.array([], dtype=np.int64)).shape == (0, SIZE)


def test_the_same_bits_for_any_number_of_threads_and_order_of_rows(name: str, board: Interactions) -> None:
    shuffled = gather(checkerboard().sample(fraction=1, shuffle=True, seed=5), settings=settings())
    with threadpool_limits(1, "blas"):
        once, twice = (FITS[name](board, threads).scores(EVERYBODY) for threads in (1, 2))
        again = FITS[name](shuffled, 0).scores(EVERYBODY)
    np.testing.assert_array_equal(once, twice)
    np.testing.assert_array_equal(once, again)


def test_fitting_leaves_the_interactions_as_they_were(name: str, board: Interactions) -> None:
    before = board.confidence.copy(), board.recent.copy()
    FITS[name](board, 1).scores(EVERYBODY)
    assert [(board.confidence != before[0]).nnz, (board.recent != before[1]).nnz] == [0, 0]


def test_no_listener_and_no_factor_is_in_the_printed_form(name: str, board: Interactions) -> None:
    assert repr(FITS[name](board, 1)).endswith("()")
