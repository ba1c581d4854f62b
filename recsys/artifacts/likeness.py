"""Likeness: how much likelier a track is to be played in one place than in another, by the published charts alone.

Of every place it holds by which factor the shares of the tracks on its lists depart from the world's, and of every
track its share in the world. From these follows how likely somebody who listens like a place has played just what a
listener played.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.list_candidates import IntArray
from recsys.geography.places import WORLD

FIRST = 5  # places that are named

_LEAST = 0.01  # the smallest factor
_UNLISTED = 0.3  # of what the last track on the world's list has: tracks of which no list says how much they are played
_CERTAIN = 3.92  # standard deviations between the ends of a 95 % interval
_PLAYS = np.geomspace(1, 20_000, 200)
_OWN = 0.9  # of the plays of who listens like a place are by its taste, the others by the world's
_POINTS = 33  # of a grid
_SURELY = 0.9

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Likeness:
    """What p places, of which each has lists, say of m tracks.

    Parameters
    ----------
    places : tuple of str
        (p,)
    starts : numpy.ndarray
        (p + 1,) where the entries of each place begin.
    codes : numpy.ndarray
        (e,) the tracks of the entries.
    factors : numpy.ndarray
        (e,) by which their shares depart from the world's.
    shares : numpy.ndarray
        (m,) of each track in the world, among these tracks.
    """

    places: tuple[str, ...]
    starts: IntArray = field(repr=False)
    codes: IntArray = field(repr=False)
    factors: Array = field(repr=False)
    shares: Array = field(repr=False)

    @cached_property
    def _totals(self) -> Array:
        """(p,) what the factors make of all shares together."""
        return 1 + np.add.reduceat(self.shares[self.codes] * (self.factors - 1), self.starts[:-1])

    @cached_property
    def _distinct(self) -> Array:
        """How many tracks so many plays are of."""
        return np.asarray((-np.expm1(-np.outer(_PLAYS, self.shares))).sum(axis=1))

    def log_likelihoods(self, played: NDArray[np.bool_]) -> tuple[Array, float]:
        """Return (p,) how likely who listens like each place played just these tracks, and the same of the world.

        Of so many plays a track is among those played with the probability ``1 - exp(-plays * share)``; these are
        compared with those of all tracks. Every track and every entry is looked at, whatever was played, so that the
        time says nothing.

        Parameters
        ----------
        played : numpy.ndarray
            (m,) bool.
        """
        plays = np.interp(played.sum(), self._distinct, _PLAYS)
        entries = np.repeat(np.arange(len(self.places)), np.diff(self.starts))
        unlisted = _OWN / self._totals + 1 - _OWN
        factors = (_OWN * self.factors / self._totals[entries] + 1 - _OWN) / unlisted[entries]
        here = plays * unlisted
        grid = np.geomspace(0.99 * min(here.min(), plays), 1.01 * max(here.max(), plays), _POINTS)
        heard = -np.expm1(-grid[:, None] * self.shares)
        sums, logs = heard.sum(axis=1), np.log(np.maximum(heard, 1e-12)) @ played
        at = here[entries] * self.shares[self.codes]
        usual, changed = (np.maximum(-np.expm1(-x), 1e-12) for x in (at, at * factors))
        begin = self.starts[:-1]
        total = np.interp(here, grid, sums) + np.add.reduceat(changed - usual, begin)
        logged = np.interp(here, grid, logs) + np.add.reduceat(played[self.codes] * np.log(changed / usual), begin)
        world = np.interp(plays, grid, logs) - played.sum() * np.log(np.interp(plays, grid, sums))
        return logged - played.sum() * np.log(total), float(world)


@dataclass(frozen=True)
class Twins:
    """The places that fit best.

    Parameters
    ----------
    first : sequence of int
        Their positions, the best first.
    weights : sequence of float
        How much of all probability each has.
    surely : bool
        Whether they have nearly all of it together: nowhere else fits nearly as well, nor does the world.
    """

    first: Sequence[int]
    weights: Sequence[float]
    surely: bool


def twins(likeness: Likeness, played: NDArray[np.bool_]) -> Twins:
    """Return the places where people listen most like somebody who played some tracks; equal ones as they come.

    Parameters
    ----------
    likeness : Likeness
    played : numpy.ndarray
        (m,) bool.
    """
    here, world = likeness.log_likelihoods(played)
    most = max(float(here.max()), world)
    every, elsewhere = np.exp(here - most), np.exp(world - most)
    weights = every / (every.sum() + len(every) * elsewhere)  # as likely beforehand to listen like the world
    first = np.argsort(-here, kind="stable")[:FIRST]
    surely = bool(weights[first].sum() >= _SURELY)
    return Twins(first.tolist(), weights[first].tolist(), surely)


@dataclass(frozen=True)
class Listed:
    """What a place's lists say of their tracks: how many listeners these have there, and times what the world has."""

    codes: IntArray = field(repr=False)
    listeners: Array = field(repr=False)
    factors: Array = field(repr=False)

    def before(self, other: "Listed") -> "Listed":
        """Return these, and what another list says of other tracks; of how many listeners these have, nothing."""
        new = ~np.isin(other.codes, self.codes)
        return Listed(
            np.concatenate([self.codes, other.codes[new]]),
            np.concatenate([self.listeners, np.zeros(int(new.sum()))]),
            np.concatenate([self.factors, other.factors[new]]),
        )


