"""What there is to hear in a sample world, and how much each place likes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.sample import names
from pipelines.sample.geography import COUNTRIES, Floats, Ints, Scene

GENRES = 12  # latent: they have no names
TRACKS_PER_ARTIST = 3.3
PLATEAU = 2.0  # popularity is (rank + PLATEAU)^-1: Zipf's law, but no track is half of what is played
PURITY = 0.15  # Dirichlet parameter of a track's genres: most tracks are almost of one
FRESH, FRESH_NIGHTS = 1.2, 14.0  # a new track has e^1.2 of its later popularity, and loses that as e^(-age / 14)
DEBUTS = 0.02  # share of tracks that come out during the nights
MOVERS = 0.01  # share of tracks whose popularity doubles, or halves, in about ten nights
DRIFT = 0.07  # of a mover's log popularity a night
UNDATED = 0.03  # share of old tracks whose day of release is unknown

# Log-deviations: a country's from the world, and a city's from its country. Together with the differences of genres
# (Dirichlet weights: the higher, the more alike) and the home advantage they make about 0.7 each, as the design has it:
# measured on the 200 largest tracks, 0.7 between a small region and its country.
COUNTRY_FAME, CITY_FAME = 0.3, 0.6
COUNTRY_GENRES, CITY_GENRES = 60.0, 40.0
HOME = 1.0  # added to the log popularity of a track in its artist's country


@dataclass(frozen=True)
class Tracks:
    """The catalogue and what makes a track popular.

    Parameters
    ----------
    catalogue : polars.DataFrame
        track_id, title, artist_id, artist, released, artist_country: sorted by id, which is the order of all arrays.
    country : ndarray of int, shape (tracks,)
        The artist's, as an index into COUNTRIES.
    genres : ndarray, shape (tracks, GENRES)
        Loadings; rows sum to 1.
    popularity : ndarray, shape (tracks,)
        Log.
    age : ndarray of int, shape (tracks,)
        Nights since the release at the first night; negative for debuts.
    drift : ndarray, shape (tracks,)
        What the log popularity gains every night.
    """

    catalogue: pl.DataFrame
    country: Ints
    genres: Floats
    popularity: Floats
    age: Ints
    drift: Floats


@dataclass(frozen=True)
class Tastes:
    """How scenes differ.

    Parameters
    ----------
    genres : ndarray, shape (scenes, GENRES)
        The mixture around which listeners of the scene have theirs; rows sum to 1.
    fame : ndarray, shape (scenes, tracks)
        What the scene adds to a track's log popularity.
    """

    genres: Floats
    fame: Floats


def invent_tracks(count: int, *, nights: int, first: date, rng: np.random.Generator) -> Tracks:
    """Invent a catalogue."""
    artist_of = np.sort(rng.integers(max(1, round(count / TRACKS_PER_ARTIST)), size=count))
    home = rng.integers(len(COUNTRIES), size=count)[artist_of]
    age = _ages(count, nights=nights, rng=rng)
    drift = np.where(rng.random(count) < MOVERS, rng.choice([-DRIFT, DRIFT], count), 0.0) * (age > 0)
    return Tracks(
        catalogue=_catalogue(artist_of, home, age, first=first, rng=rng),
        country=home,
        genres=_normalised(rng.standard_gamma(PURITY, (count, GENRES)) + 1e-9),
        popularity=-np.log(rng.permutation(count) + 1 + PLATEAU),
        age=age,
        drift=drift,
    )


def invent_tastes(scenes: Sequence[Scene], tracks: Tracks, *, rng: np.random.Generator) -> Tastes:
    """Invent the tastes of the countries around the world's, and of the cities around their countries'."""
    world = _normalised(rng.standard_gamma(6.0, GENRES))
    genres = {country: _around(world, COUNTRY_GENRES, rng) for country in COUNTRIES}
    home = {country: HOME * (tracks.country == number) for number, country in enumerate(COUNTRIES)}
    fame = {country: home[country] + rng.normal(0, COUNTRY_FAME, len(tracks.age)) for country in COUNTRIES}
    return Tastes(
        genres=np.array(
            [_around(genres[s.country], CITY_GENRES, rng) if s.is_city else genres[s.country] for s in scenes]
        ),
        fame=np.array([fame[s.country] + s.is_city * rng.normal(0, CITY_FAME, len(tracks.age)) for s in scenes]),
    )


def probabilities(tracks: Tracks, tastes: Tastes, *, scene: int, night: int) -> Floats:
    """Return what a scene plays of each genre in a night: shape (GENRES, tracks), rows sum to 1."""
    age = tracks.age + night
    fresh = FRESH * np.exp(-np.maximum(age, 0) / FRESH_NIGHTS)
    liking = np.exp(tracks.popularity + tastes.fame[scene] + tracks.drift * night + fresh) * (age >= 0)
    return _normalised(tracks.genres.T * liking)


def draw(chances: Floats, rows: Ints, *, rng: np.random.Generator) -> Ints:
    """Draw a column for each row named, by the chances of that row.

    Parameters
    ----------
    chances : ndarray, shape (rows, columns)
        Rows sum to 1.
    rows : ndarray of int, shape (draws,)
    """
    height, width = chances.shape
    ladder = (np.cumsum(chances, axis=1) + np.arange(height)[:, None]).ravel()
    found = np.searchsorted(ladder, rows + rng.random(len(rows)), side="right")
    columns: Ints = (found - rows * width).clip(0, width - 1)
    return columns


def _ages(count: int, *, nights: int, rng: np.random.Generator) -> Ints:
    """Return nights since release at the first night: most tracks are months or years old, a few not out yet."""
    old = np.ceil(rng.exponential(700.0, count)).astype(np.int64)
    return np.where(rng.random(count) < DEBUTS, -rng.integers(1, max(2, nights), count), old)


def _catalogue(artist_of: Ints, home: Ints, age: Ints, *, first: date, rng: np.random.Generator) -> pl.DataFrame:
    used: set[str] = set()
    homes = dict(zip(artist_of.tolist(), home.tolist(), strict=True))
    artists = {
        artist: names.unused(lambda home=home: names.artist(COUNTRIES[home], rng=rng), used)  # type: ignore[misc]
        for artist, home in homes.items()
    }
    titles = _titles(artist_of.tolist(), homes, rng)
    undated = (rng.random(len(age)) < UNDATED) & (age > 365)
    return pl.DataFrame(
        {
            "track_id": [f"t{number:05d}" for number in range(len(age))],
            "title": titles,
            "artist_id": [f"a{artist:05d}" for artist in artist_of],
            "artist": [artists[artist] for artist in artist_of.tolist()],
            "released": [
                None if unknown else first - timedelta(days=nights)
                for nights, unknown in zip(age.tolist(), undated.tolist(), strict=True)
            ],
            "artist_country": [COUNTRIES[country] for country in home.tolist()],
        },
        schema_overrides={"released": pl.Date},
    )


def _titles(artist_of: list[int], homes: dict[int, int], rng: np.random.Generator) -> list[str]:
    """Invent titles, each new for its artist."""
    used: dict[int, set[str]] = {artist: set() for artist in homes}
    return [
        names.unused(lambda home=homes[artist]: names.title(COUNTRIES[home], rng=rng), used[artist])  # type: ignore[misc]
        for artist in artist_of
    ]


def _around(centre: Floats, weight: float, rng: np.random.Generator) -> Floats:
    return _normalised(rng.standard_gamma(centre * weight) + 1e-9)


def _normalised(weights: npt.NDArray[np.float64]) -> Floats:
    """Make the last axis sum to 1."""
    shares: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return shares
