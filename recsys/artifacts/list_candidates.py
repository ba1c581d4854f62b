"""List candidates: what the lists of a place and of the larger places it lies in hold together.

The night gathers them for the snapshot, and learns from them how to put them in order; the endpoint reads them.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

POPULAR, RISING, LOCAL = CHARTS = ("popular", "rising", "local")

SURELY, LIKELY, GUESS = GRADES = ("surely", "likely", "guess")
"""How sure it is that a rising or local track is one; of lists, in this order."""

MOVER, DEBUT = "mover", "debut"
"""What a rising track is: one that is played more than before, or one that has no past in its place."""

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]

Track = TypeVar("Track", bound=Hashable)


@dataclass(frozen=True, eq=False)
class ListCandidates(Generic[Track]):
    """The n tracks on any list of a place, or of the larger places it lies in.

    Parameters
    ----------
    tracks : sequence
        (n,) ids, or what stands for them; popular ones first.
    ranks : numpy.ndarray
        (n, 3) int32 rank of each on the popular, rising and local list, where what only the lists of larger places
        hold follows the place's own; 0 where it is on no such list.
    """

    tracks: Sequence[Track] = field(repr=False)
    ranks: IntArray = field(repr=False)

    @cached_property
    def evidence(self) -> FloatArray:
        """(n, 3) logarithm of how many times nearer to the top of its list a track stands than one behind the longest.

        It is 0 where the track is on no such list.
        """
        behind = np.float32(1 + self.ranks.max(initial=0))
        return np.log(behind / np.where(self.ranks, self.ranks.astype(np.float32), behind))


def candidates_of(
    places: Sequence[str], *, tracks: Callable[[str, str], Sequence[Track] | None]
) -> ListCandidates[Track]:
    """Gather the candidates of a place.

    Parameters
    ----------
    places : sequence of str
        Ids of the place and of the larger ones it lies in, the smallest first.
    tracks : callable
        Returns the tracks on a place's own chart, best first, or None where it has none.
    """
    lists = [dict.fromkeys(track for place in places for track in tracks(place, chart) or ()) for chart in CHARTS]
    ranks = [{track: rank for rank, track in enumerate(ordered, 1)} for ordered in lists]
    found = list(dict.fromkeys(track for ordered in lists for track in ordered))
    there = [[rank.get(track, 0) for rank in ranks] for track in found]
    return ListCandidates(found, np.array(there, dtype=np.int32).reshape(-1, len(CHARTS)))


def packed(candidates: ListCandidates[int]) -> bytes:
    """Return candidates whose tracks are numbers as four times n little-endian int32: the tracks, and their ranks."""
    return np.vstack([np.array(candidates.tracks, dtype="<i4"), candidates.ranks.T]).astype("<i4").tobytes()


def unpacked(content: bytes) -> ListCandidates[int]:
    """Return what :func:`packed` packed; the tracks are an array."""
    table = np.frombuffer(content, dtype="<i4").reshape(1 + len(CHARTS), -1)
    return ListCandidates(cast("Sequence[int]", table[0]), table[1:].T)
