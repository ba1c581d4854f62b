"""The items of a listener's own list: each with the numbers of a list around the place, and why it stands there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from recsys.artifacts.addresses import longest_addresses
from recsys.artifacts.chart_database import Line, Lists
from recsys.artifacts.list_candidates import CHARTS, ListCandidates
from recsys.serving.lists.whose import IN, whose
from recsys.serving.snapshot.place_lists import Because
from recsys.serving.snapshot.snapshot_reader import Published

BECAUSE: tuple[Because, ...] = (
    "popular_here",
    "rising_here",
    "special_to_here",
    "close_to_what_you_play",
    "new_for_you",
)

_LEADS: dict[Because, str] = {"close_to_what_you_play": "Close to what you play. ", "new_for_you": "New for you. "}


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
    def candidates(self) -> ListCandidates[int]:
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


def listed(around: Around, best: Sequence[tuple[int, int]], *, here: str) -> list[dict[str, Any]]:
    """Return the items of a listener's own list, with the facts of the chart that each one's reason comes from.

    Parameters
    ----------
    around : Around
    best : sequence of (int, int)
        The positions of a candidate and of its reason, as in :meth:`Around.line`; best first.
    here : str
        The place that the list is of.
    """
    lines = [around.line(at, because=because) for at, because in best]
    items = around.published.lines(lines)
    pages = around.published.pages([int(around.candidates.tracks[at]) for at, _ in best], items)
    for rank, (line, item, page, (_, because)) in enumerate(zip(lines, items, pages, best, strict=True), 1):
        item["rank"] = rank
        item["reason"] = _lead(line, because=because, here=here, published=around.published) + item["reason"]
        item["because"] = BECAUSE[because]
        item["source"] = {"chart": line.chart, "place": line.place}
        item.update(page)
    return items


def most_bytes(published: Published, *, limit: int) -> int:
    """Return how long the items of a listener's own list are at most, as JSON, whichever place it is of."""
    place = published.longest_place
    source = {"chart": max(CHARTS, key=len), "place": place.id}
    lead = max(_LEADS.values(), key=len) + IN.format(place.name)
    more = {"because": max(BECAUSE, key=len), "source": source, "reason": lead, **longest_addresses()}
    return published.most_bytes(limit) + limit * (len(orjson.dumps(more)) + len(str(limit)))


def _lead(line: Line, *, because: int, here: str, published: Published) -> str:
    """Say what comes before the reason that stands on the list of a place."""
    place = "" if line.place == here else whose(line.place, line.chart, published=published)
    return _LEADS.get(BECAUSE[because], "") + place
