"""What the validation nights teach: gates, weights, and when they teach nothing."""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pytest
from scipy import sparse
from support.checkerboard import checkerboard, settings
from support.listening import FIRST_NIGHT, world

from recsys.models import fit_blend
from recsys.models.blending import FEATURES, FIRST_GUESS, RISING, BlendParameters, blend
from recsys.models.fit_blend import gated, learn, pool_of
from recsys.models.interactions import Interactions, gather, heard_later
from recsys.models.metrics import ndcg_at_10, rank, without
from recsys.models.place_tree import Places
from recsys.models.ranker import Pool, learned_trees
from recsys.models.regional import Fitted, fit
from recsys.models.splitting import split_by_night

ANSWERS = np.eye(50, dtype=np.float32)  # listener i plays next the one track of their colour they lack: i
LATER = sparse.csr_array(ANSWERS)
BOTH = BlendParameters(np.array([1.0, 1, 0, 0, 0, 0]), frozenset({"even", "odd"}))


@dataclass(frozen=True)
class Table:
    """Scores written down for every listener."""

    table: np.ndarray

    @property
    def width(self) -> int:
        return self.table.shape[1]

    @property
    def columns(self) -> np.ndarray:
        return np.arange(self.width)

    def scores(self, interactions: Interactions, rows: np.ndarray, *, threads: int = 1) -> np.ndarray:
        return self.table[rows]


@pytest.fixture(scope="module")
def board() -> Interactions:
    return gather(checkerboard(), settings=settings())


def guessed(board: Interactions, own: dict[int, np.ndarray], world: np.ndarray) -> Fitted:
    places = Places.of(board)
    sides = {place: Table(table) for place, table in own.items()}
    return Fitted(board, places, places.sizes(board), Table(world), sides)


def gates(given: Fitted, later: sparse.csr_array = LATER, **keys: float) -> BlendParameters:
    return gated(given, parameters=BOTH, later=later, settings=settings(regional_shrinkage=1, **keys))


def test_an_own_model_that_makes_lists_worse_stays_behind_the_gate(board: Interactions) -> None:
    """The world knows what the odd ones lack, and the own models only what the even ones do."""
    odd = np.arange(50)[:, None] % 2 == 1
    own = np.where(odd, -ANSWERS, ANSWERS)
    found = gates(guessed(board, {0: own, 1: own}, np.where(odd, ANSWERS, 0)), gate_shrinkage=0)
    assert found.open_gates == {"even"}
    assert found.gains["even"] > 0 > found.gains["odd"]


@pytest.mark.parametrize("ranker", ["logistic", "trees"])
def test_the_engine_beside_is_asked_where_it_makes_lists_better(board: Interactions, ranker: str) -> None:
    """The world knows half of the answers, and the engine beside all of them, or nothing but noise."""
    noise = np.random.default_rng(3).normal(size=(2, 50, 50)).astype(np.float32)
    half = np.where(np.arange(50)[:, None] % 4 < 2, ANSWERS, 0) + noise[0] / 10
    keys = settings(ranker=ranker)
    alone = learn(guessed(board, {}, half), later=LATER, settings=keys)
    helped, misled = (
        learn(replace(guessed(board, {}, half), beside=Table(table)), later=LATER, settings=keys)
        for table in (ANSWERS, noise[1])
    )
    assert helped.beside
    assert helped.weights[FEATURES.index("beside")] > 0
    assert not misled.beside
    np.testing.assert_array_equal(misled.weights, alone.weights)
    assert misled.weights[FEATURES.index("beside")] == 0
    assert not misled.engines(keys).both_engines


def test_an_own_model_that_changes_nothing_may_be_used(board: Interactions) -> None:
    assert gates(guessed(board, {0: ANSWERS}, ANSWERS)).open_gates == {"even"}


