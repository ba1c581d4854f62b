"""A night up to the noise on two engines, measured: seconds, equal tables, and how many bytes go where.

Run it with ``python tests/bench/bench_engines.py [LISTENS] [LISTENERS] [PAIRS]`` (by default 1 million listens of
100,000 listeners, three pairs). The same night, in ten files, is read, permitted, coarsened, bounded, stored and
counted by Polars in this process and by a Sail server in a process of its own, in turn, in pairs. Printed are the
medians of seconds and of processor seconds (of the server and of this process together), whether contributions,
balances and counts are equal row for row, and the bytes of each kind that travel to and from an engine. Then the models
of 100 places of 20,000 listeners are fitted by both in the same way.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl
import psutil
from support.engines import on, sail
from support.listening import world

from pipelines.night.coarse_listens import coarse_listens
from pipelines.night.engines import spark_tasks as tasks
from pipelines.night.engines.engine import Engine
from recsys.arrivals.listens import CheckedNight, read_night
from recsys.arrivals.permission import Permissions
from recsys.cells.contributions import bound
from recsys.cells.store import Store
from recsys.geography.atlas import Atlas, load_atlas
from recsys.models.interactions import gather
from recsys.models.regional import fit
from recsys.releases.counts import release
from recsys.settings import load_settings
from recsys.workspace import listener_of

KEY = bytes(32)
NIGHT, NOW = date(2026, 3, 1), datetime(2026, 6, 1, tzinfo=UTC)
FILES, TRACKS = 10, 20_000
SETTINGS = load_settings()
CATALOGUE = pl.DataFrame({"track_id": [f"track-{i}" for i in range(TRACKS)]})


@dataclass(frozen=True)
class Work:
    """A night, and what is to be done with it."""

    arrived: CheckedNight
    permissions: Permissions
    atlas: Atlas

    @property
    def coarse(self) -> Callable[..., pl.LazyFrame]:
        arrived = replace(self.arrived, parts=())
        return partial(coarse_listens, arrived=arrived, permissions=self.permissions, key=KEY, resolution=5)

    @property
    def bound(self) -> partial:
        return partial(bound, night=NIGHT, atlas=self.atlas.without_cities, settings=SETTINGS.privacy, key=KEY)

    def done(self, engine: Engine, store: Store) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
        """Return contributions, balances and counts."""
        parts = self.arrived.parts
        with engine.bounded(parts, coarse=self.coarse, bound=self.bound, store=store, after=None) as frames:
            store.write_night(NIGHT, frames)
        tiers = release.drawing_order(release.tiers(self.atlas, settings=SETTINGS.privacy), atlas=self.atlas)
        what = {"tracks": CATALOGUE["track_id"].to_list(), "tiers": tiers, "atlas": self.atlas}
        frames = store.batches(NIGHT)
        true = release.true_counts(frames, night=NIGHT, settings=SETTINGS.privacy, mapped=engine.map, **what)
        balances = store.balances(tuple(range(store.buckets)), after=NIGHT)
        return store.scan([NIGHT]).collect(), balances, true


def work_of(folder: Path, listens: int, listeners: int) -> Work:
    """Write a night around Lisbon in some files; two of three listeners allow charts and models."""
    random, source = np.random.default_rng(1), folder / "listens"
    source.mkdir()
    for number in range(FILES):
        rows = listens // FILES
        at = pl.Series((random.random(rows) * 86_399e6).astype(int)).cast(pl.Duration("us"))
        frame = pl.DataFrame({"user": random.integers(0, listeners, rows), "played_at": at})
        frame.select(
            user_id=pl.format("user-{}", "user"),
            track_id=pl.format("track-{}", pl.Series((TRACKS * random.random(rows) ** 3).astype(int))),
            played_at=(pl.col("played_at") + pl.lit(datetime(2026, 3, 1, tzinfo=UTC))).cast(pl.Datetime("us", "UTC")),
            latitude=pl.Series(random.normal(38.7, 0.5, rows)),
            longitude=pl.Series(random.normal(-9.1, 0.5, rows)),
        ).write_parquet(source / f"{number}.parquet")
    return Work(
        read_night(source, NIGHT, catalogue=CATALOGUE, now=NOW), allowing(listeners), load_atlas(SETTINGS.atlas)
    )


def allowing(listeners: int) -> Permissions:
    who = [listener_of(f"user-{number}", key=KEY) for number in range(listeners) if number % 3]
    flags = {"for_charts": True, "for_models": True, "for_place": True, "for_partner": False}
    spans = pl.DataFrame({"listener": who}).with_columns(
        since=pl.lit(datetime(2026, 1, 1, tzinfo=UTC)).cast(pl.Datetime("us", "UTC")),
        until=pl.lit(None, pl.Datetime("us", "UTC")),
        **{name: pl.lit(value) for name, value in flags.items()},
    )
    return Permissions(NOW, spans, pl.DataFrame(schema={"listener": pl.String})).during(NIGHT)


def measured(work: Work, engine: Engine, folder: Path, *processes: psutil.Process) -> tuple[float, float, list]:
    """Return seconds, processor seconds, and the tables."""
    folder.mkdir()
    spent, started = sum(map(_processor, processes)), time.perf_counter()
    tables = work.done(engine, Store(folder, SETTINGS.store))
    return time.perf_counter() - started, sum(map(_processor, processes)) - spent, list(tables)


def _processor(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


def print_bytes(work: Work, tables: list, *, listens: int, listeners: int) -> None:
    """Print what travels, by its sealed size: the same rows as the engine's, made here."""
    coarse = tasks.seal((work.coarse, SETTINGS.store.buckets), key=KEY)
    part = tasks.table_of([(0, work.arrived.parts[0])], key=KEY).to_batches()
    shuffled = sum(batch.nbytes for batch in tasks.split_parts(iter(part), work=coarse, key=KEY)) * FILES
    contributions, balances, _ = tables
    made = len(tasks.seal(contributions, key=KEY)), len(tasks.seal(balances, key=KEY))
    counted = len(tasks.seal(contributions.select("listener", "part", "track_id", "weight"), key=KEY))
    print(f"to every task of the first stage: {len(coarse) / listeners:.1f} bytes a listener (permissions, catalogue)")
    print(f"shuffled, coarse listens: {shuffled / listens:.1f} bytes a listen, {shuffled / listeners:.0f} a listener")
    print(f"shuffled, balances of the night before: {made[1] / balances.height:.1f} bytes a listener who has some")
    print(f"back to the driver: {made[0] / contributions.height:.1f} bytes a contribution, and such balances")
    print(f"sent out again to be counted: {counted / contributions.height:.1f} bytes a contribution")
    print(f"{contributions.height:,} contributions of {balances.height:,} listeners")


