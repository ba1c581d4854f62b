"""Charts, measured: how much of the true local top 20 is found, and how often the truth lies in the interval.

Run it with ``python tests/bench/bench_charts.py [WORLDS] [--quick]``. A world is simulated listener by
listener as in section 5 of the design: 2,000 tracks, Zipf 1; 15 plays a day, of which 10 distinct tracks count; tastes
of a country depart from the world's by a log deviation of 0.4, those of a region from its country's by 0.7; 7 nights,
released as the product does it: regions, countries and the world, each from its share of the night's budget. It prints,
by daily listeners of the region and by budget, the share found of the 20 tracks with the largest true rates, by

- raw: the 20 largest noisy counts; parent: the country's published chart; shrunk: the published chart;
- Gumbel: one-shot top 20 of the week with a hard threshold, as published releases do it. The budget of seven nights is
  halved: Gumbel noise of scale 7 / e on the week's counts, which one listener changes by 7 at most, selects twenty
  (20 e^2 / 8 is the half), and each is listed only if its count with Gaussian noise is above three deviations of that;
- no noise: the 20 largest true counts; and
- how many of the published intervals hold the true count, for the first 100 and for the first 20 ranks.

``mixed`` is a world of four countries with five regions of each size; ``alike`` one of a single country with twenty
regions of one size, the hardest for small regions, whose surroundings are as poor as they are. Then it prints what
other shares of the budget for countries and the world would find, what a world without any listeners publishes, with
``--places N`` the time and memory for N regions of 2,000 tracks, and with ``--workspace DIR``, a workspace in which the
nights of data/sample were run, how often intervals hold the contributing listeners of the sample world, under fresh
draws of the noise over the true counts of its private store.
"""

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
from support.releasing import small_atlas

from recsys.geography.atlas import Atlas, load_atlas
from recsys.geography.places import Place
from recsys.releases.charts import charts
from recsys.releases.counts import release
from recsys.releases.counts.noise import discrete_gaussian
from recsys.releases.counts.release_reader import Released
from recsys.settings import ChartsSettings, PrivacySettings, load_settings

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
TRACKS, NIGHTS, PLAYS, COUNTED, TOP = 2_000, 7, 15, 10, 20
SIZES = (100, 300, 1_000, 3_000, 10_000)
RHO, RHOS = 0.015, (0.005, 0.015, 0.05)
SHARES = ((0.0, 0.0), (0.05, 0.05), (0.05, 0.1), (0.1, 0.1))
TARGETS = dict(zip(SIZES, (0.73, 0.84, 0.94, 0.96, 0.98), strict=True))
COLUMNS = ("raw", "Gumbel", "parent", "shrunk", "no noise", "in interval", "of first 20")
SHRUNK = COLUMNS.index("shrunk")
CHARTS: ChartsSettings = load_settings(overrides={"charts": {"window_nights": NIGHTS, "size": 100}}).charts

Taste = Callable[[np.random.Generator], np.ndarray]  # draws a region's log factors beside its country, (tracks,)


@dataclass(frozen=True)
class World:
    """Regions with their true rates and true counts over the window, shape (regions, tracks)."""

    atlas: Atlas
    sizes: np.ndarray
    rates: np.ndarray
    counts: np.ndarray


def ordinary(random: np.random.Generator) -> np.ndarray:
    """Draw the taste of a region that departs from its country as the design has it."""
    return 0.7 * random.normal(size=TRACKS)


def simulate(
    sizes: Sequence[int], *, countries: int, regions: int, random: np.random.Generator, taste: Taste = ordinary
) -> World:
    """Draw a world in which every country has some regions of each size."""
    base = random.permutation(1 / np.arange(1, TRACKS + 1))
    named, found = {}, []
    for country in range(countries):
        national = base * np.exp(0.4 * random.normal(size=TRACKS))
        for size in np.repeat(sizes, regions):
            rates = national * np.exp(taste(random))
            named[f"r{len(found):04}"] = f"C{country}"
            found.append((size, rates / rates.sum(), count(rates / rates.sum(), size, random)))
    parts = [np.array(column) for column in zip(*found, strict=True)]
    return World(atlas_of(named), *parts)


