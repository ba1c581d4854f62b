"""Worlds of many nights whose truth is known: tastes that drift as real charts do, and listeners who earn weights.

What a listener adds is weighed by the product's own :func:`recsys.cells.earnings.pay`, night after night and by the
same listeners, and released with the noise of the product's tiers. Levels and tastes drift as measured on the daily
charts of the world, the United States and India (2021-09 to 2025-02): see :data:`MEASURED`, which a test holds the
worlds to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr
from support.releasing import small_atlas

from recsys.cells import earnings
from recsys.geography.atlas import Atlas
from recsys.geography.places import Place
from recsys.releases.counts import release
from recsys.releases.counts.mean_weights import NOISE_OF_TOTALS, PlaceTotals
from recsys.releases.counts.noise import discrete_gaussian
from recsys.releases.counts.release_reader import Released
from recsys.settings import PrivacySettings, load_settings
from recsys.weights import FULL, SQUARE

Random = np.random.Generator
Floats = NDArray[np.float64]

ALIVE = 2_000  # tracks at a time
FIRST = date(2026, 8, 3)  # a Monday
SIZES = (100, 300, 1_000, 3_000, 10_000)  # daily listeners
REGIONS_OF_SIZES = (100, 100, 300, 300, 1_000, 1_000, 3_000, 3_000, 10_000)  # of a country; four countries: 36 regions

MEASURED: Mapping[str, tuple[float, float]] = {
    "top 20 after 7 nights": (0.71, 0.80),
    "top 20 after 28 nights": (0.33, 0.56),
    "entrants of 7 nights that are new": (0.25, 0.40),
    "entrants of 28 nights that are new": (0.58, 0.60),
    "departure after 7 nights": (0.95, 0.96),
    "departure after 28 nights": (0.87, 0.91),
    "departure of an artist's other track": (0.52, 0.62),
}
"""What real charts show, from the least to the most of three places: what simulated ones are calibrated to."""

_BIRTHS = 40  # tracks a night; each takes the place of one that hardly anybody plays
_LEVEL_DAYS = 500.0  # over which a level is forgotten by a factor e
_TASTE_DAYS, _MOOD_DAYS, _MOOD = 630.0, 7.0, 0.05  # of a departure: its slow part, its quick one and the share of that
_OF_ARTIST = 0.6  # share of a departure's variance that an artist's tracks have in common
_KNOWN_ARTIST = 1 / 6  # of new tracks: their artist has an earlier one among the largest
_RUN_IN = 28  # nights of paying before the first, after which balances are steady


@dataclass(frozen=True)
class Kind:
    """Listeners of a kind: their share of those who listen on a night, plays on it, and how many nights they listen."""

    share: float
    plays: int
    activity: float


EVERY_NIGHT = (Kind(1.0, 15, 1.0),)
"""Every listener on every night: the yearly bound always binds, which is the hardest for the product."""

MANY_KINDS = tuple(Kind(1 / 9, plays, activity) for plays in (5, 15, 60) for activity in (0.95, 0.5, 0.15))
"""5, 15 or 60 plays on 95, 50 or 15 % of nights."""


@dataclass(frozen=True)
class Tastes:
    """Log deviations of countries from the world and of regions from their country; how a country shares hits.

    ``slope`` is the range of the exponent on the world's rates in each country: below 1 it shares hits less than
    proportionally. ``breakouts`` is how many tracks of every region are played there fifty times as much.
    """

    country: float = 0.4
    region: float = 0.7
    slope: tuple[float, float] = (1.0, 1.0)
    breakouts: int = 0


@dataclass(frozen=True)
class World:
    """Regions, night by night.

    Parameters
    ----------
    atlas : Atlas
    sizes : numpy.ndarray of int, shape (regions,)
        Daily listeners.
    rates : numpy.ndarray of float32, shape (nights, regions, tracks)
        Shares of plays.
    listeners, weights : numpy.ndarray of float32, shape (nights, regions, tracks)
        Who played a track that night, and the sum of what they weighed.
    alive : numpy.ndarray of bool, shape (nights, tracks)
    artists : numpy.ndarray of intp, shape (tracks,)
    """

    atlas: Atlas
    sizes: NDArray[np.int64]
    rates: NDArray[np.float32]
    listeners: NDArray[np.float32]
    weights: NDArray[np.float32]
    alive: NDArray[np.bool_]
    artists: NDArray[np.intp]

    @property
    def nights(self) -> list[date]:
        """All nights, in order."""
        return [FIRST + timedelta(days=i) for i in range(len(self.rates))]

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """Ids of all tracks, in order."""
        return np.array([f"t{i:05d}" for i in range(len(self.artists))])

    def artist_of(self) -> dict[str, str]:
        """Return the catalogue's artist of every track."""
        return {name: f"a{artist}" for name, artist in zip(self.names.tolist(), self.artists.tolist(), strict=True)}

    def true(self, nights: int = 7) -> tuple[Floats, Floats]:
        """Return mean rates and summed listeners of the last nights, each of shape (regions, tracks)."""
        return self.rates[-nights:].mean(axis=0, dtype=np.float64), self.listeners[-nights:].sum(axis=0, dtype=float)


