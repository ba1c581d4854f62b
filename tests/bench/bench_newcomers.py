"""New accounts made weak: what it would cost an attack on a chart, and what it would cost honest newcomers.

Run it with ``PYTHONPATH=tests python tests/bench/bench_newcomers.py [WORLDS]``. An account counts in full from its
first night: one night's earnings pay for one track. Here it would count less in its first weeks, by one of some rules
around the product's own :func:`recsys.cells.earnings.pay`, none of which lets anybody spend what is not earned:

- ``earnings``: what is earned a night grows from a 28th to the whole over 28 nights;
- ``weight``: a track weighs a 28th at most on the first night, two on the second, and so on; the rest is saved;
- ``half``: a track weighs a half at most in the first 28 nights; the rest is saved;
- ``nothing``: seven nights' earnings are owed at first, so that nothing counts in the first week.

It prints for each rule

- what a new account that plays one track every night adds to it in seven nights, of the 7 it adds now, by which factor
  more accounts bring it into a chart, if they begin tonight, and what one adds that began 28 nights before;
- what is lost of the weights of honest newcomers, by kind of listener, in the first 4 and 8 weeks and, in brackets,
  the first one; and of all weights where in every week 5 % of the listeners are new ones in the place of old ones;
- in *mixed* worlds of ``bench_charts.py`` the share found of the true top 20, by daily listeners, when all weights are
  that much smaller, and when they are as in the first week of a workspace, in which everybody is new. The noise is the
  same for all rules. Errors are those of the difference to the first row.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl
from bench_charts import CHARTS, NIGHTS, TOP, by_place, largest, remembered, tracks
from support.simulated_worlds import FIRST, MANY_KINDS, Kind, Nights, World, simulate

from recsys.cells.earnings import BALANCES, buckets, pay
from recsys.releases.charts import charts
from recsys.releases.inference.memory import NOTHING
from recsys.settings import PrivacySettings, load_settings
from recsys.weights import FULL, cost

PRIVACY = load_settings().privacy
RAMP, WEEK, WEEKS, CHURN = 28, 7, 8, 0.05  # nights; nights; weeks; of all listeners, a week
KINDS = (Kind(1, 1, 1.0), Kind(1, 3, 1.0), Kind(1, 15, 1.0), *MANY_KINDS)
EVERY_NIGHT = KINDS[2]
NAMES = {kind: f"{kind.plays} on {kind.activity:.0%}" for kind in KINDS}


@dataclass(frozen=True)
class Rule:
    """What newcomers may do less, by how many nights they have been there (the first is 1).

    Parameters
    ----------
    earning : callable
        Share of a night's earnings.
    weight : callable
        The largest weight of a track.
    owed : int
        Nights' earnings that are owed at first.
    """

    earning: Callable[[int], float] = lambda _: 1.0
    weight: Callable[[int], float] = lambda _: 1.0
    owed: int = 0

    def pay(self, played: pl.DataFrame, balances: pl.DataFrame, *, age: int) -> pl.DataFrame:
        """Return the weights of listeners of an age and what is left to them, as the product does but for the rule."""
        night = FIRST + timedelta(days=age)
        if self.owed and age == 1:
            debt = {name: -(self.owed - 1) * bucket.earning for name, bucket in buckets(PRIVACY).items()}
            owing = played.select("listener", night=night - timedelta(days=1))
            balances = owing.with_columns(pl.lit(value).alias(name) for name, value in debt.items()).cast(
                dict(BALANCES)
            )
        paid = pay(played, balances, night=night, settings=slower(self.earning(age)))
        lighter = pl.col("weight").clip(upper_bound=int(self.weight(age) * FULL))
        spent, spends = (cost(pl.col("tracks"), weight, night=night) for weight in (pl.col("weight"), lighter))
        saved = (pl.col(name) + spent - spends for name in ("of_28", "of_365"))
        return paid.with_columns(*saved, weight=lighter).cast({name: BALANCES[name] for name in ("of_28", "of_365")})


RULES: Mapping[str, Rule] = {
    "as it is": Rule(),
    "earnings": Rule(earning=lambda age: min(1, age / RAMP)),
    "weight": Rule(weight=lambda age: min(1, age / RAMP)),
    "half": Rule(weight=lambda age: 0.5 if age <= RAMP else 1),
    "nothing": Rule(owed=WEEK),
}


def slower(share: float) -> PrivacySettings:
    """Return settings by which a share of a night's earnings is earned."""
    size = PRIVACY.largest_balance
    return PRIVACY.model_copy(
        update={
            "most_per_28_nights": size + share * (PRIVACY.most_per_28_nights - size),
            "most_per_365_nights": size + share * (PRIVACY.most_per_365_nights - size),
        }
    )


def added(rule: Rule, kind: Kind, *, nights: int, listeners: int = 200) -> np.ndarray:
    """Return what newcomers of a kind add on average on each of their first nights, in full tracks."""
    random = np.random.default_rng(0)
    zipf = np.cumsum(1 / np.arange(1, 2_001))
    names = np.array([f"{i:032x}" for i in random.integers(2**60, size=listeners)])
    balances, found = pl.DataFrame(schema=dict(BALANCES)), np.zeros(nights)
    for night in range(nights):
        there = np.flatnonzero((random.random(listeners) < kind.activity) | (night == 0))
        plays = np.searchsorted(zipf / zipf[-1], random.random((listeners, kind.plays)))[there]
        number = [len(set(row)) for row in plays.tolist()]
        played = pl.DataFrame({"listener": names[there], "tracks": number}, schema_overrides={"tracks": pl.UInt32})
        paid = rule.pay(played, balances, age=night + 1)
        found[night] = paid.select(pl.col("tracks").dot(pl.col("weight").cast(pl.Int64))).item() / FULL / listeners
        balances = pl.concat([balances.join(paid, on="listener", how="anti"), paid.select(*BALANCES)])
    return found