def count(rates: np.ndarray, listeners: int, random: np.random.Generator) -> np.ndarray:
    """Count distinct listeners by track over the window, each with at most ten tracks a night."""
    plays = np.sort(np.searchsorted(rates.cumsum()[:-1], random.random((listeners * NIGHTS, PLAYS))), axis=1)
    order = random.random(plays.shape)
    order[:, 1:][plays[:, 1:] == plays[:, :-1]] = 2  # a repeated play is no track of its own
    chosen = (order <= np.partition(order, COUNTED - 1, axis=1)[:, COUNTED - 1 : COUNTED]) & (order < 2)
    return np.bincount(plays[chosen], minlength=TRACKS)


def atlas_of(regions: dict[str, str]) -> Atlas:
    """Return an atlas of regions by country, without remainders; where they lie has no meaning."""
    small = small_atlas()
    level = {"world": ("world", None)} | dict.fromkeys(sorted(set(regions.values())), ("country", "world"))
    level |= {region: ("region", country) for region, country in regions.items()}
    places = {
        id_: Place(id_, id_, "", kind, parent, 37.0 * i % 120 - 60, 73.0 * i % 360 - 180, 0)
        for i, (id_, (kind, parent)) in enumerate(level.items())
    }
    settings = small.settings.model_copy(update={"service_area": tuple(sorted(regions))})
    return replace(small, places=places, settings=settings)


def privacy(rho: float, shares: tuple[float, float] | None = None) -> PrivacySettings:
    """Return the default settings with another budget and, if given, other shares of countries and the world."""
    given = {} if shares is None else dict(zip(("country_share", "world_share"), shares, strict=True))
    return load_settings(overrides={"privacy": {"rho_per_night": rho, **given}}).privacy


def released_with_noise(true: np.ndarray, *, atlas: Atlas, settings: PrivacySettings) -> Released:
    """Return a window of nights, released tier by tier with the noise that the settings ask for."""
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


def gumbel(true: np.ndarray, *, rho: float, random: np.random.Generator) -> list[int]:
    """Return the listed of twenty tracks that one-shot Gumbel noise selects with the budget of the whole window."""
    half = NIGHTS * rho / 2
    scale, deviation = NIGHTS / np.sqrt(8 * half / TOP), NIGHTS * np.sqrt(TOP / (2 * half))
    chosen = np.array(largest(true + random.gumbel(scale=scale, size=true.shape)))
    return chosen[true[chosen] + random.normal(scale=deviation, size=TOP) > 3 * deviation].tolist()


ListenerRecords = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Measured:
    """Each region's size and its row of the table; and by level how many intervals hold the truth."""

    rows: list[tuple[int, tuple[float, ...]]]
    inside: ListenerRecords


def measure(world: World, *, settings: PrivacySettings, random: np.random.Generator) -> Measured:
    """Release a world once, and compare its charts with the truth."""
    released = released_with_noise(world.counts, atlas=world.atlas, settings=settings)
    by_place = charts_of(released, atlas=world.atlas)
    inside = held_by_level(by_place, true=world.counts, atlas=world.atlas)
    noisy = released.sums.reshape(-1, TRACKS)[np.searchsorted(released.rows, world.atlas.parts)]
    rows = []
    for i, region in enumerate(world.atlas.parts):
        parent = by_place[world.atlas.places[region].parent or ""]
        listed = gumbel(world.counts[i], rho=settings.rho_per_night, random=random)
        lists = (largest(noisy[i]), listed, tracks(parent)[:TOP], tracks(by_place[region])[:TOP])
        truth = set(largest(world.rates[i]))
        shares = [len(truth.intersection(some)) / TOP for some in (*lists, largest(world.counts[i]))]
        held = within(by_place[region], world.counts[i])
        rows.append((int(world.sizes[i]), (*shares, held.mean(), held[:TOP].mean())))
    return Measured(rows, inside)


def held_by_level(by_place: dict[str, pl.DataFrame], *, true: np.ndarray, atlas: Atlas) -> ListenerRecords:
    """Return for every place of a level the share of its intervals that hold the truth: of all ranks, of the first."""
    of = {part: i for i, part in enumerate(atlas.parts)}
    inside: ListenerRecords = defaultdict(list)
    for place, lines in by_place.items():
        held = within(lines, true[[of[part] for part in atlas.members[place]]].sum(axis=0))
        inside[atlas.places[place].level].append((held.mean(), held[:TOP].mean()))
    return inside


def charts_of(released: Released, *, atlas: Atlas) -> dict[str, pl.DataFrame]:
    """Return the popular chart of every place."""
    chart = charts.popular(released, atlas=atlas, settings=CHARTS)
    return {str(place): lines for (place,), lines in chart.group_by("place", maintain_order=True)}


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