def print_training(engines: Mapping[str, Engine], *processes: psutil.Process, pairs: int) -> None:
    """Print how long it takes to fit the world and the models of its places, which are the same to the bit."""
    settings = SETTINGS.models.model_copy(update={"min_listeners_per_region": 20})
    rows = world(1, listeners=20_000, tracks=2_000, parts=100, nights=10, plays=30)
    known, took, found = gather(rows, settings=settings), {name: [] for name in engines}, {}
    for name, engine in list(engines.items()) * pairs:
        spent, started = sum(map(_processor, processes)), time.perf_counter()
        found[name] = fit(known, settings=settings, spread=engine.map)
        took[name].append((time.perf_counter() - started, sum(map(_processor, processes)) - spent))
    left, right = found.values()
    assert all(np.array_equal(left.sides[at].vectors, right.sides[at].vectors) for at in left.sides | right.sides)
    for name, seconds in took.items():
        wall, processor = (median(column) for column in zip(*seconds, strict=True))
        print(
            f"world and {len(left.sides)} places on {name}: {wall:.1f} s, {processor:.1f} processor seconds (medians)"
        )


def main() -> None:
    listens, listeners, pairs = (
        int(given) if given else default
        for given, default in zip([*sys.argv[1:], *[""] * 3], (1_000_000, 100_000, 3), strict=False)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = work_of(folder, listens, listeners)
        here, took = psutil.Process(), {"polars": [], "sail": []}
        (folder / "sail").mkdir()
        with sail(folder / "sail") as (address, server):
            polars, spark = on(""), on(address)
            there = psutil.Process(server.pid)
            measured(work, polars, folder / "warm polars", here)
            measured(work, spark, folder / "warm sail", here, there)
            for number in range(pairs):
                one = measured(work, polars, folder / f"polars {number}", here)
                other = measured(work, spark, folder / f"sail {number}", here, there)
                took["polars"].append(one[:2])
                took["sail"].append(other[:2])
                assert all(a.equals(b) for a, b in zip(one[2], other[2], strict=True)), "the tables differ"
            print_training({"polars": polars, "sail": spark}, here, there, pairs=pairs)
        print(
            f"{listens:,} listens of {listeners:,} listeners in {FILES} files, {pairs} pairs, tables equal row for row"
        )
        for engine, seconds in took.items():
            wall, processor = (median(column) for column in zip(*seconds, strict=True))
            print(f"{engine}: {wall:.1f} s, {processor:.1f} processor seconds (medians)")
        ratios = [b[0] / a[0] for a, b in zip(took["polars"], took["sail"], strict=True)]
        print(f"sail takes {median(ratios):.2f} times as long as polars (median of the pairs' ratios)")
        print_bytes(work, one[2], listens=listens, listeners=listeners)


if __name__ == "__main__":
    main()
