"""Charts, measured: how much of the true local top 20 is found, and how often the truth lies in the interval.

Run it with ``python tests/bench/bench_charts.py [WORLDS] [--places N]``. A world is simulated listener by listener as
in section 5 of the design: 2,000 tracks, Zipf 1; 15 plays a day, of which 10 distinct tracks count; tastes of a country
depart from the world's by a log deviation of 0.4, those of a region from its country's by 0.7; 7 nights, rho 0.015 a
night. It prints, by daily listeners of the region,

- raw: the 20 largest noisy counts; shrunk: the published chart; parent: the country's published chart;
  no noise: the 20 largest true counts; each as the share of the 20 most played tracks by the region's true rates, and
- how many of the published intervals hold the true count, for the first 100 and for the first 20 ranks.

``mixed`` is a world of four countries with five regions of each size; ``alike`` one of a single country with twenty
regions of one size, the hardest for small regions, whose surroundings are as poor as they are. Then it prints what a
world without any listeners publishes, and with ``--places N`` the time and memory for N regions of 2,000 tracks.
"""

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from releasing import SIGMA_SQUARED, small_atlas, window

from recsys.atlas import Atlas, Place
from recsys.releases import charts
from recsys.releases.noise import discrete_gaussian
from recsys.settings import ChartsSettings

TRACKS, NIGHTS, PLAYS, COUNTED, TOP = 2_000, 7, 15, 10, 20
SIZES = (100, 300, 1_000, 3_000, 10_000)
TARGETS = dict(zip(SIZES, (0.73, 0.84, 0.94, 0.96, 0.98), strict=True))
COLUMNS = ("raw", "shrunk", "parent", "no noise", "in interval", "of first 20")


@dataclass(frozen=True)
class World:
    """Regions with their true rates and true counts over the window, shape (regions, tracks)."""

    atlas: Atlas
    sizes: np.ndarray
    rates: np.ndarray
    counts: np.ndarray


def simulate(sizes: Sequence[int], *, countries: int, regions: int, random: np.random.Generator) -> World:
    """Draw a world in which every country has some regions of each size."""
    base = random.permutation(1 / np.arange(1, TRACKS + 1))
    named, found = {}, []
    for country in range(countries):
        taste = base * np.exp(0.4 * random.normal(size=TRACKS))
        for size in np.repeat(sizes, regions):
            rates = taste * np.exp(0.7 * random.normal(size=TRACKS))
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
    """Return an atlas of regions by country, without remainders."""
    small = small_atlas()
    level = {"world": ("world", None)} | dict.fromkeys(sorted(set(regions.values())), ("country", "world"))
    level |= {region: ("region", country) for region, country in regions.items()}
    places = {id_: Place(id_, id_, "", kind, parent, 0, 0, 0) for id_, (kind, parent) in level.items()}
    settings = small.settings.model_copy(update={"service_area": tuple(sorted(regions))})
    return replace(small, places=places, settings=settings)


def noise(shape: tuple[int, int]) -> np.ndarray:
    """Return the noise of the window: a draw of every night."""
    return sum(
        discrete_gaussian(shape[0] * shape[1], sigma_squared=SIGMA_SQUARED).reshape(shape) for _ in range(NIGHTS)
    )


def measure(world: World) -> Iterator[tuple[int, tuple[float, ...]]]:
    """Yield each region's size and its row of the table."""
    noisy = world.counts + noise(world.counts.shape)
    released = window(noisy, atlas=world.atlas)
    chart = charts.popular(released, atlas=world.atlas, settings=ChartsSettings(window_nights=NIGHTS, size=100))
    by_place = {place: lines for (place,), lines in chart.group_by("place", maintain_order=True)}
    for i, region in enumerate(world.atlas.parts):
        lines, parent = by_place[region], by_place[world.atlas.places[region].parent]
        truth = set(largest(world.rates[i]))
        lists = (largest(noisy[i]), tracks(lines)[:TOP], tracks(parent)[:TOP], largest(world.counts[i]))
        inside = within(lines, world.counts[i])
        shares = [len(truth.intersection(some)) / TOP for some in lists]
        yield int(world.sizes[i]), (*shares, inside.mean(), inside[:TOP].mean())


