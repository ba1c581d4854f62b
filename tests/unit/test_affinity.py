"""What is close to whom, by scores that are known; and orders that are learned from players whose taste is known."""

from dataclasses import dataclass

import numpy as np
import pytest
from support.listening import contributions

from recsys.artifacts.affinities import BLANK, Affinities, default_orders
from recsys.models.affinity import Examples, closest, learn_orders
from recsys.models.interactions import FloatArray, IntArray, Interactions, gather
from recsys.settings import load_settings

SETTINGS = load_settings(overrides={"models": {"min_listeners_per_track": 1}}).models
ANA, BEN = "a" * 32, "b" * 32
ORDERS = default_orders(new=1.0)
POPULAR, RISING, LOCAL, CLOSE, NEW = range(5)


@dataclass(frozen=True)
class Told:
    """A model whose scores are told."""

    table: FloatArray

    def scores(self, listeners: IntArray) -> FloatArray:
        return self.table[listeners]


def of_two() -> Interactions:
    """Ana played t0 and t1, Ben t2 to t5."""
    rows = [(ANA, 0, None, f"t{n}", 1) for n in (0, 1)] + [(BEN, 0, None, f"t{n}", 1) for n in range(2, 6)]
    return gather(contributions(rows), settings=SETTINGS)


def affinities(table: list[list[float]], *, length: int, charted: list[int] | None = None) -> Affinities:
    known = of_two()
    columns = np.arange(6) if charted is None else np.array(charted, dtype=np.int64)
    model = Told(np.array(table, dtype=np.float32))
    return closest(model, known, charted=columns, length=length, orders=ORDERS, night="2026-01-05")


UP = [0.0, 1, 2, 3, 4, 5]  # whose standard deviation is sqrt(35 / 12)
SPREAD = np.sqrt(35 / 12)


def test_a_row_holds_what_was_played_and_the_best_of_the_rest() -> None:
    """Of Ana's four, t0 and t1 were played; of the others t5 and t4 are best, and t4, the last, stands at zero."""
    found = affinities([UP, UP], length=4).told(ANA)
    assert [(track, played) for track, _, played in found] == [("t5", False), ("t0", True), ("t1", True), ("t4", False)]
    assert found[0][1] == pytest.approx(1 / SPREAD, rel=1e-3)
    assert [closeness for _, closeness, _ in found[1:]] == [0, 0, 0]


def test_what_was_played_leaves_half_of_the_length_to_what_was_not() -> None:
    """Ben played all but t0 and t1; of four tracks that is as many as the length, and two are left for the others."""
    found = affinities([UP, UP], length=4).told(BEN)
    assert {track for track, _, played in found if played} == {"t5", "t4", "t3", "t2"}
    assert {track for track, _, played in found if not played} == {"t1", "t0"}
    assert found[0][:2] == ("t5", pytest.approx(5 / SPREAD, rel=1e-3))


def test_nothing_is_lost_where_the_length_is_odd() -> None:
    """Of three, Ben's four played tracks fill three, and two are for the others, of which there are no more."""
    found = affinities([UP, UP], length=3).told(BEN)
    assert {track for track, _, played in found if played} == {"t5", "t4", "t3"}
    assert {track for track, _, played in found if not played} == {"t1", "t0"}


def test_tracks_on_no_chart_are_not_kept() -> None:
    found = affinities([UP, UP], length=4, charted=[1, 3, 4])
    assert found.tracks == ("t1", "t3", "t4")
    assert {track for track, *_ in found.told(ANA)} == {"t1", "t3", "t4"}
    assert affinities([UP, UP], length=4, charted=[]).told(ANA) == []


def test_closeness_does_not_depend_on_the_scale_of_a_models_scores() -> None:
    one, other = (affinities([UP, [factor * score - 7 for score in UP]], length=6) for factor in (1, 40))
    assert one.told(BEN) == other.told(BEN)
    same = affinities([[1e6] * 6] * 2, length=6)
    assert {closeness for _, closeness, _ in same.told(ANA)} == {0}


def test_who_was_not_trained_on_has_no_row() -> None:
    assert affinities([UP, UP], length=4).row("c" * 32) is BLANK


def learners(seed: int, weights: tuple[float, ...], *, number: int = 600, candidates: int = 40) -> Examples:
    """Listeners who play five candidates, drawn by the weights."""
    rng = np.random.default_rng(seed)
    evidence = np.zeros((number, candidates, 5), dtype=np.float32)
    evidence[..., POPULAR] = np.log((candidates + 1) / (1 + np.arange(candidates)))
    listed = rng.random((number, candidates)) < 0.1
    evidence[..., RISING], evidence[..., LOCAL] = listed * 2, (rng.random((number, candidates)) < 0.1) * 2
    evidence[..., CLOSE] = np.maximum(rng.normal(size=(number, candidates)), 0)
    liking = evidence @ np.array(weights, dtype=np.float32) + rng.gumbel(size=(number, candidates))
    played = np.argsort(np.argsort(-liking, axis=1), axis=1) < 5
    return Examples(evidence, np.ones_like(played), played, played.sum(axis=1))


def test_what_listeners_go_by_is_what_weighs() -> None:
    orders = learn_orders(learners(1, (0.5, 0.0, 0.8, 1.5, 0)), new=2.0)
    popular, rising, local, close, new = orders.personal
    assert close > local > popular > rising > 0
    assert close / popular == pytest.approx(3, rel=0.4)
    assert new == 2.0
    assert orders.cold[CLOSE] == orders.cold[NEW] == 0
    assert orders.cold[LOCAL] > orders.cold[POPULAR] > orders.cold[RISING] > 0


def test_what_drives_listeners_away_speaks_for_no_track_and_is_taken_for_nothing() -> None:
    orders = learn_orders(learners(2, (1.0, -3.0, 0.0, 1.0, 0)), new=1.0)
    assert min(orders.personal) > 0
    assert orders.personal[RISING] == pytest.approx(0.01 * max(orders.personal[:NEW]), rel=1e-6)


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_no_order_is_worse_than_the_simpler_one(seed: int) -> None:
    """On other listeners: where closeness and lists say nothing, what was learned does not spoil the popular list."""
    weights = (1.0, 0.0, 0.0, 0.0, 0.0)
    orders = learn_orders(learners(seed, weights), new=1.0)
    others = learners(seed + 100, weights)
    popular = others.ndcg((1, 0, 0, 0, 0)).mean()
    assert others.ndcg(orders.cold).mean() >= popular - 0.01
    assert others.ndcg((*orders.personal[:NEW], 0)).mean() >= popular - 0.01


def test_of_few_listeners_nothing_is_learned() -> None:
    assert learn_orders(learners(1, (1, 1, 1, 1, 0), number=99), new=3.0) == default_orders(new=3.0)
    silent = learners(1, (1, 1, 1, 1, 0))
    nothing = Examples(silent.evidence, silent.unheard, silent.played & False, silent.relevant)
    assert learn_orders(nothing, new=3.0) == default_orders(new=3.0)


def test_ndcg_counts_what_no_list_can_hold_as_missed() -> None:
    """One list: the second of its two places was played, as was a track that is no candidate: (1 / log2 3) / 1.63."""
    evidence = np.zeros((1, 3, 5), dtype=np.float32)
    evidence[0, :, POPULAR] = [3, 2, 1]
    one = Examples(evidence, np.array([[True, True, False]]), np.array([[False, True, False]]), np.array([2]))
    gain = 1 / np.log2(3)
    assert one.ndcg((1, 0, 0, 0, 0)) == pytest.approx([gain / (1 + gain)])
