"""Another clock: what a release a week would find of the true local top 20, beside one a night.

Run it with ``PYTHONPATH=tests python tests/bench/bench_weekly.py [WORLDS] [--kinds NAME ...]``. Worlds are those of
``bench_charts.py``, drawn twice with the same tastes. In one all is released every night, as in the product. In the
other all is released once a week: each track of a listener counts once for the week, what may be spent on a release is
all that a bucket holds, so that seven nights' earnings are, and the noise of a release is what that of a night is. So
either has the same bounds over 28 and 365 nights. Charts are of seven nights, that is, of seven releases or of one, a
week before the last night, with the memory of the seven weeks before; by daily listeners of the region it prints the
share found of the 20 tracks with the largest true rates of these nights,

- raw: by the 20 largest noisy counts; forgetful: by the list without a memory; published: by the one with it; no noise:
  by the 20 largest true counts; and
- shown: by the published list on average over the nights on which it is the newest, each held against the seven nights
  before: a list of a week ages, one of a night does not.

All places have the weekly clock, their surroundings, too: in a product in which only small places had it, these would
be read as they are now, and a place could be read again each night in their light.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from bench_charts import CHARTS, KINDS, NIGHTS, TOP, by_place, largest, remembered, tracks
from support.simulated_worlds import Nights, World, simulate

from recsys.releases.charts import charts
from recsys.releases.inference.memory import NOTHING
from recsys.settings import PrivacySettings, load_settings

NIGHTLY: PrivacySettings = load_settings().privacy
WEEKLY = NIGHTLY.model_copy(
    update={
        "most_per_night": NIGHTLY.largest_balance,
        "rho_per_night": NIGHTLY.rho_per_night * NIGHTLY.largest_balance / NIGHTLY.most_per_night,
    }
)
WEEKS = 7  # of memory
COLUMNS = ("raw", "forgetful", "published", "no noise", "shown")


@dataclass(frozen=True)
class Clock:
    """How often is released, under which settings."""

    every: int
    privacy: PrivacySettings

    def days(self, world: World) -> list[date]:
        """Return the nights with a release up to a week before the last, in order."""
        return world.nights[self.every - 1 : -NIGHTS : self.every]


CLOCKS = {"nightly": Clock(1, NIGHTLY), "weekly": Clock(NIGHTS, WEEKLY)}


@dataclass(frozen=True)
class Found:
    """Shares found, by clock and size, each a row of ``COLUMNS``; in the same order of regions for both clocks."""

    rows: dict[tuple[str, int], list[Sequence[float]]] = field(default_factory=lambda: defaultdict(list))

    def of(self, name: str, size: int) -> np.ndarray:
        """Return the rows of a clock and size, shape (regions, columns)."""
        return np.array(self.rows[name, size])


def measure(world: World, clock: Clock) -> list[tuple[float, ...]]:
    """Release a world once by a clock; return for every region what is found."""
    nights, days = Nights(world, privacy=clock.privacy), clock.days(world)
    a_week = NIGHTS // clock.every
    artists, last = world.artist_of(), nights.read(days[-a_week:])
    memory = remembered(world, nights, weeks=WEEKS, days=days, a_week=a_week)
    lists = [
        by_place(charts.popular(last, atlas=world.atlas, settings=CHARTS, artists=artists, memory=known))
        for known in (NOTHING, memory)
    ]
    now = len(world.nights) - NIGHTS
    heads = world.listeners[now - NIGHTS : now].sum(axis=0, dtype=float)
    true = [top_rates(world, until=now + age) for age in range(clock.every)]
    columns, rows = np.array(last.tracks), []
    for i, region in enumerate(world.atlas.parts):
        raw = [int(name[1:]) for name in columns[largest(last.sums[last.entries(region)])]]
        named = (raw, *(tracks(some[region])[:TOP] for some in lists), largest(heads[i]))
        fresh = (len(true[0][i].intersection(some)) / TOP for some in named)
        ages = [len(of[i].intersection(named[2])) / TOP for of in true]
        rows.append((*fresh, float(np.mean(ages))))
    return rows


def top_rates(world: World, *, until: int) -> list[set[int]]:
    """Return for every region the tracks with the largest true rates of the week that ends before a night."""
    rates = world.rates[until - NIGHTS : until].mean(axis=0, dtype=float)
    return [{*largest(region)} for region in rates]


def print_kind(kind: str, *, worlds: int, seed: int) -> None:
    """Measure worlds of a kind by both clocks, and print the means."""
    found = Found()
    for number in range(worlds):
        for name, clock in CLOCKS.items():
            drawn = np.random.default_rng([seed, number])
            world = simulate(drawn, **KINDS[kind], privacy=clock.privacy, every=clock.every)
            for size, row in zip(world.sizes.tolist(), measure(world, clock), strict=True):
                found.rows[name, size].append(row)
    print(f"\n{kind}: {worlds} worlds\n{'listeners':>10}{'clock':>10}" + "".join(f"{c:>14}" for c in COLUMNS))
    for size in sorted({size for _, size in found.rows}):
        for name in CLOCKS:
            print(f"{size:>10,}{name:>10}" + "".join(f"{v:14.3f}" for v in found.of(name, size).mean(axis=0)))
        more = found.of("weekly", size) - found.of("nightly", size)
        error = more.std(axis=0, ddof=1) / np.sqrt(len(more))
        cells = (f"{mean:+.3f}±{by:.3f}" for mean, by in zip(more.mean(axis=0), error, strict=True))
        print(f"{'':>10}{'more':>10}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def main() -> None:
    """Read the arguments and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("worlds", type=int, nargs="?", default=2)
    arguments.add_argument("--kinds", nargs="*", default=["mixed", "poor"], choices=list(KINDS))
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    for kind in given.kinds:
        print_kind(kind, worlds=given.worlds, seed=given.seed)


if __name__ == "__main__":
    main()
