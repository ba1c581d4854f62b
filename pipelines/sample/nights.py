"""The nights of a sample world, one after the other: who listens, to what, when and where."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.sample import geography, listeners, planted_trends, tastes
from pipelines.sample.geography import Floats, Ints, Scene
from pipelines.sample.listeners import AWAY, FAVOURITE_SHARES, FAVOURITES, HOME, SECOND, Listeners, draw_genres
from pipelines.sample.planted_trends import Trend
from pipelines.sample.tastes import GENRES, Tastes, Tracks, draw, probabilities
from recsys.geography.atlas import Atlas

WEEKDAYS = np.array([0.95, 0.94, 0.97, 1.0, 1.1, 1.1, 0.94])  # Monday first: listeners on an average night
WEEKEND = 0.35  # log-deviation of genres' shares between Friday and Saturday, and the other nights
LEARNT = 0.3  # chance that a night leaves a listener one new favourite
MINUTES = 24 * 60
# Listeners who start to listen in each hour, local time; on Saturday and Sunday the second row.
HOURS = np.array(
    [
        [3, 2, 1, 1, 1, 3, 8, 14, 13, 10, 9, 9, 10, 9, 9, 10, 12, 15, 16, 15, 14, 13, 10, 6],
        [7, 6, 5, 3, 2, 2, 3, 5, 8, 10, 12, 12, 11, 11, 11, 11, 12, 13, 14, 15, 16, 16, 15, 12],
    ]
)


@dataclass(frozen=True)
class World:
    """All that a sample world is, before anybody listens.

    Parameters
    ----------
    scenes : tuple of Scene
    tracks : Tracks
    tastes : Tastes
    listeners : Listeners
    trends : tuple of Trend
    weekend : ndarray, shape (GENRES,)
        How much more of a genre is played on Friday and Saturday.
    first : date
    nights : int
    seeds : tuple of numpy.random.SeedSequence
        One a night.
    consent_seed : numpy.random.SeedSequence
    """

    scenes: tuple[Scene, ...]
    tracks: Tracks
    tastes: Tastes
    listeners: Listeners
    trends: tuple[Trend, ...]
    weekend: Floats
    first: date
    nights: int
    seeds: tuple[np.random.SeedSequence, ...]
    consent_seed: np.random.SeedSequence


@dataclass(frozen=True)
class Night:
    """What was played in a night; arrays of plays have one entry each, ordered by listener and time.

    Parameters
    ----------
    number : int
        From 0.
    day : date
    listener, track, minute, place : ndarray of int, shape (plays,)
        ``minute`` since midnight UTC; ``place`` is HOME, SECOND or AWAY.
    favourites : ndarray of int, shape (listeners, FAVOURITES)
        As they were at the beginning of the night.
    """

    number: int
    day: date
    listener: Ints
    track: Ints
    minute: Ints
    place: Ints
    favourites: Ints


def invent_world(atlas: Atlas, *, size: float, seed: int, nights: int, tracks: int, last_night: date) -> World:
    """Invent a world; equal arguments give an equal world."""
    first = last_night - timedelta(days=nights - 1)
    kinds = np.random.SeedSequence(seed).spawn(7)
    for_tracks, for_tastes, for_listeners, for_trends, for_weekend = (np.random.default_rng(s) for s in kinds[:5])
    scenes = geography.scenes(atlas, size=size)
    catalogue = tastes.invent_tracks(tracks, nights=nights, first=first, rng=for_tracks)
    liked = tastes.invent_tastes(scenes, catalogue, rng=for_tastes)
    return World(
        scenes=scenes,
        tracks=catalogue,
        tastes=liked,
        listeners=listeners.invent_listeners(scenes, catalogue, liked, atlas=atlas, nights=nights, rng=for_listeners),
        trends=planted_trends.plant(scenes, catalogue, nights=nights, rng=for_trends),
        weekend=np.exp(for_weekend.normal(0, WEEKEND, GENRES)),
        first=first,
        nights=nights,
        seeds=tuple(kinds[6].spawn(nights)),
        consent_seed=kinds[5],
    )


def play(world: World) -> Iterator[Night]:
    """Yield the nights in order; memory does not grow with their number."""
    favourites = world.listeners.favourites.copy()
    for number in range(world.nights):
        rng = np.random.default_rng(world.seeds[number])
        before = favourites.copy()
        active = np.flatnonzero(rng.random(len(favourites)) < chance_to_listen(world, number))
        listener, track = _fresh_and_favourite(world, number, active, favourites, rng)
        _learn(favourites, listener, track, rng)
        added = [_added(world, trend, number, active, rng) for trend in world.trends]
        listener = np.concatenate([listener, *(who for who, _ in added)])
        track = np.concatenate([track, *(what for _, what in added)])
        yield Night(
            number,
            world.first + timedelta(days=number),
            *_timed(world, number, listener, track, rng),
            favourites=before,
        )


def chance_to_listen(world: World, night: int) -> Floats:
    """Return each listener's chance to listen in a night."""
    chance: Floats = world.listeners.activity * WEEKDAYS[_weekday(world, night)]
    return chance


def genres_tonight(world: World, night: int) -> Floats:
    """Return each listener's mixture of genres in a night: shape (listeners, GENRES), rows sum to 1."""
    mixture = world.listeners.genres * (world.weekend if _weekday(world, night) in {4, 5} else 1.0)
    tonight: Floats = mixture / mixture.sum(axis=1, keepdims=True)
    return tonight


