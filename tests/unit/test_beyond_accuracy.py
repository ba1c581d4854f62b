"""What lists are like, as hand-written fractions over a world of four tracks."""

import numpy as np
import pytest
from support.checkerboard import settings
from support.listening import contributions

from recsys.models import local_music
from recsys.models.evaluation import beyond_accuracy
from recsys.models.evaluation.beyond_accuracy import Background
from recsys.models.interactions import Interactions, gather
from recsys.models.metrics import LENGTH, NOTHING, Lists

# Tracks by column: w, x, y, z. a and b are at home in P, c and d in Q.
ROWS = [(who, 0, "P" if who in "ab" else "Q", what, 1) for who, what in ("aw", "ax", "bx", "cx", "cy", "dy", "dz")]


@pytest.fixture
def four() -> Interactions:
    return gather(contributions(ROWS), settings=settings())


def lists(*tracks: list[int]) -> Lists:
    filled = np.array([[*row, *[NOTHING] * (LENGTH - len(row))] for row in tracks], dtype=int)
    filled = filled.reshape(-1, LENGTH)
    return Lists(np.arange(len(tracks)), filled, np.zeros(filled.shape, dtype=bool), np.ones(len(tracks), dtype=int))


def test_coverage_counts_each_track_of_the_first_ten_places_once() -> None:
    assert beyond_accuracy.coverage(lists([0, 1], [1, 2]), tracks=4) == 3 / 4
    assert beyond_accuracy.coverage(lists(list(range(11))), tracks=20) == 10 / 20  # the eleventh place is not looked at


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([[0, 1], [2, 3]], 0),
        ([[0], [0]], (4 - 1) / 4),  # one of four gets all
        ([[0, 1], [0, 1]], (1 * 2 + 3 * 2) / (4 * 4)),  # 0, 0, 2, 2: sum of (2 i - 5) x_i over 4 times the sum
    ],
)
def test_gini(listed: list[list[int]], expected: float) -> None:
    assert beyond_accuracy.gini(lists(*listed), tracks=4) == pytest.approx(expected)


def test_gini_of_no_lists_is_no_number() -> None:
    assert np.isnan(beyond_accuracy.gini(lists(), tracks=4))


def test_novelty_is_in_bits(four: Interactions) -> None:
    found = beyond_accuracy.novelty(lists([0], [2, 3], [1]), Background.of(four))
    np.testing.assert_allclose(found, [np.log2(4 / 1), (np.log2(4 / 2) + np.log2(4 / 1)) / 2, np.log2(4 / 3)])


def test_popularity_lift_by_third_of_listeners(four: Interactions) -> None:
    """Mean popularities played: a (1/4 + 3/4) / 2, b 3/4, c (3/4 + 2/4) / 2, d (2/4 + 1/4) / 2."""
    found = beyond_accuracy.popularity_lift(lists([1], [1], [0], [2]), Background.of(four))
    assert found == {
        "niche": pytest.approx((2 / 4 + 3 / 4) / (3 / 8 + 1 / 2) - 1),  # d and a: of four, the first third has two
        "middle": pytest.approx((1 / 4) / (5 / 8) - 1),
        "mainstream": pytest.approx((3 / 4) / (3 / 4) - 1),
    }
    assert np.isnan(list(beyond_accuracy.popularity_lift(lists(), Background.of(four)).values())).all()


def test_overlap_is_that_of_what_regions_list_most() -> None:
    three = lists([0, 1], [0, 2], [0, 1, 2, 3], [3])
    home = np.array([0, 0, 1, 2])
    # {0, 1, 2}, {0, 1, 2, 3}, {3}: 3/4, 0/4 and 1/4
    assert beyond_accuracy.overlap(three, home, tracks=4, at_least=1) == pytest.approx((3 / 4 + 0 + 1 / 4) / 3)
    assert np.isnan(beyond_accuracy.overlap(three, home, tracks=4, at_least=2))  # only the first region has two lists
    assert beyond_accuracy.overlap(lists([0], [0]), np.array([0, 1]), tracks=1, at_least=1) == 1


def test_overlap_looks_at_ten_tracks_of_a_region() -> None:
    many = lists(*([list(range(10))] * 2), list(range(10, 20)), list(range(10)))
    assert beyond_accuracy.overlap(many, np.array([0, 0, 0, 1]), tracks=20, at_least=1) == 1


def test_stability_is_the_share_that_stays() -> None:
    once, again = lists([0, 1], [2]), lists([1, 3], [2])
    assert beyond_accuracy.stability(once, again) == pytest.approx((1 / 3 + 1) / 2)
    assert beyond_accuracy.stability(once, once) == 1
    assert np.isnan(beyond_accuracy.stability(lists(), lists()))


def local_world() -> Interactions:
    """Everybody plays x, by the star; everybody in P plays p, everybody in Q plays q."""
    rows = [(f"{part}{i:02d}", 0, part, track, 1) for part in "PQ" for i in range(20) for track in ("x", part.lower())]
    return gather(contributions(rows), settings=settings(), parents={"P": "PP", "Q": "QQ"})


ARTISTS = {"p": "local hero", "q": "quiet one", "x": "star"}


def test_an_artist_is_local_where_twice_the_worlds_share_listens() -> None:
    """In P the hero's share is (20 + 10 * 1/2) / (20 + 10) = 5/6, in the world 1/2: less than twice it."""
    assert not Background.of(local_world(), artists=ARTISTS).local.tracks.any()


def test_shares_of_local_artists_in_history_and_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_music, "_AT_HOME", 1.5)
    known = local_world()
    background = Background.of(known, artists=ARTISTS)
    p, q, x = 0, 1, 2  # columns
    assert background.local.tracks.tolist() == [[True, False, False], [False, True, False]]
    assert beyond_accuracy.local_share_played(np.arange(40), background) == 1 / 2
    both = Lists(np.array([0, 20]), lists([p, x], [p, q, x]).tracks, np.zeros((2, LENGTH), bool), np.ones(2, int))
    assert beyond_accuracy.local_share_listed(both, background) == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_without_artists_or_countries_there_is_no_local_share(four: Interactions) -> None:
    nowhere = gather(contributions([("a", 0, None, "x", 1)]), settings=settings())
    for known, artists in ((four, None), (nowhere, {"x": "star"})):
        background = Background.of(known, artists=artists)
        assert np.isnan(beyond_accuracy.local_share_listed(lists([0]), background))
        assert np.isnan(beyond_accuracy.local_share_played(np.array([0]), background))


def test_a_track_without_an_artist_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_music, "_AT_HOME", 1.5)
    assert not Background.of(local_world(), artists={"x": "star"}).local.tracks.any()
