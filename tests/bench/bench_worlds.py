"""Three sample worlds, from listens to lists: every model, and what nobody can beat who does not know the future.

Run it with ``python tests/bench/bench_worlds.py [SEED ...]`` (by default 20261, 2 and 3; about two minutes a seed).
Each world is written anew, goes through arrivals and cells as a night does, and is evaluated on its last five nights.
The limit is an oracle: it knows every listener's scene, activity, loyalty and genres, every track's popularity in every
scene and night, and the planted trends, and ranks by the expected plays. What listeners will come back to is chance:
``and favourites`` is the same oracle told the twelve favourites of everybody, played yet or not.
"""

import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from pipelines.base.job_context import JobContext, Sources
from pipelines.night.nightly import run_night
from pipelines.privacy.import_consents import import_consents
from pipelines.sample import nights as sample
from pipelines.sample import write_world
from pipelines.sample.listeners import FAVOURITE_SHARES
from pipelines.sample.tastes import probabilities
from recsys.arrivals.permission import still_allowed
from recsys.geography.atlas import countries
from recsys.models.evaluation.evaluation import evaluate
from recsys.models.evaluation.report_tables import MODELS
from recsys.models.interactions import Interactions, gather, heard_later, trained
from recsys.models.metrics import Lists, ndcg_at_10, rank
from recsys.settings import load_settings
from recsys.workspace import Workspace, listener_of

NIGHTS, TRACKS, LAST = 35, 2_000, date(2026, 10, 4)
SHOWN = ("ndcg_at_10", "macro_ndcg_at_10")
SERVED, TREND = "blend", "recent_region"
MIXED = ("regional", SERVED)


