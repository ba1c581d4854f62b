"""A night of any size, written in pieces: what the benchmark of scale reads.

Listeners live around the large cities of the world, some play far more than others, few tracks have most of the plays,
and the consents are those of a sample world. Nothing of it is drawn row by row: 100 million listens take minutes.
"""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.base.job_context import Sources
from pipelines.sample.consents import consent_log
from recsys.geography.atlas import Atlas

NIGHT = date(2026, 10, 1)
TRACKS = 20_000

_PIECE = 2_000_000  # listens of a file
_LISTENERS = 1_000_000  # of a consents file
_CITIES = 5_000  # the largest of the world
_SPREAD = 0.05  # degrees, about 5 km: how far around their city people live and listen
_ACTIVE, _FAMOUS = 1.5, 3.0  # powers of a uniform number: the larger, the fewer listeners or tracks have most plays
_DAY = 24 * 60 * 60 * 1_000_000  # microseconds


def write_large_night(folder: Path, *, listens: int, listeners: int, atlas: Atlas) -> Sources:
    """Write ``listens``, ``consents`` and a catalogue below a folder; the same arguments write the same world."""
    catalogue, consents = folder / "catalogue.parquet", folder / "consents"
    night = folder / "listens" / f"date={NIGHT}"
    for each in (consents, night):
        each.mkdir(parents=True)
    _catalogue().write_parquet(catalogue)
    for number, begin in enumerate(range(0, listeners, _LISTENERS)):
        users = _named("user-{}", np.arange(begin, min(begin + _LISTENERS, listeners)))
        log = consent_log(users.alias("user_id"), first=NIGHT, nights=1, rng=np.random.default_rng([1, number]))
        log.write_parquet(consents / f"{number:03}.parquet")
    homes = _homes(listeners, atlas=atlas)
    for number, begin in enumerate(range(0, listens, _PIECE)):
        rows = min(_PIECE, listens - begin)
        piece = _listens(rows, homes=homes, random=np.random.default_rng([2, number]))
        piece.write_parquet(night / f"{number:03}.parquet")
    return Sources(folder / "listens", catalogue, consents)


def _catalogue() -> pl.DataFrame:
    number = np.arange(TRACKS)
    return pl.DataFrame(
        {
            "track_id": _named("track-{}", number),
            "title": _named("Song {}", number),
            "artist_id": _named("artist-{}", number // 10),
            "artist": _named("Band {}", number // 10),
        }
    )


def _homes(listeners: int, *, atlas: Atlas) -> NDArray[np.float32]:
    """Return where each listener lives, by the populations of cities: latitude and longitude, shape (2, listeners)."""
    random, cities = np.random.default_rng(0), atlas.cities.head(_CITIES)
    shares = cities["population"].to_numpy() / cities["population"].sum()
    city = random.choice(len(shares), listeners, p=shares)
    centres = np.stack([cities[name].to_numpy()[city] for name in ("latitude", "longitude")])
    return (centres + random.normal(0, _SPREAD, centres.shape)).clip([[-89], [-179]], [[89], [179]]).astype(np.float32)


def _listens(rows: int, *, homes: NDArray[np.float32], random: np.random.Generator) -> pl.DataFrame:
    who = (homes.shape[1] * random.random(rows) ** _ACTIVE).astype(np.int64)
    latitude, longitude = homes[:, who] + random.normal(0, _SPREAD / 5, (2, rows))
    since = pl.lit(datetime(NIGHT.year, NIGHT.month, NIGHT.day, tzinfo=UTC))
    return pl.DataFrame(
        {
            "user_id": _named("user-{}", who),
            "track_id": _named("track-{}", (TRACKS * random.random(rows) ** _FAMOUS).astype(np.int64)),
            "played_at": pl.Series(random.integers(0, _DAY, rows)).cast(pl.Duration("us")),
            "latitude": latitude,
            "longitude": longitude,
        }
    ).with_columns((pl.col("played_at") + since).cast(pl.Datetime("us", "UTC")))


def _named(form: str, numbers: NDArray[np.int64]) -> pl.Series:
    return pl.select(pl.format(form, pl.Series(numbers))).to_series()
