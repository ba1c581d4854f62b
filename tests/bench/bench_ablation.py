"""The charts' model without each of its ingredients: what is found without it, and how often intervals hold the truth.

Run it with ``PYTHONPATH=tests python tests/bench/bench_ablation.py [WORLDS] [--sweep] [--workspace DIR]``. Worlds,
releases and charts are those of ``bench_charts.py``: every listener counts on every night, so figures are better than
the product's, which caps nights. Each release is charted by the model as it is and by the model without

- the neighbourhood: nobody is asked, and a place is read in the light of the rest of the larger place alone;
- learned sizes: how common sizes are is what is expected beforehand, whatever the other places say;
- learned spreads: every place departs from its surroundings by a log deviation of 0.7;
- the heavy tail: log factors are normal.

For regions of 100 to 10,000 daily listeners it prints the share found of the 20 tracks with the largest true rates,
what each ingredient adds to it (the paired difference and its standard error over regions: an ingredient that adds less
than that is of no use there), and the share of 95 % intervals that hold the true count, of the first 100 and 20 ranks.

*mixed* are the worlds of ``bench_charts.py``, where places lie at random: a neighbourhood cannot help. In *provinces*
five regions, one of each size, lie together and share a taste (a log deviation of 0.4 from a country of four such
provinces, and of 0.7 between its regions). In *alike* and *alike provinces* regions differ by 0.3 instead of 0.7, and
in *breakouts* two tracks of every region are played there fifty times as much as anywhere else.

``--workspace DIR``, a workspace in which the nights of data/sample were run, ablates the *sample* world instead: fresh
noise over the contributing listeners of its last week, with the cap on nights; regions are grouped by listeners a
night. ``--sweep`` halves and doubles the constants behind the popular charts instead, in worlds of
*provinces*, and prints the changes of the found share, and the coverage, over all sizes.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
from bench_charts import (
    RHO,
    SAMPLE,
    SIZES,
    TOP,
    TRACKS,
    Taste,
    World,
    charts_of,
    contributing,
    largest,
    ordinary,
    privacy,
    released_with_noise,
    simulate,
    tracks,
    within,
)

from recsys.geography.atlas import Atlas, load_atlas
from recsys.releases.counts.release_reader import Released
from recsys.releases.inference import hierarchy, neighbours, posterior
from recsys.settings import load_settings

Settings = Mapping[ModuleType, Mapping[str, Any]]  # other values of a module's constants
Random = np.random.Generator

Found = Mapping[int, np.ndarray]  # by size of regions: (regions, variants, 3)

COUNTRIES, PROVINCES = 4, 4  # in the world, in a country
CLASSES = (30, 50, 100)  # listeners a night, at least: the sample world's sizes
WITHOUT: Mapping[str, Settings] = {
    "neighbourhood": {neighbours: {"_MOST": 0}},
    "sizes": {posterior: {"_LIKELY_PLACES": 1e9}},
    "spreads": {posterior: {"SPREADS": np.array([0.7]), "_USUAL": np.ones(1)}},
    "heavy tail": {posterior: {"_LOG_DENSITY": -0.5 * posterior._GRID**2}},
}
SWEPT: Mapping[ModuleType, Sequence[str]] = {
    posterior: (
        *("_USUAL_PLACES", "_RATIO_WIDTH", "_LIKELY_PLACES", "_SIZE_ROUNDS", "_UNFORESEEN", "_FAR", "_BEYOND_NOISE"),
        *("_BLUR", "_ALIKE_BELOW", "_LARGEST_LOG_VARIANCE", "_FINE", "_LEAST_WEIGHT", "_ROUNDS"),
    ),
    hierarchy: ("_LIKELY", "_NEARBY"),
    neighbours: ("_DECAY", "_MOST"),
}


def mixed(random: Random, taste: Taste = ordinary) -> World:
    """Draw a world as the benchmark of the charts does."""
    return simulate(SIZES, countries=COUNTRIES, regions=5, random=random, taste=taste)


def narrow(random: Random) -> np.ndarray:
    """Draw the taste of a region that hardly differs from its country."""
    return np.asarray(0.3 / 0.7 * ordinary(random))


def with_hits(random: Random) -> np.ndarray:
    """Draw the taste of a region that has two hits of its own."""
    hits = np.isin(np.arange(TRACKS), random.choice(TRACKS, size=2, replace=False))
    return np.asarray(ordinary(random) + hits * np.log(50))


def provinces(random: Random, taste: Taste = ordinary) -> World:
    """Draw one whose countries consist of provinces, in each of which a region of every size lies near the others."""
    world = simulate(SIZES, countries=COUNTRIES * PROVINCES, regions=1, random=random, taste=taste)
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


def sample(workspace: Path) -> World:
    """Return the sample world's last week and its truth; the regions' sizes are classes of listeners a night."""
    atlas = load_atlas(load_settings(SAMPLE / "settings.toml").atlas)
    regions, popular = (pl.read_parquet(SAMPLE / "truth" / f"{table}.parquet") for table in ("regions", "popular"))
    listeners = dict(regions.select("part", "listeners_a_night").iter_rows())
    rates = np.zeros((len(atlas.parts), TRACKS))
    known = popular.filter(pl.col("part").is_in(atlas.parts))
    rates[np.searchsorted(atlas.parts, known["part"]), tracks(known)] = known["expected"]
    sizes = np.searchsorted(CLASSES, [listeners.get(part, 0) for part in charted(atlas)], side="right")
    return World(atlas, np.array([0, *CLASSES])[sizes], rates, contributing(workspace, atlas=atlas))


def charted(atlas: Atlas) -> list[str]:
    """Return the parts that have a chart: remainders of countries have none."""
    return [part for part in atlas.parts if part in atlas.members]


WORLDS: Mapping[str, Callable[[Random], World]] = {
    "mixed": mixed,
    "provinces": provinces,
    "alike": partial(mixed, taste=narrow),
    "alike provinces": partial(provinces, taste=narrow),
    "breakouts": partial(mixed, taste=with_hits),
}


@contextmanager
def with_settings(settings: Settings) -> Iterator[None]:
    """Let modules have other constants for a while."""
    with ExitStack() as stack:
        for module, values in settings.items():
            stack.enter_context(mock.patch.multiple(module, **values))
        yield


def measured(world: World, released: Released) -> np.ndarray:
    """Return of each region the share of its true top 20 that is found, and of its intervals that hold the truth.

    Shape (regions, 3): the intervals of the first 100 ranks, and of the first 20.
    """
    by_place = charts_of(released, atlas=world.atlas)
    rows = []
    for region in charted(world.atlas):
        i = world.atlas.parts.index(region)
        found = len({*largest(world.rates[i])}.intersection(tracks(by_place[region])[:TOP])) / TOP
        held = within(by_place[region], world.counts[i])
        rows.append((found, held.mean(), held[:TOP].mean()))
    return np.array(rows)


def compared(world: World, variants: Mapping[str, Settings], *, draws: int) -> np.ndarray:
    """Chart some releases of a world by each variant; return the means of each region, (regions, variants, 3)."""
    found = np.zeros((len(variants), len(world.sizes), 3))
    for _ in range(draws):
        released = released_with_noise(world.counts, atlas=world.atlas, settings=privacy(RHO))
        for i, settings in enumerate(variants.values()):
            with with_settings(settings):
                found[i] += measured(world, released) / draws
    return found.transpose(1, 0, 2)


def in_worlds(draw: Callable[[Random], World], variants: Mapping[str, Settings], *, given: argparse.Namespace) -> Found:
    """Compare variants in several worlds of a kind, by the size of their regions."""
    random = np.random.default_rng(given.seed)
    found, sizes = [], []
    for world in (draw(random) for _ in range(given.worlds)):
        found.append(compared(world, variants, draws=given.draws))
        sizes.append(world.sizes)
    return by_size(np.concatenate(found), np.concatenate(sizes), classes=SIZES)


def by_size(found: np.ndarray, sizes: np.ndarray, *, classes: Sequence[int]) -> Found:
    """Return what was found by the size of regions."""
    return {size: found[sizes == size] for size in classes}


def gains(found: np.ndarray) -> list[tuple[float, float]]:
    """Return what the first variant finds beyond each of the others, and the standard error over regions."""
    difference = found[:, :1, 0] - found[:, 1:, 0]
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(found))
    return list(zip(difference.mean(axis=0), error, strict=True))


def print_ablation(title: str, found: Found) -> None:
    """Print what each ingredient adds, and the coverage with all and without each, by daily listeners."""
    print(f"\n{title}, rho {RHO}")
    print(f"{'listeners':>10}{'found':>8}" + "".join(f"{'by ' + name:>18}" for name in WITHOUT))
    for size, units in found.items():
        added = "".join(f"{gain:+10.4f} ±{error:6.4f}" for gain, error in gains(units))
        print(f"{size:>10,}{units[:, 0, 0].mean():8.3f}{added}")
    print(f"{'in interval':>12}{'model':>14}" + "".join(f"{'no ' + name:>18}" for name in WITHOUT))
    for size, units in found.items():
        held = [f"{all_:.3f} {first:.3f}" for _, all_, first in units.mean(axis=0)]
        print(f"{size:>12,}{held[0]:>14}" + "".join(f"{some:>18}" for some in held[1:]), flush=True)


def halved_and_doubled() -> dict[str, Settings]:
    """Return a variant for each constant that is swept and for each of its other values."""
    return {
        f"{name.strip('_')} {module.__name__.rsplit('.', 1)[-1]} {type(now)(factor * now)}": {
            module: {name: type(now)(factor * now)}
        }
        for module, names in SWEPT.items()
        for name, now in ((name, getattr(module, name)) for name in names)
        for factor in (0.5, 2)
    }


def print_sweep(*, given: argparse.Namespace) -> None:
    """Print how the found share and the coverage change with each constant."""
    variants = halved_and_doubled()
    found = np.concatenate([*in_worlds(provinces, {"model": {}, **variants}, given=given).values()])
    means = found.mean(axis=0)
    print(f"\nconstants, provinces: {given.worlds} worlds, draws of the noise in each: {given.draws}")
    print(f"{'as it is':<32}{means[0, 0]:8.4f}{'':>9}{means[0, 1]:8.3f}")
    for name, (gain, error), (_, inside, _) in zip(variants, gains(found), means[1:], strict=True):
        print(f"{name:<32}{-gain:+8.4f} ±{error:7.4f}{inside:8.3f}")


def print_sample(workspace: Path, *, given: argparse.Namespace) -> None:
    """Print the ablation of the sample world, by size of its regions."""
    world = sample(workspace)
    regions = compared(world, {"model": {}, **WITHOUT}, draws=given.draws)
    print_ablation(f"sample, draws of the noise: {given.draws}", by_size(regions, world.sizes, classes=CLASSES))


def main() -> None:
    """Read the arguments and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("worlds", type=int, nargs="?", default=8, help="of each kind")
    arguments.add_argument("--draws", type=int, default=1, help="of the noise, in each world")
    arguments.add_argument("--sweep", action="store_true", help="halve and double constants instead")
    arguments.add_argument("--workspace", type=Path, help="ablate the sample world instead")
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    if given.sweep:
        print_sweep(given=given)
    elif given.workspace:
        print_sample(given.workspace, given=given)
    else:
        for kind, draw in WORLDS.items():
            found = in_worlds(draw, {"model": {}, **WITHOUT}, given=given)
            print_ablation(f"{kind}, {given.worlds} worlds, draws of the noise in each: {given.draws}", found)


if __name__ == "__main__":
    main()
