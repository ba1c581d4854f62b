"""The global and the regional models, and the blend: its formula, its weights and its gate."""

import numpy as np
import pytest
from checkerboard import checkerboard, settings
from listening import contributions, world
from scipy import sparse

from recsys.models import collaborative
from recsys.models.collaborative import (
    UNLEARNED,
    Blend,
    Factors,
    Recipe,
    Regional,
    blend,
    fit_global,
    fit_regional,
    learn,
    standardized,
)
from recsys.models.interactions import Interactions, gather

ALL = Recipe(UNLEARNED.weights, frozenset({"even", "odd"}))


@pytest.fixture(scope="module")
def board() -> Interactions:
    return gather(checkerboard(), settings=settings())


def test_the_seed_decides(board: Interactions) -> None:
    once, again, other = (fit_global(board, settings=settings(seed=seed)).tracks for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


def test_nothing_to_learn_from_gives_zeros() -> None:
    board = gather(checkerboard(), settings=settings())
    silent = Interactions(
        board.listeners, board.tracks, board.parts, board.homes, board.confidence * 0, board.recent * 0
    )
    silent.confidence.eliminate_zeros()
    shared = fit_global(silent, settings=settings())
    regional = fit_regional(silent, shared=shared, settings=settings())
    for model in (shared, regional):
        np.testing.assert_array_equal(model.scores(np.arange(3)), np.zeros((3, 50)))


def test_a_part_gets_a_model_of_its_own_from_enough_listeners_on(board: Interactions) -> None:
    shared = fit_global(board, settings=settings())
    own = {
        least: sorted(fit_regional(board, shared=shared, settings=settings(min_listeners_per_region=least)).tracks)
        for least in (25, 26)
    }
    assert own == {25: [0, 1], 26: []}  # each colour has 25 listeners


def test_without_a_model_of_their_own_listeners_get_the_global_one(board: Interactions) -> None:
    shared = fit_global(board, settings=settings())
    regional = fit_regional(board, shared=shared, settings=settings(min_listeners_per_region=26))
    np.testing.assert_allclose(regional.scores(np.arange(50)), shared.scores(np.arange(50)), rtol=1e-4, atol=1e-6)


def test_fitting_the_regions_leaves_the_global_model_as_it_was(board: Interactions) -> None:
    shared = fit_global(board, settings=settings())
    before = shared.listeners.copy(), shared.tracks.copy()
    fit_regional(board, shared=shared, settings=settings())
    np.testing.assert_array_equal(shared.listeners, before[0])
    np.testing.assert_array_equal(shared.tracks, before[1])


def test_rows_are_standardized_and_constants_become_zeros() -> None:
    scores = np.array([[1, 3], [4, 4]], dtype=np.float32)
    np.testing.assert_array_equal(standardized(scores), [[-1, 1], [0, 0]])


# Two tracks; a is at home in P (with an own model), b in Q (without), c nowhere.
THREE = gather(
    contributions([("a", 0, "P", "x", 1), ("b", 0, "Q", "x", 1), ("b", 0, "Q", "y", 1), ("c", 0, None, "y", 1)]),
    settings=settings(),
)
SHARED = Factors(np.ones((3, 1), np.float32), np.array([[0], [1]], np.float32))  # everybody: y before x
OWN = Regional(SHARED, SHARED.listeners, {0: np.array([[1], [0]], np.float32)}, THREE.homes)  # P: x before y


def blended(weights: list[float], *, gates: frozenset[str], regional_shrinkage: float = 1) -> Blend:
    keys = settings(regional_shrinkage=regional_shrinkage)
    return blend(THREE, regional=OWN, recipe=Recipe(np.array(weights, dtype=float), gates), settings=keys)


def test_the_blend_is_the_documented_sum() -> None:
    scores = blended([2, 3, 0, 0], gates=frozenset({"P"}), regional_shrinkage=2).scores(np.arange(3))
    s = 1 / (1 + 2)  # one listener at home in P
    np.testing.assert_allclose(scores[0], [2 * -1 + 3 * s * (1 - -1), 2 * 1 + 3 * s * (-1 - 1)], rtol=1e-6)
    np.testing.assert_allclose(scores[1:], [[-2, 2], [-2, 2]])


def test_the_own_weight_shrinks_with_the_part() -> None:
    gates = frozenset({"P"})
    own = [blended([1, 1, 0, 0], gates=gates, regional_shrinkage=k).weights[0, 1] for k in (0.25, 1, 3)]
    np.testing.assert_allclose(own, [1 / 1.25, 1 / 2, 1 / 4])


def test_a_closed_gate_shuts_the_own_model_out_and_keeps_the_trend() -> None:
    closed = blended([1, 1, 0, 0.5], gates=frozenset())
    assert closed.weights[:, 1].tolist() == [0, 0, 0]
    assert closed.weights[:, 3].tolist() == [0.5, 0.5, 0.5]


def test_trends_are_those_of_the_home_and_of_the_world_without_one() -> None:
    scores = blended([0, 0, 1, 0], gates=frozenset()).scores(np.arange(3))
    np.testing.assert_array_equal(np.sign(scores), [[1, -1], [0, 0], [0, 0]])  # only in P is one more popular


def test_an_own_model_that_makes_lists_worse_stays_behind_the_gate(
    board: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part's own model alone knows what its listeners lack; the other's puts last what the global one knows."""
    monkeypatch.setattr(collaborative, "_learned_weights", lambda *_: np.array([1.0, 1, 0, 0]))
    low = np.arange(50)[:, None] < 25
    answers = np.eye(50, dtype=np.float32)
    homes = np.where(low[:, 0], 0, 1)
    across = Interactions(board.listeners, board.tracks, ("low", "high"), homes, board.confidence, board.recent)
    shared = Factors(np.where(low, 0, answers), answers)
    regional = Regional(shared, np.where(low, answers, -answers), {0: answers, 1: answers}, homes)
    recipe = learn(
        across, regional=regional, later=sparse.csr_array(answers), settings=settings(regional_shrinkage=1)
    )  # s is 25 / 26: the answer's score in "high" is g - s (g + g), less than 0
    assert recipe.open_gates == {"low"}


def test_with_too_few_to_learn_from_the_first_guess_stands(board: Interactions) -> None:
    regional = fit_regional(board, shared=fit_global(board, settings=settings()), settings=settings())
    recipe = learn(board, regional=regional, later=sparse.csr_array(np.eye(50, dtype=np.float32)), settings=settings())
    np.testing.assert_array_equal(recipe.weights, UNLEARNED.weights)


def test_a_gate_that_nobody_can_judge_stays_closed(board: Interactions) -> None:
    regional = fit_regional(board, shared=fit_global(board, settings=settings()), settings=settings())
    nobody = sparse.csr_array((50, 50), dtype=np.float32)
    assert learn(board, regional=regional, later=nobody, settings=settings()).open_gates == frozenset()


def test_learned_weights_prefer_what_predicts() -> None:
    """Everybody plays next what is popular at home, and vectors are noise."""
    rows = world(3, listeners=400, tracks=60, parts=4, nights=10, plays=30)
    keys = settings(min_listeners_per_track=2)
    known = gather(rows, settings=keys)
    rng = np.random.default_rng(0)
    noise = Factors(
        rng.normal(size=(known.shape[0], 8)).astype(np.float32), rng.normal(size=(known.shape[1], 8)).astype(np.float32)
    )
    regional = Regional(noise, noise.listeners, {}, known.homes)
    unknown = np.where(known.confidence.toarray() == 0, popularity_at_home(known), -np.inf)
    later = np.zeros(known.shape, np.float32)
    np.put_along_axis(later, np.argsort(-unknown, axis=1)[:, :3], 1, axis=1)
    later[known.confidence.toarray() != 0] = 0
    recipe = learn(known, regional=regional, later=sparse.csr_array(later), settings=keys)
    assert recipe.weights[2] > 5 * abs(recipe.weights[0])


def popularity_at_home(known: Interactions) -> np.ndarray:
    heard = (known.confidence.toarray() > 0).astype(float)
    return np.stack([heard[known.homes == home].sum(axis=0) for home in known.homes])
