"""Newcomers, measured: the smallest breakout that is seen within three nights, against other ways to find it.

Run it with ``PYTHONPATH=tests python tests/bench/bench_candidates.py [WORLDS]`` (by default 1,000 worlds a figure).

A breakout is a track that nobody heard before; from one night on a share of one region's daily listeners plays it once
a night, and nobody elsewhere does. A listener plays 15 every night, the rest Zipf 1 over the catalogue, and adds to
each what :func:`recsys.cells.earnings.pay` leaves in the steady state. *Selected*: the breakout stood out of the noise
on one of the first two nights. *Seen*: on the second or the third night its counts since then, as a candidate and
without the one that it was selected by, are significant among all of the region's newcomers of these nights at a false
discovery rate of 10 % (Benjamini and Hochberg). All other newcomers are taken to be noise, which makes it hardest.

The peer is a private selection from the whole catalogue: k tracks by one-shot Gumbel noise (D. Durfee, R. Rogers,
"Practical Differentially Private Top-k Selection with Pay-what-you-get Composition", NeurIPS 2019), each of which costs
eps0²/8 of zCDP budget for counts, which only grow with a listener (J. Dong, D. Durfee, R. Rogers, "Optimal Differential
Privacy Composition for Exponential Mechanisms", ICML 2020): noise of scale sqrt(k / (8 rho)), and a main release that
has so much less. It finds at most k breakouts a night.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from scipy.stats import norm
from support.releasing import contributed, everywhere, released, small_atlas
from support.simulated_worlds import steady_weight

from recsys.geography.atlas import Atlas
from recsys.geography.places import Place
from recsys.releases.counts.noise import discrete_gaussian
from recsys.releases.counts.release_reader import ReleaseReader
from recsys.settings import load_settings

SEED = 20_261_123
SETTINGS = load_settings()
LISTENERS, CATALOGUES = (300, 1_000, 3_000, 10_000), (20_000, 1_000_000)
PLAYS, NIGHTS, RATE, WANTED = 15, 3, 0.1, 0.9
MOST = SETTINGS.privacy.most_per_night
RHO = SETTINGS.privacy.rho_per_night
PART = RHO * (1 - SETTINGS.privacy.country_share - SETTINGS.privacy.world_share)
SIGMA_SQUARED = {"part": MOST / (2 * PART)} | {
    tier: MOST / (2 * RHO * share)
    for tier, share in (("country", SETTINGS.privacy.country_share), ("world", SETTINGS.privacy.world_share))
}


@dataclass(frozen=True)
class Way:
    """A way to find newcomers.

    Parameters
    ----------
    selects : callable
        Given counts of the breakout (worlds, nights) and a generator, tell on which nights it is selected.
    others : float
        How many other tracks are selected a night.
    sigma_squared : float
        Of the noise in the counts of candidates.
    """

    selects: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    others: float
    sigma_squared: float = SIGMA_SQUARED["part"]


def standing_out(tracks: int, newcomers: float, *, pooled: bool = True) -> Way:
    """What the release does: a count above the noise, pooled with what the country and the world count of it."""
    variances = list(SIGMA_SQUARED.values()) if pooled else [SIGMA_SQUARED["part"]]
    deviations = norm.isf(newcomers / (tracks - SETTINGS.candidates.core))
    weights = np.array([1 / variance for variance in variances])

    def selects(true: np.ndarray, random: np.random.Generator) -> np.ndarray:
        noisy = np.stack([true + noise(true.shape, variance) for variance in variances])
        return np.tensordot(weights, noisy, 1) / np.sqrt(weights.sum()) > deviations

    return Way(selects, newcomers)


def gumbel(tracks: int, k: int, share: float) -> Way:
    """One-shot Gumbel top-k of the tracks that are no candidates, from a share of the part's budget."""
    scale = (k / (8 * PART * share)) ** 0.5

    def selects(true: np.ndarray, random: np.random.Generator) -> np.ndarray:
        # The k-th largest of n Gumbel variables is the logarithm of n over a sum of k exponential ones (Rényi).
        others = np.log((tracks - SETTINGS.candidates.core) / random.exponential(size=(*true.shape, k)).sum(axis=-1))
        return true + scale * random.gumbel(size=true.shape) > scale * others

    return Way(selects, k, SIGMA_SQUARED["part"] / (1 - share))


