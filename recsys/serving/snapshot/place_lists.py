"""The lists of one place, as the snapshot holds them: a line is read without the others."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, NotRequired, cast

import numpy as np
from pydantic_core import from_json  # in half the time of json
from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.list_candidates import CHARTS, Candidates, IntArray, unpacked

Because = Literal["popular_here", "rising_here", "special_to_here", "close_to_what_you_play", "new_for_you"]
"""Why a track stands where it does on a listener's own list."""


class Interval(TypedDict):
    """Contributing listeners a night, averaged over the chart's nights, with a 95 % interval."""

    estimate: float
    low: float
    high: float


class Bounds(TypedDict):
    """A 95 % interval."""

    low: float
    high: float


class Source(TypedDict):
    """The chart, and the place it is of, that the numbers of a line come from."""

    chart: str
    place: str


class Item(TypedDict):
    """One line of a chart.

    ``previous_rank`` is that of the night before, or ``new``; ``nights_on_chart`` counts nights in a row. ``lift`` is
    how many times what the chart compares with: popular, the track's share in the world; rising, its own past here;
    local, its share in the rest of the world. ``listeners`` are averaged over the last ``nights``. A rising track is a
    ``mover``, or a ``debut`` where it has no past here.

    The listener's own list has two keys more. ``because`` is why a track stands where it does; ``source`` is the chart
    that all numbers and the ranks before are from, also where the reason is another.
    """

    rank: int
    previous_rank: int | Literal["new"]
    nights_on_chart: int
    track_id: str
    title: str
    artist: str
    listeners: Interval
    lift: float
    lift_interval: Bounds
    nights: int
    kind: NotRequired[Literal["mover", "debut"]]
    reason: str
    because: NotRequired[Because]
    source: NotRequired[Source]


class Line(NamedTuple):
    """What a list says of a track, as JSON.

    Parameters
    ----------
    place, chart : str
        Whose list it is, and which.
    facts : bytes
        The keys of an item between its rank and its reason.
    reason : bytes
        The text of its reason, without quotes.
    """

    place: str
    chart: str
    facts: bytes
    reason: bytes


@dataclass(frozen=True, eq=False)
class Lists:
    """A place's own popular, rising and local list, and what is on them or on those of the places it lies in.

    Read it with :func:`read_lists`.

    Parameters
    ----------
    place : str
    candidates : Candidates
        Their tracks are positions in the snapshot's.
    """

    place: str
    candidates: Candidates[int] = field(repr=False)
    _charts: Mapping[str, tuple[bytes, IntArray]] = field(repr=False)

    def items(self, chart: str) -> list[Item] | None:
        """Return all items of a list, or None where the place has no such list."""
        found = self._charts.get(chart)
        return None if found is None else cast("list[Item]", from_json(found[0]))

    def line(self, chart: str, *, rank: int) -> Line | None:
        """Return one line of a list, or None where the list is shorter."""
        text, cuts = self._charts.get(chart, _NOTHING)
        if not 0 < rank <= len(cuts):
            return None
        begins, ends, end = cuts[rank - 1].tolist()
        return Line(self.place, chart, text[begins:ends], text[ends + len(_REASON) : end - len(_END)])

    def ranks_of(self, track: int) -> list[int]:
        """Return the ranks of a candidate on the three lists, continued by those of larger places; 0 for none."""
        return self._ranks.get(track, [0] * len(CHARTS))

    @cached_property
    def _ranks(self) -> dict[int, list[int]]:
        return dict(zip(np.asarray(self.candidates.tracks).tolist(), self.candidates.ranks.tolist(), strict=True))


def read_lists(database: sqlite3.Connection, place: str) -> Lists | None:
    """Return a place's own lists from a snapshot's tables, or None where it has none."""
    charts = database.execute("SELECT chart, items, cuts FROM charts WHERE place = ?", (place,)).fetchall()
    nearby = database.execute("SELECT candidates FROM nearby WHERE place = ?", (place,)).fetchone()
    if nearby is None:
        return None
    texts = {chart: (items, np.frombuffer(cuts, dtype="<i4").reshape(-1, 3)) for chart, items, cuts in charts}
    return Lists(place, unpacked(nearby[0]), texts)


_REASON, _END = b',"reason":"', b'"}'
_NOTHING = (b"[]", np.zeros((0, 3), dtype=np.int32))

NO_LISTS = Lists("", unpacked(b""), {})
"""The lists of a place that has none."""
