"""Tables of section 3.1 written by hand, and what arrivals and cells need around them."""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recsys.arrivals.coarsening import coarsen
from recsys.arrivals.listens import read_night
from recsys.arrivals.permission import keep_allowed, permissions
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.schemas import Catalogue, CoarseListens
from recsys.workspace import listener_of

KEY = bytes(range(32))
NIGHT = date(2026, 3, 10)
NOW = datetime(2026, 3, 11, 4, 0, tzinfo=UTC)
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LISBON = (38.7223, -9.1393)
LISBON_CELL = 0x85393363FFFFFFF  # h3.latlng_to_cell(38.7223, -9.1393, 5)

CATALOGUE = pl.DataFrame({"track_id": [f"t{i}" for i in range(30)]}).select(
    "track_id",
    title=pl.lit("title"),
    artist_id=pl.lit("a"),
    artist=pl.lit("artist"),
    released=pl.lit(None, pl.Date),
    artist_country=pl.lit(None, pl.String),
)
assert CATALOGUE.schema == {name: column.dtype for name, column in Catalogue.columns().items()}

ALL_PURPOSES = (Purpose.LOCAL_TRENDS, Purpose.CONTRIBUTE_TRENDS, Purpose.PERSONALISATION)


class Quarters:
    """An atlas of as many parts as asked for: a cell lies in the part of its number modulo that."""

    def __init__(self, parts: int = 4) -> None:
        self._parts = parts

    def locate(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        part = pl.concat_str(pl.lit("P"), pl.col("cell") % self._parts)
        return frame.with_columns(part=part)


def listen(**changes: Any) -> dict[str, Any]:
    """One good row of the listens table, with changes."""
    row = {"user_id": "ana", "track_id": "t1", "played_at": NOON, "latitude": LISBON[0], "longitude": LISBON[1]}
    return {**row, **changes}


def write_listens(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as the format that the path's name asks for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(list(rows), infer_schema_length=None, strict=False)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
        return path
    text = frame.with_columns(pl.col(pl.Datetime("us", "UTC")).dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ"))
    if path.suffix == ".ndjson":
        text.write_ndjson(path)
    else:
        text.write_csv(path, compression="gzip" if path.suffix == ".gz" else "uncompressed")
    return path


def given(user: str, *purposes: Purpose, days: float = 30, state: State = State.GIVEN) -> list[Entry]:
    """Entries of the consent log, that many days before NOW."""
    at = NOW - timedelta(days=days)
    return [Entry(listener_of(user, key=KEY), purpose, state, at, "1") for purpose in purposes]


def arrived(
    source: Path, log: ConsentLog, *, night: date = NIGHT, now: datetime = NOW, resolution: int = 5
) -> pl.DataFrame:
    """Let a night arrive: what of it gets past permission and coarsening."""
    listens = read_night(source, night, catalogue=CATALOGUE, now=now).listens
    allowed = keep_allowed(listens, permissions=permissions(log, now=now), key=KEY)
    return coarsen(allowed, night=night, resolution=resolution).collect()


def coarse(
    rows: Iterable[tuple[str, str, int | None]],
    *,
    night: date = NIGHT,
    charts: bool = True,
    models: bool = True,
    partner: bool = False,
) -> pl.DataFrame:
    """Coarse listens written by hand as (listener, track, cell)."""
    frame = pl.DataFrame(
        list(rows), schema={"listener": pl.String, "track_id": pl.String, "cell": pl.UInt64}, orient="row"
    )
    flags = {"night": pl.lit(night), "for_charts": pl.lit(charts), "for_models": pl.lit(models)}
    partner_cell = pl.when(partner).then("cell")
    return frame.with_columns(**flags, partner_cell=partner_cell).select(CoarseListens.column_names())