def main(seeds: list[int]) -> None:
    """Print a table for every world."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            compare(Path(folder), seed=seed)


def compare(folder: Path, *, seed: int) -> None:
    """Evaluate one world, and print every model beside the limits."""
    job = listened(folder, seed=seed)
    rows = still_allowed(job.store.scan(), permissions=job.permissions)
    found = evaluate(rows, settings=job.settings.models, parents=countries(job.atlas))
    table = {model: [found.metrics[f"{model}.{metric}"] for metric in SHOWN] for model in MODELS}
    served, trend = table[SERVED], table[TREND]
    single = max((model for model in MODELS if model not in MIXED), key=lambda model: table[model][1])
    table |= limits(rows, job=job, seed=seed)
    print(f"\nsample world, seed {seed}: {found.sizes['test_listeners']:,} test listeners\n  {'':24}", *SHOWN)
    for name, values in table.items():
        print(f"  {name:24}", *(f"{value:{len(metric)}.4f}" for value, metric in zip(values, SHOWN, strict=True)))
    print(f"  {SERVED} over the best single model ({single}), macro: {served[1] / table[single][1] - 1:+.1%}")
    mixed = table["regional"][1]
    print(f"  {SERVED} over regional, itself a mix of global and own scores, macro: {served[1] / mixed - 1:+.1%}")
    print(f"  {SERVED} over {TREND}: x {served[0] / trend[0]:.2f}, macro x {served[1] / trend[1]:.2f}")
    best = table["oracle of tastes"]
    print(f"  the oracle over {TREND}: x {best[0] / trend[0]:.2f}, macro x {best[1] / trend[1]:.2f}")


def listened(folder: Path, *, seed: int) -> JobContext:
    """Write a world and run its nights, up to the contributions."""
    settings = load_settings()
    atlas = JobContext(Workspace(folder / "none"), settings, _sources(folder), datetime.now(UTC)).atlas
    write_world(folder / "world", atlas=atlas, size=1.0, seed=seed, nights=NIGHTS, tracks=TRACKS, last_night=LAST)
    settings, now = load_settings(folder / "world" / "settings.toml"), datetime(2026, 10, 6, tzinfo=UTC)
    job = JobContext(Workspace(folder / "workspace").prepare(), settings, _sources(folder / "world"), now)
    import_consents(folder / "world" / "consents.parquet", workspace=job.workspace, settings=settings)
    for night in pl.date_range(LAST - timedelta(days=NIGHTS - 1), LAST, eager=True):
        run_night(job, night)
    return job


def limits(rows: pl.LazyFrame, *, job: JobContext, seed: int) -> dict[str, list[float]]:
    """Return what the oracles reach on the test nights."""
    settings, contributions = job.settings.models, trained(rows)
    test = contributions["night"].unique().sort()[-settings.test_nights]
    known = gather(contributions.filter(pl.col("night") < test), settings=settings)
    later = heard_later(contributions.filter(pl.col("night") >= test), known=known)
    world = sample.invent_world(job.atlas, size=1.0, seed=seed, nights=NIGHTS, tracks=TRACKS, last_night=LAST)
    expected = Oracle.of(world, known, key=job.listener_key, nights=settings.test_nights)
    oracles = {"oracle of tastes": expected, "and favourites": expected.told_favourites()}
    return {
        name: _mean_and_macro(rank(oracle, later=later, heard=known.confidence), known)
        for name, oracle in oracles.items()
    }


@dataclass(frozen=True)
class Oracle:
    """Ranks by the expected plays of n listeners and m tracks on the last nights of a world.

    Parameters
    ----------
    world : World
    who, column : ndarray of int
        (n,) the listeners as rows of the world, and (m,) the tracks likewise.
    liked : list of list of ndarray
        By night and scene: (GENRES, m) what is played of each genre.
    added : list of list of ndarray
        By night and scene: (m,) shares of listeners who play a track because of a planted trend.
    favourites : ndarray of int, optional
        (listeners of the world, FAVOURITES).
    """

    world: sample.World
    who: np.ndarray
    column: np.ndarray
    liked: list[list[np.ndarray]]
    added: list[list[np.ndarray]]
    favourites: np.ndarray | None = None

    @classmethod
    def of(cls, world: sample.World, known: Interactions, *, key: bytes, nights: int) -> "Oracle":
        """Find the known listeners and tracks in the world, and look up what the last nights will be like."""
        listeners = {listener_of(user, key=key): row for row, user in enumerate(world.listeners.user_ids)}
        tracks = {track: row for row, track in enumerate(world.tracks.catalogue["track_id"])}
        who = np.array([listeners[listener] for listener in known.listeners])
        column = np.array([tracks[track] for track in known.tracks])
        scenes, last = range(len(world.scenes)), range(world.nights - nights, world.nights)
        liked = [
            [probabilities(world.tracks, world.tastes, scene=scene, night=night)[:, column] for scene in scenes]
            for night in last
        ]
        added = [[_planted(world, scene=scene, night=night)[column] for scene in scenes] for night in last]
        return cls(world, who, column, liked, added)

    @property
    def nights(self) -> range:
        """The last nights, counted from the world's first."""
        return range(self.world.nights - len(self.liked), self.world.nights)

    def told_favourites(self) -> "Oracle":
        """Return an oracle that also knows everybody's favourites as they are when the first of the nights begins."""
        first = next(night for night in sample.play(self.world) if night.number == self.nights[0])
        return replace(self, favourites=first.favourites)

    def scores(self, listeners: np.ndarray) -> np.ndarray:
        """Return (len(listeners), m) expected plays."""
        found = np.zeros((len(listeners), len(self.column)), dtype=np.float32)
        for night, liked, added in zip(self.nights, self.liked, self.added, strict=True):
            genres, chance = sample.genres_tonight(self.world, night), sample.chance_to_listen(self.world, night)
            for row, user in enumerate(self.who[listeners]):
                scene = self.world.listeners.scene[user]
                found[row] += chance[user] * (self._fresh(user) * (genres[user] @ liked[scene]) + added[scene])
                found[row] += chance[user] * self._returning(user)
        return found

    def _fresh(self, user: int) -> float:
        who = self.world.listeners
        return float(who.plays[user] * (1 - who.loyalty[user]))

    def _returning(self, user: int) -> np.ndarray:
        plays, who = np.zeros(len(self.world.tracks.age)), self.world.listeners
        if self.favourites is not None:
            np.add.at(plays, self.favourites[user], who.plays[user] * who.loyalty[user] * FAVOURITE_SHARES)
        return plays[self.column]


def _planted(world: sample.World, *, scene: int, night: int) -> np.ndarray:
    shares = np.zeros(len(world.tracks.age))
    for trend in world.trends:
        shares[trend.track] += trend.share(night) if trend.scene == scene else 0
    return shares


def _mean_and_macro(lists: Lists, known: Interactions) -> list[float]:
    found, homes = ndcg_at_10(lists), known.homes[lists.listeners]
    by_part = [found[homes == part].mean() for part in np.unique(homes[homes >= 0])]
    return [float(found.mean()), float(np.mean(by_part))]


def _sources(world: Path) -> Sources:
    return Sources(world / "listens", world / "catalogue.parquet", None)


if __name__ == "__main__":
    main([int(seed) for seed in sys.argv[1:]] or [20261, 2, 3])
