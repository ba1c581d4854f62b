from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from itertools import islice

import numpy as np
import pytest
from support.releasing import small_atlas, window

from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD, Place
from recsys.releases.counts.noisy_counts import Noisy
from recsys.releases.counts.release_reader import Released
from recsys.releases.counts.window import Window
from recsys.releases.inference import hierarchy, posterior
from recsys.releases.inference.hierarchy import Reading, read_places
from recsys.releases.inference.memory import NOTHING, Diary, Recollection

SEED = 20162
SPREAD = np.array([0.7])
ZIPF = 1 / np.arange(1, 101)
SIGMA = np.sqrt(7 * 10 / 0.03)


def on_a_line(regions: int, *, countries: int = 1) -> Atlas:
    """Return an atlas whose regions lie along the equator, one degree apart, country after country."""
    world = Place(WORLD, "World", None, "world", None, 0, 0, 0)
    named = [Place(f"C{i}", f"C{i}", f"C{i}", "country", WORLD, 0, i * regions, 0) for i in range(countries)]
    lying = [
        Place(f"r{i:03}", "", country.id, "region", country.id, 0, i, 0)
        for i, country in enumerate(np.repeat(np.array(named), regions))
    ]
    places = {place.id: place for place in [world, *named, *lying]}
    small = small_atlas()
    settings = small.settings.model_copy(update={"service_area": tuple(place.id for place in lying)})
    return replace(small, places=places, settings=settings)


def read(true: np.ndarray, *, atlas: Atlas) -> dict[str, Reading]:
    print("seed", SEED)
    noisy = (true + SIGMA * np.random.default_rng(SEED).normal(size=true.shape)).round()
    return {some.place: some for some in read_places(Window(window(noisy, atlas=atlas), atlas.members), atlas=atlas)}


class Told:
    """A window that says what it was told."""

    def __init__(self, *, own: Noisy, others: Noisy) -> None:
        self._own, self._others = own, others

    def own(self, place: str, tracks: np.ndarray) -> Noisy:
        assert place == "AA"
        return Noisy(self._own.counts[:, tracks], self._own.variance[:, tracks])

    def others(self, whole: str, place: str, tracks: np.ndarray) -> Noisy:
        assert (whole, place) == ("AA", "aa1")
        return Noisy(self._others.counts[:, tracks], self._others.variance[:, tracks])


def one(count: float, variance: float) -> Noisy:
    return Noisy(np.array([[count]]), np.array([[variance]]))


def test_the_rest_is_the_other_parts_and_the_whole_less_what_is_known_of_the_place() -> None:
    """The others say 60 +- sqrt(2), the whole 100 - 30 = 70 +- sqrt(4 + 1): together (60 x 5 + 70 x 2) / 7."""
    told = Told(own=one(100, 4), others=one(60, 2))
    found = hierarchy.rest_of("AA", "aa1", known=one(30, 1), tracks=np.array([0]), window=told)  # type: ignore[arg-type]
    assert found.counts[0, 0] == pytest.approx((60 * 5 + 70 * 2) / 7)
    assert found.variance[0, 0] == pytest.approx(2 * 5 / 7)


def test_larger_places_come_first() -> None:
    found = read(np.outer(np.ones(8), 3000 * ZIPF), atlas=small_atlas())
    assert list(found) == ["world", "AA", "BB", "CC", "aa1", "aa2", "aa3", "bb1"]


def test_a_place_that_cannot_be_heard_reads_like_its_neighbours() -> None:
    """West of the middle track 0 leads, east of it track 1; regions 5 and 34 have twenty listens in the window."""
    atlas, west, east = on_a_line(40), ZIPF.copy(), ZIPF.copy()
    west[:2], east[:2] = (1.5, 0.2), (0.2, 1.5)
    true = 3000 * np.where(np.arange(40)[:, None] < 20, west, east)
    for quiet in (5, 34):
        true[quiet] = 20 * true[quiet] / true[quiet].sum()
    found = read(true, atlas=atlas)
    assert found["r005"].belief.mean[0].argmax() == 0
    assert found["r034"].belief.mean[0].argmax() == 1
    shares = [found[place].around.mean[0] / found[place].around.mean.sum() for place in ("r005", "r034")]  # type: ignore[union-attr]
    assert shares[0][0] > 3 * shares[1][0]


