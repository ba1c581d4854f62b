"""Ranking metrics: how good lists are; every track of the vocabulary is ranked, nothing is sampled."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys.compiled import compiled
from recsys.models.interactions import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
Values = NDArray[np.float64]

LENGTH = 100  # tracks of a ranked list: the longest cut-off of a metric
SHOWN = 10  # the places that most of a metric's readers look at
DISCOUNTS: Values = 1 / np.log2(np.arange(2, SHOWN + 2))  # of these places, in NDCG
CUTS = (10, 20, 100)
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
        (n, 100) columns of the interactions, best first; -1 after the last track there is.
    hits : numpy.ndarray
        (n, 100) bool, whether the listed track is relevant.
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
    return _rank(model, [_Asked(later if heard is None else without(later, heard), heard)])[0]


def rank_both(model: Model, *, later: sparse.csr_array, heard: sparse.csr_array) -> tuple[Lists, Lists]:
    """Rank once without and once with what listeners heard, from the same scores; see :func:`rank`."""
    unheard, everything = _rank(model, [_Asked(without(later, heard), heard), _Asked(later, None)])
    return unheard, everything


def top(scores: FloatArray, length: int) -> IntArray:
    """Return (n, length) columns by falling score, equal scores by rising column; -inf is never listed.

    A total order, so that neither the sorting algorithm nor the machine decides between equals.
    """
    rows, width = scores.shape
    ranked = np.full((rows, length), NOTHING)
    last = min(length, width) - 1
    cut = -np.partition(-scores, last, axis=1)[:, last, None] if width else scores  # of rows of many zeros: faster so
    wanted = (scores >= cut) & (scores > -np.inf)
    plain = wanted.sum(axis=1) == length  # no ties at the cut: a stable sort of what is above it is all it takes
    above = np.flatnonzero(wanted[plain]) % width if width else np.zeros(0, np.int64)  # of one dimension: far faster
    ranked[plain] = _in_order(scores[plain], above.reshape(-1, length))
    ranked[~plain] = _with_ties(scores[~plain], wanted[~plain], length)
    return ranked


def without(later: sparse.csr_array, heard: sparse.csr_array) -> sparse.csr_array:
    """Return ones where ``later`` is non-zero and ``heard`` is zero."""
    new = later - later.multiply(heard != 0)
    new = sparse.csr_array(new)
    new.eliminate_zeros()
    return new


def only(later: sparse.csr_array, listeners: IntArray) -> sparse.csr_array:
    """Return the rows of some listeners as they are, and nothing in those of all others."""
    chosen = np.zeros(later.shape[0], dtype=bool)
    chosen[listeners] = True
    found = later.copy()
    found.data[~np.repeat(chosen, np.diff(later.indptr))] = 0
    found.eliminate_zeros()
    return found


def ndcg(lists: Lists, *, at: int) -> Values:
    """Return (n,) normalised discounted cumulative gains of the first places, gain 1 for a relevant track.

    ``sum over hits of 1 / log2(1 + place)``, over the same sum for a list that begins with the relevant tracks.

    References
    ----------
    K. Järvelin, J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques" (TOIS 2002).
    """
    return _normalised_gain(lists.hits[:, :at], lists.relevant, at=at)


def ndcg_at_10(lists: Lists) -> Values:
    """Return (n,) NDCG of the first 10 places."""
    return ndcg(lists, at=10)


def ndcg_of_candidates(scores: NDArray[Any], *, there: BoolArray, played: BoolArray, relevant: IntArray) -> Values:
    """Return (n,) NDCG at 10 of candidates in the order of their scores, equal ones in that of their columns.

    Parameters
    ----------
    scores : numpy.ndarray
        (n, c), or (c,) for all listeners alike; finite.
    there, played : numpy.ndarray
        (n, c) bool: whether there is such a candidate, and whether the listener played it later.
    relevant : numpy.ndarray
        (n,) how many tracks the listener played later, candidates or not.
    """
    hits = np.zeros((len(there), SHOWN), dtype=bool)
    _find_hits(np.ascontiguousarray(np.broadcast_to(scores, there.shape)), there, played, hits)
    return _normalised_gain(hits, relevant, at=SHOWN)


@compiled
def _find_hits(scores: NDArray[Any], there: BoolArray, played: BoolArray, hits: BoolArray) -> None:
    """Fill in which of the first places hold a candidate that was played: of a few, no list has to be sorted for it."""
    rows, width = there.shape
    for row in range(rows):
        for column in range(width):
            if there[row, column] and played[row, column]:
                mine, place = scores[row, column], 0
                for other in range(width):
                    sooner = scores[row, other] > mine or (scores[row, other] == mine and other < column)
                    place += there[row, other] and sooner
                if place < hits.shape[1]:
                    hits[row, place] = True


def recall(lists: Lists, *, at: int) -> Values:
    """Return (n,) shares of each listener's relevant tracks that the first places list."""
    return np.asarray(lists.hits[:, :at].sum(axis=1) / lists.relevant)


