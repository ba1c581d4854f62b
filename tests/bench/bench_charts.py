"""Charts, measured: how much of the true local top 20 is found, and how often the truth lies in the interval.

Run it with ``python tests/bench/bench_charts.py [WORLDS] [--quick] [--kinds NAME ...]``. Worlds are those of
:mod:`support.simulated_worlds`: 2,000 tracks at a time, Zipf 1, levels and tastes that drift as real charts do; tastes
of a country depart from the world's by a log deviation of 0.4, those of a region from its country's by 0.7. What a
listener adds is weighed and paid as the product does it, night after night, and released with its noise; 63 nights, of
which the last seven are charted. The memory of a place is that of the eight windows before. It prints, by daily
listeners of the region, the share found of the 20 tracks with the largest true rates, by

- raw: the 20 largest noisy counts; parent: the country's list, which is published without a memory;
- forgetful: the region's list without a memory; shrunk: the published one; gain: of the memory, and its standard error;
- no noise: the 20 largest true counts; and
- how many of the published intervals hold the truth, for the first 100 and for the first 20 ranks. The truth are
  listeners as the product defines them: what each weighs over what a counted track of the place weighs on average. In
  ``heads`` it is all listeners alike, for the first 20 ranks: the difference is that heavy listeners like other tracks
  than light ones.

Kinds of worlds: ``mixed`` has four countries of nine regions of 100 to 10,000 daily listeners, each of whom listens
every night, 15 plays, so that the yearly bound always binds; ``many kinds`` has listeners of 5, 15 and 60 plays on 95,
50 and 15 % of nights; in ``poor`` all 36 regions have 100 daily listeners, the hardest for small regions, whose
surroundings are as poor as they are; in ``uneven`` ten countries share the world's hits less than proportionally.

Then it prints what a world without any listeners publishes, with ``--places N`` the time and memory for N regions of
2,000 tracks, and with ``--workspace DIR``, a workspace in which the nights of data/sample were run, how often intervals
hold the contributing listeners of the sample world, under fresh draws of the noise over the true counts of its private
store.
"""

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from support.simulated_worlds import MANY_KINDS, Nights, Tastes, World, atlas_of, simulate

from recsys.geography.atlas import Atlas, load_atlas
from recsys.releases.charts import charts
from recsys.releases.counts import release
from recsys.releases.counts.noise import discrete_gaussian
from recsys.releases.counts.release_reader import Released
from recsys.releases.inference.memory import NOTHING, Memory
from recsys.settings import ChartsSettings, PrivacySettings, load_settings
from recsys.weights import FULL

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
TRACKS, NIGHTS, WEEKS, TOP = 2_000, 7, 8, 20
RHO = 0.015
TARGETS = {100: 0.73, 300: 0.83, 1_000: 0.93, 3_000: 0.97, 10_000: 0.985}
COLUMNS = ("raw", "parent", "forgetful", "shrunk", "no noise", "in interval", "of first 20", "heads")
FORGETFUL, SHRUNK = COLUMNS.index("forgetful"), COLUMNS.index("shrunk")
CHARTS: ChartsSettings = load_settings(overrides={"charts": {"window_nights": NIGHTS, "size": 100}}).charts
KINDS: Mapping[str, Mapping[str, Any]] = {
    "mixed": {},
    "many kinds": {"kinds": MANY_KINDS},
    "poor": {"sizes": (100,) * 9},
    "uneven": {"sizes": (300, 1_000, 3_000), "countries": 10, "tastes": Tastes(slope=(0.6, 0.9))},
}

ByPlace = Mapping[str, pl.DataFrame]
ListenerRecords = dict[str, list[tuple[float, float]]]


def remembered(
    world: World, nights: Nights, *, weeks: int = WEEKS, days: Sequence[date] = (), a_week: int = NIGHTS
) -> Memory:
    """Return what places remember of the windows before the last, of some days with a release or else of all nights."""
    memory, artists, days = NOTHING, world.artist_of(), days or world.nights
    for week in range(weeks, 0, -1):
        until = days[: len(days) - a_week * week]
        memory = charts.remember(
            nights.read,
            until,
            atlas=world.atlas,
            settings=CHARTS,
            totals=nights.totals,
            artists=artists,
            memory=memory,
        )
    return memory