def test_neighbours_cost_nothing_where_they_say_nothing() -> None:
    """Affinities without geography: a region's surroundings stay nearer to its country's shares than neighbours are."""
    print("seed", SEED)
    random, atlas = np.random.default_rng(SEED), on_a_line(40)
    true = 3000 * ZIPF * np.exp(0.7 * random.normal(size=(40, 100)))
    found = read(true, atlas=atlas)
    country = true.sum(axis=0) / true.sum()
    far = []
    for i in range(6, 34):
        around = found[f"r{i:03}"].around
        assert around is not None
        nearby = np.delete(true[i - 6 : i + 7], 6, axis=0).sum(axis=0)
        far.append([np.abs(some / some.sum() - country).sum() for some in (around.mean[0], nearby)])
    mean = np.mean(far, axis=0)
    assert mean[0] < 0.8 * mean[1]


def test_how_far_places_depart_is_read_from_the_window_and_not_from_what_they_remember() -> None:
    """A memory of counts far from what was expected says where a track departs, not how far tracks of a place do."""
    atlas = on_a_line(2, countries=3)
    true = np.outer([3e4, 2e4, 1e4, 1e4, 2e4, 3e4], ZIPF)
    print("seed", SEED)
    noisy = (true + SIGMA * np.random.default_rng(SEED).normal(size=true.shape)).round()
    seen = Window(window(noisy, atlas=atlas), atlas.members)
    diary = Diary(Recollection(NOTHING, nights=0, tracks=seen.tracks, artists={}))
    tracks, expected = np.arange(len(ZIPF)), np.tile(1e5 * ZIPF, (2, 1))
    doubled = np.where(tracks % 2 == 0, 2.0, 0.0) * expected[:1]
    for place in ("C0", "C1", "C2"):
        diary.write(place, tracks, noisy=Noisy(doubled, np.full((1, len(ZIPF)), SIGMA**2)), expected=expected)
    past = Recollection(diary.memory(date(2026, 9, 1)), nights=7, tracks=seen.tracks, artists={})
    blank, known = (
        {some.place: some for some in read_places(seen, atlas=atlas, past=each)}["C0"] for each in (None, past)
    )
    assert known.spread == blank.spread
    (known_share, blank_share) = (posterior.shares(some.around)[0, 0] for some in (known, blank) if some.around)
    assert known_share > 1.03 * blank_share  # and the memory is heard


def test_noise_in_a_place_does_not_make_it_look_smaller() -> None:
    """The world counts itself with less noise than a country's parts add up to; countries are alike.

    A country's size is measured to within 0.8 of it, so forty of them to within 0.13. With the country's own noise
    taken off the world's count, they measure 0.2 on average.
    """
    print("seed", SEED)
    random, atlas = np.random.default_rng(SEED), on_a_line(20, countries=5)
    true, sizes = np.tile(15 * ZIPF, (100, 1)), []
    for _ in range(8):
        noisy = true + SIGMA * random.normal(size=true.shape)
        own = true.sum(axis=0) + SIGMA * random.normal(size=100)
        counted = CountedTwice(window(noisy.round(), atlas=atlas), atlas.members, world=own)
        for country in islice(read_places(counted, atlas=atlas), 1, 6):
            assert country.around is not None
            found = posterior.measured_size(country.noisy, rest=country.around, spread=SPREAD, typical=np.ones(1))
            sizes.append(found.mean[0] / true[:20].sum())
    assert np.mean(sizes) == pytest.approx(1, abs=0.5)


class CountedTwice(Window):
    """A window whose world has a count of its own."""

    def __init__(self, released: Released, members: Mapping[str, tuple[str, ...]], *, world: np.ndarray) -> None:
        super().__init__(released, members)
        self._world = Noisy(world[None], np.full((1, len(world)), SIGMA**2))

    def own(self, place: str, tracks: np.ndarray) -> Noisy:
        if place != WORLD:
            return super().own(place, tracks)
        return Noisy(self._world.counts[:, tracks], self._world.variance[:, tracks])

    def noisy(self, place: str, tracks: np.ndarray) -> Noisy:
        summed = super().noisy(place, tracks)
        return summed & self.own(place, tracks) if place == WORLD else summed
