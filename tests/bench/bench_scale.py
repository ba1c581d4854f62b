"""One night against its size, measured: seconds and memory of every stage from listens to the release.

Run it with ``python tests/bench/bench_scale.py [MILLIONS ...]`` (by default 1 and 10 million listens, of a tenth as
many listeners; ``--in FOLDER`` keeps what was generated, and finds it again). Every stage is the product's own function
under its default settings, in a process of its own:

- ``import``: the consents file into the log; ``permissions``: who allows what, out of the log;
- ``gate``: the completeness gate, the check of every row included;
- the hot path: ``check`` (read, parse, find bad rows), ``arrivals`` (read, check, permission, keyed hash, cell,
  buckets), ``contributions`` (bound, seal, store) and ``count`` (sums by part and track, before the noise);
- ``noise``: the noise of every part and track and the files of the release, which do not grow with the listens.

Beside them, in the same run and in processes of their own, what a night cannot do without: ``bare count``, plain Polars
that keeps whoever allows charts, finds cells, counts distinct listeners by cell and track and writes them as Parquet;
``bare consents``, plain Polars that finds whoever allows charts in the consents file; and ``decode``, which reads the
columns and does nothing with them. The peak of a stage is that of its process up to the stage's end.
"""

import argparse
import json
import math
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import polars as pl
import polars_h3
from support.large_nights import NIGHT, write_large_night

from pipelines.base.job_context import JobContext, Sources
from pipelines.night import nightly
from pipelines.night.completeness import check_complete
from pipelines.night.engines.one_machine import OneMachine
from pipelines.night.schedule import plan_nights
from pipelines.privacy.import_consents import import_consents
from recsys.arrivals.permission import still_allowed
from recsys.geography.atlas import load_atlas
from recsys.releases.counts import release
from recsys.releases.counts.release_writer import write_counts
from recsys.settings import load_settings
from recsys.weights import TOTALS
from recsys.workspace import Workspace

NOW = datetime(2026, 10, 2, 4, tzinfo=UTC)
COLUMNS = ("user_id", "track_id", "played_at", "latitude", "longitude")
RESOLUTION = 5
PLAYS = 10  # listens of a listener, on average
HOT_PATH = ("check", "arrivals", "contributions", "count")

RATIOS = (
    ("hot path", "bare count"),
    ("bare count", "decode"),
    ("permissions", "bare consents"),
    ("import", "bare consents"),
)

Laps = Iterator[str]


@dataclass(frozen=True)
class Measured:
    """What a stage took: seconds, those of all processors, and the most memory of its process until its end (MB)."""

    seconds: float
    processor: float
    peak: float


def importing(job: JobContext, _: Path) -> Laps:
    import_consents(job.sources.consents, workspace=job.workspace, settings=job.settings)
    yield "import"


def gate(job: JobContext, _: Path) -> Laps:
    _ = job.atlas, job.catalogue, job.permissions
    yield ""
    check_complete(job, plan_nights(job))
    yield "gate"


def hot_path(job: JobContext, folder: Path) -> Laps:
    _ = job.atlas, job.catalogue, job.listener_key
    yield ""
    _ = job.permissions
    yield "permissions"
    arrived, _ = nightly._checked(job, NIGHT, None)
    yield "check"
    coarse, bound = nightly._coarse(job, arrived), nightly._bound(job, NIGHT)
    with OneMachine().bounded(arrived.parts, coarse=coarse, bound=bound, store=job.store, after=None) as bounded:
        yield "arrivals"
        job.store.write_night(NIGHT, bounded)
        yield "contributions"
    del coarse  # with the permissions of the night, as in the product
    permissions = job.permissions
    true = release.true_counts(
        (still_allowed(some, permissions=permissions) for some in job.store.batches(NIGHT)),
        night=NIGHT,
        tracks=job.catalogue["track_id"].to_list(),
        tiers=_order(job),
        atlas=job.atlas,
        settings=job.settings.privacy,
        mapped=OneMachine().map,
    )
    yield "count"
    true.write_parquet(folder / "true.parquet")


def noise(job: JobContext, folder: Path) -> Laps:
    true, candidates, stage = pl.read_parquet(folder / "true.parquet"), nightly._candidates(job, NIGHT), folder / "out"
    stage.mkdir()
    yield ""
    blocks = release.noisy_blocks(true, tiers=_order(job), width=len(candidates.tracks) + len(TOTALS))
    write_counts(blocks, candidates=candidates, atlas=job.atlas, folder=stage)
    yield "noise"


def bare_count(job: JobContext, folder: Path) -> Laps:
    allowing = _allowing(job.sources.consents)
    yield "bare consents"
    listens = pl.scan_parquet(job.sources.listens / f"date={NIGHT}", hive_partitioning=False)
    cell = polars_h3.latlng_to_cell("latitude", "longitude", RESOLUTION, return_dtype=pl.UInt64)
    placed = listens.filter(pl.col("latitude").is_between(-90, 90), pl.col("longitude").is_between(-180, 180))
    seen = placed.join(allowing.lazy(), on="user_id", how="semi").select("user_id", "track_id", cell=cell).unique()
    seen.group_by("cell", "track_id").agg(listeners=pl.len()).sink_parquet(folder / "bare.parquet", engine="streaming")
    yield "bare count"


