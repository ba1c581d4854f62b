"""A window of nights: what was counted in it, for every place that is a sum of parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.counts.release_reader import Released

Tracks = NDArray[np.intp]  # positions in the window's tracks

UNKNOWN = 1e18  # variance of a count that was never released: weighed by inverse variance, it says nothing

_KEPT = 512  # places whose counts of all tracks are at hand; more than the neighbours of a place, and few in memory


class Window:
    """The noisy counts of some nights, place by place, in listeners and in whole-window equivalents.

    A track that was counted on n of the window's N nights has N/n times its sum, and (N/n)² times its noise variance;
    weights are divided by their mean in the world.
    A track that was not counted has the count 0 and the variance ``UNKNOWN``.

    Parameters
    ----------
    released : Released
    members : mapping of str to tuple of str
        The parts that each place is the sum of.
    """

    def __init__(self, released: Released, members: Mapping[str, tuple[str, ...]]) -> None:
        self._released = released
        self._members = members
        self._sum_of = lru_cache(maxsize=None)(self._sum)  # of a larger place, which all places in it ask for
        self._noisy_of = lru_cache(maxsize=_KEPT)(self._noisy)  # of a place, which all its neighbours ask for

    @property
    def tracks(self) -> tuple[str, ...]:
        """All tracks, sorted."""
        return self._released.tracks

    @property
    def nights(self) -> int:
        """How many nights there are."""
        return len(self._released.nights)

    @property
    def dates(self) -> tuple[date, ...]:
        """The nights, in order."""
        return self._released.nights

    @property
    def weight(self) -> float:
        """The mean weight of the world that counts were divided by."""
        return self._released.weight

    @property
    def ledger_numbers(self) -> tuple[int, ...]:
        """The ledger entries that paid for them."""
        return self._released.ledger_numbers

    def known(self, place: str) -> Tracks:
        """Return the tracks that were counted on at least one night, in a place or in a part of it."""
        rows = {place, *self._members[place]}
        if len(rows) == 1:
            return self._released.positions[self._released.entries(place)].astype(np.intp)
        counted = np.zeros(len(self.tracks), dtype=bool)
        for row in rows:
            counted[self._released.positions[self._released.entries(row)]] = True
        return np.flatnonzero(counted)

    def noisy(self, place: str, tracks: Tracks) -> Noisy:
        """Return the counts of a place and the variance of their noise, shape (1, tracks).

        Of a larger place the sum of its parts, where all of them counted a track, pooled with its own count by inverse
        variance: they measure the same, and their noise is independent.
        """
        noisy = self._noisy_of(place)
        return Noisy(noisy.counts[:, tracks], noisy.variance[:, tracks])

    def own(self, place: str, tracks: Tracks) -> Noisy:
        """Return what a larger place counted by itself, shape (1, tracks); unknown where it did not."""
        return _at(self._own(place), tracks)

    def others(self, whole: str, place: str, tracks: Tracks) -> Noisy:
        """Return the sum of the parts of a larger place that are not in a smaller one, shape (1, tracks).

        Its noise is independent of that in the smaller place's counts.
        """
        part, summed = _at(self._parts(place), tracks), _at(self._parts(whole), tracks)
        known = _known(summed) & _known(part)
        return _known_where(known, summed.counts - part.counts, summed.variance - part.variance)

    def portion(self, place: str, of: str) -> float:
        """Return how many of a place's parts belong to a place in it, as a share."""
        return len(self._members[place]) / len(self._members[of])

    def _noisy(self, place: str) -> Noisy:
        """Return the counts of all tracks."""
        parts, own = _everywhere(self._parts(place), len(self.tracks)), self._own(place)
        return parts if own is _NOTHING else _pooled(parts, _everywhere(own, len(self.tracks)))

    def _parts(self, place: str) -> "_Counted":
        """Return a place's counts as the sum of its parts."""
        members = self._members[place]
        return self._row(members[0]) if len(members) == 1 else self._sum_of(place)

    def _own(self, place: str) -> "_Counted":
        """Return a larger place's own counts, where it has any."""
        return self._row(place) if self._released.tiers.get(place, "part") != "part" else _NOTHING

    def _row(self, row: str) -> "_Counted":
        released, some = self._released, self._released.entries(row)
        scale = self.nights / released.weight / released.exposures[some].astype(np.float64)
        return _Counted(released.positions[some], released.sums[some] * scale, released.variances[some] * scale**2)

    def _sum(self, place: str) -> "_Counted":
        """Add up the parts of a place for the tracks that all of them counted; their noise is independent."""
        size, members = len(self.tracks), self._members[place]
        parts, counts, variance = np.zeros(size, dtype=np.int32), np.zeros(size), np.zeros(size)
        for row in map(self._row, members):
            parts[row.tracks] += 1
            counts[row.tracks] += row.counts
            variance[row.tracks] += row.variance
        by_all = np.flatnonzero(parts == len(members))
        return _Counted(by_all, counts[by_all], variance[by_all])


@dataclass(frozen=True)
class _Counted:
    """The tracks that were counted somewhere, ascending, with count and noise variance of each."""

    tracks: NDArray[np.integer]
    counts: Array
    variance: Array


_NOTHING = _Counted(np.zeros(0, dtype=np.intp), np.zeros(0), np.zeros(0))


def _everywhere(counted: _Counted, number: int) -> Noisy:
    """Return the counts of all tracks of which there are so many, shape (1, tracks)."""
    counts, variance = np.zeros((1, number)), np.full((1, number), UNKNOWN)
    counts[0, counted.tracks], variance[0, counted.tracks] = counted.counts, counted.variance
    return Noisy(counts, variance)


def _at(counted: _Counted, tracks: Tracks | Sequence[int]) -> Noisy:
    """Return the counts of some tracks, shape (1, tracks)."""
    where = np.searchsorted(counted.tracks, tracks)
    found = where < len(counted.tracks)
    found[found] = counted.tracks[where[found]] == np.asarray(tracks)[found]
    counts, variance = np.zeros(len(where)), np.full(len(where), UNKNOWN)
    counts[found], variance[found] = counted.counts[where[found]], counted.variance[where[found]]
    return Noisy(counts[None], variance[None])


def _known(noisy: Noisy) -> NDArray[np.bool_]:
    return noisy.variance < UNKNOWN


def _known_where(known: NDArray[np.bool_], counts: Array, variance: Array) -> Noisy:
    return Noisy(np.where(known, counts, 0.0), np.where(known, variance, UNKNOWN))


def _pooled(one: Noisy, other: Noisy) -> Noisy:
    """Return what two measurements say together, either of which may be unknown."""
    both, known = one & other, (_known(one), _known(other))
    counts, variance = (
        np.select([known[0] & known[1], known[1]], [together, second], first)
        for together, first, second in (
            (both.counts, one.counts, other.counts),
            (both.variance, one.variance, other.variance),
        )
    )
    return Noisy(counts, variance)
