"""Which places listen like somebody who played some tracks: planted listeners are found, and others are no surprise."""

import numpy as np
import pytest

from recsys.artifacts.likeness import Likeness, Listed, likeness_of, listed_of, twins, world_shares

PLACES, TRACKS, LISTED = 30, 600, 100


@pytest.fixture
def random() -> np.random.Generator:
    seed = int(np.random.SeedSequence().entropy) % 2**32  # type: ignore[arg-type]
    print(f"seed {seed}")
    return np.random.default_rng(seed)


def world(random: np.random.Generator) -> Likeness:
    """Places that depart from the world by a log deviation of 0.7 on the tracks that they list."""
    listeners = 1e4 / np.arange(1, TRACKS + 1)
    listed = {"world": Listed(np.arange(LISTED, dtype=np.int32), listeners[:LISTED], np.ones(LISTED))}
    for place in range(PLACES):
        factors = np.exp(random.normal(0, 0.7, TRACKS))
        codes = np.argsort(-listeners * factors)[:LISTED]
        listed[f"p{place}"] = Listed(codes.astype(np.int32), (listeners * factors)[codes] / 50, factors[codes])
    shares = world_shares(listed, tracks=TRACKS)
    assert shares.sum() == pytest.approx(1)
    return likeness_of({place: each for place, each in listed.items() if place != "world"}, shares=shares)


def taste(found: Likeness, place: int) -> np.ndarray:
    """Return the shares of tracks in a place."""
    shares = found.shares.copy()
    here = slice(found.starts[place], found.starts[place + 1])
    shares[found.codes[here]] *= found.factors[here]
    return np.asarray(shares / shares.sum())


def played(shares: np.ndarray, plays: int, random: np.random.Generator) -> np.ndarray:
    """Return what somebody played of whom at most 150 tracks are kept."""
    tracks = np.flatnonzero(random.multinomial(plays, shares))
    heard = np.zeros(TRACKS, dtype=bool)
    heard[random.permutation(tracks)[:150]] = True
    return heard


def test_a_planted_listeners_place_is_among_the_first_five_in_four_of_five(random: np.random.Generator) -> None:
    """Nine tenths of the plays are by the taste of one place."""
    found, hits, sure = world(random), [], []
    for place in [*range(PLACES)] * 4:
        best = twins(found, played(0.9 * taste(found, place) + 0.1 * found.shares, 200, random))
        hits.append(place in best.first)
        sure += [place in best.first] * best.surely
    assert np.mean(hits) >= 0.8
    assert np.mean(sure or [True]) >= 0.9
    assert len(sure) > len(hits) / 4


def test_who_listens_like_the_whole_world_listens_like_nowhere_surely(random: np.random.Generator) -> None:
    found = world(random)
    assert np.mean([twins(found, played(found.shares, 200, random)).surely for _ in range(100)]) <= 0.1


def test_the_likelihoods_are_those_of_the_formula(random: np.random.Generator) -> None:
    found, heard = world(random), random.random(TRACKS) < 0.1
    here, over_all = found.log_likelihoods(heard)
    spent = np.geomspace(1, 20_000, 2_000)
    plays = np.interp(heard.sum(), (1 - np.exp(-np.outer(spent, found.shares))).sum(axis=1), spent)

    def exact(shares: np.ndarray) -> float:
        heard_with = 1 - np.exp(-plays * shares)
        return float(np.log(heard_with[heard]).sum() - heard.sum() * np.log(heard_with.sum()))

    expected = [exact(0.9 * taste(found, place) + 0.1 * found.shares) for place in range(PLACES)]
    assert np.allclose(here, expected, atol=0.02)
    assert over_all == pytest.approx(exact(found.shares), abs=0.02)


def test_of_nothing_played_nothing_follows_and_places_stay_as_they_come(random: np.random.Generator) -> None:
    best = twins(world(random), np.zeros(TRACKS, dtype=bool))
    assert best.first == [0, 1, 2, 3, 4]
    assert not best.surely


def test_a_list_says_the_median_of_a_lift_and_another_list_says_more() -> None:
    def item(lift: float, low: float, high: float) -> dict[str, object]:
        return {"listeners": {"estimate": 8.0}, "lift": lift, "lift_interval": {"low": low, "high": high}}

    deviation = np.log(9) / 3.92
    popular = listed_of([item(3, 1, 9), item(1, 1, 1)], codes=[4, 2])
    assert popular.factors == pytest.approx([3 * np.exp(-(deviation**2) / 2), 1])
    both = popular.before(listed_of([item(5, 5, 5), item(7, 7, 7)], codes=[2, 1]))
    assert both.codes.tolist() == [4, 2, 1]
    assert both.factors.tolist() == [*popular.factors.tolist(), 7]
    assert both.listeners.tolist() == [8, 8, 0]