def found(share: float, way: Way, *, listeners: int, tracks: int, worlds: int) -> tuple[float, float]:
    """Return the shares of worlds in which a breakout is selected, and seen."""
    random = np.random.default_rng(SEED)
    fans = np.full((worlds, NIGHTS), round(share * listeners))
    true = np.rint(fans * weight_of(tracks)).astype(int)
    selected = way.selects(true, random)[:, : NIGHTS - 1]
    since = np.where(selected.any(axis=1), selected.argmax(axis=1) + 1, NIGHTS)  # the first night as a candidate
    noisy, seen = true + noise(true.shape, way.sigma_squared), np.zeros(worlds, dtype=bool)
    others = random.poisson(way.others, size=(worlds, NIGHTS - 1))
    for world in range(worlds):
        looks = range(since[world] + 1, NIGHTS + 1)
        seen[world] = any(significant(noisy[world], others[world], since[world], look, way, random) for look in looks)
    return float(selected.any(axis=1).mean()), float(seen.mean())


def significant(
    noisy: np.ndarray, others: np.ndarray, since: int, look: int, way: Way, random: np.random.Generator
) -> bool:
    """Tell whether the breakout is among the discoveries after so many nights; others' p values are uniform."""
    nights = look - since
    if nights > 1 and noisy[since] < 0:
        return False  # it failed on its first night as a candidate, and was not counted further
    own = norm.sf(noisy[since:look].sum() / np.sqrt(nights * way.sigma_squared))
    null = random.random(int(others[: look - 1].sum()))
    p = np.sort([*null[null < RATE], own])
    limits = RATE * np.arange(1, len(p) + 1) / (len(null) + 1)
    passed = np.flatnonzero(p <= limits)
    return bool(len(passed) and own <= p[passed[-1]])


