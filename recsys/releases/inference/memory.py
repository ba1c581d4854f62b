"""A place's memory: how its taste departs from its surroundings, learned from the nights before a chart's window.

Hits come and go within weeks; how a place departs from what is around it drifts over years. So a place remembers, for
each track, what was counted and what its surroundings let expect, as faded sums over the windows of before. Their ratio
is the departure, as far as noise and chance let it be seen; a new track starts where the place's taste for the other
tracks of its artist stands. It is read from released counts only: remembering costs no privacy.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.counts.window import UNKNOWN, Tracks
from recsys.releases.inference import posterior

_FADE = 0.99  # of the sums, a night: within a year a departure is half another
_OF_ARTIST = 0.6  # of the variance of departures: what the tracks of an artist have in common
_DRIFT = 0.15  # of the variance of departures: by how much it changes within a week
_NEGLIGIBLE = 0.1  # deviations of noise: a track that is expected to have less is not remembered
_SURPRISING = 4.0  # deviations of noise: unless so much was counted
_LEAST = 1e-6  # listeners: what is expected is positive, or nothing is remembered
_UNCOUNTED = UNKNOWN / 1e3  # a variance beyond this: the track was not counted


@dataclass(frozen=True)
class Sums:
    """Of some tracks of a place, each of shape (tracks,): faded sums over windows of nights.

    Parameters
    ----------
    counts, variances : numpy.ndarray
        Noisy listeners, and the variance of their noise.
    expected : numpy.ndarray
        What the surroundings let expect, as they were read at the time.
    """

    counts: Array
    variances: Array
    expected: Array

    def __getitem__(self, some: NDArray[Any]) -> "Sums":
        """Return some tracks."""
        return Sums(self.counts[some], self.variances[some], self.expected[some])

    def faded(self, nights: int) -> "Sums":
        """Return the sums as they count so many nights later."""
        by = _FADE**nights
        return Sums(by * self.counts, by**2 * self.variances, by * self.expected)

    def by(self, groups: NDArray[np.intp], number: int) -> "Sums":
        """Add up the tracks of each of some groups."""
        columns = (self.counts, self.variances, self.expected)
        return Sums(*(np.bincount(groups, weights=values, minlength=number).astype(float) for values in columns))


def joined(some: Sequence[Sums]) -> Sums:
    """Return sums one after the other."""
    columns = ([getattr(each, name) for each in some] for name in ("counts", "variances", "expected"))
    return Sums(*(np.concatenate([*values, np.zeros(0)]) for values in columns))


@dataclass(frozen=True)
class Memory:
    """What places remember after a night: sums by place and track.

    Parameters
    ----------
    night : date or None
        The last night in it; None where nothing is remembered.
    places, tracks : tuple of str
        Sorted.
    starts : numpy.ndarray of int64, shape (places + 1,)
        The entries of place i are those from ``starts[i]`` to ``starts[i + 1]``.
    positions : numpy.ndarray of int32, shape (entries,)
        Which of ``tracks`` an entry is about, ascending within a place.
    sums : Sums, shape (entries,)
    """

    night: date | None
    places: tuple[str, ...]
    tracks: tuple[str, ...]
    starts: NDArray[np.int64]
    positions: NDArray[np.int32]
    sums: Sums

    def of(self, place: str) -> tuple[Tracks, Sums]:
        """Return which tracks a place remembers, and what of them; a place that is not known remembers none."""
        i = bisect_left(self.places, place)
        found = i < len(self.places) and self.places[i] == place
        some = np.arange(self.starts[i], self.starts[i + 1]) if found else np.zeros(0, dtype=np.intp)
        return self.positions[some].astype(np.intp), self.sums[some]


NOTHING = Memory(None, (), (), np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), Sums(*np.zeros((3, 0))))
"""The memory of places that were never read before."""


@dataclass(frozen=True)
class Departure:
    """What is believed of the factors by which the tracks of a place depart from its surroundings, shape (tracks,).

    Parameters
    ----------
    mean : numpy.ndarray
        Of the factor.
    deviation : numpy.ndarray
        Standard deviation of its logarithm.
    """

    mean: Array
    deviation: Array


class Recollection:
    """A memory in view of a window: what it lets expect of the window's tracks.

    Parameters
    ----------
    memory : Memory
        Of a night before the first of the window.
    nights : int
        How long before the window's last night.
    tracks : sequence of str
        Of the window.
    artists : mapping of str to str
        The artist of every track that has a known one.
    """

    def __init__(self, memory: Memory, *, nights: int, tracks: Sequence[str], artists: Mapping[str, str]) -> None:
        self._memory, self._nights = memory, nights
        self.tracks = tuple(sorted({*memory.tracks, *tracks}))
        self._at = np.searchsorted(self.tracks, tracks) if tracks else np.zeros(0, dtype=np.intp)
        self._of_memory = np.searchsorted(self.tracks, memory.tracks) if memory.tracks else np.zeros(0, dtype=np.intp)
        named = [artists.get(track, f"\0{track}") for track in self.tracks]  # of an unknown artist: alone
        self._artists = np.unique(np.array(named, dtype=np.str_), return_inverse=True)[1]

    def at(self, tracks: Tracks) -> Tracks:
        """Return where some of the window's tracks stand among ``tracks``."""
        return self._at[tracks]

    def of(self, place: str) -> tuple[Tracks, Sums]:
        """Return which of ``tracks`` a place remembers, ascending, and their sums as they count by now."""
        positions, sums = self._memory.of(place)
        return self._of_memory[positions], sums.faded(self._nights)

    def sums(self, place: str, tracks: Tracks) -> Sums:
        """Return what a place remembers of some of the window's tracks: 0 of those that it does not know."""
        return _aligned(*self.of(place), self._at[tracks])

    def departure(self, place: str, tracks: Tracks, *, spread: float) -> Departure:
        """Return what a place's memory lets expect of its departure from its surroundings.

        Parameters
        ----------
        place : str
        tracks : numpy.ndarray of intp, shape (tracks,)
            As positions in the window's.
        spread : float
            Standard deviation of log factors over tracks.
        """
        known, sums = self.of(place)
        wanted = self._at[tracks]
        own = _aligned(known, sums, wanted)
        artists, group = np.unique(np.concatenate([self._artists[known], self._artists[wanted]]), return_inverse=True)
        of_known, of_wanted = group[: len(known)], group[len(known) :]
        squares = np.bincount(of_known, weights=sums.expected**2, minlength=len(artists))
        whole = sums.by(of_known, len(artists))[of_wanted]
        others = Sums(whole.counts - own.counts, whole.variances - own.variances, whole.expected - own.expected)
        centre, variance = _by_artist(others, squares[of_wanted] - own.expected**2, spread=spread)
        return _read(own, centre, variance, spread=spread)