def within(lines: pl.DataFrame, counts: np.ndarray) -> np.ndarray:
    """Tell for each line of a chart whether the true count lies in its interval."""
    true = counts[tracks(lines)] / NIGHTS
    return (lines["low"].to_numpy() <= true + 1e-9) & (true <= lines["high"].to_numpy() + 1e-9)


def largest(values: np.ndarray) -> list[int]:
    """Return the columns of the twenty largest values."""
    return np.argsort(-values, kind="stable")[:TOP].tolist()


def tracks(lines: pl.DataFrame) -> list[int]:
    """Return the columns that a chart's tracks stand for."""
    return lines["track_id"].str.slice(1).cast(pl.Int64).to_list()


def print_table(name: str, worlds: Sequence[World], *, draws: int = 3) -> None:
    """Measure worlds under several draws of the noise and print the means."""
    rows: dict[int, list[tuple[float, ...]]] = defaultdict(list)
    for world in worlds:
        for _ in range(draws):
            for size, row in measure(world):
                rows[size].append(row)
    print(f"\n{name}: {len(worlds)} worlds, {draws} draws of the noise each")
    print(f"{'listeners':>10}" + "".join(f"{column:>12}" for column in COLUMNS) + f"{'target':>10}{'±':>7}")
    for size, found in sorted(rows.items()):
        values = "".join(f"{value:12.3f}" for value in np.mean(found, axis=0))
        error = np.std([row[1] for row in found]) / np.sqrt(len(found) / draws)
        print(f"{size:>10,}{values}{TARGETS[size]:10.2f}{error:7.3f}")


def print_silence() -> None:
    """Print what is published where nobody listens: 250 countries, 6,015 tracks, nothing but noise."""
    atlas = atlas_of({f"r{i:04}": f"C{i:03}" for i in range(250)})
    released = window(noise((250, 6_015)), atlas=atlas)
    start = time.perf_counter()
    chart = charts.popular(released, atlas=atlas, settings=ChartsSettings(window_nights=NIGHTS, size=100))
    first = chart.filter(pl.col("rank") == 1, pl.col("place") != "world")
    world = chart.filter(pl.col("place") == "world")["estimate"]
    print(f"\nno listeners, 250 countries x 6,015 tracks: {time.perf_counter() - start:.1f} s")
    print(f"  world: rank 1 has {world[0]:.2f} listeners a night, rank 100 has {world[99]:.2f}")
    print(f"  countries' number ones: median {first['estimate'].median():.2f}, largest {first['estimate'].max():.1f}")
    print(f"  lines whose interval excludes 0: {(chart['low'] > 0).sum()} of {chart.height}")


def print_scale(places: int) -> None:
    """Print time and peak memory for many regions."""
    atlas = atlas_of({f"r{i:05}": f"C{i % 250:03}" for i in range(places)})
    sums = np.zeros((places, TRACKS), dtype=np.int32)
    for start in range(0, places, 500):
        sums[start : start + 500] = noise(sums[start : start + 500].shape) + (70_000 / np.arange(8, TRACKS + 8)).astype(
            int
        )
    released, start_time = window(sums, atlas=atlas), time.perf_counter()
    chart = charts.popular(released, atlas=atlas, settings=ChartsSettings(window_nights=NIGHTS, size=100))
    seconds, peak = time.perf_counter() - start_time, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\n{places:,} regions x {TRACKS:,} tracks: {seconds:.0f} s, {chart.height:,} lines, peak {peak:,.0f} MB")


def main() -> None:
    """Read the arguments and print everything."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("worlds", type=int, nargs="?", default=2)
    arguments.add_argument("--places", type=int, default=0)
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    random = np.random.default_rng(given.seed)
    mixed = [simulate(SIZES, countries=4, regions=5, random=random) for _ in range(given.worlds)]
    print_table("mixed", mixed)
    alike = [
        simulate([size], countries=1, regions=20, random=random) for size in SIZES[:3] for _ in range(given.worlds)
    ]
    print_table("alike", alike)
    print_silence()
    if given.places:
        print_scale(given.places)


if __name__ == "__main__":
    main()