def decode(job: JobContext, _: Path) -> Laps:
    listens = pl.scan_parquet(job.sources.listens / f"date={NIGHT}", hive_partitioning=False).select(COLUMNS)
    for _ in listens.collect_batches(engine="streaming", maintain_order=False):
        pass
    yield "decode"


STAGES: Mapping[str, Callable[[JobContext, Path], Laps]] = {
    stage.__name__: stage for stage in (importing, gate, hot_path, noise, bare_count, decode)
}


def _order(job: JobContext) -> tuple[release.Tier, ...]:
    return release.drawing_order(release.tiers(job.atlas, settings=job.settings.privacy), atlas=job.atlas)


def _allowing(consents: Path) -> pl.DataFrame:
    """Return who allows charts, by the last answer alone."""
    asked = pl.scan_parquet(consents).filter(pl.col("purpose") == "contribute_trends")
    last = asked.group_by("user_id").agg(pl.col("state").sort_by("at").last())
    return last.filter(pl.col("state") == "given").select("user_id").collect(engine="streaming")


def job_of(folder: Path) -> JobContext:
    sources = Sources(folder / "listens", folder / "catalogue.parquet", folder / "consents")
    settings = load_settings(overrides={"tracking": {"folder": str(folder / "mlruns")}})
    return JobContext(Workspace(folder / "workspace"), settings, sources, NOW)


def one(stage: str, folder: Path) -> None:
    """Run a stage and print what each lap of it took; a lap without a name is not told."""
    job, took = job_of(folder), {}
    job.workspace.prepare()
    started = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        kept = folder if stage in {"hot_path", "noise"} else Path(scratch)
        for lap in STAGES[stage](job, kept):
            now = time.perf_counter(), time.process_time()
            took[lap] = (now[0] - started[0], now[1] - started[1], peak())
            started = now
    print(json.dumps({lap: found for lap, found in took.items() if lap}))


def peak() -> float:
    """Return the most memory this process has had (MB); what getrusage tells begins with that of its parent."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def measure(folder: Path) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for stage in STAGES:
        command = [sys.executable, __file__, "--stage", stage, "--in", str(folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        laps = json.loads(done.stdout.splitlines()[-1])
        found |= {lap: Measured(*each) for lap, each in laps.items()}
    return found


def with_sums(found: Mapping[str, Measured]) -> dict[str, Measured]:
    """Add the hot path, which is several stages."""
    parts = [found[lap] for lap in HOT_PATH]
    seconds, processor = sum(part.seconds for part in parts), sum(part.processor for part in parts)
    whole = Measured(seconds, processor, max(part.peak for part in parts))
    return {**found, "hot path": whole}


def print_size(found: Mapping[str, Measured], *, listens: int, listeners: int) -> None:
    print(f"\n{listens:,} listens of {listeners:,} listeners: seconds, of all processors, listens a second, peak")
    for lap, took in found.items():
        speed = f"{listens / took.seconds:14,.0f} listens/s"
        print(f"  {lap:14} {took.seconds:8.2f} s {took.processor:8.2f} s {speed} {took.peak:7,.0f} MB")
    for one, other in RATIOS:
        ratios = (value / beside for value, beside in zip(_of(found[one]), _of(found[other]), strict=True))
        print(f"  {one} / {other}: " + ", ".join(f"{ratio:.2f}" for ratio in ratios), flush=True)


def print_growth(every: Mapping[int, Mapping[str, Measured]]) -> None:
    """Print by which power of the number of listens time and memory grow: 1 is in proportion."""
    for few, many in pairwise(sorted(every)):
        print(f"\nfrom {few:,} to {many:,} listens seconds, those of all processors, and the peak grow by the power")
        for lap, took in every[many].items():
            times = zip(_of(took), _of(every[few][lap]), strict=True)
            powers = (math.log(now / before) / math.log(many / few) for now, before in times)
            print(f"  {lap:14}" + "".join(f" {power:5.2f}" for power in powers))


def _of(took: Measured) -> tuple[float, float, float]:
    return took.seconds, took.processor, took.peak


def main(sizes: list[float], folder: Path) -> None:
    every, atlas = {}, load_atlas(load_settings().atlas)
    for millions in sizes:
        listens = int(millions * 1_000_000)
        world, started = folder / f"{listens}", time.perf_counter()
        if not world.exists():
            write_large_night(world, listens=listens, listeners=listens // PLAYS, atlas=atlas)
            print(f"generated {listens:,} listens in {time.perf_counter() - started:.0f} s")
        with tempfile.TemporaryDirectory(dir=world) as scratch:
            for name in ("listens", "consents", "catalogue.parquet"):
                (Path(scratch) / name).symlink_to(world / name)
            every[listens] = with_sums(measure(Path(scratch)))
        print_size(every[listens], listens=listens, listeners=listens // PLAYS)
    print_growth(every)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("millions", nargs="*", type=float, default=[1, 10])
    arguments.add_argument("--in", dest="folder", type=Path)
    arguments.add_argument("--stage", choices=STAGES)
    asked = arguments.parse_args()
    if asked.stage:
        one(asked.stage, asked.folder)
    elif asked.folder:
        asked.folder.mkdir(exist_ok=True)
        main(asked.millions, asked.folder.resolve())
    else:
        with tempfile.TemporaryDirectory() as name:
            main(asked.millions, Path(name))