NOTHING = Listed(np.zeros(0, dtype=np.int32), np.zeros(0), np.zeros(0))


def listed_of(items: Sequence[Mapping[str, Any]], *, codes: Sequence[int]) -> Listed:
    """Return what a list says of its tracks, whose numbers come beside its items, as they are served."""
    listeners = np.array([item["listeners"]["estimate"] for item in items], dtype=np.float64)
    factors = np.array([_factor(item) for item in items], dtype=np.float64)
    return Listed(np.array(codes, dtype=np.int32), listeners, factors)


def likeness_of(listed: Mapping[str, Listed], *, shares: Array) -> Likeness:
    """Return what some places' lists say, where each of them has a track."""
    there = {place: each for place, each in listed.items() if len(each.codes)}
    starts = np.cumsum([0, *(len(each.codes) for each in there.values())])
    codes = np.concatenate([NOTHING.codes, *(each.codes for each in there.values())])
    factors = np.concatenate([NOTHING.factors, *(each.factors for each in there.values())])
    return Likeness(tuple(there), starts.astype(np.int32), codes, factors, shares)


def world_shares(listed: Mapping[str, Listed], *, tracks: int) -> Array:
    """Return the share of every track in the world, among all tracks on any list.

    Of a track that is not on the world's own list it follows from the places that list it as popular, whose sizes
    follow from the tracks that they have in common with the world.
    """
    own = np.zeros(tracks)
    world = listed.get(WORLD, NOTHING)
    own[world.codes] = world.listeners
    sums, counts = np.zeros(tracks), np.zeros(tracks)
    for place in (each for name, each in listed.items() if name != WORLD):
        counted = place.listeners > 0
        codes, there = place.codes[counted], place.listeners[counted] / place.factors[counted]
        common = own[codes] > 0
        if common.any():
            sums[codes] += there * np.median(own[codes][common] / there[common])
            counts[codes] += 1
    least = _UNLISTED * own[own > 0].min(initial=1.0)
    shares = np.where(own > 0, own, np.where(counts > 0, sums / np.maximum(counts, 1), least))
    return np.asarray(shares / max(shares.sum(), 1e-300))


def _factor(item: Mapping[str, Any]) -> float:
    """Return the median of a lift that is log-normal with this mean and this interval."""
    mean, low, high = (max(value, _LEAST) for value in (item["lift"], *item["lift_interval"].values()))
    deviation = np.log(high / low) / _CERTAIN
    return max(float(mean * np.exp(-(deviation**2) / 2)), _LEAST)