def print_table(name: str, worlds: Sequence[World], *, rho: float, draws: int, random: np.random.Generator) -> None:
    """Measure worlds under several draws of the noise and print the means."""
    rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    inside: ListenerRecords = defaultdict(list)
    for world in worlds:
        for _ in range(draws):
            measured = measure(world, settings=privacy(rho), random=random)
            for size, row in measured.rows:
                rows[size].append(row)
            for level, held in measured.inside.items():
                inside[level] += held
    print(f"\n{name}, rho {rho}: {len(worlds)} worlds, {draws} draws of the noise each")
    print(f"{'listeners':>10}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'±':>7}{'bar':>7}")
    for size, found in sorted(rows.items()):
        values = "".join(f"{value:12.3f}" for value in np.mean(found, axis=0))
        bar = f"{TARGETS[size]:7.2f}" if rho == RHO else f"{'':>7}"
        print(f"{size:>10,}{values}{error_of(found, draws=draws):7.3f}{bar}")
    print_held(inside)


def print_held(inside: ListenerRecords) -> None:
    """Print by level how many intervals hold the truth."""
    shares = {level: np.mean(held, axis=0) for level, held in inside.items()}
    by_level = ", ".join(f"{level} {share[0]:.3f} and {share[1]:.3f}" for level, share in shares.items())
    print(f"  in the interval, of the first 100 and 20 ranks: {by_level}", flush=True)


def error_of(found: Sequence[tuple[float, ...]], *, draws: int) -> float:
    """Return the standard error of the published charts' mean; draws of one world are not independent."""
    return float(np.std([row[SHRUNK] for row in found]) / np.sqrt(len(found) / draws))


def print_shares(worlds: Sequence[World], *, draws: int, random: np.random.Generator) -> None:
    """Print what the published charts find with other shares for the countries' and the world's own counts."""
    print(f"\nshares of countries and world, rho {RHO}: found by regions of {SIZES} daily listeners")
    for shares in SHARES:
        found: dict[int, list[float]] = defaultdict(list)
        for world in worlds:
            for _ in range(draws):
                for size, row in measure(world, settings=privacy(RHO, shares), random=random).rows:
                    found[size].append(row[SHRUNK])
        print(f"{shares!s:>14}" + "".join(f"{np.mean(some):8.3f}" for _, some in sorted(found.items())), flush=True)


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
    for _ in range(draws):
        released = released_with_noise(true, atlas=atlas, settings=settings.privacy)
        for level, held in held_by_level(charts_of(released, atlas=atlas), true=true, atlas=atlas).items():
            inside[level] += held
    print(f"\nthe sample world, {draws} draws of the noise")
    print_held(inside)


def contributing(workspace: Path, *, atlas: Atlas) -> np.ndarray:
    """Count contributing listeners of the last week by part and track, night by night, in a private store."""
    folders = sorted(workspace.glob("private/contributions/date=*"))[-NIGHTS:]
    rows = pl.concat([pl.read_parquet(folder / "*.parquet", hive_partitioning=False) for folder in folders])
    counted = rows.filter("counted", pl.col("part").is_in(atlas.parts)).group_by("part", "track_id").len()
    true = np.zeros((len(atlas.parts), TRACKS), dtype=np.int64)
    true[np.searchsorted(atlas.parts, counted["part"]), tracks(counted)] = counted["len"]
    return true


def main() -> None:
    """Read the arguments and print everything."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("worlds", type=int, nargs="?", default=2)
    arguments.add_argument("--quick", action="store_true", help="one world, one draw, the default budget alone")
    arguments.add_argument("--places", type=int, default=0)
    arguments.add_argument("--workspace", type=Path)
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    random = np.random.default_rng(given.seed)
    worlds, draws = (1, 1) if given.quick else (given.worlds, 3)
    mixed = [simulate(SIZES, countries=4, regions=5, random=random) for _ in range(worlds)]
    for rho in (RHO,) if given.quick else RHOS:
        print_table("mixed", mixed, rho=rho, draws=draws, random=random)
    if not given.quick:
        poor = [simulate([size], countries=1, regions=20, random=random) for size in SIZES[:3] for _ in range(worlds)]
        print_table("alike", poor, rho=RHO, draws=draws, random=random)
        print_shares(mixed, draws=draws, random=random)
    print_silence()
    if given.places:
        print_scale(given.places)
    if given.workspace:
        print_sample(given.workspace)


if __name__ == "__main__":
    main()
