"""The lengths of listeners' lists: how many places a length names, with the spaces that answers end in and without.

Run it with ``python tests/bench/bench_lengths.py [WORKSPACE]`` on a workspace of the sample world. Every place with
lists is asked for by somebody of whom nothing is known, at several limits; what padding costs is measured by itself.
"""

import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from recsys.artifacts.affinities import nobody
from recsys.consents.log import Choices
from recsys.serving.lists.list_ids import ListIds
from recsys.serving.lists.trending import Asked, ListSources, longest, trending_answer
from recsys.serving.requests.one_size import padded
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.workspace import Workspace


def main(root: Path) -> None:
    if not root.is_dir():
        print(f"skipped: there is no workspace at {root}; `make nightly` makes it")
        return
    published = open_published(Workspace(root))
    choices = Choices(place=True, plays=False)
    asked = Asked("0" * 32, choices, datetime.now(UTC), ListIds(bytes(32), hours=1))
    sources = ListSources(published, nobody(), nobody().columns_of(published.tracks), None, {})
    cells = [place.id for place in published.places.values() if place.served and place.level == "region"]
    print(f"{len(cells)} regions")
    print("limit | lengths before | alone with theirs | bytes, mean | lengths now | bytes now")
    for limit in (5, 10, 20, 50, 100):
        bodies = [trending_answer(sources, asked, cell=cell, limit=limit).body for cell in (None, *cells)]
        before = Counter(len(body.rstrip()) for body in bodies)
        alone = sum(count == 1 for count in before.values())
        now = sorted({len(body) for body in bodies})
        mean = sum(length * count for length, count in before.items()) / len(bodies)
        print(f"{limit} | {len(before)} | {alone} of {len(bodies)} | {mean:,.0f} | {len(now)} | {now[-1]:,}")
    body, to, rounds = bodies[0].rstrip(), longest(published, limit=100), 10_000
    started = time.process_time()
    for _ in range(rounds):
        padded(body, to=to)
    print(f"padding takes {(time.process_time() - started) / rounds * 1e6:.1f} microseconds of processor time")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "workspace"))
