"""Scores candidates for one listener, and says which evidence each owes its rank to.

The score of a candidate is a sum, one term an evidence: how high it stands on the popular, rising and local lists of
the place and of those it lies in, how close it is to what the listener plays, and whether it is new to the listener.
A list near a place keeps to what is sure of it. The reason is what is sure of the place, else the term that exceeds
that of the average candidate most, so that without it the candidate would stand elsewhere. The night learns the
weights, and the endpoint puts lists in order, by the same evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.affinities import EVIDENCE, NO_TRACK, Row
from recsys.artifacts.interleaving import Coin, Promise, team_draft
from recsys.artifacts.list_candidates import CHARTS, LOCAL, POPULAR, RISING, FloatArray, IntArray, ListCandidates
from recsys.artifacts.standings import LESS, MORE, RISES, TOP


def evidence_for(candidates: ListCandidates[Any], *, columns: IntArray, row: Row) -> FloatArray:
    """Return (n, 5) what speaks for each candidate, in the order of :data:`recsys.artifacts.affinities.EVIDENCE`.

    What is close and what is new is known of tracks that have a column alone; nothing is of a blank row.

    Parameters
    ----------
    candidates : ListCandidates
    columns : numpy.ndarray
        (n,) the column of each in the private file.
    row : Row
        Of the listener.
    """
    evidence = np.empty((len(EVIDENCE), len(columns)), dtype=np.float32).T  # each evidence lies together: sums are fast
    closeness, played = row.at(columns)
    evidence[:, : len(CHARTS)] = candidates.evidence
    evidence[:, len(CHARTS)] = closeness
    evidence[:, len(CHARTS) + 1] = (columns != NO_TRACK) & ~played & row.known
    return evidence


@dataclass(frozen=True)
class Ranking:
    """What a ranker says of n candidates of one listener.

    Parameters
    ----------
    evidence : numpy.ndarray
        (n, 5).
    weights : sequence of float
        Of each evidence.
    """

    evidence: FloatArray
    weights: Sequence[float]

    @property
    def order(self) -> NDArray[np.intp]:
        """(n,) the positions of the candidates, the best score first, equal ones as they come."""
        return np.argsort(-(self.evidence * self._factors).sum(axis=1), kind="stable")

    def served(self, *, standings: IntArray, left_out: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """Return (k,) the candidates in the order in which a listener gets them.

        It is that of the scores, but a list near a place is about it: of its first n at least 2 n / 5 are surely more
        common there than elsewhere, while there are such candidates, and those that are surely less common come last.
        The scores decide among both and between them.

        Parameters
        ----------
        standings : numpy.ndarray
            (n,) what is sure of each candidate (:mod:`recsys.artifacts.standings`).
        left_out : numpy.ndarray, optional
            (n,) which candidates are not to be served; by default all are.
        """
        order = self.order
        return about_here(order if left_out is None else order[~left_out[order]], standings)

    def reasons(self, positions: NDArray[np.intp], *, standings: IntArray) -> NDArray[np.intp]:
        """Return (k,) the reason of each of some candidates.

        A reason is the position of an evidence that speaks for the candidate. What is sure of the place comes first:
        that the candidate is more common there (special), rises there, or is among the first ten (popular). Else it is
        what the listener's own plays say, and where they say nothing, a list; of these the one whose term most exceeds
        its mean over all candidates.

        Parameters
        ----------
        positions : numpy.ndarray
            (k,) of candidates.
        standings : numpy.ndarray
            (n,) what is sure of each candidate.
        """
        best, factors = self.evidence[positions], self._factors
        terms = best * factors
        distinct = terms - self.evidence.sum(axis=0) * factors / np.float32(max(len(self.evidence), 1))
        weightless = np.where(best > 0, np.finfo(np.float32).min, -np.inf)  # named where there is nothing better
        stated = np.where(terms > 0, distinct, weightless)
        own = stated[:, len(CHARTS) :]
        found: NDArray[np.intp] = np.where(
            (terms[:, len(CHARTS) :] > 0).any(axis=1), len(CHARTS) + own.argmax(axis=1), stated.argmax(axis=1)
        )
        for bit, at in reversed(_STATED):  # numpy.select took twice as long as all else here
            found = np.where(standings[positions] & bit, at, found)
        return found

    @property
    def _factors(self) -> FloatArray:
        return np.array(self.weights, dtype=np.float32)


def shared(
    champion: NDArray[np.intp], challenger: NDArray[np.intp], *, standings: IntArray, coin: Coin, limit: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (k,) the first candidates of a list that two rankers share, and (k,) whose pick each was.

    What is compared is what either would serve (:meth:`Ranking.served`); and the shared list is as much about its
    place as theirs are.

    Parameters
    ----------
    champion, challenger : numpy.ndarray
        (n,) the same candidates in either order.
    standings : numpy.ndarray
        Of all candidates.
    coin : callable
        See :func:`recsys.artifacts.interleaving.team_draft`.
    limit : int
        k at most.
    """
    more = frozenset(np.flatnonzero(standings & MORE).tolist())
    promise = Promise(more, lambda first: first * _MORE // _OF)
    return team_draft(champion, challenger, coin=coin, promise=promise, limit=limit)


def about_here(order: NDArray[np.intp], standings: IntArray) -> NDArray[np.intp]:
    """Move up what is surely more common, no further than it has to be, and to the end what is surely less so.

    Parameters
    ----------
    order : numpy.ndarray
        (k,) positions of candidates, of some or of all.
    standings : numpy.ndarray
        (n,) of all.
    """
    less = (standings[order] & LESS) > 0
    kept = order[~less]
    is_more = (standings[kept] & MORE) > 0
    natural = np.flatnonzero(is_more)
    places = np.minimum(natural, -(-(np.arange(1, len(natural) + 1) * _OF) // _MORE) - 1)
    others = np.ones(len(kept), dtype=bool)
    others[places] = False
    mixed = np.empty_like(kept)
    mixed[places], mixed[others] = kept[is_more], kept[~is_more]
    return np.concatenate([mixed, order[less]])


_MORE, _OF = 2, 5  # so many of so many are surely more common: four of the first ten, which is more than a third
_STATED = ((MORE, CHARTS.index(LOCAL)), (RISES, CHARTS.index(RISING)), (TOP, CHARTS.index(POPULAR)))
