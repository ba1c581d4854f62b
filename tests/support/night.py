"""Small hand-made input for whole nights, and a way to run them."""

import json
import shutil
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from pipelines.base.job_context import JobContext, Sources
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

FIRST = date(2026, 10, 1)
NOW = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
LISBON, PORTO, FARO = (38.7223, -9.1393), (41.1496, -8.6109), (37.0194, -7.9322)
AREA = (
    "85393363fffffff",
    "8539220ffffffff",
    "8439115ffffffff",
    "85393367fffffff",
    "853922a3fffffff",
    "833426fffffffff",
)
"""Lisbon, Porto, Faro and, where nobody listens, Barreiro, Braga and Ponta Delgada: nights of all parts take longer."""

AREA_IN_TOML = f"[atlas]\nservice_area = {json.dumps(AREA)}\n"

TRACKS = tuple(f"track-{number:02}" for number in range(12))
PURPOSES = ("contribute_trends", "personalisation", "local_trends")


def row(
    user: str | None, track: str | None, at: datetime | None, position: tuple[float, float] | None = LISBON
) -> dict[str, object]:
    latitude, longitude = position or (None, None)
    return {"user_id": user, "track_id": track, "played_at": at, "latitude": latitude, "longitude": longitude}


def night_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def noon(night: date, minutes: int = 0) -> datetime:
    return datetime(night.year, night.month, night.day, 12, tzinfo=UTC) + timedelta(minutes=minutes)


def plays(night: date, *, users: Iterable[str], tracks: Sequence[str] = TRACKS[:3]) -> list[dict[str, object]]:
    """Each user plays each track once, half of the users in Lisbon and half in Porto."""
    return [
        row(user, track, noon(night, minute), LISBON if sum(user.encode()) % 2 else PORTO)
        for user in users
        for minute, track in enumerate(tracks)
    ]


def write_listens(folder: Path, night: date, rows: Sequence[dict[str, object]]) -> Path:
    """Write one night's partition as Parquet."""
    file = folder / f"date={night}" / "listens.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    schema = {"user_id": pl.String, "track_id": pl.String, "played_at": pl.Datetime("us", "UTC")}
    pl.DataFrame(rows, schema={**schema, "latitude": pl.Float64, "longitude": pl.Float64}).write_parquet(file)
    return file


def write_catalogue(file: Path, tracks: Sequence[str] = TRACKS) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{track},Song {track[-2:]},artist-{track[-1]},Band {track[-1]}" for track in tracks]
    file.write_text("\n".join(["track_id,title,artist_id,artist", *rows]) + "\n")
    return file


def write_consents(file: Path, users: Iterable[str], purposes: Sequence[str] = PURPOSES, state: str = "given") -> Path:
    """Write a log in which each user decides on the day before the first night."""
    file.parent.mkdir(parents=True, exist_ok=True)
    at = noon(night_of(-1)).isoformat()
    rows = [f"{user},{purpose},{state},{at},2026-09" for user in users for purpose in purposes]
    file.write_text("\n".join(["user_id,purpose,state,at,notice_version", *rows]) + "\n")
    return file


def write_world(folder: Path, *, nights: int = 2, users: Sequence[str]) -> Sources:
    """Write a world in which every user consents and plays the same three tracks every night."""
    for number in range(nights):
        write_listens(folder / "listens", night_of(number), plays(night_of(number), users=users))
    return Sources(
        folder / "listens", write_catalogue(folder / "catalogue.csv"), write_consents(folder / "consents.csv", users)
    )


def small_settings(mlruns: Path, **sections: dict[str, object]) -> Settings:
    """Return settings for a few parts of Portugal, logging to a folder of its own."""
    small = {
        "atlas": {"service_area": AREA},
        "store": {"buckets": 4},
        "tracking": {"folder": mlruns},
        "models": {"factors": 4, "iterations": 2, "min_listeners_per_track": 2, "min_listeners_per_region": 4},
    }
    return load_settings(overrides={**small, **sections})


def copy_lived(start: Path, target: Path) -> None:
    """Copy a workspace and its runs, with the witness among them, over what is there of both."""
    for name in ("workspace", "mlruns"):
        shutil.copytree(start / name, target / name, symlinks=True, dirs_exist_ok=True)


def deployed(folder: Path, sources: Sources, settings: Settings, *, now: datetime = NOW) -> JobContext:
    return JobContext(Workspace(folder / "workspace"), settings, sources, now)