def _by_artist(others: Sums, squares: Array, *, spread: float) -> tuple[Array, Array]:
    """Return mean and variance of log factors in the light of the artist's other tracks."""
    total = spread**2
    centre, variance = np.full(len(squares), -total / 2), np.full(len(squares), total)
    some = np.flatnonzero(others.expected > _LEAST)
    concentration = np.minimum(squares[some] / others.expected[some] ** 2, 1)
    together = total * (_OF_ARTIST + (1 - _OF_ARTIST) * concentration)  # variance of the artist's mean departure
    mean, left = _log_factors(others[some], -together / 2, together)
    trust = _OF_ARTIST * total / together
    centre[some] = -total / 2 + trust * (mean + together / 2)
    variance[some] = total - trust**2 * np.maximum(together - left, 0)
    return centre, variance


def _read(own: Sums, centre: Array, variance: Array, *, spread: float) -> Departure:
    some = np.flatnonzero(own.expected > _LEAST)
    centre[some], variance[some] = _log_factors(own[some], centre[some], variance[some])
    drifted = np.minimum(variance + _DRIFT * spread**2, np.maximum(spread**2, variance))
    return Departure(np.exp(centre + variance / 2), np.sqrt(drifted))


def _log_factors(sums: Sums, centre: Array, variance: Array) -> tuple[Array, Array]:
    """Return mean and variance of log factors after reading sums, chance included."""
    noisy = Noisy(sums.counts[None], (sums.variances + sums.expected)[None])
    mean, left = posterior.log_factors(
        noisy, expected=sums.expected[None], centre=centre[None], variance=variance[None]
    )
    return mean[0], left[0]


def _aligned(known: Tracks, sums: Sums, wanted: Tracks) -> Sums:
    """Return the sums of some tracks, 0 where a track is not known."""
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    there = known[at] == wanted if len(known) else np.zeros(len(wanted), dtype=bool)
    aligned = np.zeros((3, len(wanted)))
    aligned[:, there] = [values[at[there]] for values in (sums.counts, sums.variances, sums.expected)]
    return Sums(*aligned)


class Diary:
    """What is written down while a window is read, to be the memory of its last night."""

    def __init__(self, recollection: Recollection) -> None:
        self._before = recollection
        self._places: dict[str, tuple[Tracks, Sums]] = {}

    def write(self, place: str, tracks: Tracks, *, noisy: Noisy, expected: Array) -> None:
        """Add what was counted of a place's tracks, and what its surroundings let expect, to what it remembers."""
        counted = noisy.variance[0] < _UNCOUNTED
        now = Sums(noisy.counts[0][counted], noisy.variance[0][counted], expected[counted])
        known, before = self._before.of(place)
        here = np.concatenate([known, self._before.at(tracks[counted])])
        found, at = np.unique(here, return_inverse=True)
        sums = joined([before, now]).by(at, len(found))
        kept = _worth_keeping(sums)
        self._places[place] = found[kept], sums[kept]

    def memory(self, night: date) -> Memory:
        """Return all of it, as the memory of the window's last night."""
        places = tuple(sorted(self._places))
        tracks = [self._places[place][0] for place in places]
        used, positions = np.unique(np.concatenate([*tracks, np.zeros(0, dtype=np.intp)]), return_inverse=True)
        starts = np.cumsum([0, *map(len, tracks)], dtype=np.int64)
        names = tuple(self._before.tracks[i] for i in used)
        sums = joined([self._places[place][1] for place in places])
        return Memory(night, places, names, starts, positions.astype(np.int32), sums)


def _worth_keeping(sums: Sums) -> NDArray[np.bool_]:
    noise = np.sqrt(sums.variances)
    return (sums.expected > _NEGLIGIBLE * noise) | (sums.counts > _SURPRISING * noise)
