"""What a place remembers: departures from its surroundings that are known by construction."""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.releases.counts.noisy_counts import Noisy
from recsys.releases.counts.window import UNKNOWN
from recsys.releases.inference import memory
from recsys.releases.inference.memory import NOTHING, Diary, Memory, Recollection, Sums

NIGHT = date(2026, 10, 7)
TRACKS = ("a", "b", "c", "d")
ALL = np.arange(4)
EVEN = np.full((2, 4), 1000.0)
SPREAD = 0.7


def noisy(counts: list[float], variance: float = 100.0) -> Noisy:
    row = np.array([counts])
    return Noisy(row, np.full_like(row, variance))


def remembered(
    counts: list[float],
    *,
    variance: float = 100.0,
    expected: np.ndarray = EVEN,
    before: Memory = NOTHING,
    nights: int = 7,
    tracks: tuple[str, ...] = TRACKS,
) -> Memory:
    """Write down a window of one place."""
    diary = Diary(Recollection(before, nights=nights, tracks=tracks, artists={}))
    diary.write("p", np.arange(len(tracks)), noisy=noisy(counts, variance), expected=expected)
    return diary.memory(NIGHT)


def factors(
    before: Memory,
    *,
    artists: Mapping[str, str] | None = None,
    tracks: tuple[str, ...] = TRACKS,
    nearness: float = 0.0,
    place: str = "p",
) -> memory.Departure:
    recollection = Recollection(before, nights=7, tracks=tracks, artists=artists or {})
    return recollection.departure(place, np.arange(len(tracks)), nearness=nearness, spread=SPREAD)


@pytest.mark.parametrize("place", ["p", "elsewhere"])
def test_without_a_memory_a_place_is_like_its_surroundings_as_far_as_places_are(place: str) -> None:
    found = factors(NOTHING if place == "p" else remembered([3000, 1000, 1000, 500]), place=place)
    assert found.mean == pytest.approx(1)
    assert found.deviation == pytest.approx(SPREAD)


def test_what_was_clearly_counted_is_expected_again() -> None:
    """Three times, once, once and half of what the surroundings let expect; what may have changed since is left."""
    found = factors(remembered([3000, 1000, 1000, 500]))
    assert found.mean == pytest.approx([3, 1, 1, 0.5], rel=0.05)
    assert found.deviation == pytest.approx(SPREAD * np.sqrt(memory._DRIFT), rel=0.15)


def test_noise_is_no_memory() -> None:
    found = factors(remembered([3000, 1000, 1000, 500], variance=1e9))
    assert found.mean == pytest.approx(1, abs=0.05)
    assert found.deviation == pytest.approx(SPREAD, rel=0.05)


def test_many_weak_windows_are_one_strong_one() -> None:
    """A departure of 2 under noise that is as large as what was expected is learned within some weeks."""
    before, means = NOTHING, []
    for _ in range(12):
        before = remembered([2000, 1000, 1000, 1000], variance=1e6, before=before)
        means.append(float(factors(before).mean[0]))
    assert means == sorted(means)
    assert means[0] < 1.4
    assert means[-1] > 1.7


def test_sums_fade_by_night() -> None:
    """After ten nights they count for less, and so does their noise."""
    first = remembered([2000, 1000, 1000, 500])
    again = remembered([0, 0, 0, 0], before=first, expected=np.zeros((2, 4)), nights=10)
    kept = memory._FADE**10
    assert again.sums.counts == pytest.approx(kept * np.array([2000, 1000, 1000, 500]))
    assert again.sums.rest == pytest.approx(kept * 1000)
    assert again.sums.variances == pytest.approx(kept**2 * 100 + 100)


def test_surroundings_are_those_that_a_place_follows_today() -> None:
    """The rest lets expect 1,000, the neighbourhood 2,000; 2,000 were counted."""
    before = remembered([2000] * 4, expected=np.array([[1000.0] * 4, [2000.0] * 4]))
    assert factors(before, nearness=0).mean == pytest.approx(2, rel=0.05)
    assert factors(before, nearness=1).mean == pytest.approx(1, rel=0.05)