@dataclass(frozen=True)
class Measured:
    """Each region's size and its row of the table; by level, and for local charts' lifts, what intervals hold."""

    rows: list[tuple[int, tuple[float, ...]]]
    inside: ListenerRecords


def measure(world: World) -> Measured:
    """Release a world once, and compare its charts with the truth."""
    nights = Nights(world)
    last = nights.read(world.nights[-NIGHTS:])
    memory = remembered(world, nights)
    drawn = charts.draw(
        nights.read,
        world.nights,
        atlas=world.atlas,
        born={},
        settings=CHARTS,
        totals=nights.totals,
        artists=world.artist_of(),
        memory=memory,
    )
    popular, local = (by_place(drawn.lines.filter(pl.col("chart") == chart)) for chart in ("popular", "local"))
    forgetful = by_place(charts.popular(last, atlas=world.atlas, settings=CHARTS))
    rates, heads = world.true(NIGHTS)
    weighed = listeners_by_place(world)
    inside = held_by_level(popular, true=weighed, atlas=world.atlas)
    inside["lift of local lists"] = held_lifts(local, true=weighed)
    columns = np.array(last.tracks)
    rows = []
    for i, region in enumerate(world.atlas.parts):
        parent = forgetful[world.atlas.places[region].parent or ""]
        raw = [int(name[1:]) for name in columns[largest(last.sums[last.entries(region)])]]
        lists = (raw, *(tracks(some)[:TOP] for some in (parent, forgetful[region], popular[region])))
        truth = set(largest(rates[i]))
        found = [len(truth.intersection(some)) / TOP for some in (*lists, largest(heads[i]))]
        held = within(popular[region], weighed[region])
        of_heads = within(popular[region], heads[i])[:TOP].mean()
        rows.append((int(world.sizes[i]), (*found, held.mean(), held[:TOP].mean(), of_heads)))
    return Measured(rows, inside)


def listeners_by_place(world: World) -> dict[str, np.ndarray]:
    """Return every place's listeners of the last nights as the product defines them, by their weights; (tracks,)."""
    of = {part: i for i, part in enumerate(world.atlas.parts)}
    found = {}
    for place, parts in world.atlas.members.items():
        some = [of[part] for part in parts]
        weights, heads = (
            each[-NIGHTS:, some].sum(axis=(0, 1), dtype=float) for each in (world.weights, world.listeners)
        )
        found[place] = weights * heads.sum() / weights.sum()
    return found


def held_by_level(popular: ByPlace, *, true: Mapping[str, np.ndarray], atlas: Atlas) -> ListenerRecords:
    """Return for every place of a level the share of its intervals that hold the truth: of all ranks, of the first."""
    inside: ListenerRecords = defaultdict(list)
    for place, lines in popular.items():
        held = within(lines, true[place])
        inside[atlas.places[place].level].append((held.mean(), held[:TOP].mean()))
    return inside


def held_lifts(local: ByPlace, *, true: Mapping[str, np.ndarray]) -> list[tuple[float, float]]:
    """Return for every line of a local chart whether the interval of its lift holds the truth (twice)."""
    held: list[tuple[float, float]] = []
    for place, lines in local.items():
        here, world = true[place] / NIGHTS, true["world"] / NIGHTS
        rest, at = np.maximum(world - here, 0), tracks(lines)
        lift = np.maximum(here, 1e-9)[at] / np.maximum(rest / rest.sum() * here.sum(), 1.0)[at]
        inside = (lines["lift_low"].to_numpy() <= lift + 1e-9) & (lift <= lines["lift_high"].to_numpy() + 1e-9)
        held += [(float(one), float(one)) for one in inside]
    return held


