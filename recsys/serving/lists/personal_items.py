"""Puts what is popular, rising and special around a place in an order for one listener, and says why each is there.

The score of a candidate is a sum, one term an evidence: how high it stands on the popular, rising and local lists of
the place and of those it lies in, how close it is to what the listener plays, and whether it is new to the listener.
The reason is the term that exceeds that of the average candidate most, so that without it the candidate would stand
elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from recsys.artifacts.affinities import NO_TRACK, Row
from recsys.artifacts.list_candidates import CHARTS, Candidates, FloatArray, IntArray
from recsys.geography.places import WORLD
from recsys.serving.snapshot.place_lists import Because, Line, Lists
from recsys.serving.snapshot.snapshot_reader import Published

BECAUSE: tuple[Because, ...] = (
    "popular_here",
    "rising_here",
    "special_to_here",
    "close_to_what_you_play",
    "new_for_you",
)

_LEADS: dict[Because, str] = {"close_to_what_you_play": "Close to what you play. ", "new_for_you": "New for you. "}


def evidence_for(candidates: Candidates[Any], *, columns: IntArray, row: Row) -> FloatArray:
    """Return (n, 5) what speaks for each candidate, in the order of :data:`recsys.artifacts.affinities.EVIDENCE`.

    What is close and what is new is known of tracks that have a column alone; nothing is of a blank row.

    Parameters
    ----------
    candidates : Candidates
    columns : numpy.ndarray
        (n,) the column of each in the private file.
    row : Row
        Of the listener.
    """
    evidence = np.empty((len(BECAUSE), len(columns)), dtype=np.float32).T  # each evidence lies together: sums are fast
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


@dataclass(frozen=True, eq=False)
class Around:
    """The lists of a place and of the larger places it lies in.

    Parameters
    ----------
    lists : sequence of Lists
        The smallest place first; at least one.
    published : Published
    """

    lists: Sequence[Lists]
    published: Published = field(repr=False)

    @property
    def candidates(self) -> Candidates[int]:
        """What is on any of the lists."""
        return self.lists[0].candidates

    @property
    def place(self) -> str:
        """The nearest place that has a list: what is first is first there. There must be a candidate."""
        return self.line(0, because=len(CHARTS)).place

    def line(self, at: int, *, because: int) -> Line:
        """Return the line of a candidate, of the nearest place whose list of the reason has it.

        Where the reason is no list, it is the first one that holds the candidate.

        Parameters
        ----------
        at : int
            Position of the candidate.
        because : int
            Position of the reason in ``BECAUSE``.
        """
        ranks = self.candidates.ranks[at].tolist()
        is_list = because < len(CHARTS) and ranks[because]
        kind = because if is_list else ranks.index(next(filter(None, ranks)))
        own = self.lists[0].line(CHARTS[kind], rank=ranks[kind])
        return own or self._line_above(int(self.candidates.tracks[at]), kind)

    def _line_above(self, track: int, kind: int) -> Line:
        """Return the line of a track that is not on the place's own list."""
        found = (lists.line(CHARTS[kind], rank=lists.ranks_of(track)[kind]) for lists in self.lists[1:])
        return next(filter(None, found))


def listed(around: Around, *, at: int, because: int, rank: int, here: str) -> bytes:
    """Return a candidate as an item of the list, in JSON, with the facts of the chart that its reason comes from.

    Parameters
    ----------
    around : Around
    at, because : int
        As in :meth:`Around.line`.
    rank : int
        Where it stands on the list.
    here : str
        The place that the list is of.
    """
    place, chart, facts, reason = around.line(at, because=because)
    why = BECAUSE[because]
    said = _LEADS.get(why, "")
    if place != here:
        said += _from(place, chart, published=around.published)
    lead = to_json(said)[1:-1] if said else b""
    return _ITEM % (rank, facts, lead, reason, why.encode(), chart.encode(), place.encode())


def _from(place: str, chart: str, *, published: Published) -> str:
    """Say which other place the numbers of a line are from."""
    if place == WORLD:
        return "" if chart == "popular" else "Worldwide: "  # a popular line says itself that it is the world's
    return f"In {published.places[place].name}: "


_ITEM = b'{"rank":%d,%b,"reason":"%b%b","because":"%b","source":{"chart":"%b","place":"%b"}}'
