"""Puts what is popular, rising and special around a place in an order for one listener, and says why each is there.

The score of a candidate is a sum, one term an evidence: how high it stands on the popular, rising and local lists of
the place and of those it lies in, how close it is to what the listener plays, and whether it is new to the listener.
The reason is the term that exceeds that of the average candidate most, so that without it the candidate would stand
elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.serving.answers import CHARTS, Because, Item, Source
from recsys.serving.published import WORLD, Published
from recsys.tastes import NO_TRACK, FloatArray, IntArray, Row

BECAUSE: tuple[Because, ...] = (
    "popular_here",
    "rising_here",
    "special_to_here",
    "close_to_what_you_play",
    "new_for_you",
)

_LEADS: dict[Because, str] = {"close_to_what_you_play": "Close to what you play. ", "new_for_you": "New for you. "}

Items = Callable[[str, str], Sequence[Item] | None]
"""Returns a place's own chart, or None where it has none."""


class Line(NamedTuple):
    """A candidate as one chart has it."""

    place: str
    chart: str
    item: Item


@dataclass(frozen=True, eq=False)
class Candidates:
    """The n tracks on any list of a place, or of the larger places it lies in.

    Parameters
    ----------
    tracks : tuple of str
        Their ids, popular ones first.
    lines : tuple
        For each, its line on the popular, rising and local list of the nearest place that has it, or None.
    evidence : numpy.ndarray
        (n, 3) float32: the logarithm of how many times nearer to the top of its list a track stands than one behind
        the longest list; 0 where it is on no such list. The lists of larger places follow that of the place.
    """

    tracks: tuple[str, ...] = field(repr=False)
    lines: tuple[tuple[Line | None, ...], ...] = field(repr=False)
    evidence: FloatArray = field(repr=False)

    @property
    def place(self) -> str:
        """The nearest place that has a list: what is first is first there. There must be a candidate."""
        return next(filter(None, self.lines[0])).place


def candidates_of(places: Sequence[str], *, items: Items) -> Candidates:
    """Gather the candidates of a place.

    Parameters
    ----------
    places : sequence of str
        Ids of the place and of the larger ones it lies in, the smallest first.
    items : callable
        Returns a place's chart.
    """
    lists = [_merged(places, chart, items=items) for chart in CHARTS]
    tracks = tuple(dict.fromkeys(track for lines in lists for track in lines))
    behind = 1 + max(map(len, lists))
    heights = [{track: np.log(behind / rank) for rank, track in enumerate(lines, 1)} for lines in lists]
    evidence = [[height.get(track, 0.0) for height in heights] for track in tracks]
    return Candidates(
        tracks,
        tuple(tuple(lines.get(track) for lines in lists) for track in tracks),
        np.array(evidence, dtype=np.float32).reshape(-1, len(CHARTS)),
    )


def evidence_for(candidates: Candidates, *, columns: IntArray, row: Row) -> FloatArray:
    """Return (n, 5) what speaks for each candidate, in the order of :data:`recsys.tastes.EVIDENCE`.

    What is close and what is new is known of tracks that have a column alone; nothing is of a blank row.
    """
    closeness, played = row.at(columns)
    new = (columns != NO_TRACK) & ~played & row.known
    return np.column_stack([candidates.evidence, closeness, new.astype(np.float32)])


def put_in_order(evidence: FloatArray, weights: Sequence[float]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return (n,) the candidates best first, equal ones as they come, and (n,) the reason of each candidate.

    A reason is the position of the evidence whose term most exceeds its mean over all candidates, among those that
    speak for the candidate.
    """
    terms = evidence * np.array(weights, dtype=np.float32)
    order = np.argsort(-terms.sum(axis=1), kind="stable")
    distinct = terms - terms.mean(axis=0) if len(terms) else terms
    weightless = np.where(evidence > 0, np.finfo(np.float32).min, -np.inf)  # named where there is nothing better
    return order, np.where(terms > 0, distinct, weightless).argmax(axis=1)


def listed(candidates: Candidates, *, at: int, because: int, rank: int, published: Published) -> Item:
    """Return a candidate as a line of the list, with the line of the chart that its reason comes from."""
    lines = candidates.lines[at]
    line = (lines[because] if because < len(CHARTS) else None) or next(filter(None, lines))
    said = _LEADS.get(BECAUSE[because], "") + _where(line, candidates.place, published=published) + line.item["reason"]
    source: Source = {"chart": line.chart, "place": line.place}
    return {**line.item, "rank": rank, "reason": said, "because": BECAUSE[because], "source": source}


def _where(line: Line, here: str, *, published: Published) -> str:
    """Say where the numbers of a line are from, if they are not those of the place itself."""
    if line.place == here or (line.place, line.chart) == (WORLD, "popular"):  # which says that it is the world's
        return ""
    return "Worldwide: " if line.place == WORLD else f"In {published.places[line.place].name}: "


def _merged(places: Sequence[str], chart: str, *, items: Items) -> dict[str, Line]:
    """Return the place's list, followed by what larger places' lists add to it."""
    lines: dict[str, Line] = {}
    for place in places:
        for item in items(place, chart) or ():
            lines.setdefault(item["track_id"], Line(place, chart, item))
    return lines
