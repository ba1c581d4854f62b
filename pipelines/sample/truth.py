"""What really happened in a sample world, of all listeners and without noise: what charts and models are judged by."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from pipelines.sample.geography import Floats, Ints, locate
from pipelines.sample.listeners import FAVOURITE_SHARES, HOME
from pipelines.sample.nights import Night, World, chance_to_listen, genres_tonight
from pipelines.sample.tastes import GENRES, probabilities
from recsys.geography.atlas import Atlas

WINDOW = 7  # nights at the end of the world of which popularity is told
SOME = 500  # listeners whose rates of all tracks are in memory at once
LEAST = 0.05  # listeners a night: less is not written, unless it happened


class Tally:
    """Counts distinct listeners, night by night: memory grows with places and tracks, not with what is played.

    Parameters
    ----------
    world : World

    Attributes
    ----------
    by_part : ndarray of int, shape (nights, parts)
    by_trend : ndarray of int, shape (nights, trends)
        Listeners of a trend's track in the trend's scene, for whatever reason.
    heard : ndarray of int, shape (parts, tracks)
        Distinct listeners of each night, summed over the last nights.
    expected : ndarray, shape (parts, tracks)
        The same by the tastes of those who live there, without chance and journeys.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        shape = (len(world.listeners.parts), len(world.tracks.age))
        self.by_part = np.zeros((world.nights, shape[0]), dtype=np.int64)
        self.by_trend = np.zeros((world.nights, len(world.trends)), dtype=np.int64)
        self.heard = np.zeros(shape, dtype=np.int64)
        self.expected = np.zeros(shape)

    def add(self, night: Night) -> None:
        """Count a night."""
        part = self.world.listeners.part[night.listener, night.place]
        self.by_part[night.number] = _distinct(part, night.listener, height=self.by_part.shape[1])
        self.by_trend[night.number] = [len(np.unique(who)) for who in _caught(self.world, night)]
        if night.number >= self.world.nights - WINDOW:
            pair = part * self.heard.shape[1] + night.track
            self.heard += _distinct(pair, night.listener, height=self.heard.size).reshape(self.heard.shape)
            self.expected += expected_listeners(self.world, night)

    @property
    def listeners_a_night(self) -> Floats:
        """Mean distinct listeners of a night by part, in the order of the world's parts."""
        mean: Floats = self.by_part.mean(axis=0)
        return mean


