"""How good ranked lists are: every track of the vocabulary is ranked, nothing is sampled."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.models.interactions import FloatArray, IntArray

BoolArray = NDArray[np.bool_]

LENGTH = 20  # tracks of a ranked list: the longest cut-off of a metric
NOTHING = -1  # in a list that is longer than the tracks there are to rank
_SCORES_AT_ONCE = 4_000_000  # float32: bounds the memory of ranking whatever the number of listeners


class Model(Protocol):
    """Anything that scores every track of the vocabulary for listeners it was fitted with."""

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return (len(listeners), tracks) finite float32 for rows of the interactions; the higher, the sooner."""
        ...


@dataclass(frozen=True)
class Lists:
    """The ranked lists of n listeners, and what of them the listeners played later.

    Parameters
    ----------
    listeners : numpy.ndarray
        (n,) rows of the interactions: the listeners with at least one relevant track.
    tracks : numpy.ndarray
        (n, 20) columns of the interactions, best first; -1 after the last track there is.
    hits : numpy.ndarray
        (n, 20) bool, whether the listed track is relevant.
    relevant : numpy.ndarray
        (n,) number of relevant tracks, listed or not.
    """

    listeners: IntArray = field(repr=False)
    tracks: IntArray = field(repr=False)
    hits: BoolArray = field(repr=False)
    relevant: IntArray = field(repr=False)

    def of(self, chosen: BoolArray) -> "Lists":
        """Return the lists of some of the listeners, chosen by an (n,) mask."""
        return Lists(self.listeners[chosen], self.tracks[chosen], self.hits[chosen], self.relevant[chosen])


def rank(model: Model, *, later: sparse.csr_array, heard: sparse.csr_array | None = None) -> Lists:
    """Rank the vocabulary for every listener who has a relevant track.

    Parameters
    ----------
    model : Model
    later : scipy.sparse.csr_array
        (listeners, tracks) non-zero where the listener played the track later: the relevant ones.
    heard : scipy.sparse.csr_array, optional
        (listeners, tracks) non-zero where the listener knows the track already; these are neither listed nor relevant.
    """
    relevant = later if heard is None else without(later, heard)
    listeners = np.flatnonzero(np.diff(relevant.indptr))
    step = max(1, _SCORES_AT_ONCE // max(1, later.shape[1]))
    tracks = np.full((len(listeners), LENGTH), NOTHING)
    hits = np.zeros(tracks.shape, dtype=bool)
    for start in range(0, len(listeners), step):
        block = slice(start, start + step)
        rows = listeners[block]
        tracks[block] = top(_masked(model.scores(rows), heard, rows), LENGTH)
        hits[block] = np.take_along_axis(relevant[rows].toarray() > 0, tracks[block], axis=1)
    return Lists(listeners, tracks, hits & (tracks != NOTHING), np.diff(relevant.indptr)[listeners].astype(np.int64))


def top(scores: FloatArray, length: int) -> IntArray:
    """Return (n, length) columns by falling score, equal scores by rising column; -inf is never listed.

    A total order, so that neither the sorting algorithm nor the machine decides between equals.
    """
    rows, width = scores.shape
    ranked = np.full((rows, length), NOTHING)
    cut = np.partition(scores, max(width - length, 0), axis=1)[:, max(width - length, 0), None] if width else scores
    row, column = np.nonzero((scores >= cut) & (scores > -np.inf))
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    listed = place < length
    ranked[row[listed], place[listed]] = column[listed]
    return ranked


def without(later: sparse.csr_array, heard: sparse.csr_array) -> sparse.csr_array:
    """Return ones where ``later`` is non-zero and ``heard`` is zero."""
    new = later - later.multiply(heard != 0)
    new = sparse.csr_array(new)
    new.eliminate_zeros()
    return new


def ndcg_at_10(lists: Lists) -> NDArray[np.float64]:
    """Return (n,) normalised discounted cumulative gains of the first 10 places, gain 1 for a relevant track.

    ``sum over hits of 1 / log2(1 + place)``, over the same sum for a list that begins with the relevant tracks.

    References
    ----------
    K. Järvelin, J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (TOIS 2002).
    """
    discounts = 1 / np.log2(np.arange(2, 12))
    best = np.cumsum(discounts)[np.minimum(lists.relevant, 10) - 1]
    return np.asarray(lists.hits[:, :10] @ discounts / best)


def recall_at_20(lists: Lists) -> NDArray[np.float64]:
    """Return (n,) shares of each listener's relevant tracks that the first 20 places list."""
    return np.asarray(lists.hits[:, :20].sum(axis=1) / lists.relevant)


def coverage(lists: Lists, *, tracks: int) -> float:
    """Return the share of the vocabulary's tracks that stand in the first 10 places of at least one list."""
    listed = np.unique(lists.tracks[:, :10])
    return float((listed != NOTHING).sum() / tracks)


def _masked(scores: FloatArray, heard: sparse.csr_array | None, rows: IntArray) -> FloatArray:
    if heard is None:
        return scores
    return np.where(heard[rows].toarray() != 0, np.float32(-np.inf), scores)
