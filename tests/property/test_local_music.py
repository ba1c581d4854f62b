"""What holds of lists that keep the share of a country's own artists, whatever the scores."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from support import checkerboard
from support.listening import contributions

from recsys.models.interactions import Interactions, gather
from recsys.models.local_music import Offsets, keeping_shares
from recsys.models.place_tree import Places

settings = partial(checkerboard.settings, local_share=True)
LISTENERS = 10
PLACES = [1 / math.log2(1 + place) for place in range(1, 11)]
TRACKS = [f"{number:02d}" for number in range(16)]
SEEDS = st.integers(0, 2**32 - 1)

Share = Callable[[float], float]


@dataclass(frozen=True)
class Table:
    """Scores written down for every listener."""

    table: np.ndarray

    def scores(self, listeners: np.ndarray) -> np.ndarray:
        return self.table[listeners]


def world(own: int, heard: Sequence[int]) -> Interactions:
    """Of 16 tracks the first are local; everybody in P heard some, and somebody who lives nowhere heard all."""
    rows = [(f"p{i}", 0, "P", TRACKS[track], 1) for i in range(LISTENERS) for track in heard]
    rows += [("x", 0, None, track, 1) for track in TRACKS]
    origins = dict.fromkeys(TRACKS[:own], "PP")
    return gather(contributions(rows), settings=settings(), parents={"P": "PP"}, origins=origins)


def ten(scores: np.ndarray, own: int, heard: Sequence[int], *, offset: float) -> list[int]:
    """Return the first ten unheard tracks by a plain sort."""
    added = {track: scores[track] + offset * (track < own) for track in range(16) if track not in heard}
    return sorted(added, key=added.__getitem__, reverse=True)[:10]


def in_order(listed: list[int], scores: np.ndarray, own: int, *, offset: float) -> list[int]:
    return sorted(listed, key=lambda track: scores[track] + offset * (track < own), reverse=True)


def shares(lists: Sequence[list[int]], own: int, weights: Sequence[float]) -> float:
    """Return the share of local tracks in what the places of all lists weigh."""
    there = [(track < own, weight) for row in lists for track, weight in zip(row, weights, strict=False)]
    return sum(weight for local, weight in there if local) / sum(weight for _, weight in there)


def all_there_are(table: np.ndarray, own: int) -> list[float]:
    """Return an offset between any two at which an order changes, and one beyond each end."""
    steps = sorted(float(row[j] - row[i]) for row in table[:LISTENERS] for i in range(own) for j in range(own, 16))
    assume(all(after - before > 1e-5 for before, after in pairwise(steps)))  # what float32 can tell apart
    return [steps[0] - 1, *((before + after) / 2 for before, after in pairwise(steps)), steps[-1] + 1]


def found(table: np.ndarray, known: Interactions) -> tuple[Offsets, np.ndarray]:
    offsets = keeping_shares(Table(table), known, settings=settings())
    assert offsets is not None
    homes = Places.of(known).homes_of(known)
    return offsets, offsets.added(table, homes=homes, heard=known.confidence.toarray() != 0)


@given(SEEDS, st.integers(1, 15), st.sets(st.integers(0, 15), min_size=1, max_size=12))
def test_no_other_offset_would_be_nearer_to_the_share(seed: int, own: int, heard: set[int]) -> None:
    """Neither of the ten, nor, with these, of their order: of all offsets that there are, tried by plain sorting."""
    table = np.random.default_rng(seed).normal(size=(LISTENERS + 1, 16)).astype(np.float32)
    known, some, tried = world(own, sorted(heard)), sorted(heard), all_there_are(table, own)
    played = sum(track < own for track in heard) / len(heard)
    offsets, scores = found(table, known)

    def listed(offset: float) -> list[list[int]]:
        return [ten(row, own, some, offset=offset) for row in table[:LISTENERS]]

    def ordered(offset: float) -> list[list[int]]:
        rows = zip(listed(float(offsets.listed[0])), table, strict=False)
        return [in_order(row, of, own, offset=offset) for row, of in rows]

    def nearest(share: Share, wanted: float, offset: float) -> None:
        best = min(abs(share(other) - wanted) for other in tried)
        assert abs(share(offset) - wanted) <= best + 1e-9

    nearest(lambda offset: shares(listed(offset), own, [1] * 10), played, float(offsets.listed[0]))
    by_place = shares(ordered(0), own, PLACES)
    wanted = min(max(by_place, played - 0.005), played + 0.005)
    nearest(lambda offset: shares(ordered(offset), own, PLACES), wanted, float(offsets.order[0]))
    assert [ten(row, 0, some, offset=0) for row in scores[:LISTENERS]] == ordered(float(offsets.order[0]))
