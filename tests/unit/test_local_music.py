"""Local music: who is local, and that lists get the share of it that was played, by moving as little as can be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from support import checkerboard
from support.listening import contributions

from recsys.models import local_music
from recsys.models.blending import BlendParameters, blend
from recsys.models.collaborative import learn_and_train, train
from recsys.models.evaluation.by_country import by_country
from recsys.models.interactions import Interactions, gather
from recsys.models.local_music import LocalMusic, Offsets, keeping_shares
from recsys.models.metrics import LENGTH, NOTHING, Lists, top
from recsys.models.place_tree import Places
from recsys.models.regional import fit

settings = partial(checkerboard.settings, local_share=True)
COUNTRIES = {"P": "PP", "Q": "QQ"}
TRACKS = [f"{number:02d}" for number in range(40)]
PLACES = np.array([1 / math.log2(1 + place) for place in range(1, 11)])
ORIGINS = dict.fromkeys(TRACKS[:15], "PP") | dict.fromkeys(TRACKS[15:20], "QQ")  # of the last 20: unknown


@dataclass(frozen=True)
class Table:
    """Scores written down for every listener."""

    table: np.ndarray

    def scores(self, listeners: np.ndarray) -> np.ndarray:
        return self.table[listeners]


def world(*, p: int = 20, q: int = 12, nowhere: int = 3, origins: dict[str, str] | None = None) -> Interactions:
    """Everybody in P played one track from PP and three from nowhere known; in Q, one of QQ and one from PP.

    One listener of P has played everything, so that all tracks are there.
    """
    rows = [(f"p{i:02d}", 0, "P", track, 1) for i in range(p) for track in ("00", "20", "21", "22")]
    rows += [(f"q{i:02d}", 0, "Q", track, 1) for i in range(q) for track in ("00", "15")]
    rows += [(f"x{i:02d}", 0, None, track, 1) for i in range(nowhere) for track in TRACKS]
    return gather(
        contributions(rows), settings=settings(), parents=COUNTRIES, origins=ORIGINS if origins is None else origins
    )


def random_scores(known: Interactions, *, seed: int) -> Table:
    return Table(np.random.default_rng(seed).normal(size=known.shape).astype(np.float32))


def lists_of(scores: np.ndarray, known: Interactions) -> np.ndarray:
    return top(np.where(known.confidence.toarray() != 0, np.float32(-np.inf), scores), 10)


def listed(model: Table, known: Interactions, offsets: Offsets) -> np.ndarray:
    return lists_of(added(model, known, offsets), known)


def added(model: Table, known: Interactions, offsets: Offsets) -> np.ndarray:
    homes = Places.of(known).homes_of(known)
    return offsets.added(model.table, homes=homes, heard=known.confidence.toarray() != 0)


def share_listed(lists: np.ndarray, known: Interactions, rows: np.ndarray) -> float:
    local = LocalMusic.of(known)
    return float(local.shares_listed(lists[rows], rows).mean())


def share_by_place(lists: np.ndarray, known: Interactions, rows: np.ndarray) -> float:
    local = LocalMusic.of(known)
    own = [[local.tracks[local.country[row], track] for track in lists[row]] for row in rows]
    return float(np.mean(own @ PLACES) / PLACES.sum())


def test_local_is_who_comes_from_there_whoever_listens() -> None:
    local = LocalMusic.of(world(), artists={"30": "played by everybody in P"})
    assert local.countries == ("PP", "QQ")
    assert local.tracks.sum(axis=1).tolist() == [15, 5]
    assert local.tracks[0, :15].all()
    assert np.unique(local.country, return_counts=True)[1].tolist() == [3, 20, 12]  # nowhere, PP, QQ
    assert LocalMusic.of(world(origins={})) is None


def test_shares_played_are_fractions_of_tracks_written_by_hand() -> None:
    known = world()
    shares = LocalMusic.of(known).shares_played(known.confidence, np.array([0, 20]))
    np.testing.assert_array_equal(shares, [1 / 4, 1 / 2])


@pytest.mark.parametrize("seed", range(5))
def test_each_country_gets_the_share_that_was_played_there(seed: int) -> None:
    """In P a quarter of 200 places is local, in Q half of 120, of which five tracks and one of them heard leave 48."""
    print("seed", seed)
    known = world()
    model = random_scores(known, seed=seed)
    lists = listed(model, known, keeping_shares(model, known, settings=settings()))
    local = LocalMusic.of(known)
    assert share_listed(lists, known, np.flatnonzero(local.country == 0)) == pytest.approx(50 / 200, abs=1e-9)
    assert share_listed(lists, known, np.flatnonzero(local.country == 1)) == pytest.approx(48 / 120, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_each_country_gets_it_by_place_too(seed: int) -> None:
    """Within half a point, and half of the largest step: of one of 20 (or 12) lists, from place 2 to 1.

    The four tracks that are left for a listener in Q are two fifths of places, and can stand for half of their weight.
    """
    print("seed", seed)
    known = world()
    model = random_scores(known, seed=seed)
    lists = listed(model, known, keeping_shares(model, known, settings=settings()))
    local = LocalMusic.of(known)
    for country, played in enumerate((1 / 4, 1 / 2)):
        rows = np.flatnonzero(local.country == country)
        step = (PLACES[0] - PLACES[1]) / PLACES.sum() / len(rows)
        assert share_by_place(lists, known, rows) == pytest.approx(played, abs=0.005 + step / 2)


def ten_unheard(own: Sequence[float]) -> tuple[Interactions, Table]:
    """Everybody in P heard ten tracks, one of them local, and not ten more: "b" is local, others score from 9 to 1."""
    heard, others = ["a", *(f"h{number}" for number in range(9))], [f"o{score}" for score in range(9, 0, -1)]
    rows = [(f"p{i}", 0, "P", track, 1) for i in range(10) for track in heard]
    rows += [("x", 0, None, track, 1) for track in ("b", *heard, *others)]
    known = gather(contributions(rows), settings=settings(), parents=COUNTRIES, origins={"a": "PP", "b": "PP"})
    table = np.tile([float(track[1:]) if track.startswith("o") else 0 for track in known.tracks], (11, 1))
    table[:10, known.tracks.to_list().index("b")] = own
    return known, Table(table.astype(np.float32))


def test_the_order_is_changed_by_the_least_that_is_derived_by_hand() -> None:
    """What is unheard is listed, whatever is added: the local track of each of ten lists, at their end.

    There a place weighs 1 / log2(11) = .289, of the 4.544 of all ten; a tenth of the tracks played is local, and half a
    point less of the weight is .4316. The fourth place weighs .4307, and with one of the ten in the third place the
    mean were .4376. So all shall be fourth: past the other track of score 6, of which the last is 5.59 below, and not
    past that of score 7, of which the first is 6.5 below.
    """
    known, model = ten_unheard([0.5 - 0.01 * i for i in range(10)])
    offsets = keeping_shares(model, known, settings=settings())
    assert offsets.listed.tolist() == [0, 0]
    assert offsets.order.tolist() == pytest.approx([(5.59 + 6.5) / 2, 0], abs=1e-6)
    lists = listed(model, known, offsets)[:10]
    assert known.tracks.gather(lists[0]).to_list() == ["o9", "o8", "o7", "b", "o6", "o5", "o4", "o3", "o2", "o1"]
    assert (lists == lists[0]).all()
    np.testing.assert_array_equal(np.sort(added(model, known, offsets)), np.sort(model.table))  # dealt out again


def test_an_order_that_is_within_half_a_point_is_left_as_it_is() -> None:
    """Of ten local tracks one is third and nine are fourth: .4376, where .4316 to .4771 are as good."""
    known, model = ten_unheard([7.5, *[6.5] * 9])
    offsets = keeping_shares(model, known, settings=settings())
    assert offsets.order.tolist() == offsets.listed.tolist() == [0, 0]
    np.testing.assert_array_equal(added(model, known, offsets), model.table)


@pytest.mark.parametrize("seed", range(5))
def test_an_offset_changes_no_order_but_between_local_and_other_tracks(seed: int) -> None:
    print("seed", seed)
    known = world()
    model = random_scores(known, seed=seed)
    offsets, local = keeping_shares(model, known, settings=settings()), LocalMusic.of(known)
    before, after = lists_of(model.table, known), listed(model, known, offsets)
    for row in np.flatnonzero(local.country == 0):
        for some in (local.tracks[0], ~local.tracks[0]):
            kept = [[track for track in lists[row] if some[track]] for lists in (before, after)]
            short = min(map(len, kept))
            assert kept[0][:short] == kept[1][:short]


@pytest.mark.parametrize("seed", range(5))
def test_the_share_rises_with_the_offset(seed: int) -> None:
    print("seed", seed)
    known = world()
    model = random_scores(known, seed=seed)
    found, local = keeping_shares(model, known, settings=settings()), LocalMusic.of(known)
    at_home = np.flatnonzero(local.country == 0)
    shares = []
    for value in np.linspace(-4, 4, 33, dtype=np.float32):
        tried = replace(found, listed=np.array([value, 0, 0], dtype=np.float32))
        shares.append(share_listed(listed(model, known, tried), known, at_home))
    assert shares == sorted(shares)
    assert shares[0] < 1 / 4 < shares[-1]


@pytest.mark.parametrize(("share", "listed"), [(0.06, 4), (0.1, 4), (0.04, 0), (0.0, 0)])
def test_listeners_with_the_same_scores_move_together_or_stay_as_they_are(share: float, listed: int) -> None:
    """Four alike, with one local track at .5 below ten others from 10 to 1: of 40 places it has none or four."""
    own = np.full((4, 10), -np.inf)
    own[:, 0] = 0.5
    other = np.tile(np.arange(10.0, 0.0, -1), (4, 1))
    offset = local_music._offset(own, other, weights=np.ones(10), least=share, most=share)
    first, _ = local_music._first(own, other, offset=offset)
    assert np.isfinite(first).sum() == listed
    assert (offset == 0) == (listed == 0)


def test_who_is_at_home_nowhere_has_no_offset() -> None:
    known = world()
    model = random_scores(known, seed=1)
    offsets = keeping_shares(model, known, settings=settings())
    assert (known.homes < 0).sum() == 3
    rows = np.flatnonzero(known.homes < 0)
    np.testing.assert_array_equal(added(model, known, offsets)[rows], model.table[rows])


def test_a_country_of_few_listeners_and_one_without_local_tracks_have_none() -> None:
    few = world(q=9)
    assert keeping_shares(random_scores(few, seed=2), few, settings=settings()).listed[1] == 0
    enough = world(q=10)
    assert keeping_shares(random_scores(enough, seed=2), enough, settings=settings()).listed[1] != 0
    others = world(origins=dict.fromkeys(TRACKS[:15], "PP"))
    assert keeping_shares(random_scores(others, seed=2), others, settings=settings()).listed[1] == 0


def test_a_world_of_one_country_whose_tracks_are_all_local_has_nothing_to_move() -> None:
    known = world(q=0, nowhere=1, origins=dict.fromkeys(TRACKS, "PP"))
    model = random_scores(known, seed=3)
    offsets = keeping_shares(model, known, settings=settings())
    assert offsets.listed.tolist() == offsets.order.tolist() == [0, 0]
    np.testing.assert_array_equal(listed(model, known, offsets), lists_of(model.table, known))


def test_a_country_that_plays_nothing_local_is_listed_nothing_local() -> None:
    known = world(origins=dict.fromkeys(TRACKS[1:15], "PP"))
    model = random_scores(known, seed=4)
    lists = listed(model, known, keeping_shares(model, known, settings=settings()))
    assert share_listed(lists, known, np.flatnonzero(LocalMusic.of(known).country == 0)) == 0


def test_fewer_tracks_than_a_list_has_places_are_all_listed() -> None:
    rows = [(f"p{i:02d}", 0, "P", track, 1) for i in range(12) for track in ("a", "b")]
    rows += [("x", 0, None, track, 1) for track in "abcd"]
    known = gather(contributions(rows), settings=settings(), parents=COUNTRIES, origins={"a": "PP", "c": "PP"})
    model = random_scores(known, seed=5)
    lists = listed(model, known, keeping_shares(model, known, settings=settings()))
    offsets = keeping_shares(model, known, settings=settings())
    assert np.isfinite([offsets.listed, offsets.order]).all()
    assert all(sorted(row[row != NOTHING]) == [2, 3] for row in lists[:12])


def test_without_the_setting_or_origins_there_are_no_offsets_and_the_same_bits() -> None:
    keys, parameters = settings(), BlendParameters(np.array([1.0, 0.5, 0, 0.3, 0.6, 0]), frozenset({"P"}))
    known, unknown = world(), world(origins={})
    off = settings(local_share=False)
    bare = blend(fit(unknown, settings=keys), parameters=parameters, settings=keys).scores(np.arange(35))
    for interactions, models in ((unknown, keys), (known, off)):
        served = train(interactions, parameters=parameters, settings=models)["blend"]
        assert served.offsets is None
        np.testing.assert_array_equal(served.scores(np.arange(35)), bare)
    kept = train(known, parameters=parameters, settings=keys)["blend"]
    assert not np.array_equal(kept.scores(np.arange(35)), bare)


def test_listeners_that_it_was_not_fitted_with_get_the_same_offsets() -> None:
    """Where both are the same, all scores have it. But who has played nothing gets what is played at home, as it is."""
    known, keys = world(), settings()
    parameters = BlendParameters(np.array([1.0, 0.5, 0, 0.3, 0.6, 0]), frozenset({"P"}))
    served = train(known, parameters=parameters, settings=keys)["blend"]
    halves = np.array([0.5, 0.25, 0], dtype=np.float32)
    half = replace(served, offsets=replace(served.offsets, listed=halves, order=halves))
    rows = [("a", 0, "P", "20", 1), ("b", 0, "Q", "20", 1), ("c", 0, None, "20", 1), ("d", 0, "P", "unknown", 1)]
    others = gather(contributions(rows), settings=keys, parents=COUNTRIES, tracks=known.tracks)
    with_, without = (each.fold_in(others).scores(np.arange(4)) for each in (half, replace(served, offsets=None)))
    expected = np.zeros((4, 40))
    expected[0, :15], expected[1, 15:20] = 0.5, 0.25
    np.testing.assert_allclose(with_ - without, expected, atol=1e-5)


def test_what_is_learned_of_blending_is_the_same_with_and_without() -> None:
    rows = contributions(
        [(f"{i:02d}", night, "PQ"[i % 2], TRACKS[(3 * i + night) % 40], 1) for i in range(40) for night in range(10)]
    )
    first, last = rows.filter(night=rows["night"].max()), rows.filter(night=rows["night"].min())
    both = [
        learn_and_train(last, first, settings=settings(local_share=on), parents=COUNTRIES, origins=ORIGINS)
        for on in (True, False)
    ]
    np.testing.assert_array_equal(both[0].parameters.weights, both[1].parameters.weights)
    assert both[0].parameters.open_gates == both[1].parameters.open_gates


def lists(listeners: np.ndarray, tracks: list[int]) -> Lists:
    row = np.array([*tracks, *[NOTHING] * (LENGTH - len(tracks))])
    filled = np.tile(row, (len(listeners), 1))
    return Lists(listeners, filled, np.zeros(filled.shape, dtype=bool), np.ones(len(listeners), dtype=int))


def test_the_table_by_country_is_of_fractions_written_by_hand() -> None:
    known = world()
    asked = np.concatenate([np.arange(10), np.arange(20, 32), np.arange(32, 35)])  # 10 of PP, 12 of QQ, 3 of nowhere
    found = by_country(lists(asked, [1, 2, 30, 16]), known.confidence, local=LocalMusic.of(known), at_least=10)
    assert found.rows() == [("PP", 1 / 4, 1 / 2, 25.0), ("QQ", 1 / 2, 1 / 4, -25.0)]


def test_the_table_by_country_tells_nothing_of_few_listeners_nor_by_what_is_missing() -> None:
    known = world()
    local = LocalMusic.of(known)
    few = np.concatenate([np.arange(10), np.arange(20, 29)])  # of QQ nine: the rest would tell them
    assert by_country(lists(few, [1]), known.confidence, local=local, at_least=10).is_empty()
    only_p = by_country(lists(np.arange(10), [1]), known.confidence, local=local, at_least=10)
    assert only_p["country"].to_list() == ["PP"]
    assert by_country(lists(few, [1]), known.confidence, local=None, at_least=10).is_empty()
