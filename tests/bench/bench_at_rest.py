"""What sealing costs a night: the private store with and without it, in pairs, by the store's own functions.

Run it with ``PYTHONPATH=tests python tests/bench/bench_at_rest.py [LISTENERS] [NIGHTS] [ROUNDS]``. Every round writes,
checks and reads all nights of a store with the settings as they come, sealed and plain in turn; then a few nights of
the sample world go from arrival to release in both ways. It prints the median seconds of each step and of a night (one
is written, all are checked before it and read for training), the ratio, and how much memory the process took at most.
A whole night is audited, trains and publishes as well: its ratio is below that of the release.
"""

import argparse
import logging
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import polars as pl
import structlog
from support.arriving import NIGHT

from pipelines.base.job_context import JobContext, Sources
from pipelines.night.nightly import run_night
from pipelines.night.schedule import plan_nights
from pipelines.privacy.import_consents import import_consents
from recsys.cells.contributions import Bounded
from recsys.cells.earnings import BALANCES
from recsys.cells.store import Store
from recsys.schemas import Contributions
from recsys.sealed_files import SealedFiles
from recsys.settings import load_settings
from recsys.weights import FULL
from recsys.workspace import Workspace

SETTINGS = load_settings().store
SAMPLE = Path(__file__).parents[2] / "data" / "sample"
SAMPLE_NIGHTS = 3
TRACKS_EACH = 10
STEPS = ("write", "check", "read")
SCHEMA = {name: column.dtype for name, column in Contributions.columns().items()}


@contextmanager
def plain() -> Iterator[None]:
    """The store as it was: bytes as they are."""
    with (
        patch.object(SealedFiles, "sealed", lambda _, content, __: content),
        patch.object(SealedFiles, "read", lambda _, path: path.read_bytes()),
    ):
        yield


@contextmanager
def sealed() -> Iterator[None]:
    """The store as it is."""
    yield


def nights(listeners: int, count: int) -> list[Bounded]:
    """Made-up nights of listeners who play ten tracks each."""
    rng = np.random.default_rng(20261)
    who = np.array([rng.bytes(16).hex() for _ in range(listeners)])
    return [_night(rng, who, at=number) for number in range(count)]


def _night(rng: np.random.Generator, who: np.ndarray, *, at: int) -> Bounded:  # type: ignore[type-arg]
    night, rows = NIGHT + timedelta(days=at), len(who) * TRACKS_EACH
    columns = {
        "listener": np.repeat(who, TRACKS_EACH),
        "night": [night] * rows,
        "part": np.char.add("region-", rng.integers(0, 500, rows).astype(str)),
        "track_id": np.char.add("track-", rng.zipf(1.3, rows).clip(max=100_000).astype(str)),
        "plays": rng.integers(1, 5, rows),
        "weight": rng.integers(0, FULL, rows),
        "trained": [True] * rows,
        "partner_part": [None] * rows,
    }
    balances = {"listener": who, "night": [night] * len(who), "of_28": 900, "of_365": 900}
    return Bounded(pl.DataFrame(columns, schema=SCHEMA), pl.DataFrame(balances, schema=dict(BALANCES)))


def timed(folder: Path, some: list[Bounded]) -> dict[str, float]:
    """Write, check and read a store once; seconds by step, of writing those of one night."""
    store, every, seconds = Store(folder / "private", SETTINGS), tuple(range(SETTINGS.buckets)), {}

    def written() -> None:
        for number, night in enumerate(some):
            store.write_night(NIGHT + timedelta(days=number), [(every, night)])

    def read() -> None:
        store.scan().filter("trained").collect()

    steps: dict[str, Callable[[], object]] = {"write": written, "check": store.check, "read": read}
    for step in STEPS:
        started = time.perf_counter()
        steps[step]()
        seconds[step] = (time.perf_counter() - started) / (len(some) if step == "write" else 1)
    shutil.rmtree(folder / "private")
    return seconds


def released(folder: Path) -> float:
    """Take the first nights of the sample world to their releases, and return the seconds of one."""
    settings = load_settings(SAMPLE / "settings.toml", overrides={"tracking": {"folder": folder / "mlruns"}})
    sources = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet", SAMPLE / "consents.parquet")
    job = JobContext(Workspace(folder / "workspace"), settings, sources, datetime(2026, 11, 1, tzinfo=UTC))
    with job.begun():
        import_consents(SAMPLE / "consents.parquet", workspace=job.workspace, settings=settings)
        job.atlas, job.catalogue  # noqa: B018
        due = plan_nights(job).due[:SAMPLE_NIGHTS]
        started = time.perf_counter()
        job.store.check()
        for night in due:
            run_night(job, night)
    return (time.perf_counter() - started) / len(due)


def main(listeners: int, count: int, rounds: int) -> None:
    """Print the table."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    some, ways = nights(listeners, count), {"plain": plain, "sealed": sealed}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for name in sorted(ways, reverse=bool(number % 2)):
                with ways[name]():
                    found[name].append(timed(Path(folder), some))
    print(f"{listeners} listeners, {count} nights, {rounds} rounds; median seconds")
    for step in STEPS:
        before, now = (statistics.median(each[step] for each in found[name]) for name in ways)
        print(f"{step:8} plain {before:8.3f}  sealed {now:8.3f}  ratio {now / before:6.3f}")
    before, now = (statistics.median(sum(each.values()) for each in found[name]) for name in ways)
    print(f"{'together':8} plain {before:8.3f}  sealed {now:8.3f}  ratio {now / before:6.3f}")
    nightly: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(max(2, rounds // 2)):
        for name in sorted(ways, reverse=bool(number % 2)):
            with tempfile.TemporaryDirectory() as folder, ways[name]():
                nightly[name].append(released(Path(folder)))
    before, now = (statistics.median(nightly[name]) for name in ways)
    print(f"{'release':8} plain {before:8.3f}  sealed {now:8.3f}  ratio {now / before:6.3f}")
    print(f"most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("listeners", nargs="?", type=int, default=20_000)
    arguments.add_argument("nights", nargs="?", type=int, default=10)
    arguments.add_argument("rounds", nargs="?", type=int, default=5)
    asked = arguments.parse_args()
    main(asked.listeners, asked.nights, asked.rounds)
