"""What was counted in a window of nights, for every place that is a sum of parts."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recsys.releases.counts import Released
from recsys.releases.shrinkage import Array, Noisy

Tracks = NDArray[np.intp]  # positions in the window's tracks


class Window:
    """The noisy counts of some nights, place by place.

    Parameters
    ----------
    released : Released
    members : mapping of str to tuple of str
        The parts that each place is the sum of.
    """

    def __init__(self, released: Released, members: Mapping[str, tuple[str, ...]]) -> None:
        self._released = released
        self._members = members
        self._whole = lru_cache(maxsize=8)(self._summed)  # of a larger place, which all places in it ask for

    @property
    def tracks(self) -> tuple[str, ...]:
        """All tracks, sorted."""
        return self._released.tracks

    @property
    def nights(self) -> int:
        """How many nights there are."""
        return len(self._released.nights)

    def known(self, place: str) -> Tracks:  # noqa: ARG002
        """Return the tracks that were counted in a place on at least one night."""
        return np.flatnonzero(self._released.exposures)

    def noisy(self, place: str, tracks: Tracks) -> Noisy:
        """Return the counts of a place and the variance of their noise, shape (1, tracks)."""
        summed, own = self._summed(place), self._own(place)
        return _some(summed & own if own else summed, tracks)

    def rest(self, whole: str, place: str, tracks: Tracks) -> Noisy:
        """Return the counts of a larger place without a place in it, shape (1, tracks).

        The sum of the other parts, and the larger place's own count less the smaller place's, measure the same; their
        noise is independent, the smaller place's being in the second alone.
        """
        part, summed, own = self._summed(place), self._whole(whole), self._own(whole)
        others = Noisy(summed.counts - part.counts, summed.variance - part.variance)
        around = own and Noisy(own.counts - part.counts, own.variance + part.variance)
        return _some(others & around if around else others, tracks)

    def portion(self, place: str, of: str) -> float:
        """Return how many of a place's parts belong to a place in it, as a share."""
        return len(self._members[place]) / len(self._members[of])

    def _summed(self, place: str) -> Noisy:
        """Return a place's counts as the sum of its parts; their noise is independent, so variances add."""
        rows = np.searchsorted(self._released.rows, self._members[place])
        scale = self._scale()
        counts = self._released.sums[rows].sum(axis=0, dtype=np.float64)
        return Noisy((counts * scale)[None], (len(rows) * self._released.variances["part"] * scale**2)[None])

    def _own(self, place: str) -> Noisy | None:
        """Return a larger place's own counts, where it has any."""
        tier = self._released.tiers.get(place, "part")
        if tier == "part":
            return None
        row, scale = np.searchsorted(self._released.rows, place), self._scale()
        return Noisy((self._released.sums[row] * scale)[None], (self._released.variances[tier] * scale**2)[None])

    def _scale(self) -> Array:
        """Return what makes the nights on which a track was counted a whole window."""
        return self.nights / np.maximum(self._released.exposures, 1)


def _some(noisy: Noisy, tracks: Sequence[int] | Tracks) -> Noisy:
    return Noisy(noisy.counts[:, tracks], noisy.variance[:, tracks])