def simulate(
    random: Random,
    *,
    nights: int = 63,
    sizes: Sequence[int] = REGIONS_OF_SIZES,
    countries: int = 4,
    kinds: Sequence[Kind] = EVERY_NIGHT,
    tastes: Tastes = Tastes(),
    privacy: PrivacySettings | None = None,
    every: int = 1,
) -> World:
    """Draw a world in which every country has a region of each of the sizes.

    Parameters
    ----------
    random : numpy.random.Generator
    nights : int
    sizes : sequence of int
        Daily listeners of the regions of a country.
    countries : int
    kinds : sequence of Kind
    tastes : Tastes
    privacy : PrivacySettings, optional
        What listeners pay by; the product's own by default.
    every : int
        Nights of a release: of more than one, what was played on them counts on the last, each track of a listener
        once, and nothing does on the others.
    """
    country = np.repeat(np.arange(countries), len(sizes))
    tracks = _Tracks.drawn(random, nights=nights)
    slots, artists = tracks.slots, tracks.artists
    rates = _rates(random, tracks, country=country, tastes=tastes)
    crowd = _Crowd.of(np.tile(sizes, countries), kinds, random=random)
    settings = privacy or load_settings().privacy
    balances = crowd.run_in(random, settings=settings)
    listeners, weights = np.zeros_like(rates), np.zeros_like(rates)
    for i in range(every - 1, nights, every):
        since = range(i - every + 1, i + 1)
        played = _together([crowd.play(random, rates[night], slots[night]) for night in since])
        paid, balances = crowd.pay(played, balances, night=FIRST + timedelta(days=i), settings=settings)
        listeners[i], weights[i] = played.counted(len(artists)), played.counted(len(artists), weights=paid)
    alive = np.zeros((nights, len(artists)), dtype=bool)
    np.put_along_axis(alive, slots, values=True, axis=1)
    named = {f"r{i:04}": f"C{of}" for i, of in enumerate(country)}
    return World(atlas_of(named), np.tile(sizes, countries), rates, listeners, weights, alive, artists)


