"""The job: invent a world, let its listeners listen night by night, and write it all into one folder."""

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipelines.sample import geography, truth
from pipelines.sample.consents import consent_log
from pipelines.sample.flaws import CONSENT_FLAWS, LISTEN_FLAWS, with_flaws
from pipelines.sample.nights import Night, World, invent_world, listens, play
from recsys.errors import InputError
from recsys.geography.atlas import REMAINDER, Atlas
from recsys.workspace import staged

SEED = 20261
TRACKS = 2_000
NIGHTS = 35  # whole weeks, so that weekdays cancel
LAST_NIGHT = date(2026, 10, 4)
SETTINGS = "settings.toml"
README = Path(__file__).with_name("README.template.md")
LEAST_LISTENERS = 30  # a night: regions with fewer are there, but not counted in the summary
COMPRESSION = 19  # Zstandard's level: written once, read often, kept in git
RUNS = {"user_id", "latitude", "longitude"}  # repeated row after row: a third smaller without Parquet's dictionary


@dataclass(frozen=True)
class Summary:
    """What was written.

    Parameters
    ----------
    nights, rows, bad_rows : int
        Of the listens.
    listeners : int
        In the world; some of them never listen.
    consenting : int
        Listeners who have ever allowed anything.
    listeners_a_night : float
        On average.
    countries : int
    regions : int
        With at least 30 listeners a night.
    tracks, artists, trends : int
    bytes : int
        Of all files.
    """

    nights: int
    rows: int
    bad_rows: int
    listeners: int
    consenting: int
    listeners_a_night: float
    countries: int
    regions: int
    tracks: int
    artists: int
    trends: int
    bytes: int


def write_world(
    folder: Path,
    *,
    atlas: Atlas,
    size: float = 1.0,
    seed: int = SEED,
    nights: int = NIGHTS,
    tracks: int = TRACKS,
    last_night: date = LAST_NIGHT,
) -> Summary:
    """Write a sample world; the same arguments write the same bytes, whatever the number of threads.

    Parameters
    ----------
    folder : Path
        Replaced as a whole, and only if it is empty, missing, or a sample world.
    atlas : Atlas
        Public geography, with the default settings.
    size : float
        Scales the number of listeners; 1 is about 8,000 a night.
    seed : int
        Of everything random.
    nights : int
    tracks : int
        In the catalogue.
    last_night : date

    Returns
    -------
    Summary

    Raises
    ------
    InputError
        If an argument is out of range, or the folder holds something else.
    """
    _check(folder, size=size, nights=nights, tracks=tracks)
    world = invent_world(atlas, size=size, seed=seed, nights=nights, tracks=tracks, last_night=last_night)
    with staged(folder) as stage:
        summary = _write(stage, world, atlas)
        (stage / "README.md").write_text(_readme(summary, seed=seed, size=size), encoding="utf-8")
    return summary


def delivered(world: World, night: Night) -> pl.DataFrame:
    """Return a night's listens as they are delivered: with bad rows among the good ones."""
    rng = np.random.default_rng(world.seeds[night.number].generate_state(4))  # apart from what was played
    return with_flaws(listens(world, night), LISTEN_FLAWS, turn=night.number, rng=rng)


def _check(folder: Path, *, size: float, nights: int, tracks: int) -> None:
    if not size > 0 or nights < 1 or tracks < truth.WINDOW:
        raise InputError(
            f"a world of size {size}, {nights} nights and {tracks} tracks cannot be",
            hint=f"size is more than 0, nights at least 1, tracks at least {truth.WINDOW}.",
        )
    if folder.exists() and any(folder.iterdir()) and not (folder / "truth").is_dir():
        raise InputError(f"{folder} holds something that is not a sample world", hint="Name a new or an empty folder.")


def _write(stage: Path, world: World, atlas: Atlas) -> Summary:
    tally = truth.Tally(world)
    rows = {night.number: _write_night(stage, world, night, tally) for night in play(world)}
    consents = _consents(world)
    area = geography.service_area(atlas)
    _write_table(consents, stage / "consents.parquet")
    _write_table(world.tracks.catalogue, stage / "catalogue.parquet")
    (stage / "truth").mkdir()
    for name, table in truth.tables(tally, atlas=atlas, service_area=area).items():
        _write_table(table, stage / "truth" / f"{name}.parquet")
    (stage / SETTINGS).write_text(_settings(area), encoding="utf-8")
    return _summary(stage, world, tally, rows)


def _write_night(stage: Path, world: World, night: Night, tally: truth.Tally) -> tuple[int, int]:
    """Write a night, count it for the truth, and return how many rows were good, and how many there are."""
    folder = stage / "listens" / f"date={night.day}"
    folder.mkdir(parents=True)
    rows = delivered(world, night)
    _write_table(rows, folder / "listens.parquet")
    tally.add(night)
    return len(night.track), rows.height


def _consents(world: World) -> pl.DataFrame:
    rng = np.random.default_rng(world.consent_seed)
    log = consent_log(world.listeners.user_ids, first=world.first, nights=world.nights, rng=rng)
    return with_flaws(log, CONSENT_FLAWS, turn=0, rng=rng)


def _write_table(table: pl.DataFrame, file: Path) -> None:
    pq.write_table(
        table.to_arrow(),
        file,
        compression="zstd",
        compression_level=COMPRESSION,
        use_dictionary=[name for name in table.columns if name not in RUNS],
        store_schema=False,
    )


def _summary(stage: Path, world: World, tally: truth.Tally, rows: dict[int, tuple[int, int]]) -> Summary:
    good, every = (sum(night) for night in zip(*rows.values(), strict=True))
    regions = [not part.endswith(REMAINDER) for part in world.listeners.parts]
    consenting = pl.read_parquet(stage / "consents.parquet")["user_id"].drop_nulls().n_unique()
    return Summary(
        nights=world.nights,
        rows=every,
        bad_rows=every - good,
        listeners=len(world.listeners.user_ids),
        consenting=consenting,
        listeners_a_night=round(float(tally.listeners_a_night.sum()), 1),
        countries=len({scene.country for scene in world.scenes}),
        regions=int(np.sum(tally.listeners_a_night[regions] >= LEAST_LISTENERS)),
        tracks=world.tracks.catalogue.height,
        artists=world.tracks.catalogue["artist_id"].n_unique(),
        trends=len({trend.name for trend in world.trends}),
        bytes=sum(file.stat().st_size for file in stage.rglob("*.parquet")),
    )


def _settings(area: tuple[str, ...]) -> str:
    whole = ", ".join(f'"{country}"' for country in area[: len(geography.WHOLE)])
    regions = "".join(f'    "{region}",\n' for region in area[len(geography.WHOLE) :])
    return f"{_SETTINGS_HEAD}    {whole},\n{regions}]\n{_SETTINGS_TAIL}"


def _readme(summary: Summary, *, seed: int, size: float) -> str:
    return README.read_text(encoding="utf-8").format(
        **{**asdict(summary), "megabytes": f"{summary.bytes / 1e6:.1f}", "seed": seed, "size": size}
    )


_SETTINGS_HEAD = """\
# The settings of the sample world, over the defaults in recsys/hearabouts.toml. Written by `hearabouts sample`.

[atlas]
# Where the app is launched: all of the countries named, and of other countries the regions whose centres lie within
# 20 km of the cities that the sample's listeners live around.
service_area = [
"""
_SETTINGS_TAIL = """\

[history]
catch_up_nights = 14             # with the last one so many that a forecast is a week old: each takes seconds
"""
