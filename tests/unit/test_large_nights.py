"""The night that the benchmark of scale reads: as large as asked, of rows that fit, and the same each time."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from support.large_nights import NIGHT, write_large_night

from recsys.arrivals.catalogue import read_catalogue
from recsys.arrivals.listens import read_night
from recsys.arrivals.permission import read_entries
from recsys.geography.atlas import Atlas

NOW = datetime(2026, 10, 2, 4, tzinfo=UTC)


def test_all_of_its_rows_fit(tmp_path: Path, world_atlas: Atlas) -> None:
    sources = write_large_night(tmp_path, listens=5_000, listeners=500, atlas=world_atlas)
    tracks = read_catalogue(sources.catalogue, max_bad_share=0).tracks
    counts = read_night(sources.listens, NIGHT, catalogue=tracks, now=NOW).counts()
    assert (counts.rows, counts.bad) == (5_000, {})
    assert sources.consents is not None
    consents = read_entries(sources.consents, key=bytes(32), max_bad_share=0)
    assert 300 < len({entry.listener for entry in consents.entries}) < 500


def test_it_is_the_same_whenever_it_is_written(tmp_path: Path, world_atlas: Atlas) -> None:
    one, other = (write_large_night(tmp_path / each, listens=1_000, listeners=100, atlas=world_atlas) for each in "ab")
    night = f"date={NIGHT}"
    assert pl.read_parquet(one.listens / night).equals(pl.read_parquet(other.listens / night))
    assert pl.read_parquet(one.consents).equals(pl.read_parquet(other.consents))