class Nights:
    """Releases of a world: noise is drawn once, and any nights can be read.

    Parameters
    ----------
    world : World
    privacy : PrivacySettings, optional
    """

    def __init__(self, world: World, *, privacy: PrivacySettings | None = None) -> None:
        self._world = world
        self._noisy: dict[str, NDArray[np.int32]] = {}
        self._totals: dict[str, Floats] = {}
        self._tier: dict[str, release.Tier] = {}
        for tier in release.tiers(world.atlas, settings=privacy or load_settings().privacy):
            for row in tier.rows:
                at = [world.atlas.parts.index(part) for part in world.atlas.members.get(row, (row,))]
                here = world.weights[:, at].sum(axis=1)
                self._noisy[row] = np.rint(here + _noise(here.shape, tier.sigma_squared)).astype(np.int32)
                both = np.stack(
                    [some[:, at].sum(axis=(1, 2), dtype=float) for some in (world.listeners, world.weights)]
                )
                self._totals[row] = both + np.sqrt(NOISE_OF_TOTALS)[:, None] * _noise(both.shape, tier.sigma_squared)
                self._tier[row] = tier

    def totals(self, nights: Sequence[date]) -> PlaceTotals:
        """Return the noisy totals of tracks and of weights, as the product releases them for every place."""
        some = [(night - FIRST).days for night in nights]
        variances = {row: len(some) * tier.sigma_squared * NOISE_OF_TOTALS for row, tier in self._tier.items()}
        totals = {row: both[:, some].sum(axis=1) for row, both in self._totals.items()}
        return PlaceTotals(totals, variances, frozenset(nights))

    def read(self, nights: Sequence[date]) -> Released:
        """Return the sum of some nights: of every track that was alive on one of them.

        A listener counts with a weight; the mean weight of a counted track, over the whole world, makes listeners of
        sums of weights again. The product measures it by noisy totals, with hardly any error in a world of this size.
        """
        world = self._world
        some = [(night - FIRST).days for night in nights]
        there = np.flatnonzero(world.alive[some].any(axis=0))
        weight = world.weights[some].sum(dtype=float) / world.listeners[some].sum(dtype=float)
        order = sorted(self._noisy)
        counts = [self._noisy[row][some][:, there].sum(axis=0, dtype=np.int32) for row in order]
        variances = [len(some) * self._tier[row].sigma_squared for row in order]
        return Released(
            nights=tuple(nights),
            atlas=world.atlas.version,
            rows=tuple(order),
            tracks=tuple(world.names[there].tolist()),
            tiers={row: self._tier[row].name for row in order},
            starts=np.arange(len(order) + 1) * len(there),
            positions=np.tile(np.arange(len(there), dtype=np.int32), len(order)),
            sums=np.concatenate(counts),
            exposures=np.full(len(order) * len(there), len(some), dtype=np.uint8),
            variances=np.repeat(variances, len(there)).astype(np.float32),
            ledger_numbers=tuple(range(1, len(some) + 1)),
            weight=weight,
        )


def steady_weight(tracks: NDArray[np.integer]) -> float:
    """Return the mean weight of a track in the steady state of listeners who play every night.

    Parameters
    ----------
    tracks : numpy.ndarray of int
        How many tracks each of them plays, in turn.
    """
    settings, ids = load_settings().privacy, [f"{i:08x}" for i in range(len(tracks))]
    balances, weights, played = pl.DataFrame(schema=earnings.BALANCES), 0.0, 0
    for night in range(2 * _RUN_IN):
        tonight = np.roll(tracks, night)
        frame = pl.DataFrame({"listener": ids, "tracks": tonight})
        paid = earnings.pay(frame, balances, night=FIRST + timedelta(days=night), settings=settings)
        balances = paid.select(*earnings.BALANCES)
        if night >= _RUN_IN:
            weights, played = weights + tonight @ paid["weight"].to_numpy() / FULL, played + tonight.sum()
    return float(weights / played)


def atlas_of(regions: Mapping[str, str]) -> Atlas:
    """Return an atlas of regions by country, without remainders; where they lie has no meaning."""
    small = small_atlas()
    level: dict[str, tuple[str, str | None]] = {"world": ("world", None)}
    level |= dict.fromkeys(sorted(set(regions.values())), ("country", "world"))
    level |= {region: ("region", country) for region, country in regions.items()}
    places = {
        id_: Place(id_, id_, "", kind, parent, 37.0 * i % 120 - 60, 73.0 * i % 360 - 180, 0)  # type: ignore[arg-type]
        for i, (id_, (kind, parent)) in enumerate(level.items())
    }
    settings = small.settings.model_copy(update={"service_area": tuple(sorted(regions))})
    return replace(small, places=places, settings=settings)