def test_a_gate_that_nobody_can_judge_stays_closed(board: Interactions) -> None:
    nobody = sparse.csr_array((50, 50), dtype=np.float32)
    assert gates(guessed(board, {0: ANSWERS}, ANSWERS), nobody).open_gates == frozenset()


def test_one_judge_against_the_loss_of_all_others_opens_no_gate(board: Interactions) -> None:
    """24 even judges lose 1 each, one odd judge gains: shrunk by 30, the mean loss of all outweighs the one."""
    few = ANSWERS.copy()
    few[3::2] = 0  # of the odd ones, only listener 1 judges
    odd = np.arange(50)[:, None] % 2 == 1
    given = guessed(board, {0: -ANSWERS, 1: ANSWERS}, np.where(odd, 0, ANSWERS))
    opened = {k: gates(given, sparse.csr_array(few), gate_shrinkage=k).open_gates for k in (0, 30)}
    assert opened == {0: {"odd"}, 30: frozenset()}


def test_the_gain_of_all_others_opens_no_gate_of_a_place_whose_own_judges_lose(board: Interactions) -> None:
    few = ANSWERS.copy()
    few[3::2] = 0
    odd = np.arange(50)[:, None] % 2 == 1
    given = guessed(board, {0: ANSWERS, 1: -ANSWERS}, np.where(odd, ANSWERS, 0))
    opened = {k: gates(given, sparse.csr_array(few), gate_shrinkage=k).open_gates for k in (0, 30)}
    assert opened == {0: {"even"}, 30: {"even"}}


def test_a_part_is_judged_against_what_serves_it_where_its_own_gate_is_closed() -> None:
    """The country of the even ones knows what they lack, and the world what the odd ones do; the parts know it second.

    So both parts make lists worse. Against the world alone the even part would look better, and against its country,
    whose gate stays closed, the odd one.
    """
    board = gather(checkerboard(), settings=settings(), parents={"even": "EV", "odd": "OD"})
    odd = np.arange(50)[:, None] % 2 == 1
    second = ANSWERS + 2 * np.roll(ANSWERS, 1, axis=1)  # behind a track of the other colour
    places = Places.of(board)
    own = {"EV/*": ANSWERS, "OD/*": -ANSWERS, "even": second, "odd": second}
    sides = {places.names.index(name): table for name, table in own.items()}
    parameters = replace(BOTH, open_gates=frozenset(own))
    given = guessed(board, sides, np.where(odd, ANSWERS, -ANSWERS))
    found = gated(given, parameters=parameters, later=LATER, settings=settings(regional_shrinkage=1, gate_shrinkage=0))
    assert found.open_gates == {"EV/*"}
    assert found.gains["EV/*"] > 0 > max(found.gains["OD/*"], found.gains["even"], found.gains["odd"])


@pytest.mark.parametrize(
    ("of_even", "of_odd", "trees", "summed"),
    [
        (2.0, -1.0, True, {"odd"}),  # sd 1.5: -1 < -1.5 / sqrt(25)
        (2.0, -0.1, True, set()),  # sd 1.05: -0.1 > -1.05 / sqrt(25), which may be chance
        (1.0, -1.0, False, set()),  # no gain on the whole
    ],
)
def test_a_learned_order_is_used_where_strangers_gain(
    board: Interactions,
    monkeypatch: pytest.MonkeyPatch,
    of_even: float,
    of_odd: float,
    *,
    trees: bool,
    summed: set[str],
) -> None:
    """Half of the 50 listeners are at home in even, half in odd, and what trees gain for each is given."""
    grown = object()

    def gain(judges: Pool, **_: object) -> np.ndarray:
        assert np.bincount(judges.homes).tolist() == [25, 25]
        return np.where(judges.homes == 0, of_even, of_odd)

    monkeypatch.setattr(fit_blend, "gain_of_trees", gain)
    monkeypatch.setattr(fit_blend, "learned_trees", lambda pool, **_: grown)
    monkeypatch.setattr(fit_blend, "gated", lambda fitted, *, parameters, **_: parameters)
    keys = settings(ranker="trees")
    found = learn(fit(board, settings=keys), later=LATER, settings=keys)
    assert found.trees is (grown if trees else None)
    assert found.summed == summed


