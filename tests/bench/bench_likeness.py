"""Which place listens alike, by the product's own likeness: planted listeners of every place of a published snapshot.

Run it with ``PYTHONPATH=tests python tests/bench/bench_likeness.py WORKSPACE [LISTENERS]`` (by default three a place).
A planted listener draws nine tenths of so many plays by the published shares of one place, the rest by the world's, and
the endpoint knows which tracks these are, up to ``lists.closest`` of them. That is what the likeness assumes, so it is
as good as it gets. It prints how often the place is among the first five, with the standard error, of how many these
were said to be sure, and of how many of them rightly; then of how many who listen like the world, which is never right.
The bar is 0.8.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.likeness import Likeness, twins
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.settings import load_settings
from recsys.workspace import Workspace

OWN = 0.9  # of the plays are by the taste of the place
PLAYS = (50, 100, 150, 200, 300, 500)
SEED = 20151


def main(workspace: Workspace, listeners: int) -> None:
    likeness, most = open_published(workspace).likeness, load_settings().lists.closest
    tastes = [OWN * taste + (1 - OWN) * likeness.shares for taste in tastes_of(likeness)]
    print(f"{len(tastes)} places, {listeners} listeners each, seed {SEED}")
    print("| plays | tracks | among the first five | said to be sure | rightly | wrongly, of the world's |")
    print("| --- | --- | --- | --- | --- | --- |")
    for plays in PLAYS:
        rng = np.random.default_rng((SEED, plays))
        of_places = [
            (place, twins(likeness, played), played.sum())
            for place, taste in enumerate(tastes)
            for played in planted(taste, plays=plays, listeners=listeners, most=most, rng=rng)
        ]
        found = np.array([place in best.first for place, best, _ in of_places])
        sure = np.array([best.surely for _, best, _ in of_places])
        of_world = planted(likeness.shares, plays=plays, listeners=len(tastes), most=most, rng=rng)
        wrong = sum(twins(likeness, played).surely for played in of_world)
        error, tracks = found.std() / len(found) ** 0.5, np.mean([number for *_, number in of_places])
        print(
            f"| {plays} | {tracks:.0f} | {found.mean():.2f} ± {error:.2f} | {sure.sum()} of {len(sure)} "
            f"| {found[sure].sum()} | {wrong} of {len(tastes)} |",
            flush=True,
        )


def tastes_of(likeness: Likeness) -> Iterator[NDArray[np.float64]]:
    """Yield the share of every track in each place, as its lists say."""
    for begin, end in zip(likeness.starts, likeness.starts[1:], strict=False):
        shares = likeness.shares.copy()
        shares[likeness.codes[begin:end]] *= likeness.factors[begin:end]
        yield shares / shares.sum()


def planted(
    taste: NDArray[np.float64], *, plays: int, listeners: int, most: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Yield which tracks some listeners of a taste played, as far as they are kept."""
    for _ in range(listeners):
        tracks = np.unique(rng.choice(len(taste), size=plays, p=taste / taste.sum()))
        played = np.zeros(len(taste), dtype=bool)
        played[rng.permutation(tracks)[:most]] = True
        yield played


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("workspace", type=Path)
    arguments.add_argument("listeners", nargs="?", type=int, default=3)
    asked = arguments.parse_args()
    main(Workspace(asked.workspace), asked.listeners)