def smallest(way: Way, *, listeners: int, tracks: int, worlds: int, which: int = 1) -> float:
    """Return the smallest share that is selected (0) or seen (1) in nine of ten worlds; above 1 if there is none."""
    low, high = 0, listeners + 1
    while high - low > max(1, listeners // 1_000):
        middle = (low + high) // 2
        enough = found(middle / listeners, way, listeners=listeners, tracks=tracks, worlds=worlds)[which] >= WANTED
        low, high = (low, middle) if enough else (middle, high)
    return high / listeners


@cache
def weight_of(tracks: int) -> float:
    """Return what a listener's one play of the breakout weighs."""
    zipf = np.cumsum(1 / np.arange(1, tracks + 1))
    plays = np.searchsorted(zipf / zipf[-1], np.random.default_rng(SEED).random((5_000, PLAYS - 1)))
    return steady_weight(1 + np.array([len(set(row)) for row in plays.tolist()]))


def noise(shape: tuple[int, ...], sigma_squared: float) -> np.ndarray:
    """Draw what a release draws."""
    return discrete_gaussian(int(np.prod(shape)), sigma_squared=sigma_squared).reshape(shape)


def described(share: float) -> str:
    return f"{100 * share:7.1f} %" if share <= 1 else "    none "


def by_size(worlds: int) -> None:
    """Print the smallest breakouts by region and catalogue."""
    newcomers = SETTINGS.candidates.newcomers
    print(f"smallest breakout, in % of a region's daily listeners (and listeners), {newcomers:.0f} newcomers a night;")
    print("own noise: without pooling with larger places; limit: of any test of the same noisy counts")
    print(f"{'tracks':>9} {'listeners':>9} {'weight':>8} {'selected':>10} {'seen':>20}  {'own noise':>10} {'limit':>9}")
    for tracks in CATALOGUES:
        for listeners in LISTENERS:
            size = {"listeners": listeners, "tracks": tracks, "worlds": worlds}
            way = standing_out(tracks, newcomers)
            selected, seen = (smallest(way, **size, which=which) for which in (0, 1))
            alone = smallest(standing_out(tracks, newcomers, pooled=False), **size)
            shares = f"{described(selected)} {described(seen)} ({seen * listeners:7.0f}) {described(alone)}"
            least = described(limit(tracks) / weight_of(tracks) / listeners)
            print(f"{tracks:9,} {listeners:9,} {weight_of(tracks):8.2f} {shares} {least}")


def limit(tracks: int) -> float:
    """Return the counted listeners below which no test of the same noisy counts sees a lone breakout that often.

    Neyman and Pearson's, of the pooled sum of all three nights, at the level that one discovery among all tracks that
    are no candidates needs. It would take all noisy counts of three nights to be kept, a gigabyte of them here.
    """
    sigma = sum(1 / variance for variance in SIGMA_SQUARED.values()) ** -0.5
    return float(sigma * (norm.isf(RATE / (tracks - SETTINGS.candidates.core)) + norm.ppf(WANTED)) / NIGHTS**0.5)


def by_newcomers(worlds: int) -> None:
    """Print what the number of newcomers changes, and what it costs."""
    print(
        "by newcomers a night, 1,000 daily listeners: seen, and counts written a place and night (trial: three nights)"
    )
    for newcomers in (10, 30, 100, 300, 1_000, 3_000):
        line = f"{newcomers:9,}"
        for tracks in CATALOGUES:
            way = standing_out(tracks, newcomers)
            line += f" {tracks:9,}: {described(smallest(way, listeners=1_000, tracks=tracks, worlds=worlds))}"
        counts = newcomers * (
            1 + 1 + 1 / 2 + 3 / 8
        )  # the one that selects; then while not below zero, as a random walk
        print(f"{line}  {counts:8,.0f} counts, {counts / SETTINGS.candidates.core:5.0%} of the core")


def by_peer(worlds: int) -> None:
    """Print other ways to find newcomers, for 1,000 daily listeners."""
    print("against one-shot Gumbel top-k, 1,000 daily listeners: seen (and sigma of the main release over ours)")
    for share in (0.1, 0.2, 0.4):
        for k in (1, 5, 20):
            line = f"  {share:4.0%} of the budget, k = {k:2}"
            for tracks in CATALOGUES:
                way = gumbel(tracks, k, share)
                line += f" {tracks:9,}: {described(smallest(way, listeners=1_000, tracks=tracks, worlds=worlds))}"
            print(f"{line}  (sigma x {1 / (1 - share) ** 0.5:.2f})")
    print(
        "  waiting until a track is a candidate by its release date or by being large elsewhere: never, in one region"
    )


def cost(parts: int, countries: int, tracks: int) -> None:
    """Print time, memory and size of a release, in a process of its own."""
    child = multiprocessing.get_context("fork").Process(target=_release, args=(parts, countries, tracks))
    child.start()
    child.join()


def _release(parts: int, countries: int, tracks: int) -> None:
    atlas, names = wide_atlas(parts, countries), [f"track-{i:07}" for i in range(tracks)]
    candidates = everywhere(names[: SETTINGS.candidates.core], among=names, newcomers=SETTINGS.candidates.newcomers)
    random = np.random.default_rng(SEED)
    some = {
        part: np.unique(random.integers(SETTINGS.candidates.core, tracks, 500)).astype(np.int32) for part in atlas.parts
    }
    larger = {place: parts for place, parts in atlas.members.items() if len(parts) > 1}
    some |= {place: np.unique(np.concatenate([some[part] for part in parts])) for place, parts in larger.items()}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        contributions = wide_contributions(atlas.parts, names)
        path = released(
            contributions,
            Path(folder),
            candidates=replace(candidates, extra=some),
            atlas=atlas,
            settings=SETTINGS.privacy,
        )
        seconds, memory = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        size, start = (path / "counts.parquet").stat().st_size, time.perf_counter()
        reader = ReleaseReader(path.parent)
        counts = len(reader.read(reader.nights()).positions)
        read = time.perf_counter() - start
    print(
        f"release of {parts:,} parts x {tracks:,} tracks, 500 candidates of each part's own: {seconds:.1f} s, "
        f"{memory / 1e6:.2f} GB, {size / 1e6:.1f} MB; reading its {counts:,} counts {read:.2f} s"
    )


def wide_contributions(parts: tuple[str, ...], names: list[str]) -> pl.LazyFrame:
    """A thousand listeners with a track each."""
    return contributed((f"l{i}", parts[i % len(parts)], names[i]) for i in range(1_000))


def wide_atlas(parts: int, countries: int) -> Atlas:
    """An atlas of so many parts: regions, countries' remainders and the world's."""
    atlas = small_atlas()
    ids = [f"C{i:03}" for i in range(countries)]
    places = {"world": atlas.places["world"]} | {c: Place(c, "", c, "country", "world", 0, 0, 0) for c in ids}
    regions = [f"8{i:06x}" for i in range(parts - countries - 1)]
    places |= {region: Place(region, "", "", "region", ids[i % countries], 0, 0, 0) for i, region in enumerate(regions)}
    return replace(atlas, places=places)


def main(worlds: int) -> None:
    """Print all tables."""
    print(f"seed {SEED}, {worlds} worlds a figure; sigma {SIGMA_SQUARED['part'] ** 0.5:.1f} in a part")
    for table in (by_size, by_newcomers, by_peer):
        table(worlds)
    cost(171, 10, 1_000_000)
    cost(11_593, 200, 20_000)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