@pytest.mark.parametrize(
    ("bound", "free", "chosen", "rising"),
    [
        ((0.1, 0.3), (0.5, 0.5), 1, RISING),
        ((0.3, 0.1), (0.5, 0.5), 0, RISING),
        ((-0.1, 0.1), (0.5, 0.5), 1, RISING),
        ((-0.1, 0.0), (0.2, 0.1), 0, None),
        ((-0.1, -0.2), (0.0, -0.1), None, None),
    ],
)
def test_trees_stand_on_the_sum_whose_tracks_make_the_best_lists_in_their_order(
    board: Interactions,
    monkeypatch: pytest.MonkeyPatch,
    *,
    bound: tuple[float, float],
    free: tuple[float, float],
    chosen: int | None,
    rising: tuple[int, ...] | None,
) -> None:
    """Both sums put the world's best track first, so that their lists are worth the same before trees order them."""
    gains = {RISING: iter(bound), None: iter(free)}
    monkeypatch.setattr(
        fit_blend, "gain_of_trees", lambda pool, *, seed, rising: np.full(len(pool.relevant), next(gains[rising]))
    )
    monkeypatch.setattr(fit_blend, "learned_trees", lambda pool, *, seed, rising: ("trees", rising))
    tried = [replace(BOTH, weights=weight * np.eye(6)[0]) for weight in (1, 2)]
    found = fit_blend._with_trees(
        guessed(board, {}, ANSWERS),
        tried=[*tried, tried[0]],
        worth=np.ones(50),
        later=LATER,
        settings=settings(ranker="trees"),
    )
    assert found.trees == (None if chosen is None else ("trees", rising))
    assert found.weights is tried[chosen or 0].weights


def test_with_too_few_to_learn_from_the_first_guess_stands(board: Interactions) -> None:
    for ranker in ("none", "logistic", "trees"):
        keys = settings(ranker=ranker)
        found = learn(fit(board, settings=keys), later=LATER, settings=keys)
        np.testing.assert_array_equal(found.weights, FIRST_GUESS)
        assert found.trees is None


def test_gates_and_weights_are_judged_by_the_lists_that_would_be_served() -> None:
    """A few tracks are looked at instead of whole lists, and are worth the same."""
    rows = world(3, listeners=400, tracks=120, parts=3, nights=9, plays=30)
    keys = settings(ranker="logistic", min_listeners_per_region=50)
    split = split_by_night(rows, validation_from=FIRST_NIGHT + timedelta(days=6), test_from=date.max)
    known = gather(split.train, settings=keys)
    fitted, later = fit(known, settings=keys), heard_later(split.validation, known=known)
    summed = blend(fitted, parameters=learn(fitted, later=later, settings=keys), settings=keys)
    new = without(later, known.confidence)
    trees = learned_trees(pool_of(summed, new, at_most=1000), seed=1)
    assert trees is not None
    for served in (summed, replace(summed, trees=trees)):
        lists = rank(served, later=later, heard=known.confidence)
        np.testing.assert_array_equal(fit_blend._ndcg_of_lists(served, new, lists.listeners), ndcg_at_10(lists))
        np.testing.assert_array_equal(fit_blend._ndcg_by_sums([served], new)[0], ndcg_at_10(lists))


def test_where_nobody_can_judge_the_engine_beside_is_not_asked(board: Interactions) -> None:
    nobody, world = sparse.csr_array((50, 50), dtype=np.float32), guessed(board, {}, ANSWERS)
    for ranker in ("logistic", "trees"):
        assert not learn(replace(world, beside=Table(ANSWERS)), later=nobody, settings=settings(ranker=ranker)).beside