def likeness(world: World) -> dict[str, float]:
    """Return of a world what :data:`MEASURED` has of real charts: means over its regions and weeks."""
    found: dict[str, list[float]] = {name: [] for name in MEASURED}
    departed = _departures(world)
    one, other = _pairs(world.artists, world.alive[-1])
    for region in range(len(world.sizes)):
        alike = np.corrcoef(departed[-1, region, one], departed[-1, region, other])[0, 1]
        found["departure of an artist's other track"].append(alike)
        for lag in (7, 28):
            for end in range(len(world.rates) - 1, lag, -7):
                before, after = _top(world.rates[end - lag, region]), _top(world.rates[end, region])
                found[f"top 20 after {lag} nights"].append(len(before & after) / 20)
                entered = [*after - before]
                found[f"entrants of {lag} nights that are new"] += (~world.alive[end - lag, entered]).tolist()
            both = world.alive[-1 - lag] & world.alive[-1]
            pair = departed[[-1 - lag, -1], region][:, both]
            found[f"departure after {lag} nights"].append(np.corrcoef(pair)[0, 1])
    return {name: float(np.mean(values)) for name, values in found.items()}


def _departures(world: World) -> NDArray[np.float32]:
    """Return log departures of regions from the mean of their country, shape (nights, regions, tracks)."""
    country = np.array([world.atlas.places[part].parent for part in world.atlas.parts])
    departed = np.log(np.maximum(world.rates, 1e-12))
    for of in np.unique(country):
        departed[:, country == of] -= departed[:, country == of].mean(axis=1, keepdims=True)
    return departed


def _top(rates: NDArray[np.float32]) -> set[int]:
    return set(np.argsort(-rates, kind="stable")[:20].tolist())


