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
_DRIFT = 0.2  # of the variance of departures: by how much it changes within a week
_NEGLIGIBLE = 0.3  # deviations of noise: a track that is expected to have less is not remembered
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
    rest, nearby : numpy.ndarray
        What the rest of the larger place, and what the neighbourhood let expect, as they were read at the time.
    """

    counts: Array
    variances: Array
    rest: Array
    nearby: Array

    def __getitem__(self, some: NDArray[Any]) -> "Sums":
        """Return some tracks."""
        return Sums(*(column[some] for column in self.columns))

    def __sub__(self, other: "Sums") -> "Sums":
        """Return what is left without some of what was added up."""
        return Sums(*(one - less for one, less in zip(self.columns, other.columns, strict=True)))

    @property
    def columns(self) -> tuple[Array, Array, Array, Array]:
        """Return the four sums, in order."""
        return self.counts, self.variances, self.rest, self.nearby

    def expected(self, nearness: float) -> Array:
        """Return what the surroundings let expect, of which the neighbourhood has the given weight."""
        return (1 - nearness) * self.rest + nearness * self.nearby

    def faded(self, nights: int) -> "Sums":
        """Return the sums as they count so many nights later."""
        by = _FADE**nights
        return Sums(by * self.counts, by**2 * self.variances, by * self.rest, by * self.nearby)

    def by(self, groups: NDArray[np.intp], number: int) -> "Sums":
        """Add up the tracks of each of some groups."""
        return Sums(*(np.bincount(groups, weights=each, minlength=number).astype(float) for each in self.columns))


def joined(some: Sequence[Sums]) -> Sums:
    """Return sums one after the other."""
    columns = zip(*(each.columns for each in [*some, Sums(*np.zeros((4, 0)))]), strict=True)
    return Sums(*map(np.concatenate, columns))


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


NOTHING = Memory(None, (), (), np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32), Sums(*np.zeros((4, 0))))
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

    def departure(self, place: str, tracks: Tracks, *, nearness: float, spread: float) -> Departure:
        """Return what a place's memory lets expect of its departure from its surroundings.

        Parameters
        ----------
        place : str
        tracks : numpy.ndarray of intp, shape (tracks,)
            As positions in the window's.
        nearness : float
            Weight of the neighbourhood among the surroundings.
        spread : float
            Standard deviation of log factors over tracks.
        """
        known, sums = self.of(place)
        wanted = self._at[tracks]
        own = _aligned(known, sums, wanted)
        _, group = np.unique(np.concatenate([self._artists[known], self._artists[wanted]]), return_inverse=True)
        artists, of_known, of_wanted = group.max(initial=-1) + 1, group[: len(known)], group[len(known) :]
        others = sums.by(of_known, artists)[of_wanted] - own
        squares = np.bincount(of_known, weights=sums.expected(nearness) ** 2, minlength=artists)[of_wanted]
        without = np.asarray(squares - own.expected(nearness) ** 2)
        centre, variance = _by_artist(_Counted.of(others, nearness), without, spread=spread)
        return _read(_Counted.of(own, nearness), centre, variance, spread=spread)


@dataclass(frozen=True)
class _Counted:
    """Noisy counts beside what was expected of them, all of shape (tracks,); chance is part of the variance."""

    counts: Array
    variance: Array
    expected: Array

    @classmethod
    def of(cls, sums: Sums, nearness: float) -> "_Counted":
        expected = sums.expected(nearness)
        return cls(sums.counts, sums.variances + expected, expected)

    def log_factors(self, some: Tracks, *, centre: Array, variance: Array) -> tuple[Array, Array]:
        """Return mean and variance of the log factors of some tracks, given those beforehand, each (some,)."""
        noisy = Noisy(self.counts[some][None], self.variance[some][None])
        mean, left = posterior.log_factors(
            noisy, expected=self.expected[some][None], centre=centre[None], variance=variance[None]
        )
        return mean[0], left[0]


def _by_artist(others: _Counted, squares: Array, *, spread: float) -> tuple[Array, Array]:
    """Return mean and variance of log factors in the light of the artist's other tracks.

    Those together depart as the artist does, and by their own, which cancels the more the more they are: ``squares``
    are the sums of what was expected of each, squared.
    """
    total = spread**2
    centre, variance = np.full(len(squares), -total / 2), np.full(len(squares), total)
    some = np.flatnonzero(others.expected > _LEAST)
    concentration = np.clip(squares[some] / others.expected[some] ** 2, 0, 1)
    together = total * (_OF_ARTIST + (1 - _OF_ARTIST) * concentration)
    mean, left = others.log_factors(some, centre=-together / 2, variance=together)
    trust = _OF_ARTIST * total / together
    centre[some] += trust * (mean + together / 2)
    variance[some] -= trust**2 * np.maximum(together - left, 0)
    return centre, variance


def _read(own: _Counted, centre: Array, variance: Array, *, spread: float) -> Departure:
    """Return departures in the light of a track's own past, and of how much they have changed since."""
    some = np.flatnonzero(own.expected > _LEAST)
    mean, left = centre.copy(), variance.copy()
    mean[some], left[some] = own.log_factors(some, centre=centre[some], variance=variance[some])
    left = np.minimum(left, spread**2)
    return Departure(np.exp(mean + left / 2), np.sqrt(np.minimum(left + _DRIFT * spread**2, spread**2)))


def _aligned(known: Tracks, sums: Sums, wanted: Tracks) -> Sums:
    """Return the sums of some tracks, 0 where a track is not known."""
    at = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    there = known[at] == wanted if len(known) else np.zeros(len(wanted), dtype=bool)
    aligned = np.zeros((4, len(wanted)))
    aligned[:, there] = sums[at[there]].columns
    return Sums(*aligned)


class Diary:
    """What is written down while a window is read, to be the memory of its last night."""

    def __init__(self, recollection: Recollection) -> None:
        self._before = recollection
        self._places: dict[str, tuple[Tracks, Sums]] = {}

    def write(self, place: str, tracks: Tracks, *, noisy: Noisy, expected: Array) -> None:
        """Add what was counted of a place's tracks to what it remembers.

        Parameters
        ----------
        place : str
        tracks : numpy.ndarray of intp, shape (tracks,)
            As positions in the window's.
        noisy : Noisy, shape (1, tracks)
        expected : numpy.ndarray, shape (2, tracks)
            What the rest of the larger place, and what the neighbourhood let expect.
        """
        counted = noisy.variance[0] < _UNCOUNTED
        now = Sums(noisy.counts[0][counted], noisy.variance[0][counted], *expected[:, counted])
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
    return (np.maximum(sums.rest, sums.nearby) > _NEGLIGIBLE * noise) | (sums.counts > _SURPRISING * noise)
