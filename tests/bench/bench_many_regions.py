"""Two thousand regions in one job: what they cost beside the world's model, in seconds and in memory.

Run it with ``python tests/bench/bench_many_regions.py [LISTENERS]`` (by default 20,000 simulated listeners, a hundred
in each region; 200,000 make 2,000 regions of 20,000 tracks). The regions are fitted side by side on all cores, and
nothing but the tracks' side of a model is kept of each. The bar: they cost no more than the world's model.
"""

import resource
import sys
import time

import numpy as np
import polars as pl

from recsys.models.interactions import Interactions, gather
from recsys.models.regional import Fitted, fit
from recsys.schemas import Contributions
from recsys.settings import ModelsSettings, load_settings
from recsys.weights import FULL

RESIDENTS = 100  # of a region
PLAYS = 40  # of a listener, on the average


def main(listeners: int) -> None:
    """Print seconds, their ratio and the peak of memory, for either engine."""
    tracks = max(2000, listeners // 10)
    base = load_settings().models
    for engine in ("als", "ease"):
        settings = base.model_copy(
            update={"engine": engine, "both_engines": False, "factors": 64, "min_listeners_per_region": 50}
        )
        known = gather(simulated(listeners, tracks=tracks), settings=settings)
        gigabytes = known.shape[1] ** 2 * 4 / 1e9
        if engine == "ease" and gigabytes > 1:
            print(f"ease: left out, the world's model of {known.shape[1]:,} tracks would take {gigabytes:.1f} GB")
            continue
        before = peak()
        alone, _ = timed(known, settings.model_copy(update={"min_listeners_per_region": 10**9}))
        together, both = timed(known, settings)
        regions = together - alone
        print(
            f"{engine}: {known.shape[0]:,} listeners, {known.shape[1]:,} tracks, {known.confidence.nnz:,} pairs; "
            f"world {alone:.1f} s, {len(both.sides):,} regions {regions:.1f} s, ratio {regions / alone:.2f}; "
            f"{size(both) / 1e6:,.0f} MB of regions kept; peak {peak():.2f} GB, {before:.2f} GB of it before",
            flush=True,
        )


def simulated(listeners: int, *, tracks: int) -> pl.DataFrame:
    """Everybody plays the world's hits, the tracks of three genres of theirs, and favourites of their region."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(listeners), rng.poisson(PLAYS, listeners))
    region, genres = who // RESIDENTS, rng.integers(0, 50, size=(listeners, 3))
    zipf = np.minimum((tracks ** rng.random(len(who))).astype(int) - 1, tracks - 1)  # rank r about as often as 1 / r
    of_genre = (zipf // 50 * 50 + genres[who, rng.integers(0, 3, len(who))]) % tracks
    of_region = (region * 7919 + np.minimum(zipf, 300) * 104_729) % tracks
    kind = rng.random(len(who))
    track = np.where(kind < 0.3, zipf, np.where(kind < 0.8, of_genre, of_region))
    frame = pl.DataFrame({"who": who, "track": track, "region": region, "night": rng.integers(0, 28, len(who))})
    counted = frame.group_by(pl.all()).agg(plays=pl.len())
    types = {name: column.dtype for name, column in Contributions.columns().items()}
    return counted.select(
        listener=pl.format("l{}", "who"),
        night=pl.date(2026, 1, 5) + pl.col("night") * pl.duration(days=1),
        part=pl.format("r{}", "region"),
        track_id=pl.format("t{}", "track"),
        plays="plays",
        weight=pl.lit(FULL, pl.UInt8),
        trained=pl.lit(value=True),
        partner_part=None,
    ).select(pl.col(name).cast(kind) for name, kind in types.items())


def timed(known: Interactions, settings: ModelsSettings) -> tuple[float, Fitted]:
    """Return the seconds of fitting, and what was fitted."""
    start = time.perf_counter()
    fitted = fit(known, settings=settings)
    return time.perf_counter() - start, fitted


def size(fitted: Fitted) -> int:
    """Return the bytes of all arrays of the regions' models."""
    values = [value for side in fitted.sides.values() for value in vars(side).values()]
    arrays = [value if isinstance(value, np.ndarray) else getattr(value, "data", None) for value in values]
    return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


def peak() -> float:
    """Return the most memory this program ever had, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