def expected_listeners(world: World, night: Night) -> Floats:
    """Return how many listeners each track should have among those who live in each part: shape (parts, tracks).

    The sum over listeners of the chance to listen times 1 - e^-rate (Poisson), the rate being the plays of the track
    that the listener's favourites, the scene's taste and its trends make in a night.
    """
    who = world.listeners
    expected = np.zeros((len(who.parts), len(world.tracks.age)))
    chance = chance_to_listen(world, night.number)
    genres = genres_tonight(world, night.number) * (who.plays * (1 - who.loyalty))[:, None]
    for scene in range(len(world.scenes)):
        chances = probabilities(world.tracks, world.tastes, scene=scene, night=night.number)
        residents = np.flatnonzero(who.scene == scene)
        for some in np.array_split(residents, 1 + len(residents) // SOME):
            # einsum, because a threaded BLAS would round by the number of its threads
            rate = np.einsum("ug,gt->ut", genres[some], chances)
            loyal = (who.plays * who.loyalty)[some, None] * FAVOURITE_SHARES
            np.add.at(rate, (np.arange(len(some))[:, None], night.favourites[some]), loyal)
            for trend in (trend for trend in world.trends if trend.scene == scene):
                rate[:, trend.track] -= np.log1p(-trend.share(night.number))
            np.add.at(expected, who.part[some, HOME], chance[some, None] * -np.expm1(-rate))
    return expected


def tables(tally: Tally, *, atlas: Atlas, service_area: tuple[str, ...]) -> Mapping[str, pl.DataFrame]:
    """Return the tables of the truth folder by name."""
    regions = _regions(tally, atlas, service_area)
    return {
        "regions": regions,
        "nights": _nights(tally),
        "popular": _popular(tally, regions.filter("served")["part"]),
        "scenes": _scenes(tally.world, atlas),
        "trends": _trends(tally.world, atlas),
        "trend_nights": _trend_nights(tally),
        "tracks": _tracks(tally.world),
        "listeners": _listeners(tally.world),
    }


def _distinct(group: Ints, listener: Ints, *, height: int) -> Ints:
    """Count the distinct listeners of each group: shape (height,)."""
    wide = int(listener.max(initial=0)) + 1
    return np.bincount(np.unique(group * wide + listener) // wide, minlength=height)


def _caught(world: World, night: Night) -> Iterator[Ints]:
    """Yield, for each trend, the listeners of its track in its scene."""
    scene = world.listeners.scene[night.listener]
    for trend in world.trends:
        yield night.listener[(scene == trend.scene) & (night.track == trend.track)]


def _regions(tally: Tally, atlas: Atlas, service_area: tuple[str, ...]) -> pl.DataFrame:
    parts = tally.world.listeners.parts
    places = [atlas.places[atlas.place_of(part)] for part in parts]
    return pl.DataFrame(
        {
            "part": parts,
            "name": [place.name for place in places],
            "country": [place.parent if place.level == "region" else place.id for place in places],
            "level": [place.level for place in places],
            "served": [place.id in service_area or place.parent in service_area for place in places],
            "residents": np.bincount(tally.world.listeners.part[:, HOME], minlength=len(parts)),
            "listeners_a_night": np.round(tally.listeners_a_night, 2),
        },
        schema_overrides={"residents": pl.UInt32, "listeners_a_night": pl.Float32},
    ).sort("listeners_a_night", "part", descending=[True, False])


def _nights(tally: Tally) -> pl.DataFrame:
    night, part = np.nonzero(tally.by_part)
    return pl.DataFrame(
        {
            "night": _days(tally.world, night),
            "part": pl.Series(tally.world.listeners.parts).gather(part),
            "listeners": pl.Series(tally.by_part[night, part], dtype=pl.UInt32),
        }
    )


def _popular(tally: Tally, served: pl.Series) -> pl.DataFrame:
    expected = np.round(tally.expected / min(WINDOW, tally.world.nights), 3)
    part, track = np.nonzero((tally.heard > 0) | (expected >= LEAST))
    return pl.DataFrame(
        {
            "part": pl.Series(tally.world.listeners.parts).gather(part),
            "track_id": tally.world.tracks.catalogue["track_id"].gather(track),
            "listener_nights": pl.Series(tally.heard[part, track], dtype=pl.UInt32),
            "expected": pl.Series(expected[part, track], dtype=pl.Float32),
        }
    ).filter(pl.col("part").is_in(served.implode()))


def _scenes(world: World, atlas: Atlas) -> pl.DataFrame:
    genres = {f"genre_{number:02d}": world.tastes.genres[:, number].round(4) for number in range(GENRES)}
    return pl.DataFrame(
        {
            "scene": [scene.name for scene in world.scenes],
            "country": [scene.country for scene in world.scenes],
            "place": _places(world, atlas),
            "listeners_a_night": [round(scene.listeners, 1) for scene in world.scenes],
            **genres,
        }
    )


def _trends(world: World, atlas: Atlas) -> pl.DataFrame:
    places, track_ids = _places(world, atlas), world.tracks.catalogue["track_id"]
    return pl.DataFrame(
        {
            "trend": [trend.name for trend in world.trends],
            "kind": [trend.kind for trend in world.trends],
            "track_id": [track_ids[trend.track] for trend in world.trends],
            "scene": [world.scenes[trend.scene].name for trend in world.trends],
            "place": [places[trend.scene] for trend in world.trends],
            "start": [world.first + timedelta(days=trend.start) for trend in world.trends],
            "peak": [trend.peak for trend in world.trends],
            "growth_nights": [trend.growth for trend in world.trends],
            "nights_at_peak": [trend.lasting for trend in world.trends],
        }
    )


def _trend_nights(tally: Tally) -> pl.DataFrame:
    trend, night = np.nonzero(tally.by_trend.T)
    trends, scenes = tally.world.trends, tally.world.scenes
    return pl.DataFrame(
        {
            "trend": [trends[number].name for number in trend],
            "scene": [scenes[trends[number].scene].name for number in trend],
            "night": _days(tally.world, night),
            "listeners": pl.Series(tally.by_trend[night, trend], dtype=pl.UInt32),
        },
        schema_overrides={"trend": pl.String, "scene": pl.String},
    )


def _tracks(world: World) -> pl.DataFrame:
    tracks = world.tracks
    return pl.DataFrame(
        {
            "track_id": tracks.catalogue["track_id"],
            "genre": pl.Series(tracks.genres.argmax(axis=1), dtype=pl.UInt8),
            "log_popularity": pl.Series(tracks.popularity.round(3), dtype=pl.Float32),
            "drift": pl.Series(tracks.drift, dtype=pl.Float32),
            "nights_before_first": pl.Series(tracks.age, dtype=pl.Int32),
        }
    )


def _listeners(world: World) -> pl.DataFrame:
    who = world.listeners
    return pl.DataFrame(
        {
            "user_id": who.user_ids,
            "scene": pl.Series([scene.name for scene in world.scenes]).gather(who.scene),
            "part": pl.Series(who.parts).gather(who.part[:, HOME]),
            "activity": pl.Series(who.activity.round(2), dtype=pl.Float32),
        }
    )


def _places(world: World, atlas: Atlas) -> list[str]:
    """Return the region of each city, and the country of each countryside."""
    centres = np.array([(scene.latitude, scene.longitude) for scene in world.scenes])
    located = locate(atlas, centres[:, 0], centres[:, 1])
    return [
        atlas.place_of(part) if scene.is_city else scene.country
        for scene, part in zip(world.scenes, located, strict=True)
    ]


def _days(world: World, nights: Ints) -> pl.Series:
    return pl.Series([world.first + timedelta(days=int(night)) for night in nights], dtype=pl.Date)
