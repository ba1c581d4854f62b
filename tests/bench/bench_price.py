"""The price of a chart, attacked: how often fleets of accounts bring a track there.

Run it with ``PYTHONPATH=tests python tests/bench/bench_price.py [DRAWS]``. In a simulated world with regions of 100
to 10,000 daily listeners, accounts that are at home in a region play one track each night for seven nights, which
nobody else plays there, and pay for it as everybody does (:func:`recsys.cells.earnings.pay`): *new* ones from the first
of these nights, *aged* ones from full balances. How often an account plays it in a night is of no consequence: it is a
track that is played. The price is that of the popular charts of the week before. By daily listeners of the region it
prints

- the median price of the first 20 and of rank 1, and how many listeners of full weight one account of each age stands
  for over the week;
- in how many of all tries one account less than the price brings the track there, for either (the bar is 1 of 1,000),
  and how often twice the price does;
- in how many fleets of 1, 3 and 10 % of the region's daily listeners bring it into the first 20.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
from support.simulated_worlds import FIRST, SIZES, Nights, World, simulate

from recsys.artifacts.chart_database import Price
from recsys.artifacts.list_candidates import POPULAR
from recsys.cells.earnings import BALANCES, buckets, pay
from recsys.releases.charts import charts
from recsys.settings import load_settings
from recsys.weights import FULL

PRIVACY, CHARTS = load_settings().privacy, load_settings().charts
WEEK, FLEETS = 7, (0.01, 0.03, 0.1)

Fleet = Callable[[Price, int], float]  # accounts, by the price of a chart and the daily listeners of its region

CASES: dict[str, tuple[int, Fleet]] = {
    "first 20, one less": (20, lambda price, _: price.first_20 - 1),
    "rank 1, one less": (1, lambda price, _: price.rank_1 - 1),
    "first 20, twice": (20, lambda price, _: 2 * price.first_20),
    "rank 1, twice": (1, lambda price, _: 2 * price.rank_1),
    **{f"fleet of {share:.0%}": (20, lambda _, size, share=share: share * size) for share in FLEETS},
}


def weights_of(age: str) -> np.ndarray:
    """Return what one account adds to its track on each night of a week, in listeners of full weight."""
    full = {name: bucket.size for name, bucket in buckets(PRIVACY).items()}
    known = {"listener": ["0" * 32], "night": [FIRST - timedelta(days=1)], **full}
    balances = pl.DataFrame(known if age == "aged" else [], schema=dict(BALANCES))
    found = []
    for night in range(WEEK):
        played = pl.DataFrame({"listener": ["0" * 32], "tracks": [1]})
        paid = pay(played, balances, night=FIRST + timedelta(days=night), settings=PRIVACY)
        found.append(paid["weight"].item() / FULL)
        balances = paid.select(*BALANCES)
    return np.array(found)


def prices(world: World) -> dict[str, Price]:
    """Return the price of every region's popular chart, a week before the last night."""
    nights = Nights(world)
    drawn = charts.draw(nights.read, world.nights[:-WEEK], atlas=world.atlas, born={}, settings=CHARTS)
    return {place: price for (place, chart), price in drawn.prices.items() if chart == POPULAR}


def attacked(world: World, accounts: np.ndarray, *, adds: np.ndarray) -> tuple[World, np.ndarray]:
    """Let accounts, shape (regions,), play a track of their region that is hardly played; return it for each."""
    weights, listeners = world.weights.copy(), world.listeners.copy()
    there = np.flatnonzero(world.alive[-WEEK:].all(axis=0))
    tracks = there[np.argsort(world.rates[-WEEK:, :, there].sum(axis=(0, 1)))[: len(accounts)]]
    for region, (track, number) in enumerate(zip(tracks, accounts, strict=True)):
        weights[-WEEK:, region, track] = number * adds
        listeners[-WEEK:, region, track] = number
    return replace(world, weights=weights, listeners=listeners), tracks


def entered(world: World, tracks: np.ndarray, *, rank: int) -> np.ndarray:
    """Release the world once more; tell by region whether the track is among the first of its popular chart."""
    released = Nights(world).read(world.nights[-WEEK:])
    chart = charts.popular(released, atlas=world.atlas, settings=CHARTS).filter(pl.col("rank") <= rank)
    listed = {place: set(lines["track_id"]) for (place,), lines in chart.group_by("place")}
    return np.array([world.names[track] in listed[part] for part, track in zip(world.atlas.parts, tracks, strict=True)])


def main() -> None:
    """Read the arguments and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("draws", type=int, nargs="?", default=30, help="of the noise, for each case")
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    adds = {age: weights_of(age) for age in ("new", "aged")}
    print(
        "an account stands for " + ", ".join(f"{a.sum():.2f} ({age})" for age, a in adds.items()) + " in seven nights"
    )
    world = simulate(np.random.default_rng(given.seed), nights=2 * WEEK, sizes=SIZES)
    price = prices(world)
    of = [price[part] for part in world.atlas.parts]
    found: dict[str, dict[int, list[bool]]] = {case: defaultdict(list) for case in CASES}
    for case, (rank, fleet) in CASES.items():
        accounts = np.array([fleet(one, int(size)) for one, size in zip(of, world.sizes, strict=True)])
        besieged, tracks = attacked(world, accounts, adds=adds["aged"])
        for _ in range(given.draws):
            for size, came in zip(world.sizes, entered(besieged, tracks, rank=rank), strict=True):
                found[case][int(size)].append(bool(came))
    print(f"{'listeners':>10}{'first 20':>10}{'rank 1':>8}" + "".join(f"{case:>20}" for case in CASES))
    for size in SIZES:
        here = np.median(
            [(one.first_20, one.rank_1) for one, n in zip(of, world.sizes, strict=True) if n == size], axis=0
        )
        shares = "".join(f"{sum(found[case][size]):>13} of {len(found[case][size]):<4}" for case in CASES)
        print(f"{size:>10,}{here[0]:>10.0f}{here[1]:>8.0f}{shares}")


if __name__ == "__main__":
    main()
