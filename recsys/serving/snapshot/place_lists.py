"""An item of a list, as it is answered: on a public chart, and on a listener's own list."""

from typing import Annotated, Literal, NotRequired

from pydantic import WithJsonSchema
from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

Because = Literal["popular_here", "rising_here", "special_to_here", "close_to_what_you_play", "new_for_you"]
"""Why a track stands where it does on a listener's own list."""


Grade = Literal["surely", "likely", "guess"]
"""How sure it is that a track is rising or special."""


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


class History(TypedDict):
    """How a track has done in a list over all nights: its first one, its best rank, and on how many it was listed."""

    first_night: str
    first_rank: int
    peak_rank: int
    peak_night: str
    nights: int


class Price(TypedDict):
    """What a list costs: how many accounts, all playing one track every night, bring it there within seven nights.

    Fewer than ``first_20`` bring a track that nobody else plays among the first 20, and fewer than ``rank_1`` to rank
    1, in at most one of a thousand tries. It follows from published counts.
    """

    first_20: int
    rank_1: int


# An ``enum`` and no ``const``: generators of clients try each shape of a value, but take a ``const`` for given.
_RANK_OR_NEW = {"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["new"]}]}


class Item(TypedDict):
    """One line of a chart.

    ``previous_rank`` is that of the night before, or ``new``; ``nights_on_chart`` counts nights in a row. ``lift`` is
    how many times what the chart compares with: popular, the track's share in the world; rising, its own past here;
    local, its share in the rest of the world. ``listeners`` are averaged over the last ``nights``. A rising track is a
    ``mover``, or a ``debut`` where it has no past here. ``history`` tells of all nights so far. Of the chart of a week
    ``previous_rank`` is that of the week before, and ``weeks_on_chart`` counts weeks in a row.

    Rising and local lines have a ``grade``: of those that are ``surely`` so, at most one in ten is expected to be there
    by chance (`charts.false_discovery_rate`); ``likely`` is what has a lift above 1 with a probability of at least 0.8,
    and a ``guess`` what is only estimated to have, hardly better than a coin.

    ``source`` is the chart that all numbers and the ranks before are from. A public chart has it on lines of a larger
    place than was asked for, the listener's own list on all. There ``because`` is why a track stands where it does,
    which may be another reason than that of the chart, and ``page`` and ``artist_page`` are the addresses of the song's
    and the artist's pages.
    """

    rank: int
    previous_rank: Annotated[int | Literal["new"], WithJsonSchema(_RANK_OR_NEW)]
    nights_on_chart: int
    track_id: str
    title: str
    artist: str
    artist_id: NotRequired[str]
    listeners: Interval
    lift: float
    lift_interval: Bounds
    nights: int
    kind: NotRequired[Literal["mover", "debut"]]
    history: NotRequired[History]
    weeks_on_chart: NotRequired[int]
    grade: NotRequired[Grade]
    reason: str
    because: NotRequired[Because]
    source: NotRequired[Source]
    page: NotRequired[str]
    artist_page: NotRequired[str]