def lost(rule: np.ndarray, free: np.ndarray, *, first: int, last: int = 0) -> float:
    """Return what share of the weights of some nights is lost by a rule."""
    return float(1 - rule[last:first].sum() / free[last:first].sum())


def lost_of_all(rule: np.ndarray, free: np.ndarray) -> float:
    """Return what share of everybody's weights is lost where listeners come and go; who is older loses nothing more."""
    ages = (1 - CHURN) ** (np.arange(len(free)) / WEEK)
    older = ages[-1] * (1 - CHURN) ** (1 / WEEK) / (1 - (1 - CHURN) ** (1 / WEEK))
    return float(1 - (ages @ rule + older * free[-WEEK:].mean()) / (ages @ free + older * free[-WEEK:].mean()))


class Weaker(Nights):
    """The released nights of a world in which all weights are smaller by a factor, with the noise of others."""

    def __init__(self, other: Nights, world: World, factor: float) -> None:
        self.__dict__ = dict(vars(other))
        self._world = replace(world, weights=world.weights * np.float32(factor))
        self._noisy = {}
        for row, noisy in vars(other)["_noisy"].items():
            at = [world.atlas.parts.index(part) for part in world.atlas.members.get(row, (row,))]
            less = np.rint((1 - factor) * world.weights[:, at].sum(axis=1))
            self._noisy[row] = noisy - less.astype(np.int32)


def found_shares(nights: Nights, world: World, *, memory: bool) -> np.ndarray:
    """Return by region the share found of the true top 20, by a chart with or without a memory."""
    known = remembered(world, nights) if memory else NOTHING
    released = nights.read(world.nights[-NIGHTS:])
    lists = by_place(
        charts.popular(released, atlas=world.atlas, settings=CHARTS, artists=world.artist_of(), memory=known)
    )
    rates, _ = world.true(NIGHTS)
    return np.array(
        [
            len({*largest(rates[i])}.intersection(tracks(lists[part])[:TOP])) / TOP
            for i, part in enumerate(world.atlas.parts)
        ]
    )


def print_weights() -> tuple[dict[str, float], dict[str, float]]:
    """Print what attacks and honest newcomers lose; return the factors on all weights, for good and in a first week."""
    attack = {name: added(rule, KINDS[0], nights=RAMP + WEEK, listeners=32) for name, rule in RULES.items()}
    print("one track every night: added in seven nights, accounts for the same, added when aged by four weeks")
    for name, weights in attack.items():
        new = weights[:WEEK].sum()
        print(f"  {name:12}{new:8.2f}{WEEK / max(new, 1e-9):8.2f}{weights[RAMP:].sum():8.2f}")
    print("lost in the first 4 and 8 weeks (in the first), and of all weights where 5 % a week are new")
    print(" " * 14 + "".join(f"{name:>26}" for name in list(RULES)[1:]))
    factors: dict[str, float] = {}
    first_week: dict[str, float] = {}
    for kind in KINDS:
        by = {name: added(rule, kind, nights=WEEKS * WEEK) for name, rule in RULES.items()}
        cells = ""
        for name in list(RULES)[1:]:
            one, free = by[name], by["as it is"]
            four, eight, first = (lost(one, free, first=weeks * WEEK) for weeks in (4, 8, 1))
            cells += f"{four:8.3f}{eight:6.3f} ({first:.2f}){lost_of_all(one, free):6.3f}"
            if kind == EVERY_NIGHT:
                factors[name], first_week[name] = 1 - lost_of_all(one, free), 1 - first
        print(f"  {NAMES[kind]:12}{cells}", flush=True)
    return factors, first_week


def print_found(worlds: int, random: np.random.Generator, cases: Mapping[str, tuple[float, bool]]) -> None:
    """Print what is found of the true top 20 by how much smaller weights are, and with or without a memory."""
    rows: dict[tuple[str, int], list[float]] = defaultdict(list)
    sizes: list[int] = []
    for _ in range(worlds):
        world = simulate(random)
        nights = Nights(world)
        sizes = sorted({*world.sizes.tolist()})
        for name, (factor, memory) in cases.items():
            found = found_shares(Weaker(nights, world, factor), world, memory=memory)
            for size, share in zip(world.sizes.tolist(), found.tolist(), strict=True):
                rows[name, size].append(share)
    print(f"\nfound of the true top 20, {worlds} worlds\n{'':34}" + "".join(f"{size:>23,}" for size in sizes))
    base: dict[bool, str] = {}
    for name, (factor, memory) in cases.items():
        base.setdefault(memory, name)
        cells = ""
        for size in sizes:
            here, there = np.array(rows[name, size]), np.array(rows[base[memory], size])
            error = (here - there).std(ddof=1) / np.sqrt(len(here))
            cells += f"{here.mean():8.3f} ({(here - there).mean():+.3f}±{error:.3f})"
        print(f"  {name:24}{factor:6.3f}  {cells}", flush=True)


def main() -> None:
    """Read the arguments and print everything."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("worlds", type=int, nargs="?", default=2)
    arguments.add_argument("--seed", type=int, default=20151)
    given = arguments.parse_args()
    factors, first_week = print_weights()
    cases = {"as it is": (1.0, True)} | {name: (factor, True) for name, factor in factors.items()}
    cases |= {"first week, as it is": (1.0, False)}
    cases |= {f"first week, {name}": (factor, False) for name, factor in first_week.items() if factor > 0}
    print_found(given.worlds, np.random.default_rng(given.seed), cases)


if __name__ == "__main__":
    main()
