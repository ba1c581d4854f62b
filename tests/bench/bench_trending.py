"""A listener's own list, measured: is its order better than the charts', and what does it cost a request?

Run it with ``PYTHONPATH=tests python tests/bench/bench_trending.py WORKSPACE``: a finished workspace of the sample
world, which is only read. Everything is learned from all but the last five nights, the orders on the last nights of
those; what listeners play for the first time on the last five nights is what a list should begin with. Lists hold what
the listener has not played; a track that no list can hold counts as missed.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from support.ordering import put_in_order
from support.sealing import sealed_in
from threadpoolctl import threadpool_limits

from pipelines.base.job_context import JobContext, Sources
from pipelines.night.nightly import _draw, _past_charts
from pipelines.night.personal_lists import Past, _homes, affinities_of, examples_of
from recsys.artifacts.affinities import BLANK, Affinities, open_affinities, write
from recsys.artifacts.scoring import evidence_for
from recsys.artifacts.standings import LESS, MORE, standings_near, standings_of
from recsys.geography.atlas import Atlas, countries
from recsys.geography.places import WORLD
from recsys.models.affinity import Examples
from recsys.models.evaluation.baselines import RecentRegion
from recsys.models.interactions import Interactions, gather, heard_later, nights
from recsys.models.metrics import ndcg_at_10, ndcg_of_candidates, rank, without
from recsys.serving.lists.personal_items import BECAUSE
from recsys.serving.lists.trending import around_of
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.settings import load_settings
from recsys.workspace import Workspace

SAMPLE = Path(__file__).parents[2] / "data/sample"
TEST_NIGHTS = 5


def main(folder: Path) -> None:
    """Print both tables."""
    settings = load_settings(SAMPLE / "settings.toml")
    sources = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet")
    job = JobContext(Workspace(folder), settings, sources, datetime.now(UTC))
    with threadpool_limits(1, "blas"):
        affinities, worth = quality(job)
    show(worth)
    faithfulness(affinities, published=open_published(Workspace(folder)))
    about_here(affinities, published=open_published(Workspace(folder)))
    with tempfile.TemporaryDirectory() as scratch:
        speed(affinities, workspace=Workspace(folder), scratch=Workspace(Path(scratch)).prepare())


def quality(job: JobContext) -> tuple[Affinities, dict[str, NDArray[np.float64]]]:
    """Return what is learned before the test nights, and NDCG at 10 of every order and test listener."""
    atlas, settings = job.atlas, job.settings
    rows = job.store.scan().filter("trained").collect()
    first = nights(rows)[-TEST_NIGHTS]
    before, after = rows.filter(pl.col("night") < first), rows.filter(pl.col("night") >= first)
    past = Past(before, _past_charts(job).lists, [night for night in job.releases.nights() if night < first])
    lines = _draw(job)(past.released).lines
    started = time.perf_counter()
    affinities = affinities_of(past, lines=lines, atlas=atlas, settings=settings)
    print(f"learned in {time.perf_counter() - started:.1f} s: {affinities.orders}; {affinities.columns.shape} rows")
    known = gather(before, settings=settings.models, parents=countries(atlas))
    examples = examples_of(affinities, known, later=after, lines=lines, atlas=atlas, learners=sys.maxsize)
    recent = rank(RecentRegion.fit(known), later=heard_later(after, known=known), heard=known.confidence)
    orders = {
        "popular chart": (1, 0, 0, 0, 0),
        "cold order": affinities.orders.cold,
        "personal order": affinities.orders.personal,
    }
    worth = {"recent popular region": ndcg_at_10(recent)} | {name: examples.ndcg(o) for name, o in orders.items()}
    worth["near home"] = near_home(examples, affinities, known, later=after, lines=lines, atlas=atlas)
    return affinities, worth


def near_home(
    examples: Examples,
    affinities: Affinities,
    known: Interactions,
    *,
    later: pl.DataFrame,
    lines: pl.DataFrame,
    atlas: Atlas,
) -> NDArray[np.float64]:
    """Return NDCG at 10 of the personal order as it is near a listener's home, where it keeps to what is sure there."""
    sure: dict[str, dict[str, int]] = {}
    for (place, chart), rows in lines.partition_by("place", "chart", as_dict=True).items():
        items = [line | {"lift_interval": bounds(line)} for line in rows.iter_rows(named=True)]
        here = sure.setdefault(str(place), {})
        here.update({t: here.get(t, 0) | standing for t, standing in standings_of(str(chart), items).items()})
    listed = dict(lines.filter(chart="popular").group_by("place").agg("track_id").iter_rows())
    home = _homes(known, affinities=affinities, lines=lines, atlas=atlas)

    @cache
    def near(at: int) -> NDArray[np.int32]:
        place = WORLD if at < 0 else atlas.place_of(known.parts[at])
        own = set(listed.get(place, ()))

        def of(other: str, track: str) -> int | None:
            return sure.get(other, {}).get(track, 0 if other != place or track in own else None)

        return standings_near(home(at).candidates.tracks, list(atlas.chain(place)), known=of)

    rows = np.flatnonzero(np.diff(without(heard_later(later, known=known), known.confidence).indptr))
    scores = np.zeros(examples.unheard.shape, dtype=np.float32)
    for number, at in enumerate(known.homes[rows].tolist()):
        standings = near(at)
        evidence = examples.evidence[number, : len(standings)]
        order, _ = put_in_order(evidence, affinities.orders.personal, standings=standings)
        scores[number, order] = -np.arange(len(order))
    return ndcg_of_candidates(scores, there=examples.unheard, played=examples.played, relevant=examples.relevant)


