"""Noise, measured: draws a second of the inverted table, and of opendp's exact sampler, in the same run.

Run it with ``python tests/bench/bench_noise.py [DRAWS]`` (by default 5 million; opendp draws a hundredth of them), then
it prints the time and size of a release of 250 parts and 6,015 tracks.
"""

import math
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import opendp.prelude as dp
from support.releasing import NIGHT, SIGMA_SQUARED, contributed, released, small_atlas

from recsys.geography.places import Place
from recsys.releases.counts.noise import discrete_gaussian

PARTS, TRACKS, NIGHTS = 250, 6_015, 5

dp.enable_features("contrib")


def main(draws: int) -> None:
    """Print the speeds and the cost of a release."""
    discrete_gaussian(1, sigma_squared=SIGMA_SQUARED)  # builds the table
    ours = timed(lambda: discrete_gaussian(draws, sigma_squared=SIGMA_SQUARED))
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
    exact = dp.m.make_gaussian(*space, scale=math.sqrt(SIGMA_SQUARED))
    zeros = [0] * (draws // 100)
    peer = timed(lambda: exact(zeros))
    print(f"discrete Gaussian, sigma² = {SIGMA_SQUARED:.1f}")
    print(f"  inverted table  {draws / ours / 1e6:8.1f} million draws/s")
    print(f"  opendp          {draws / 100 / peer / 1e6:8.2f} million draws/s")
    with tempfile.TemporaryDirectory() as folder:
        release_nights(Path(folder))


def release_nights(folder: Path) -> None:
    """Print time and size of a night's release with 30 listeners."""
    atlas = small_atlas()
    countries = {f"P{i:03}": Place(f"P{i:03}", "", "", "country", "world", 0, 0, 0) for i in range(PARTS - 1)}
    wide = replace(atlas, places={"world": atlas.places["world"], **countries})
    tracks, rows = (
        [f"track-{i:05}" for i in range(TRACKS)],
        [(f"l{i}", f"P{i:03}-rest", "track-00007") for i in range(30)],
    )
    times = []
    for day in range(NIGHTS):
        night, start = NIGHT + timedelta(days=day), time.perf_counter()
        path = released(contributed(rows, night=night), folder, night=night, candidates=tracks, atlas=wide)
        times.append(time.perf_counter() - start)
    size = (path / "counts.parquet").stat().st_size
    print(f"release of {PARTS} parts x {TRACKS} tracks: {min(times):.3f} s, best of {NIGHTS}, {size / 1e6:.2f} MB")


def timed(job: object) -> float:
    """Return the seconds of a job, best of three."""
    assert callable(job)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000)