def average_precision(lists: Lists) -> Values:
    """Return (n,) means over relevant tracks of the precision at their places; those not listed count 0.

    Where there are more relevant tracks than places, over as many as there are places. Its mean over listeners is MAP.

    References
    ----------
    C. Buckley, E. Voorhees, "Evaluating evaluation measure stability" (SIGIR 2000).
    """
    places = np.arange(1, lists.hits.shape[1] + 1)
    precision = np.cumsum(lists.hits, axis=1) / places
    return np.asarray((precision * lists.hits).sum(axis=1) / np.minimum(lists.relevant, len(places)))


def reciprocal_rank(lists: Lists) -> Values:
    """Return (n,) one over the place of the first hit; 0 where there is none. Its mean over listeners is MRR.

    References
    ----------
    E. Voorhees, "The TREC-8 Question Answering Track Report" (TREC 1999).
    """
    return np.where(lists.hits.any(axis=1), 1 / (lists.hits.argmax(axis=1) + 1), 0.0)


def _normalised_gain(hits: BoolArray, relevant: IntArray, *, at: int) -> Values:
    discounts = 1 / np.log2(np.arange(2, at + 2))
    best = np.cumsum(discounts)[np.minimum(relevant, at) - 1]
    return np.asarray(hits @ discounts[: hits.shape[1]] / best)


def _best(scores: FloatArray, relevant: BoolArray, *, length: int) -> tuple[IntArray, BoolArray]:
    """Return (n, length) the columns with the highest scores, and which of them are relevant."""
    columns = top(scores, length)
    return columns, np.take_along_axis(relevant, columns, axis=1) & (columns != NOTHING)


def _in_order(scores: FloatArray, columns: IntArray) -> IntArray:
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _with_ties(scores: FloatArray, wanted: BoolArray, length: int) -> IntArray:
    ranked = np.full((len(scores), length), NOTHING)
    row, column = np.nonzero(wanted)
    order = np.lexsort((column, -scores[row, column], row))
    row, column = row[order], column[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    listed = place < length
    ranked[row[listed], place[listed]] = column[listed]
    return ranked


@dataclass(frozen=True)
class _Asked:
    relevant: sparse.csr_array
    heard: sparse.csr_array | None

    def number(self, rows: IntArray | slice = slice(None)) -> IntArray:
        return np.asarray(np.diff(self.relevant.indptr)[rows], dtype=np.int64)

    def lists(self, scores: FloatArray, rows: IntArray) -> Lists:
        if self.heard is not None:
            scores = np.where(self.heard[rows].toarray() != 0, np.float32(-np.inf), scores)
        tracks, hits = _best(scores, self.relevant[rows].toarray() > 0, length=LENGTH)
        return Lists(rows, tracks, hits, self.number(rows))


def _rank(model: Model, asked: Sequence[_Asked]) -> list[Lists]:
    """Score everybody who is asked about once, in blocks, and rank for each question."""
    everybody = np.flatnonzero(np.sum([question.number() for question in asked], axis=0))
    step = max(1, _SCORES_AT_ONCE // max(1, asked[0].relevant.shape[1]))
    found: list[list[Lists]] = [[_no_lists()] for _ in asked]
    for start in range(0, len(everybody), step):
        rows = everybody[start : start + step]
        scores = model.scores(rows)
        for question, blocks in zip(asked, found, strict=True):
            here = question.number(rows) > 0
            blocks.append(question.lists(scores[here], rows[here]))
    return [_joined(blocks) for blocks in found]


def _no_lists() -> Lists:
    none = np.zeros((0, LENGTH), dtype=np.int64)
    return Lists(none[:, 0], none, none.astype(bool), none[:, 0])


def _joined(blocks: Sequence[Lists]) -> Lists:
    columns = ((lists.listeners, lists.tracks, lists.hits, lists.relevant) for lists in blocks)
    return Lists(*(np.concatenate(column) for column in zip(*columns, strict=True)))
