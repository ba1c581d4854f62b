"""The charts' model without each of its ingredients: what is found without it, and how often intervals hold the truth.

Run it with ``PYTHONPATH=tests python tests/bench/bench_ablation.py [WORLDS] [--kinds NAME ...] [--sweep]``. Worlds,
releases and memories are those of ``bench_charts.py``: tastes drift, listeners earn weights. The last week of each is
charted by the model as it is and by the model without

- memory: a place knows nothing of the nights before the window;
- artists: a track's departure is its own, whatever the place thinks of its artist's other tracks;
- the neighbourhood: nobody is asked, and a place is read in the light of the rest of the larger place alone;
- learned spreads: every place departs from its surroundings by a log deviation of 0.7.

For regions of 100 to 10,000 daily listeners it prints the share found of the 20 tracks with the largest true rates,
what each ingredient adds to it (the paired difference and its standard error over regions: an ingredient that adds less
than that is of no use there), and the share of 95 % intervals that hold the truth, of the first 100 and 20 ranks.
Beside them, of the tracks of the true top 100 that are not older than two weeks and whose artist has others: the mean
square of the logarithm of what is read over the truth, with artists and without.

*mixed* are the worlds of ``bench_charts.py``, where places lie at random: a neighbourhood cannot help. In *provinces*
four regions, of 100 to 3,000 listeners, lie together and share a taste (a log deviation of 0.4 from a country of four
such provinces, and of 0.7 between its regions). In *alike* and *alike provinces* regions differ by 0.3 instead of 0.7,
and in *breakouts* two tracks of every region are played there fifty times as much as anywhere else.

``--sweep`` halves and doubles the constants behind the popular charts instead, in worlds of *provinces*, and prints the
changes of the found share, and the coverage, over all sizes.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from bench_charts import (
    CHARTS,
    NIGHTS,
    RHO,
    TOP,
    by_place,
    largest,
    listeners_by_place,
    remembered,
    tracks,
    within,
)
from support.simulated_worlds import SIZES, Nights, Tastes, World, simulate

from recsys.geography.atlas import Atlas
from recsys.releases.charts import charts
from recsys.releases.inference import hierarchy, memory, neighbours, posterior
from recsys.releases.inference.memory import NOTHING, Memory

Settings = Mapping[ModuleType, Mapping[str, Any]]  # other values of a module's constants
Random = np.random.Generator
Variant = Callable[["Week"], dict[str, Any]]  # popular charts by place

Found = Mapping[int, np.ndarray]  # by size of regions: (regions, variants, 4)

COUNTRIES, PROVINCES = 4, 4  # in the world, in a country
NEW = 14  # nights
SWEPT: Mapping[ModuleType, Sequence[str]] = {
    posterior: (
        *("_USUAL_PLACES", "_USUAL_SIZES", "_UNFORESEEN", "_FAR", "_BEYOND_NOISE", "_EVERYBODY"),
        *("_LARGEST_LOG_VARIANCE", "_FINE", "_LEAST_WEIGHT", "_ROUNDS"),
    ),
    hierarchy: ("_LIKELY", "_NEARBY"),
    memory: ("_FADE", "_OF_ARTIST", "_DRIFT", "_NEGLIGIBLE", "_SURPRISING"),
    neighbours: ("_DECAY", "_MOST"),
}


class Week:
    """The last week of a world, and what places remember of the weeks before."""

    def __init__(self, world: World) -> None:
        self.world, self._nights = world, Nights(world)
        self.memory = remembered(world, self._nights)
        read = self._nights.read(world.nights[-NIGHTS:])
        self._released, self.artists = read, world.artist_of()
        self.rates, _ = world.true(NIGHTS)
        self.listeners = listeners_by_place(world)

    def charted(
        self, *, settings: Settings | None = None, memory: Memory | None = None, artists: bool = True
    ) -> dict[str, Any]:
        """Return the popular charts by place, with other constants or less knowledge."""
        known = self.memory if memory is None else memory
        with with_settings(settings or {}):
            found = charts.popular(
                self._released,
                atlas=self.world.atlas,
                settings=CHARTS,
                artists=self.artists if artists else {},
                memory=known,
            )
        return by_place(found)

    def measured(self, popular: Mapping[str, Any]) -> np.ndarray:
        """Return of each region the found share of its true top 20, coverage twice, and the error of new tracks.

        Shape (regions, 4): the intervals of the first 100 ranks and of the first 20; the last is NaN where a region has
        no new track of a known artist among its true top 100.
        """
        rows = []
        for i, region in enumerate(self.world.atlas.parts):
            lines, true = popular[region], self.listeners[region]
            found = len({*largest(self.rates[i])}.intersection(tracks(lines)[:TOP])) / TOP
            held = within(lines, true)
            read = np.full(len(true), 0.0)
            read[tracks(lines)] = lines["estimate"].to_numpy() * NIGHTS
            new = [t for t in self._new() if true[t] >= np.sort(true)[-100] and read[t] > 0]
            error = np.mean(np.log(read[new] / true[new]) ** 2) if new else np.nan
            rows.append((found, held.mean(), held[:TOP].mean(), error))
        return np.array(rows)

    def _new(self) -> list[int]:
        world = self.world
        born = world.alive.argmax(axis=0)
        late = np.flatnonzero(world.alive[-1] & (born >= len(world.alive) - NEW))
        return [int(t) for t in late if (world.artists == world.artists[t]).sum() > 1]


VARIANTS: Mapping[str, Variant] = {
    "model": Week.charted,
    "memory": partial(Week.charted, memory=NOTHING),
    "artists": partial(Week.charted, artists=False),
    "neighbourhood": partial(Week.charted, settings={neighbours: {"_MOST": 0}}),
    "spreads": partial(Week.charted, settings={posterior: {"SPREADS": np.array([0.7]), "_USUAL": np.ones(1)}}),
}


def provinces(random: Random, *, tastes: Tastes) -> World:
    """Draw one whose countries consist of provinces, in each of which a region of every size lies near the others."""
    world = simulate(random, sizes=SIZES[:4], countries=COUNTRIES * PROVINCES, tastes=tastes)
    return replace(world, atlas=gathered(world.atlas, random=random))


def gathered(atlas: Atlas, *, random: Random) -> Atlas:
    """Return an atlas of fewer countries, in which the regions of each former one lie within a degree."""
    centres = np.stack([random.uniform(-limit, limit, COUNTRIES * PROVINCES) for limit in (60, 180)], axis=1)
    gone = {f"C{i}" for i in range(COUNTRIES, COUNTRIES * PROVINCES)}
    places = {id_: place for id_, place in atlas.places.items() if id_ not in gone}
    for region in atlas.parts:
        province = int((places[region].parent or "")[1:])
        latitude, longitude = centres[province] + random.uniform(-0.5, 0.5, size=2)
        country = f"C{province // PROVINCES}"
        places[region] = replace(places[region], parent=country, latitude=latitude, longitude=longitude)
    return replace(atlas, places=places)


KINDS: Mapping[str, Callable[[Random], World]] = {
    "mixed": simulate,
    "provinces": partial(provinces, tastes=Tastes()),
    "alike": partial(simulate, tastes=Tastes(region=0.3)),
    "alike provinces": partial(provinces, tastes=Tastes(region=0.3)),
    "breakouts": partial(simulate, tastes=Tastes(breakouts=2)),
}


@contextmanager
def with_settings(settings: Settings) -> Iterator[None]:
    """Let modules have other constants for a while."""
    with ExitStack() as stack:
        for module, values in settings.items():
            stack.enter_context(mock.patch.multiple(module, **values))
        yield


def in_worlds(draw: Callable[[Random], World], variants: Mapping[str, Variant], *, given: argparse.Namespace) -> Found:
    """Compare variants in several worlds of a kind, by the size of their regions."""
    random = np.random.default_rng(given.seed)
    found, sizes = [], []
    for _ in range(given.worlds):
        week = Week(draw(random))
        found.append(np.stack([week.measured(chart(week)) for chart in variants.values()], axis=1))
        sizes.append(week.world.sizes)
    by_region, size = np.concatenate(found), np.concatenate(sizes)
    return {one: by_region[size == one] for one in SIZES if (size == one).any()}


def gains(found: np.ndarray) -> list[tuple[float, float]]:
    """Return what the first variant finds beyond each of the others, and the standard error over regions."""
    difference = found[:, :1, 0] - found[:, 1:, 0]
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(found))
    return list(zip(difference.mean(axis=0), error, strict=True))


def print_ablation(title: str, found: Found) -> None:
    """Print what each ingredient adds, and the coverage with all and without each, by daily listeners."""
    names = [*VARIANTS][1:]
    print(f"\n{title}, rho {RHO}")
    print(f"{'listeners':>10}{'found':>8}" + "".join(f"{'by ' + name:>18}" for name in names))
    for size, units in found.items():
        added = "".join(f"{gain:+10.4f} ±{error:6.4f}" for gain, error in gains(units))
        print(f"{size:>10,}{units[:, 0, 0].mean():8.3f}{added}")
    print(f"{'in interval':>12}{'model':>14}" + "".join(f"{'no ' + name:>18}" for name in names))
    for size, units in found.items():
        held = [f"{all_:.3f} {first:.3f}" for _, all_, first, _ in units.mean(axis=0)]
        print(f"{size:>12,}{held[0]:>14}" + "".join(f"{some:>18}" for some in held[1:]), flush=True)
    errors = [f"{size:,} {np.nanmean(u[:, 0, 3]):.3f} {np.nanmean(u[:, 2, 3]):.3f}" for size, u in found.items()]
    print("  square log errors of new tracks, with artists and without: " + ", ".join(errors), flush=True)


def halved_and_doubled() -> dict[str, Variant]:
    """Return a variant for each constant that is swept and for each of its other values."""
    return {
        f"{name.strip('_')} {module.__name__.rsplit('.', 1)[-1]} {type(now)(factor * now)}": partial(
            Week.charted, settings={module: {name: type(now)(factor * now)}}
        )
        for module, names in SWEPT.items()
        for name, now in ((name, getattr(module, name)) for name in names)
        for factor in (0.5, 2)
    }


def print_sweep(*, given: argparse.Namespace) -> None:
    """Print how the found share and the coverage change with each constant."""
    variants = halved_and_doubled()
    found = np.concatenate([*in_worlds(KINDS["provinces"], {"model": Week.charted, **variants}, given=given).values()])
    means = found.mean(axis=0)
    print(f"\nconstants, provinces: {given.worlds} worlds")
    print(f"{'as it is':<32}{means[0, 0]:8.4f}{'':>9}{means[0, 1]:8.3f}")
    for name, (gain, error), (_, inside, *_) in zip(variants, gains(found), means[1:], strict=True):
        print(f"{name:<32}{-gain:+8.4f} ±{error:7.4f}{inside:8.3f}")


def main() -> None:
    """Read the arguments and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("worlds", type=int, nargs="?", default=4, help="of each kind")
    arguments.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    arguments.add_argument("--sweep", action="store_true", help="halve and double constants instead")
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    if given.sweep:
        print_sweep(given=given)
        return
    for kind in given.kinds:
        print_ablation(f"{kind}, {given.worlds} worlds", in_worlds(KINDS[kind], VARIANTS, given=given))


if __name__ == "__main__":
    main()
