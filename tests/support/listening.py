"""Small worlds of contributions whose structure is known: what tests and benchmarks of the models train on."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from recsys.schemas import Contributions
from recsys.weights import FULL

FIRST_NIGHT = date(2026, 1, 5)


def contributions(rows: list[tuple[str, int, str | None, str, int]], *, trained: bool = True) -> pl.DataFrame:
    """Contributions written by hand as (listener, night counted from 0, part, track, plays)."""
    frame = pl.DataFrame(rows, schema=["listener", "night", "part", "track_id", "plays"], orient="row")
    return _contributions(frame, trained=trained)


def world(
    seed: int,
    *,
    listeners: int,
    tracks: int,
    parts: int,
    nights: int = 35,
    plays: float = 100,
    genres: int = 12,
    local_scenes: float = 0.5,
    local_fame: float = 0.7,
    surge: float = 2.5,
    countries: int = 0,
    within: float = 0.1,
) -> pl.DataFrame:
    """Listeners with tastes in parts with tastes of their own.

    How much a listener likes a track is the sum of the track's fame (Zipf), its fame in the part, and the agreement
    of the listener's and the track's genres, where every part hears some tracks as another genre than the world
    (``local_scenes``: this is what only a regional model can learn). In each part 1 track in 100 surges in the last
    third of the nights. Part sizes fall geometrically from the first to the last, a 30th of it. With ``countries``,
    part p lies in country ``p % countries``, the tastes are the country's, and parts depart from them in fame alone,
    ``within`` as much.
    """
    rng = np.random.default_rng(seed)
    fame = -np.log(np.arange(1, tracks + 1)) + rng.normal(0, 0.3, tracks)
    genre = rng.normal(size=(tracks, genres)) * rng.dirichlet(np.full(genres, 0.1), tracks) * 3
    share = np.geomspace(30, 1, parts) / np.geomspace(30, 1, parts).sum()
    sizes = np.maximum((share * listeners).round().astype(int), 2)
    frames = []
    tastes = [_tastes(rng, fame, genre, local_fame, local_scenes) for _ in range(countries)]
    for part, size in enumerate(sizes):
        here, swapped = tastes[part % countries] if countries else _tastes(rng, fame, genre, local_fame, local_scenes)
        here = here + rng.normal(0, local_fame * within, tracks) if countries else here
        liking = here + rng.normal(size=(size, genres)) @ swapped.T
        frames.append(_plays(rng, liking, part=part, nights=nights, mean=plays, surge=surge))
    return _contributions(pl.concat(frames), trained=True)


def _tastes(
    rng: np.random.Generator, fame: np.ndarray, genre: np.ndarray, local_fame: float, local_scenes: float
) -> tuple[np.ndarray, np.ndarray]:
    here = fame + rng.normal(0, local_fame, len(fame))
    return here, np.where(rng.random(len(fame))[:, None] < 0.5 * local_scenes, rng.permutation(genre), genre)


def _plays(
    rng: np.random.Generator, liking: np.ndarray, *, part: int, nights: int, mean: float, surge: float
) -> pl.DataFrame:
    size, tracks = liking.shape
    rising = rng.choice(tracks, max(tracks // 100, 1), replace=False)
    late = liking.copy()
    late[:, rising] += surge
    per_night = rng.gamma(2, mean / nights / 2, size)
    frames = []
    for liked, which in ((liking, range(nights * 2 // 3)), (late, range(nights * 2 // 3, nights))):
        cumulative = np.cumsum(np.exp(liked - liked.max(axis=1, keepdims=True)), axis=1)
        cumulative /= cumulative[:, -1:]
        counts = rng.poisson(per_night * len(which))
        who = np.repeat(np.arange(size), counts)
        draws = rng.random(len(who))
        chosen = np.concatenate(
            [np.searchsorted(cumulative[row], draws[who == row]) for row in range(size)] or [np.array([], int)]
        )
        frames.append(
            pl.DataFrame(
                {
                    "listener": [f"{part:03d}-{row:05d}" for row in who],
                    "night": rng.choice(np.array(which), len(who)),
                    "part": f"part-{part:03d}",
                    "track_id": [f"t{track:05d}" for track in chosen],
                }
            )
        )
    return pl.concat(frames).group_by("listener", "night", "part", "track_id").agg(plays=pl.len()).sort(pl.all())


def _contributions(frame: pl.DataFrame, *, trained: bool) -> pl.DataFrame:
    types = {name: column.dtype for name, column in Contributions.columns().items()}
    return frame.with_columns(
        night=pl.lit(FIRST_NIGHT) + pl.col("night").cast(pl.Int64) * timedelta(days=1),
        weight=pl.lit(FULL),
        trained=pl.lit(trained),
        partner_part=None,
    ).select(pl.col(name).cast(kind) for name, kind in types.items())
