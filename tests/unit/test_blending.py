"""The blend: its formula, what shrinks and what is shut out, and whom it can be asked for."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.sparse import vstack
from support.checkerboard import settings
from support.listening import contributions

from recsys.models.blending import FEATURES, Blend, BlendParameters, blend, regional_only
from recsys.models.interactions import Interactions, gather
from recsys.models.place_tree import WORLD_ROW, Places
from recsys.models.regional import Fitted

COUNTRIES = {"P": "X", "Q": "X"}
SHARED, OWN = ([0, 1], [1, 0])  # everybody: y before x; in P: x before y


@dataclass(frozen=True)
class Fixed:
    """Everybody gets the same scores."""

    row: list[float]

    @property
    def width(self) -> int:
        return len(self.row)

    @property
    def columns(self) -> np.ndarray:
        return np.arange(len(self.row))

    def scores(self, interactions: Interactions, rows: np.ndarray, *, threads: int = 1) -> np.ndarray:
        return np.tile(np.array(self.row, dtype=np.float32), (len(rows), 1))


def listening_at(*stays: tuple[str, str | None, str]) -> Interactions:
    rows = [(listener, 0, part, track, 1) for listener, part, track in stays]
    return gather(contributions(rows), settings=settings(), parents=COUNTRIES)


# a is at home in P (with an own model), b in Q of the same country (without), c nowhere.
THREE = listening_at(("a", "P", "x"), ("b", "Q", "x"), ("b", "Q", "y"), ("c", None, "y"))
EVERYBODY = np.arange(3)


def fitted(sides: dict[int, Fixed], *, world: list[float] = SHARED, beside: Fixed | None = None) -> Fitted:
    places = Places.of(THREE)
    return Fitted(THREE, places, places.sizes(THREE), Fixed(world), sides, beside)


def blended(weights: list[float], *, gates: set[str], regional_shrinkage: float = 1) -> Blend:
    keys = settings(regional_shrinkage=regional_shrinkage)
    both = fitted({0: Fixed(OWN), 2: Fixed(OWN)})
    return blend(both, parameters=BlendParameters(np.array(weights, dtype=float), frozenset(gates)), settings=keys)


def test_the_blend_is_the_documented_sum() -> None:
    scores = blended([2, 3, 0, 0, 0, 0], gates={"P"}, regional_shrinkage=2).scores(EVERYBODY)
    s = 1 / (1 + 2)  # one listener at home in P
    np.testing.assert_allclose(scores[0], [2 * -1 + 3 * s * (1 - -1), 2 * 1 + 3 * s * (-1 - 1)], rtol=1e-6)
    np.testing.assert_allclose(scores[1:], [[-2, 2], [-2, 2]])


def test_without_an_open_gate_of_its_own_a_part_is_served_its_country() -> None:
    of_country = blended([1, 1, 0, 0, 0, 0], gates={"P", "X/*"})
    s = 2 / (2 + 1)  # two listeners are at home in X
    np.testing.assert_allclose(of_country.weights[:, 1], [1 / 2, s, s, 0], rtol=1e-6)
    np.testing.assert_allclose(of_country.scores(EVERYBODY)[1], [-1 + s * 2, 1 - s * 2], rtol=1e-5, atol=1e-6)


def test_the_own_weight_shrinks_with_the_part() -> None:
    own = [blended([1, 1, 0, 0, 0, 0], gates={"P"}, regional_shrinkage=k).weights[0, 1] for k in (0.25, 1, 3)]
    np.testing.assert_allclose(own, [1 / 1.25, 1 / 2, 1 / 4])


def test_a_closed_gate_shuts_the_own_model_out_and_keeps_the_trend() -> None:
    closed = blended([1, 1, 0, 0.5, 0, 0], gates=set())
    assert closed.weights[:, 1].tolist() == [0, 0, 0, 0]
    assert closed.weights[:, 3].tolist() == [0.5, 0.5, 0.5, 0.5]
    np.testing.assert_array_equal(closed.own.serving, [WORLD_ROW] * 4)


def test_the_engine_beside_adds_its_z_scores_of_the_world() -> None:
    parameters = BlendParameters(np.eye(len(FEATURES))[FEATURES.index("beside")] * 3, frozenset(), beside=True)
    served = blend(fitted({}, beside=Fixed([0, 4])), parameters=parameters, settings=settings())
    np.testing.assert_allclose(served.scores(EVERYBODY), [[-3, 3]] * 3)
    others = served.fold_in(listening_at(("y", None, "x"), ("z", "P", "y")))
    np.testing.assert_allclose(others.scores(np.arange(2)), [[-3, 3]] * 2)
    assert others.beside
    assert others.beside.interactions is others.own.interactions


@pytest.mark.parametrize(("there", "asked"), [(False, True), (True, False)])
def test_an_engine_beside_that_is_not_there_or_not_asked_adds_nothing(there: bool, asked: bool) -> None:
    parameters = BlendParameters(np.eye(len(FEATURES))[FEATURES.index("beside")], frozenset(), beside=asked)
    models = fitted({}, beside=Fixed(SHARED) if there else None)
    assert not blend(models, parameters=parameters, settings=settings()).scores(EVERYBODY).any()


def test_trends_are_those_of_the_home_and_of_the_world_without_one() -> None:
    scores = blended([0, 0, 0, 1, 0, 0], gates=set()).scores(EVERYBODY)
    np.testing.assert_array_equal(np.sign(scores), [[1, -1], [1, -1], [0, 0]])  # in Q they are those of X, in part


def test_the_departed_model_knows_no_gate_and_no_trend() -> None:
    both = fitted({0: Fixed(OWN)})
    served = blend(both, parameters=BlendParameters(np.ones(len(FEATURES)), frozenset()), settings=settings())
    plain = regional_only(both, like=served, settings=settings(regional_shrinkage=1))
    assert plain.weights[0].tolist() == [1, 0.25, 0, 0, 0, 0]  # half an own model, of which half for one listener
    assert not plain.weights[1:, 1:].any()


class Backwards:
    """Trees that want the worst of a list first."""

    def decision_function(self, values: np.ndarray) -> np.ndarray:
        return -values[:, 0]


def test_a_learned_order_deals_the_unheard_tracks_out_again() -> None:
    served = replace(blended([1, 0, 0, 0, 0, 0], gates=set()), trees=Backwards())
    one = served.fold_in(listening_at(("z", "P", "x"), ("y", None, "y")))  # the vocabulary is both tracks
    two = served.fold_in(replace(one.own.interactions, confidence=one.own.interactions.confidence * 0))
    np.testing.assert_array_equal(one.scores(np.arange(2)), [[-1, 1], [-1, 1]])  # one unheard track has one place
    np.testing.assert_array_equal(two.scores(np.arange(2)), [[1, -1], [1, -1]])
    assert one.scores(np.array([], dtype=np.int64)).shape == (0, 2)


def test_where_the_learned_order_is_not_used_tracks_stay_in_that_of_the_sum() -> None:
    parameters = BlendParameters(np.eye(len(FEATURES))[0], frozenset(), trees=Backwards(), summed=frozenset({"P"}))
    served = blend(fitted({}), parameters=parameters, settings=settings())
    asked = listening_at(("v", "P", "x"), ("w", "Q", "y"), ("z", None, "y"))
    unheard = served.fold_in(replace(asked, confidence=asked.confidence * 0))
    np.testing.assert_array_equal(unheard.scores(EVERYBODY), [[-1, 1], [1, -1], [1, -1]])


def test_folding_in_the_same_listeners_changes_no_score() -> None:
    served = blended([1, 1, 1, 1, 1, 1], gates={"P"})
    np.testing.assert_array_equal(served.fold_in(THREE).scores(EVERYBODY), served.scores(EVERYBODY))


@pytest.mark.parametrize(("home", "row"), [("P", 0), ("Q", 1), (None, 2)])
def test_a_new_listener_is_served_as_their_home_is(home: str | None, row: int) -> None:
    served = blended([1, 1, 1, 1, 1, 0], gates={"P", "X/*"})
    new = served.fold_in(listening_at(("somebody", home, "x"), ("other", None, "y")))
    where = new.own.interactions.listeners.to_list().index("somebody")
    np.testing.assert_array_equal(new.scores(np.array([where])), served.scores(np.array([row])))


def test_a_part_that_was_never_trained_is_served_its_country() -> None:
    served = blended([1, 1, 1, 1, 0, 0], gates={"P", "X/*"})
    rows = [("somebody", 0, "R", "x", 1), ("other", 0, "R", "y", 1)]
    new = gather(contributions(rows), settings=settings(), parents={"R": "X"})
    asked = served.fold_in(new)
    assert asked.own.homes.tolist() == [2, 2]
    np.testing.assert_allclose(asked.weights[2, 1], 2 / 3)


def test_who_has_played_nothing_gets_what_is_played_recently_at_home() -> None:
    """P's only track is x, Q's are both, and nobody who plays is at home nowhere but c, who plays y."""
    served = blended([1, 1, 0, 0, 5, 5], gates={"P"})
    nobody = THREE.confidence[:1] * 0
    nobody.eliminate_zeros()
    stranger = replace(listening_at(("s", "P", "x"), ("t", "Q", "y")), confidence=vstack([nobody, nobody]).tocsr())
    for trees in (None, Backwards()):
        scores = replace(served, trees=trees).fold_in(stranger).scores(np.arange(2))
        np.testing.assert_array_equal(scores, served.trends[0][:2])