def listens(world: World, night: Night) -> pl.DataFrame:
    """Return a night as the app sends it: the listens of section 3.1, ordered by user and time."""
    who, where = world.listeners, (night.listener, night.place)
    sends = who.sends_position[night.listener]
    midnight = datetime(night.day.year, night.day.month, night.day.day, tzinfo=UTC)
    minutes = pl.Series(night.minute * 60_000_000, dtype=pl.Duration("us"))
    return pl.DataFrame(
        {
            "user_id": who.user_ids.gather(night.listener),
            "track_id": world.tracks.catalogue["track_id"].gather(night.track),
            "played_at": pl.select(midnight + minutes).to_series(),
            "latitude": _where(sends, who.latitude[where]),
            "longitude": _where(sends, who.longitude[where]),
            "cell": _cells_sent(who.cells, *where),
        }
    )


def _weekday(world: World, night: int) -> int:
    return (world.first + timedelta(days=night)).weekday()


def _fresh_and_favourite(
    world: World, number: int, active: Ints, favourites: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return listener and track of the plays that no trend adds: each a favourite, or found in the scene's taste."""
    who = world.listeners
    listener = np.repeat(active, 1 + rng.poisson(who.plays[active] - 1))
    loyal = rng.random(len(listener)) < who.loyalty[listener]
    dearest = np.searchsorted(np.cumsum(FAVOURITE_SHARES), rng.random(len(listener))).clip(0, FAVOURITES - 1)
    track = favourites[listener, dearest]
    genre = draw_genres(genres_tonight(world, number), listener, rng=rng)
    for scene in range(len(world.scenes)):
        here = np.flatnonzero(~loyal & (who.scene[listener] == scene))
        chances = probabilities(world.tracks, world.tastes, scene=scene, night=number)
        track[here] = draw(chances, genre[here], rng=rng)
    return listener, track


def _learn(favourites: Ints, listener: Ints, track: Ints, rng: np.random.Generator) -> None:
    """Put the last track of some listeners among their favourites."""
    last = np.flatnonzero(np.diff(listener, append=-1) != 0)
    learns = last[rng.random(len(last)) < LEARNT]
    favourites[listener[learns], rng.integers(FAVOURITES, size=len(learns))] = track[learns]


def _added(world: World, trend: Trend, night: int, active: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    here = active[world.listeners.scene[active] == trend.scene]
    caught = here[rng.random(len(here)) < trend.share(night)]
    return caught, np.full(len(caught), trend.track)


def _timed(
    world: World, number: int, listener: Ints, track: Ints, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints]:
    """Return listener, track, minute and place of each play: one after the other, with breaks.

    A break may change the place.
    """
    order = np.lexsort((rng.random(len(listener)), listener))
    listener, track = listener[order], track[order]
    begins = np.diff(listener, prepend=-1) != 0
    breaks = ~begins & (rng.random(len(listener)) < 0.1)
    gaps = np.where(breaks, rng.integers(30, 300, len(listener)), rng.integers(3, 6, len(listener)))
    gaps = np.where(begins, _starts(world, number, listener, rng), gaps)
    minute = _running(gaps, begins) % MINUTES
    later = _running(breaks.astype(np.int64), begins) % 2
    place = _place(world.listeners, number, listener, later)
    order = np.lexsort((minute, listener))
    return listener[order], track[order], minute[order], place[order]


def _starts(world: World, number: int, listener: Ints, rng: np.random.Generator) -> Ints:
    """Return the minute (UTC) at which each would start to listen, by the hours of where the listener lives."""
    hours = np.cumsum(HOURS[1 if _weekday(world, number) in {5, 6} else 0])
    hour = np.searchsorted(hours / hours[-1], rng.random(len(listener)), side="right").clip(0, 23)
    ahead = np.round(world.listeners.longitude[listener, HOME] / 15).astype(np.int64)
    start: Ints = (hour - ahead) % 24 * 60 + rng.integers(60, size=len(listener))
    return start


def _running(values: Ints, begins: npt.NDArray[np.bool_]) -> Ints:
    """Return sums that start anew wherever a listener begins."""
    total = np.cumsum(values)
    before = (total - values)[begins]
    sums: Ints = total - np.repeat(before, np.diff(np.append(np.flatnonzero(begins), len(values))))
    return sums


def _place(who: Listeners, night: int, listener: Ints, later: Ints) -> Ints:
    away = (who.leaves[listener] <= night) & (night < who.returns[listener])
    at_second = who.has_second[listener] & (later == 1)
    place: Ints = np.where(away, AWAY, np.where(at_second, SECOND, HOME))
    return place


def _where(condition: npt.NDArray[np.bool_], values: Floats) -> pl.Series:
    return pl.Series(np.where(condition, values, np.nan)).fill_nan(None)


def _cells_sent(cells: pl.DataFrame, listener: Ints, place: Ints) -> pl.Series:
    by_place = [cells[str(column)].gather(listener) for column in (HOME, SECOND, AWAY)]
    sent = pl.DataFrame(by_place, schema=["home", "second", "away"])
    where = pl.lit(pl.Series(place))
    chosen = pl.when(where == SECOND).then("second").when(where == AWAY).then("away").otherwise("home")
    return sent.select(chosen.alias("cell")).to_series()
