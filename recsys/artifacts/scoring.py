"""Scores candidates for one listener, and says which evidence each owes its rank to.

The score of a candidate is a sum, one term an evidence: how high it stands on the popular, rising and local lists of
the place and of those it lies in, how close it is to what the listener plays, and whether it is new to the listener.
The reason is the term that exceeds that of the average candidate most, so that without it the candidate would stand
elsewhere. The night learns the weights, and the endpoint puts lists in order, by the same evidence.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.affinities import EVIDENCE, NO_TRACK, Row
from recsys.artifacts.list_candidates import CHARTS, FloatArray, IntArray, ListCandidates


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


def put_in_order(
    evidence: FloatArray, weights: Sequence[float], *, limit: int | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (k,) the positions of the best candidates, equal ones as they come, and (k,) the reason of each.

    A reason is the position of the evidence whose term most exceeds its mean over all candidates, among those that
    speak for the candidate.

    Parameters
    ----------
    evidence : numpy.ndarray
        (n, 5).
    weights : sequence of float
        Of each evidence.
    limit : int, optional
        k at most; by default n.
    """
    factors = np.array(weights, dtype=np.float32)
    order = np.argsort(-(evidence * factors).sum(axis=1), kind="stable")[:limit]
    best = evidence[order]
    terms = best * factors
    distinct = terms - evidence.sum(axis=0) * factors / np.float32(max(len(evidence), 1))
    weightless = np.where(best > 0, np.finfo(np.float32).min, -np.inf)  # named where there is nothing better
    return order, np.where(terms > 0, distinct, weightless).argmax(axis=1)
