"""Who listens in a sample world: how often, to what, and from where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.sample.geography import Floats, Ints, Scene, cells_of, locate, scatter
from pipelines.sample.tastes import GENRES, Tastes, Tracks, draw, probabilities
from recsys.geography.atlas import Atlas

ACTIVE = (0.1, 0.9)  # the least and the most active listener's chance to listen on an average night
ACTIVE_MEAN = 0.45
PLAYS_MEAN = 4.8  # plays of a listener in a night with any
PLAYS_SPREAD = 0.5  # log-deviation between listeners
BREADTH = 3.0  # Dirichlet weight of a listener's genres: the lower, the fewer genres each has
FAVOURITES = 12  # tracks that a listener comes back to
FAVOURITE_SHARES = 1 / np.arange(2, FAVOURITES + 2) / np.sum(1 / np.arange(2, FAVOURITES + 2))  # the dearest first

# What the app sends: a position, only a cell (of resolution 5 or, an older app, 7), or nothing.
SENDS_CELL, SENDS_NOTHING = 0.03, 0.05
SENT_RESOLUTIONS = (5, 7)
SECOND_PLACE = 0.3  # share of listeners who also listen elsewhere in their scene: at work, at school
TRAVELS = 0.05  # share of listeners who spend some nights in another scene
STAY = (2, 7)  # nights of a journey: from, below

HOME, SECOND, AWAY = 0, 1, 2  # columns of positions


@dataclass(frozen=True)
class Listeners:
    """All listeners; arrays have one row each.

    Parameters
    ----------
    user_ids : polars.Series of str
        Sorted; tells nothing of where or how somebody listens.
    scene : ndarray of int
        Whose taste they share.
    activity : ndarray
        Chance to listen on an average night.
    plays : ndarray
        Mean plays in a night with any.
    loyalty : ndarray
        Share of plays that are one of the favourites.
    genres : ndarray, shape (listeners, GENRES)
        Rows sum to 1.
    favourites : ndarray of int, shape (listeners, FAVOURITES)
        Tracks at the beginning of the first night, the dearest first.
    latitude, longitude : ndarray, shape (listeners, 3)
        Degrees: home, a second place, away on a journey.
    part : ndarray of int, shape (listeners, 3)
        Indexes into ``parts``, for the three positions.
    parts : tuple of str
        The parts of the atlas in which anybody is, sorted.
    cells : polars.DataFrame
        H3 cells (hex strings) of the three positions, for those whose app sends only a cell; else null.
    has_second, sends_position : ndarray of bool
    leaves, returns : ndarray of int
        Nights from, and below, which the listener is away; equal for those who stay.
    """

    user_ids: pl.Series
    scene: Ints
    activity: Floats
    plays: Floats
    loyalty: Floats
    genres: Floats
    favourites: Ints
    latitude: Floats
    longitude: Floats
    part: Ints
    parts: tuple[str, ...]
    cells: pl.DataFrame
    has_second: npt.NDArray[np.bool_]
    sends_position: npt.NDArray[np.bool_]
    leaves: Ints
    returns: Ints


def invent_listeners(
    scenes: Sequence[Scene], tracks: Tracks, tastes: Tastes, *, atlas: Atlas, nights: int, rng: np.random.Generator
) -> Listeners:
    """Invent the listeners of all scenes, in random order."""
    residents = [max(1, round(scene.listeners / ACTIVE_MEAN)) for scene in scenes]
    scene = rng.permutation(np.repeat(np.arange(len(scenes)), residents))
    count = len(scene)
    genres = rng.standard_gamma(BREADTH * tastes.genres[scene]) + 1e-9
    genres /= genres.sum(axis=1, keepdims=True)
    latitude, longitude = _positions(scenes, scene, rng)
    parts, part = _located(atlas, latitude, longitude)
    sends = rng.random(count)
    leaves = rng.integers(nights, size=count)
    return Listeners(
        user_ids=pl.Series("user_id", [f"u{number:06d}" for number in range(count)]),
        scene=scene,
        activity=ACTIVE[0] + (ACTIVE[1] - ACTIVE[0]) * rng.beta(1.05, 1.35, count),  # its mean is ACTIVE_MEAN
        plays=1 + (PLAYS_MEAN - 1) * rng.lognormal(-(PLAYS_SPREAD**2) / 2, PLAYS_SPREAD, count),
        loyalty=rng.beta(4, 6, count),
        genres=genres,
        favourites=_favourites(scene, genres, tracks, tastes, rng),
        latitude=latitude,
        longitude=longitude,
        part=part,
        parts=parts,
        cells=_sent_cells(latitude, longitude, sends < SENDS_CELL, rng),
        has_second=rng.random(count) < SECOND_PLACE,
        sends_position=sends >= SENDS_CELL + SENDS_NOTHING,
        leaves=leaves,
        returns=leaves + rng.integers(*STAY, size=count) * (rng.random(count) < TRAVELS),
    )


def draw_genres(genres: Floats, rows: Ints, *, rng: np.random.Generator) -> Ints:
    """Draw a genre for each listener named in ``rows``, by the listener's own mixture."""
    ladder = np.cumsum(genres[rows], axis=1)
    genre: Ints = (rng.random(len(rows))[:, None] > ladder).sum(axis=1).clip(0, GENRES - 1)
    return genre