def bounds(line: Mapping[str, float]) -> dict[str, float]:
    """Return the interval of a lift as it is published."""
    return {"low": round(line["lift_low"], 2), "high": round(line["lift_high"], 2)}


def show(worth: dict[str, NDArray[np.float64]]) -> None:
    """Print the means, and how far each is from the others."""
    rng, number = np.random.default_rng(1), len(next(iter(worth.values())))
    weights = rng.multinomial(number, np.full(number, 1 / number), size=1000) / number
    print(f"{number:,} test listeners, NDCG@10 on unheard tracks; differences with 95 % intervals, paired bootstrap")
    for name, values in worth.items():
        print(f"  {name:22} {values.mean():.4f}")
    for name, against in [
        ("cold order", "popular chart"),
        ("personal order", "popular chart"),
        ("personal order", "recent popular region"),
        ("personal order", "cold order"),
        ("near home", "personal order"),
    ]:
        difference = worth[name] - worth[against]
        low, high = np.quantile(weights @ difference, [0.025, 0.975])
        ratio = worth[name].mean() / worth[against].mean()
        print(f"  {name} - {against}: {difference.mean():+.4f} [{low:+.4f}, {high:+.4f}], times {ratio:.2f}")


def speed(affinities: Affinities, *, workspace: Workspace, scratch: Workspace) -> None:
    """Print what finding a row and ranking cost, against decoding the chart's JSON."""
    write(sealed_in(scratch.private), affinities)
    mapped, published = open_affinities(sealed_in(scratch.private)), open_published(workspace)
    place = next(place for place in published.places.values() if place.level == "region" and place.served)
    candidates = around_of(place, published=published).candidates
    columns = mapped.columns_of(published.tracks)[candidates.tracks]
    listeners = [
        bytes(listener).ljust(16, b"\0").hex() for listener in mapped.listeners[:: len(mapped.listeners) // 999]
    ]
    text = json.dumps(published.items(place.id, chart="popular"))
    weights = mapped.orders.personal

    def ranked(listener: str) -> None:
        put_in_order(evidence_for(candidates, columns=columns, row=mapped.row(listener)), weights)

    decoding = median(lambda _: json.loads(text), listeners)
    print(f"medians over {len(listeners)} listeners, {len(candidates.tracks)} candidates, warm file:")
    for name, call in {"find the row": mapped.row, "find the row and rank": ranked}.items():
        spent = median(call, listeners)
        print(f"  {name:22} {spent:7.1f} us, {spent / decoding:.2f} of decoding a chart's JSON ({decoding:.1f} us)")


def faithfulness(affinities: Affinities, *, published: Published) -> None:
    """Print how often an item's rank changes when the evidence that its reason states is taken away, by reason."""
    served = [place for place in published.places.values() if place.served][::9]
    held = {name: [0, 0] for name in BECAUSE}
    for place in served:
        candidates = around_of(place, published=published).candidates
        columns = affinities.columns_of(published.tracks)[candidates.tracks]
        for listener in listeners_of(affinities, number=100):
            row, weights = (
                (affinities.row(listener), affinities.orders.personal) if listener else (BLANK, affinities.orders.cold)
            )
            evidence = evidence_for(candidates, columns=columns, row=row)
            order, reasons = put_in_order(evidence, weights)
            for stands, at in enumerate(order[:50].tolist()):
                kept, evidence[at, reasons[stands]] = evidence[at, reasons[stands]], 0
                moved = put_in_order(evidence, weights)[0][stands] != at
                evidence[at, reasons[stands]] = kept
                held[BECAUSE[reasons[stands]]][0] += moved
                held[BECAUSE[reasons[stands]]][1] += 1
    tried = sum(number for _, number in held.values())
    print(f"without the stated evidence the rank is another, first 50 items, {len(served)} places x 100 listeners:")
    for name, (moved, number) in held.items():
        print(f"  {name:22} {moved / max(number, 1):7.1%} of {number:,}")
    print(f"  {'all':22} {sum(moved for moved, _ in held.values()) / tried:7.1%} of {tried:,}")


def about_here(affinities: Affinities, *, published: Published) -> None:
    """Print what the first ten lines near a place are, for listeners wherever they are at home."""
    columns_of, rows = affinities.columns_of(published.tracks), []
    for place in [place for place in published.places.values() if place.served and place.level == "region"]:
        lists = around_of(place, published=published).lists[0]
        there = int(((lists.standings & MORE) > 0).sum())
        for listener in listeners_of(affinities, number=20 if place.name != "Lisbon" else 1000):
            row = affinities.row(listener) if listener else BLANK
            weights = affinities.orders.personal if row.known else affinities.orders.cold
            evidence = evidence_for(lists.candidates, columns=columns_of[lists.candidates.tracks], row=row)
            order, why = put_in_order(evidence, weights, standings=lists.standings, limit=10)
            more, less = (int(((lists.standings[order] & bit) > 0).sum()) for bit in (MORE, LESS))
            before = put_in_order(evidence, weights, limit=10)[0]
            rows.append(
                (
                    place.name == "Lisbon",
                    min(there, 4),
                    more,
                    less,
                    int(((lists.standings[before] & LESS) > 0).sum()),
                    *why,
                )
            )
    for name, some in (("all places", rows), ("Lisbon", [row for row in rows if row[0]])):
        table = np.array(some)
        more, kept = table[:, 2].mean(), (table[:, 2] >= table[:, 1]).mean()
        less, before = table[:, 3].mean() / 10, table[:, 4].mean() / 10
        print(
            f"near {name}, first ten of {len(table):,} lists: surely more there {more:.1f}, as promised in {kept:.1%};"
        )
        print(f"  surely less there {less:.1%} of lines, by the scores alone {before:.1%}; reasons:")
        print("  " + ", ".join(f"{because} {(table[:, 5:] == at).mean():.1%}" for at, because in enumerate(BECAUSE)))


def listeners_of(affinities: Affinities, *, number: int) -> list[str]:
    """Return some listeners, evenly out of all, and nobody once, who stands for all of whom nothing is known."""
    some = affinities.listeners[:: len(affinities.listeners) // (number - 1)][: number - 1]
    return ["", *(bytes(listener).ljust(16, b"\0").hex() for listener in some)]


def median(call: Callable[[str], object], listeners: list[str]) -> float:
    """Return the median microseconds of a call."""
    spent = []
    for listener in listeners:
        start = time.perf_counter()
        call(listener)
        spent.append(time.perf_counter() - start)
    return float(np.median(spent)) * 1e6


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Name a finished workspace of the sample world; `hearabouts nightly` makes one.")
    main(Path(sys.argv[1]))
