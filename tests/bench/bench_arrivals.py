"""Arrivals and cells, measured: does memory grow with the night, and how fast is it next to a plain copy?

Run it with ``python tests/bench/bench_arrivals.py [ROWS]``. For a night of ROWS rows (by default 4 million, which fills
every buffer) and one of eight times as many it prints, each in a process of its own, peak memory and rows a second of

- ``arrivals``: count, check, permission, coarsening, and the stage by listener bucket,
- ``gate``: what the completeness gate counts of the night before, and
- ``peer``: polars ``scan_parquet().sink_parquet()`` of the same file, which does nothing but read and write;

and then the time of 35 nights of 40,000 rows, contributions and store included. The peak is that of anonymous memory
(``RssAnon``): pages of a mapped file are the system's to take back.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.arrivals import coarsening, deliveries, listens, permission
from recsys.cells.contributions import bound
from recsys.cells.store import Store
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.settings import load_settings
from recsys.workspace import listener_of

KEY = bytes(32)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
FIRST = date(2024, 3, 1)
LISTENERS, TRACKS = 20_000, 5_000
SETTINGS = load_settings()
CATALOGUE = pl.DataFrame({"track_id": [f"track-{i}" for i in range(TRACKS)]}).with_columns(
    title=pl.lit("t"), artist_id=pl.lit("a"), artist=pl.lit("a"), released=pl.lit(None, pl.Date)
)


class Halves:
    """An atlas of two parts: even and odd cells."""

    settings = SETTINGS.atlas

    def locate(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        return frame.with_columns(
            part=pl.when(pl.col("cell").is_not_null()).then(pl.format("part-{}", pl.col("cell") // 2**30 % 2))
        )


def night_of(night: date, rows: int) -> pl.DataFrame:
    random = np.random.default_rng(night.toordinal())
    start = datetime(night.year, night.month, night.day, tzinfo=UTC)
    return pl.DataFrame(
        {
            "user_id": random.integers(0, LISTENERS, rows),
            "track_id": (TRACKS * random.random(rows) ** 3).astype(int),
            "played_at": (random.random(rows) * 86_399e6).astype(int),
            "latitude": random.normal(38.7, 0.5, rows),
            "longitude": random.normal(-9.1, 0.5, rows),
        }
    ).with_columns(
        pl.format("user-{}", "user_id").alias("user_id"),
        pl.format("track-{}", "track_id").alias("track_id"),
        (pl.col("played_at").cast(pl.Duration("us")) + pl.lit(start)).cast(pl.Datetime("us", "UTC")),
    )


def consented(path: Path) -> permission.Permissions:
    if not path.exists():
        since = datetime(2024, 1, 1, tzinfo=UTC)
        ConsentLog(path).append(
            Entry(listener_of(f"user-{i}", key=KEY), purpose, State.GIVEN, since, "1")
            for i in range(0, LISTENERS, 2)
            for purpose in (Purpose.CONTRIBUTE_TRENDS, Purpose.PERSONALISATION)
        )
    return permission.permissions(ConsentLog(path), now=NOW)


def arrivals(folder: Path, source: Path) -> None:
    night = listens.read_night(source, FIRST, catalogue=CATALOGUE, now=NOW)
    listens.check_share(night.counts(), max_bad_share=0.05)
    allowed = permission.keep_allowed(night.listens, permissions=consented(folder / "consents.db"), key=KEY)
    coarse = coarsening.coarsen(allowed, night=FIRST, resolution=5)
    with Store(folder / "private", SETTINGS.store).bucketed(coarse):
        pass


def gate(folder: Path, source: Path) -> None:
    night = listens.read_night(source, FIRST, catalogue=CATALOGUE, now=NOW)
    files = listens.files_of_night(source, FIRST, now=NOW)
    placing = deliveries.Placing(consented(folder / "consents.db"), KEY, Halves(), {"part-0": "PT", "part-1": "ES"})
    deliveries.measure(night, rows=sum(files.values()), files=files, placing=placing, seed=1, least=20)


def peer(folder: Path, source: Path) -> None:
    pl.scan_parquet(source).sink_parquet(folder / "copy.parquet", engine="streaming")


def nights(folder: Path, *, count: int, rows: int) -> None:
    store, allowing = Store(folder / "nights", SETTINGS.store), consented(folder / "consents.db")
    took = []
    for night in (FIRST + timedelta(days=i) for i in range(count)):
        source = folder / "night.parquet"
        night_of(night, rows).write_parquet(source)
        started = time.perf_counter()
        checked = listens.read_night(source, night, catalogue=CATALOGUE, now=NOW)
        checked.counts()
        allowed = permission.keep_allowed(checked.listens, permissions=allowing, key=KEY)
        with store.bucketed(coarsening.coarsen(allowed, night=night, resolution=5)) as batches:
            store.write_night(
                night,
                (
                    (
                        buckets,
                        bound(
                            coarse,
                            night=night,
                            atlas=Halves(),
                            balances=store.balances(buckets, after=night - timedelta(days=1)),
                            settings=SETTINGS.privacy,
                            key=KEY,
                        ),
                    )
                    for buckets, coarse in batches
                ),
                after=night - timedelta(days=1),
            )
        took.append(time.perf_counter() - started)
    print(f"{count} nights of {rows:,} rows: {np.mean(took):.3f} s a night, the slowest {max(took):.3f} s")


def measured(what: str, folder: Path, source: Path, rows: int) -> None:
    command = [sys.executable, __file__, "--one", what, str(folder), str(source), str(rows)]
    subprocess.run(command, check=True, env=os.environ)


def one(what: str, folder: Path, source: Path, rows: int) -> None:
    consented(folder / "consents.db")
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            status = Path("/proc/self/status").read_text()
            peak[0] = max(peak[0], int(re.search(r"RssAnon:\s+(\d+)", status)[1]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    started = time.perf_counter()
    {"arrivals": arrivals, "gate": gate, "peer": peer}[what](folder, source)
    seconds = time.perf_counter() - started
    done.set()
    thread.join()
    print(f"{what:9} {rows:>12,} rows  {peak[0] / 1024:7.0f} MB peak  {rows / seconds:12,.0f} rows/s", flush=True)


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for times in (1, 8):
            source = folder / f"times-{times}"
            source.mkdir()
            first = source / "0.parquet"
            night_of(FIRST, rows).write_parquet(first)
            for copy in range(1, times):
                (source / f"{copy}.parquet").hardlink_to(first)
            for what in ("arrivals", "gate", "peer"):
                measured(what, folder, source, rows * times)
        nights(folder, count=35, rows=40_000)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 4_000_000)