def _positions(scenes: Sequence[Scene], scene: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw home and second place in the own scene, and a place in some other for journeys (large ones draw more)."""
    draws = np.array([each.listeners for each in scenes])
    others = rng.choice(len(scenes), size=len(scene), p=draws / draws.sum())
    columns = [_scattered(scenes, where, rng) for where in (scene, scene, others)]
    latitudes, longitudes = zip(*columns, strict=True)
    return np.column_stack(latitudes), np.column_stack(longitudes)


def _scattered(scenes: Sequence[Scene], scene: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    latitude, longitude = np.empty(len(scene)), np.empty(len(scene))
    for number, each in enumerate(scenes):
        here = np.flatnonzero(scene == number)
        latitude[here], longitude[here] = scatter(each, len(here), rng=rng)
    return latitude, longitude


def _located(atlas: Atlas, latitude: Floats, longitude: Floats) -> tuple[tuple[str, ...], Ints]:
    located = locate(atlas, latitude.ravel(), longitude.ravel())
    parts = tuple(sorted(located.unique()))
    number = {part: i for i, part in enumerate(parts)}
    return parts, located.replace_strict(number, return_dtype=pl.Int64).to_numpy().reshape(latitude.shape)


def _favourites(scene: Ints, genres: Floats, tracks: Tracks, tastes: Tastes, rng: np.random.Generator) -> Ints:
    favourites = np.empty((len(scene), FAVOURITES), dtype=np.int64)
    for number in range(len(tastes.genres)):
        here = np.flatnonzero(scene == number)
        chances = probabilities(tracks, tastes, scene=number, night=0)
        drawn = draw_genres(genres, np.repeat(here, FAVOURITES), rng=rng)
        favourites[here] = draw(chances, drawn, rng=rng).reshape(-1, FAVOURITES)
    return favourites


def _sent_cells(
    latitude: Floats, longitude: Floats, sends_cell: npt.NDArray[np.bool_], rng: np.random.Generator
) -> pl.DataFrame:
    resolution = np.where(sends_cell, rng.choice(SENT_RESOLUTIONS, len(sends_cell)), 0)
    return pl.DataFrame(
        {
            str(column): _by_resolution(latitude[:, column], longitude[:, column], resolution)
            for column in (HOME, SECOND, AWAY)
        }
    )


def _by_resolution(latitude: Floats, longitude: Floats, resolution: Ints) -> pl.Series:
    cells = pl.Series([None] * len(latitude), dtype=pl.String)
    for each in SENT_RESOLUTIONS:
        rows = np.flatnonzero(resolution == each)
        cells = cells.scatter(rows, cells_of(latitude[rows], longitude[rows], resolution=each))
    return cells