def _pairs(artists: NDArray[np.intp], alive: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    order = np.flatnonzero(alive)[np.argsort(artists[alive], kind="stable")]
    same = artists[order][1:] == artists[order][:-1]
    return order[:-1][same], order[1:][same]


@dataclass(frozen=True)
class _Tracks:
    """Which tracks are there, how large each is in the world, and whose it is.

    ``slots`` and ``levels`` have the shape (nights, ALIVE): the track in a slot, and its rate up to a factor.
    """

    slots: NDArray[np.intp]
    levels: Floats
    artists: NDArray[np.intp]

    @classmethod
    def drawn(cls, random: Random, *, nights: int) -> "_Tracks":
        """Draw levels that go up and down, Zipf's law at all times, with births in the place of what nobody plays."""
        kept = np.exp(-1 / _LEVEL_DAYS)
        artists = np.arange(ALIVE + (nights - 1) * _BIRTHS)
        slots, levels = np.tile(np.arange(ALIVE), (nights, 1)), np.zeros((nights, ALIVE))
        level = random.normal(size=ALIVE)
        _share_artists(artists, range(1, ALIVE), among=np.argsort(-level)[: ALIVE // 10], random=random)
        for night in range(nights):
            if night:
                level = kept * level + np.sqrt(1 - kept**2) * random.normal(size=ALIVE)
                reborn = random.choice(np.argsort(level)[: ALIVE // 2], _BIRTHS, replace=False)
                new = ALIVE + (night - 1) * _BIRTHS + np.arange(_BIRTHS)
                large = slots[night, np.argsort(-level)[: ALIVE // 10]]
                slots[night:, reborn], level[reborn] = new, random.normal(size=_BIRTHS)
                _share_artists(artists, new, among=large, random=random)
            levels[night] = 1 / (0.5 + ALIVE * ndtr(-level))
        return cls(slots, levels, artists)


def _share_artists(
    artists: NDArray[np.intp], tracks: Sequence[int] | NDArray[np.intp], *, among: NDArray[np.intp], random: Random
) -> None:
    """Let some tracks be by an artist of some others."""
    for track in np.asarray(tracks)[random.random(len(tracks)) < _KNOWN_ARTIST]:
        artists[track] = artists[random.choice(among)]


class _Departures:
    """Log departures of some places, which drift: a slow part and a quick one, either partly an artist's."""

    def __init__(self, random: Random, places: int, artists: NDArray[np.intp], *, deviation: float) -> None:
        self._artists, self._days = artists, (_TASTE_DAYS, _MOOD_DAYS)
        self._deviations = deviation * np.sqrt([1 - _MOOD, _MOOD])
        shape = (2, 2, places, len(artists))  # slow and quick; of an artist and of a track
        self._state = random.normal(size=shape).astype(np.float32)

    def now(self, random: Random) -> NDArray[np.float32]:
        """Return tonight's, shape (places, tracks), and drift on."""
        parts = self._state
        mixed = np.sqrt(_OF_ARTIST) * parts[:, 0][..., self._artists] + np.sqrt(1 - _OF_ARTIST) * parts[:, 1]
        tonight = np.tensordot(self._deviations, mixed, axes=1)
        kept = np.exp(-1 / np.array(self._days, dtype=np.float32))[:, None, None, None]
        self._state = kept * parts + np.sqrt(1 - kept**2) * random.standard_normal(parts.shape, dtype=np.float32)
        return tonight.astype(np.float32)


def _rates(random: Random, tracks: _Tracks, *, country: NDArray[np.int64], tastes: Tastes) -> NDArray[np.float32]:
    """Draw every region's shares of plays, shape (nights, regions, tracks)."""
    slope = random.uniform(*tastes.slope, size=int(country.max()) + 1)
    national = _Departures(random, len(slope), tracks.artists, deviation=tastes.country)
    local = _Departures(random, len(country), tracks.artists, deviation=tastes.region)
    broken_out = np.zeros((len(country), len(tracks.artists)), dtype=np.float32)
    for region in broken_out:
        region[random.choice(ALIVE, tastes.breakouts, replace=False)] = np.log(50)
    rates = np.zeros((len(tracks.slots), len(country), len(tracks.artists)), dtype=np.float32)
    for night, (here, level) in enumerate(zip(tracks.slots, tracks.levels, strict=True)):
        base = slope[:, None] * np.log(level) + national.now(random)[:, here]
        plays = np.exp(base[country] + local.now(random)[:, here] + broken_out[:, here])
        rates[night][:, here] = plays / plays.sum(axis=1, keepdims=True)
    return rates


@dataclass(frozen=True)
class _Crowd:
    """The listeners of a world, by region: they are the same every night. All arrays have the shape (listeners,)."""

    regions: NDArray[np.intp]
    plays: NDArray[np.intp]
    activity: Floats

    @classmethod
    def of(cls, sizes: NDArray[np.int64], kinds: Sequence[Kind], *, random: Random) -> "_Crowd":
        """Gather so many of each kind that a region has its daily listeners on average; a fraction of one by chance."""
        wanted = np.array([[size * kind.share / kind.activity for kind in kinds] for size in sizes])
        number = np.floor(wanted + random.random(wanted.shape)).astype(int).ravel()
        regions, of_kind = (np.repeat(each.ravel(), number) for each in np.indices(wanted.shape))
        return cls(regions, np.array([k.plays for k in kinds])[of_kind], np.array([k.activity for k in kinds])[of_kind])

    @cached_property
    def _ids(self) -> pl.Series:
        spread = np.random.default_rng(0).integers(16**4, size=len(self.regions))  # of the hash's last digits
        return pl.Series("listener", [f"{i:08x}{last:04x}" for i, last in enumerate(spread)])

    def play(self, random: Random, rates: NDArray[np.float32], here: NDArray[np.intp]) -> "_Played":
        """Draw who listens tonight and to which tracks, each once."""
        cumulative = rates[:, here].cumsum(axis=1, dtype=float)
        cumulative = (cumulative / cumulative[:, -1:] + np.arange(len(rates))[:, None]).ravel()
        active = np.flatnonzero(random.random(len(self.regions)) < self.activity)
        who, what = [], []
        for plays in np.unique(self.plays):
            some = active[self.plays[active] == plays]
            heard = random.random((len(some), plays)) + self.regions[some][:, None]
            heard = np.sort(np.searchsorted(cumulative, heard), axis=1)
            distinct = np.diff(heard, axis=1, prepend=-1) > 0
            who.append(np.repeat(some, distinct.sum(axis=1)))
            what.append(here[np.minimum(heard[distinct], len(cumulative) - 1) % len(here)])
        return _Played(np.concatenate(who), np.concatenate(what), self.regions)

    def run_in(self, random: Random, *, settings: PrivacySettings) -> pl.DataFrame:
        """Return steady balances: all pay for as many nights as it takes, for numbers of tracks of a typical world."""
        balances = pl.DataFrame(schema=earnings.BALANCES)
        usual = np.tile(1 / np.arange(1, ALIVE + 1, dtype=np.float32), (self.regions.max() + 1, 1))
        played = self.play(random, usual / usual.sum(axis=1, keepdims=True), np.arange(ALIVE))
        there = played.number > 0
        tracks = {plays: played.number[there & (self.plays == plays)] for plays in {*self.plays.tolist()}}
        for night in range(-_RUN_IN, 0):
            number = np.where(random.random(len(self.regions)) < self.activity, 1, 0)
            for plays, some in tracks.items():
                number[self.plays == plays] *= random.choice(some, size=int((self.plays == plays).sum()))
            _, balances = self._paid(number, balances, night=FIRST + timedelta(days=night), settings=settings)
        return balances

    def pay(
        self, played: "_Played", balances: pl.DataFrame, *, night: date, settings: PrivacySettings
    ) -> tuple[NDArray[np.float32], pl.DataFrame]:
        """Return what each listener's tracks weigh tonight, shape (listeners,), and the balances after it."""
        return self._paid(played.number, balances, night=night, settings=settings)

    def _paid(
        self, number: NDArray[np.intp], balances: pl.DataFrame, *, night: date, settings: PrivacySettings
    ) -> tuple[NDArray[np.float32], pl.DataFrame]:
        there = np.flatnonzero(number)
        played = pl.DataFrame({"listener": self._ids[there], "tracks": number[there]})
        paid = earnings.pay(played, balances, night=night, settings=settings)
        weights = np.zeros(len(number), dtype=np.float32)
        weights[there] = paid["weight"].to_numpy() / np.float32(FULL)
        after = paid.select(*earnings.BALANCES)
        absent = balances.join(after, on="listener", how="anti")
        return weights, pl.concat([after, absent])


@dataclass(frozen=True)
class _Played:
    """Listeners beside the tracks that they played tonight, shape (pairs,), and where all listeners live."""

    who: NDArray[np.intp]
    what: NDArray[np.intp]
    regions: NDArray[np.intp]

    @cached_property
    def number(self) -> NDArray[np.intp]:
        """How many tracks each listener played, shape (listeners,)."""
        return np.bincount(self.who, minlength=len(self.regions))

    def counted(self, tracks: int, *, weights: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Return how many listeners each track has by region, or the sum of their weights, shape (regions, tracks)."""
        regions = int(self.regions.max()) + 1
        weighed = None if weights is None else weights[self.who]
        at = self.regions[self.who] * tracks + self.what
        counted = np.bincount(at, weights=weighed, minlength=regions * tracks)
        return counted.reshape(regions, tracks).astype(np.float32)


def _together(nights: Sequence[_Played]) -> _Played:
    """Return what was played on some nights, each track of a listener once."""
    tracks = max(int(played.what.max(initial=0)) for played in nights) + 1
    pairs = np.unique(np.concatenate([played.who * tracks + played.what for played in nights]))
    return _Played(pairs // tracks, pairs % tracks, nights[0].regions)


def _noise(shape: tuple[int, ...], variance: float) -> Floats:
    """Draw the product's noise on its grid of sixteenths, in listeners of full weight."""
    drawn = discrete_gaussian(int(np.prod(shape)), sigma_squared=variance * SQUARE)
    return drawn.reshape(shape) / FULL