def test_a_new_song_starts_where_the_taste_for_its_artist_stands() -> None:
    before = remembered([3000, 1000, 1000, 500])
    tracks, artists = (*TRACKS, "new", "other"), {"a": "beloved", "new": "beloved", "b": "x", "other": "nobody else"}
    found = factors(before, artists=artists, tracks=tracks)
    assert 1.3 < found.mean[4] < 3
    assert found.deviation[4] < SPREAD
    assert (found.mean[5], found.deviation[5]) == (pytest.approx(1), pytest.approx(SPREAD))


def test_a_track_is_not_heard_twice_as_its_artists() -> None:
    before = remembered([3000, 1000, 1000, 500], variance=1e6)
    alone, named = factors(before), factors(before, artists={"a": "one", "b": "two"})
    assert named.mean == pytest.approx(alone.mean)
    assert named.deviation == pytest.approx(alone.deviation)


def test_an_artist_of_many_tracks_is_known_better() -> None:
    """Three songs at three times what was expected tell more of the fourth than one does."""
    few, many = (
        factors(remembered(counts), artists=artists)
        for counts, artists in (
            ([3000, 1000, 1000, 1000], {"a": "x", "d": "x"}),
            ([3000, 3000, 3000, 1000], dict.fromkeys(TRACKS, "x")),
        )
    )
    assert many.mean[3] > few.mean[3] - 0.2
    unknown = (*TRACKS, "e")
    one = factors(remembered([3000, 1000, 1000, 1000]), artists={"a": "x", "e": "x"}, tracks=unknown)
    three = factors(remembered([3000, 3000, 3000, 1000]), artists=dict.fromkeys("abce", "x"), tracks=unknown)
    assert three.mean[4] > one.mean[4]
    assert three.deviation[4] < one.deviation[4]


def test_what_is_negligible_is_not_remembered_but_what_surprises_is() -> None:
    expected = np.tile([1000.0, 1.0, 1.0, 1000.0], (2, 1))
    found = remembered([1000, 5, 900, 0], variance=10_000, expected=expected)
    assert found.tracks == ("a", "c", "d")


def test_a_track_that_was_not_counted_is_not_remembered() -> None:
    diary = Diary(Recollection(NOTHING, nights=0, tracks=TRACKS, artists={}))
    counted = Noisy(np.full((1, 4), 900.0), np.array([[100.0, UNKNOWN, 100.0, UNKNOWN]]))
    diary.write("p", ALL, noisy=counted, expected=EVEN)
    assert diary.memory(NIGHT).tracks == ("a", "c")


def test_a_track_that_is_gone_is_remembered_for_when_it_comes_back() -> None:
    first = remembered([3000, 1000, 1000, 500])
    second = remembered([1000, 1000], expected=np.full((2, 2), 1000.0), before=first, tracks=("b", "c"))
    assert second.tracks == TRACKS
    assert factors(second).mean[0] == pytest.approx(3, rel=0.05)


def test_places_have_their_own_memories() -> None:
    diary = Diary(Recollection(NOTHING, nights=0, tracks=TRACKS, artists={}))
    for place, count in (("q", 500.0), ("p", 2000.0)):
        diary.write(place, ALL[1:], noisy=noisy([count] * 3), expected=EVEN[:, 1:])
    found = diary.memory(NIGHT)
    assert (found.places, found.tracks) == (("p", "q"), ("b", "c", "d"))
    assert [factors(found, place=place).mean[1] for place in "pq"] == pytest.approx([2, 0.5], rel=0.05)


@given(
    counts=st.lists(st.floats(-5e3, 2e4), min_size=4, max_size=4),
    variance=st.floats(1, 1e8),
    windows=st.integers(1, 5),
    shared=st.booleans(),
)
def test_departures_are_positive_and_never_wider_than_places_differ(
    counts: list[float], variance: float, windows: int, shared: bool
) -> None:
    before = NOTHING
    for _ in range(windows):
        before = remembered(counts, variance=variance, before=before)
    found = factors(before, artists=dict.fromkeys(TRACKS, "x") if shared else {})
    assert np.isfinite(found.mean).all()
    assert (found.mean > 0).all()
    assert (found.deviation <= SPREAD + 1e-9).all()


def test_sums_of_groups() -> None:
    sums = Sums(*(np.array([1.0, 2.0, 4.0]) * k for k in (1, 10, 100, 1000)))
    found = sums.by(np.array([1, 0, 1]), 2)
    assert (found.counts.tolist(), found.nearby.tolist()) == ([2, 5], [2000, 5000])
