"""Does local music keep its share where listeners follow their lists? 52 nights, with the setting and without.

Run it with ``PYTHONPATH=tests python tests/bench/bench_local_share.py [--size SIZE] [--nights NIGHTS] [--seed SEED]``.
The world is that of ``hearabouts sample``: 35 true nights, of a share of its listeners, all of whom allow everything.
On each simulated night the models are trained on the last 35 nights, and list ten tracks for every listener. The true
nights come again in their order: whoever is there plays what they played then, and beside it each of the ten tracks
with a chance of 0.3 / log2(1 + place), whatever it is. Tracks are followed for their place alone, a bit more than one a
night beside five plays, so nothing but the lists holds the share of what is followed. How to blend is learned once, on
the true nights, and so are the figures of accuracy, on the last five of them; who is local is what the catalogue says.

By country it prints the share of its own artists in what was played on the true nights, and in the lists of the first
and the last night, each the mean over its listeners, without and with ``local_share``; of lists also the share of what
is followed, which is that weighed by the chances of places. The bars: on the last night every country within 1 point of
what was played before, in both, and at most 1 % of NDCG at 10 lost.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from itertools import product
from typing import cast

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from pipelines.sample.nights import World, invent_world, play
from recsys.geography.atlas import Atlas, countries, load_atlas
from recsys.models.blending import Blend, BlendParameters
from recsys.models.collaborative import learn_and_train, train
from recsys.models.evaluation.intervals import paired
from recsys.models.interactions import IntArray, Interactions, gather, heard_later
from recsys.models.local_music import LocalMusic
from recsys.models.metrics import NOTHING, SHOWN, Values, ndcg_at_10, rank, top
from recsys.models.splitting import split_rows
from recsys.processes import mapping
from recsys.schemas import Contributions
from recsys.settings import ModelsSettings, load_settings
from recsys.weights import FULL

TRUE_NIGHTS, LAST = 35, date(2026, 10, 4)
FOLLOWED = 0.3  # chance to play the first track of a list on a night
WORLD_SEED = 20261
AT_ONCE = 500  # listeners whose scores are in memory together
BAR_POINTS, BAR_LOSS = 1.0, 0.01
CHANCES = FOLLOWED / np.log2(np.arange(2, SHOWN + 2))


@dataclass(frozen=True)
class Listening:
    """What was played on the true nights, and what is known of places and artists."""

    rows: pl.DataFrame = field(repr=False)
    parents: Mapping[str, str] = field(repr=False)
    origins: Mapping[str, str] = field(repr=False)

    def known(self, rows: pl.DataFrame, settings: ModelsSettings) -> Interactions:
        return gather(rows, settings=settings, parents=self.parents, origins=self.origins)


def listening(size: float, *, atlas: Atlas) -> Listening:
    world = invent_world(atlas, size=size, seed=WORLD_SEED, nights=TRUE_NIGHTS, tracks=2_000, last_night=LAST)
    catalogue = world.tracks.catalogue
    origins = dict(catalogue.select("track_id", "artist_country").iter_rows())
    return Listening(true_nights(world), countries(atlas), origins)


def true_nights(world: World) -> pl.DataFrame:
    """Return the plays of a world as contributions, of everybody and at home."""
    who, tracks = world.listeners, world.tracks.catalogue["track_id"]
    homes = pl.Series([who.parts[part] for part in who.part[:, 0]])
    nights = [
        pl.DataFrame(
            {"listener": who.user_ids.gather(n.listener), "part": homes.gather(n.listener), "track_id": tracks[n.track]}
        ).with_columns(night=pl.lit(n.day))
        for n in play(world)
    ]
    return contributed(pl.concat(nights))


def contributed(plays: pl.DataFrame) -> pl.DataFrame:
    """Return plays, a row each, as contributions."""
    counted = plays.group_by("listener", "night", "part", "track_id").agg(plays=pl.len())
    types = {name: column.dtype for name, column in Contributions.columns().items()}
    return counted.with_columns(weight=pl.lit(FULL), trained=pl.lit(True), partner_part=pl.lit(None)).select(
        pl.col(name).cast(kind) for name, kind in types.items()
    )


def simulated(
    settings: ModelsSettings, *, world: Listening, parameters: BlendParameters, nights: int, seed: int
) -> pl.DataFrame:
    """Return ``night, country, listeners, played, listed, followed`` of every simulated night: means over listeners."""
    rng, rows, told, before = np.random.default_rng(seed), world.rows, [], played_before(world, settings)
    for number in range(1, nights + 1):
        tonight = LAST + timedelta(days=number)
        window = rows.filter(pl.col("night") >= tonight - timedelta(days=TRUE_NIGHTS))
        known = world.known(window, settings)
        models = train(known, parameters=parameters, settings=settings, threads=1)
        lists = listed(cast(Blend, models["blend"]), known)
        told.append(shares(known, lists, before=before).with_columns(night=pl.lit(number)))
        usual = usual_plays(world.rows, number)
        rows = pl.concat([rows, usual, followed(usual, known, lists, tonight, rng)])
    return pl.concat(told).filter(pl.col("listeners") >= settings.min_listeners_in_table)


def played_before(world: Listening, settings: ModelsSettings) -> pl.DataFrame:
    """Return ``listener, played``: the share of local tracks in what each who is at home played on the true nights."""
    known = world.known(world.rows, settings)
    local, everybody = cast(LocalMusic, LocalMusic.of(known)), np.arange(known.shape[0])
    played = local.shares_played(known.confidence, everybody)
    has_artists = local.tracks.any(axis=1)[local.country]
    return pl.DataFrame({"listener": known.listeners, "played": played}).filter(pl.Series(has_artists))


def listed(served: Blend, known: Interactions) -> IntArray:
    """Return (n, 10) the best unheard tracks of everybody."""
    lists = []
    for some in np.array_split(np.arange(known.shape[0]), known.shape[0] // AT_ONCE + 1):
        heard = known.confidence[some].toarray() != 0
        lists.append(top(np.where(heard, np.float32(-np.inf), served.scores(some)), SHOWN))
    return np.concatenate(lists)


def shares(known: Interactions, lists: IntArray, *, before: pl.DataFrame) -> pl.DataFrame:
    """Return by country what was played on the true nights, and what is listed now, of who is there both times."""
    local = cast(LocalMusic, LocalMusic.of(known))
    share = local.shares_listed(lists, np.arange(known.shape[0]))
    there = lists != NOTHING
    chances = (local.tracks[local.country[:, None], lists] & there) @ CHANCES
    now = pl.DataFrame(
        {
            "listener": known.listeners,
            "country": [local.countries[number] for number in local.country],
            "listed": share,
            "followed": chances / np.maximum(there @ CHANCES, CHANCES[-1]),
        }
    )
    by_country = now.join(before, on="listener").group_by("country")
    return by_country.agg(pl.len().alias("listeners"), pl.col("played", "listed", "followed").mean()).sort("country")


def usual_plays(rows: pl.DataFrame, number: int) -> pl.DataFrame:
    """Return the contributions of a true night as of a simulated one: all 35 are in what models are trained on."""
    again = LAST - timedelta(days=TRUE_NIGHTS - 1 - (number - 1) % TRUE_NIGHTS)
    return rows.filter(night=again).with_columns(night=pl.lit(LAST + timedelta(days=number)))


def followed(
    usual: pl.DataFrame, known: Interactions, lists: IntArray, tonight: date, rng: np.random.Generator
) -> pl.DataFrame:
    """Return what those who are there tonight play of their lists."""
    there = usual.unique("listener").sort("listener").select("listener", "part")
    row = pl.DataFrame({"listener": known.listeners, "row": np.arange(known.shape[0])})
    there = there.join(row, on="listener", maintain_order="left")
    listener, place = np.nonzero(rng.random((there.height, SHOWN)) < CHANCES)
    column = lists[there["row"].to_numpy()[listener], place]
    plays = there.select("listener", "part")[listener].with_columns(track_id=known.tracks.gather(column))
    return contributed(plays.with_columns(night=pl.lit(tonight)))


def print_shares(sides: Mapping[str, pl.DataFrame], *, nights: int) -> None:
    """Print the shares by country, and by how many points listed and followed differ from what was played before."""
    asked = [(name, night) for name in sides for night in (1, nights)]
    print("| country | listeners | played before |" + "".join(f" {name}, night {night} |" for name, night in asked))
    print("| --- |" + " ---: |" * (2 + len(asked)))
    tables = [sides[name].filter(night=night).sort("country") for name, night in asked]
    for rows in zip(*(table.iter_rows(named=True) for table in tables), strict=True):
        first = rows[0]
        off = ([100 * (row[share] - row["played"]) for share in ("listed", "followed")] for row in rows)
        cells = (f"{row['listed']:.1%} ({by[0]:+.2f}, {by[1]:+.2f})" for row, by in zip(rows, off, strict=True))
        print(f"| {first['country']} | {first['listeners']:,} | {first['played']:.1%} | " + " | ".join(cells) + " |")


def print_bars(sides: Mapping[str, pl.DataFrame], *, nights: int) -> None:
    """Print the largest difference of any country, on the last night and on any."""
    for (name, side), share in product(sides.items(), ("listed", "followed")):
        gap = 100 * (pl.col(share) - pl.col("played")).abs().max()
        last, ever = side.filter(night=nights).select(gap).item(), side.select(gap).item()
        told = f"at most {last:.2f} points on night {nights}, {ever:.2f} on any"
        print(f"{name}, {share}: {told}; the bar is {BAR_POINTS:.0f}")


def print_accuracy(values: Mapping[str, Values], homes: IntArray) -> None:
    """Print what is lost on the true test nights, over listeners and over regions, with paired 95 % intervals."""
    for what, strata in (("NDCG at 10", None), ("macro NDCG at 10", homes)):
        gain = paired((values["on"] - values["off"])[:, None], strata)[0]
        was = paired(values["off"][:, None], strata)[0].mean
        mean, low, high = (each / was for each in (gain.mean, gain.low, gain.high))
        told = f"{was:.4f} off, {mean:+.2%} on ({low:+.2%} to {high:+.2%})"
        print(f"{what}: {told}; the bar is {-BAR_LOSS:.0%}", flush=True)


def main() -> None:
    """Read the arguments and print the tables."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", type=float, default=0.4, help="of the sample world's listeners")
    arguments.add_argument("--nights", type=int, default=52)
    arguments.add_argument("--seed", type=int, default=20151, help="of who follows which tracks")
    given, start = arguments.parse_args(), time.perf_counter()
    settings = load_settings().models
    world = listening(given.size, atlas=load_atlas(load_settings().atlas))
    print(f"{world.rows['listener'].n_unique():,} listeners, seed {given.seed}", flush=True)
    with threadpool_limits(1, "blas"):
        measure(world, given=given, on=settings.model_copy(update={"local_share": True}))
    print(f"{time.perf_counter() - start:.0f} s")


def measure(world: Listening, *, given: argparse.Namespace, on: ModelsSettings) -> None:
    cut = split_rows(world.rows, settings=on)
    if cut is None:
        raise SystemExit("there are too few nights")
    learned = learn_and_train(cut.train, cut.validation, settings=on, parents=world.parents, origins=world.origins)
    known, served = learned.known, cast(Blend, learned.models["blend"])
    later = heard_later(cut.test, known=known)
    sides = {"off": replace(served, offsets=None), "on": served}
    lists = {name: rank(side, later=later, heard=known.confidence) for name, side in sides.items()}
    values = {name: ndcg_at_10(side) for name, side in lists.items()}
    print_accuracy(values, known.homes[lists["on"].listeners])
    settings = {name: on.model_copy(update={"local_share": name == "on"}) for name in sides}
    arm = partial(simulated, world=world, parameters=learned.parameters, nights=given.nights, seed=given.seed)
    with mapping(arm, workers=len(settings)) as both:
        told = dict(zip(settings, both(settings.values()), strict=True))
    print_shares(told, nights=given.nights)
    print_bars(told, nights=given.nights)


if __name__ == "__main__":
    main()