def by_place(chart: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the lines of every place."""
    return {str(place): lines for (place,), lines in chart.group_by("place", maintain_order=True)}


def charts_of(released: Released, *, atlas: Atlas) -> dict[str, pl.DataFrame]:
    """Return the popular chart of every place, without a memory."""
    return by_place(charts.popular(released, atlas=atlas, settings=CHARTS))


def within(lines: pl.DataFrame, true: np.ndarray) -> np.ndarray:
    """Tell for each line of a chart whether the true count lies in its interval."""
    a_night = true[tracks(lines)] / NIGHTS
    return (lines["low"].to_numpy() <= a_night + 1e-9) & (a_night <= lines["high"].to_numpy() + 1e-9)


def largest(values: np.ndarray) -> list[int]:
    """Return the columns of the twenty largest values."""
    return np.argsort(-values, kind="stable")[:TOP].tolist()


def tracks(lines: pl.DataFrame) -> list[int]:
    """Return the columns that a chart's tracks stand for."""
    return lines["track_id"].str.slice(1).cast(pl.Int64).to_list()


def print_table(name: str, *, worlds: int, random: np.random.Generator) -> None:
    """Measure worlds of a kind, one draw of the noise each, and print the means."""
    rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    inside: ListenerRecords = defaultdict(list)
    for _ in range(worlds):
        measured = measure(simulate(random, **KINDS[name]))
        for size, row in measured.rows:
            rows[size].append(row)
        for level, held in measured.inside.items():
            inside[level] += held
    print(f"\n{name}, rho {RHO}: {worlds} worlds")
    print(
        f"{'listeners':>10}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'±':>7}{'gain':>8}{'±':>7}{'bar':>7}"
    )
    for size, found in sorted(rows.items()):
        table = np.array(found)
        gain = table[:, SHRUNK] - table[:, FORGETFUL]
        errors = [values.std(ddof=1) / np.sqrt(len(table)) for values in (table[:, SHRUNK], gain)]
        values = "".join(f"{value:12.3f}" for value in table.mean(axis=0))
        print(f"{size:>10,}{values}{errors[0]:7.3f}{gain.mean():+8.3f}{errors[1]:7.3f}{TARGETS[size]:7.3f}")
    print_held(inside)


def print_held(inside: ListenerRecords) -> None:
    """Print by level how many intervals hold the truth."""
    shares = {level: np.mean(held, axis=0) for level, held in inside.items()}
    by_level = ", ".join(f"{level} {share[0]:.3f} and {share[1]:.3f}" for level, share in shares.items())
    print(f"  in the interval, of the first 100 and 20 ranks: {by_level}", flush=True)


def privacy(rho: float, shares: tuple[float, float] | None = None) -> PrivacySettings:
    """Return the default settings with another budget and, if given, other shares of countries and the world."""
    given = {} if shares is None else dict(zip(("country_share", "world_share"), shares, strict=True))
    return load_settings(overrides={"privacy": {"rho_per_night": rho, **given}}).privacy


def released_with_noise(true: np.ndarray, *, atlas: Atlas, settings: PrivacySettings) -> Released:
    """Return a window of nights in which all count in full, with the noise that the settings ask for."""
    of = {part: i for i, part in enumerate(atlas.parts)}
    rows = {}
    for tier in release.tiers(atlas, settings=settings):
        for row in tier.rows:
            here = true[[of[part] for part in atlas.members.get(row, (row,))]].sum(axis=0)
            rows[row] = (tier, here + noise(true.shape[1], tier.sigma_squared))
    order = sorted(rows)
    return Released(
        nights=tuple(date(2026, 10, 1 + night) for night in range(NIGHTS)),
        atlas=atlas.version,
        rows=tuple(order),
        tracks=tuple(f"t{i:05d}" for i in range(true.shape[1])),
        tiers={row: rows[row][0].name for row in order},
        starts=np.arange(len(order) + 1) * true.shape[1],
        positions=np.tile(np.arange(true.shape[1], dtype=np.int32), len(order)),
        sums=np.concatenate([rows[row][1] for row in order]).astype(np.int32),
        exposures=np.full(len(order) * true.shape[1], NIGHTS, dtype=np.uint8),
        variances=np.repeat([NIGHTS * rows[row][0].sigma_squared for row in order], true.shape[1]).astype(np.float32),
        ledger_numbers=tuple(range(1, NIGHTS + 1)),
    )


def noise(size: int, sigma_squared: float) -> np.ndarray:
    """Return the noise of a row over the window: a draw of every night."""
    return discrete_gaussian(size * NIGHTS, sigma_squared=sigma_squared).reshape(NIGHTS, size).sum(axis=0)


def print_silence() -> None:
    """Print what is published where nobody listens: 250 countries, 6,015 tracks, nothing but noise."""
    atlas = atlas_of({f"r{i:04}": f"C{i:03}" for i in range(250)})
    released = released_with_noise(np.zeros((250, 6_015), dtype=int), atlas=atlas, settings=privacy(RHO))
    start = time.perf_counter()
    chart = charts.popular(released, atlas=atlas, settings=CHARTS)
    first = chart.filter(pl.col("rank") == 1, pl.col("place") != "world")
    world = chart.filter(pl.col("place") == "world")["estimate"]
    print(f"\nno listeners, 250 countries x 6,015 tracks: {time.perf_counter() - start:.1f} s")
    print(f"  world: rank 1 has {world[0]:.2f} listeners a night, rank 100 has {world[99]:.2f}")
    print(f"  countries' number ones: median {first['estimate'].median():.2f}, largest {first['estimate'].max():.1f}")
    print(f"  lines whose interval excludes 0: {(chart['low'] > 0).sum()} of {chart.height}")


def print_scale(places: int) -> None:
    """Print time and peak memory for many regions."""
    atlas = atlas_of({f"r{i:05}": f"C{i % 250:03}" for i in range(places)})
    usual = (70_000 / np.arange(8, TRACKS + 8)).astype(np.int32)
    released = released_with_noise(np.broadcast_to(usual, (places, TRACKS)), atlas=atlas, settings=privacy(RHO))
    start_time = time.perf_counter()
    chart = charts.popular(released, atlas=atlas, settings=CHARTS)
    seconds, peak = time.perf_counter() - start_time, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{places:,} regions x {TRACKS:,} tracks: {seconds:.0f} s, {chart.height:,} lines, peak {peak:,.0f} MB")


def print_sample(workspace: Path, *, draws: int = 6) -> None:
    """Print by level how many intervals hold the contributing listeners of the sample world's last week."""
    settings = load_settings(SAMPLE / "settings.toml")
    atlas, inside = load_atlas(settings.atlas), defaultdict(list)
    true = contributing(workspace, atlas=atlas)
    of = {part: i for i, part in enumerate(atlas.parts)}
    by_part = {place: true[[of[part] for part in parts]].sum(axis=0) for place, parts in atlas.members.items()}
    for _ in range(draws):
        released = released_with_noise(true, atlas=atlas, settings=settings.privacy)
        for level, held in held_by_level(charts_of(released, atlas=atlas), true=by_part, atlas=atlas).items():
            inside[level] += held
    print(f"\nthe sample world, {draws} draws of the noise")
    print_held(inside)


def contributing(workspace: Path, *, atlas: Atlas) -> np.ndarray:
    """Add up the weights of the last week by part and track, in full listeners, from a private store."""
    folders = sorted(workspace.glob("private/contributions/date=*"))[-NIGHTS:]
    rows = pl.concat([pl.read_parquet(folder / "*.parquet", hive_partitioning=False) for folder in folders])
    weighed = rows.filter(pl.col("weight") > 0, pl.col("part").is_in(atlas.parts)).group_by("part", "track_id")
    counted = weighed.agg(weight=pl.col("weight").sum().cast(pl.Int64))
    true = np.zeros((len(atlas.parts), TRACKS))
    true[np.searchsorted(atlas.parts, counted["part"]), tracks(counted)] = counted["weight"] / FULL
    return true


def main() -> None:
    """Read the arguments and print everything."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("worlds", type=int, nargs="?", default=3, help="of each kind")
    arguments.add_argument("--quick", action="store_true", help="one world of the first kind alone")
    arguments.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    arguments.add_argument("--places", type=int, default=0)
    arguments.add_argument("--workspace", type=Path)
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    for name in ("mixed",) if given.quick else given.kinds:
        print_table(name, worlds=1 if given.quick else given.worlds, random=np.random.default_rng(given.seed))
    print_silence()
    if given.places:
        print_scale(given.places)
    if given.workspace:
        print_sample(given.workspace)


if __name__ == "__main__":
    main()
