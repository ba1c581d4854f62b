"""The rows of a chart as they are drawn: a dot and its interval on a scale that the whole list shares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import log

from recsys.artifacts.list_candidates import POPULAR
from recsys.artifacts.reasons import half_up, reason
from recsys.geography.places import WORLD
from recsys.messages import Message, Value, said
from recsys.serving.snapshot.place_lists import Item

_LEAST = 0.05  # times: what is less is drawn there, as a logarithm has no zero


@dataclass(frozen=True)
class Row:
    """One line of a chart.

    Parameters
    ----------
    item : Item
    move : str
        ``up``, ``down``, ``same`` or ``new``, against the night before.
    places : int
        How many ranks up or down.
    figure : int or Decimal
        The number beside the dot: listeners, or how many times as much.
    spoken : str
        The whole of it in words.
    low, dot, high : float
        Per cent of the scale.
    base : float or None
        Where the scale has "as much as elsewhere", in per cent.
    source : str
        Where its numbers are from, where that is not the place that the list is of; empty where it is.
    reason : str
        Why it is there, beginning with whose numbers it has, where that is another place.
    """

    item: Item
    move: str
    places: int
    figure: int | Decimal
    spoken: str
    low: float
    dot: float
    high: float
    base: float | None
    source: str = ""
    reason: str = ""

    @property
    def grade(self) -> str:
        """How sure it is, in words; of a popular line nothing."""
        return _GRADES.get(self.item.get("grade", ""), "")


def rows(items: Sequence[Item], *, chart: str, place: str = "", called: Callable[[str], str] = str) -> list[Row]:
    """Return the rows of a list: of the popular chart listeners are drawn, of the others how many times as much.

    Parameters
    ----------
    items : sequence of Item
    chart : str
    place : str
        The id of the place that the list is of.
    called : callable
        Returns the name of another place, by its id.
    """
    measure = _listeners if chart == "popular" else _lift
    values = [measure(item) for item in items]
    if not values:
        return []
    scale, base = (_linear if chart == "popular" else _logarithmic)(values)
    drawn = [_row(item, value, scale, base, chart=chart) for item, value in zip(items, values, strict=True)]
    sourced = [_sourced(row, own=_place_of(items[0]), called=called) for row in drawn]
    return [replace(row, reason=_reason(row.item, chart=chart, place=place, called=called)) for row in sourced]


AXES = {
    "popular": said(
        "Listeners a night who contribute: the dot is our estimate, the bar where the truth lies with 95 % confidence."
    ),
    "rising": said(
        "How many times its own past in the place that a line is of: the dot is our estimate, the bar where the truth "
        "lies with 95 % confidence."
    ),
    "local": said(
        "How many times its share in the rest of the world: the dot is our estimate, the bar where the truth lies with "
        "95 % confidence."
    ),
}

UNITS = {
    "popular": said("listeners a night"),
    "rising": said("times its own past"),
    "local": said("times its share elsewhere"),
}

BLANK = Row(
    {
        "rank": 0,
        "previous_rank": "new",
        "nights_on_chart": 1,
        "track_id": "",
        "title": "",
        "artist": "",
        "artist_id": "",
        "listeners": {"estimate": 0.0, "low": 0.0, "high": 0.0},
        "lift": 1.0,
        "lift_interval": {"low": 1.0, "high": 1.0},
        "nights": 0,
        "reason": "",
    },
    move="new",
    places=0,
    figure=0,
    spoken="",
    low=0.0,
    dot=0.0,
    high=0.0,
    base=None,
)
"""What the browser fills in for the lists that only it may ask for."""

_GRADES = {"surely": said("surely"), "likely": said("likely"), "guess": said("a guess")}

_Value = tuple[float, float, float]
_Scale = Callable[[float], float]


def _listeners(item: Item) -> _Value:
    found = item["listeners"]
    return found["low"], found["estimate"], found["high"]


def _lift(item: Item) -> _Value:
    return item["lift_interval"]["low"], item["lift"], item["lift_interval"]["high"]


def _linear(values: Sequence[_Value]) -> tuple[_Scale, float | None]:
    most = max(max(value) for value in values) or 1.0
    return lambda x: 100 * x / most, None


def _logarithmic(values: Sequence[_Value]) -> tuple[_Scale, float | None]:
    least = max(_LEAST, min(1.0, *(value[0] for value in values)))
    most = max(2.0, *(value[2] for value in values))

    def scale(x: float) -> float:
        return 100 * log(max(x, least) / least) / log(most / least)

    return scale, scale(1.0)


def _row(item: Item, value: _Value, scale: _Scale, base: float | None, *, chart: str) -> Row:
    before = item["previous_rank"]
    places = 0 if before == "new" else before - item["rank"]
    move = "new" if before == "new" else "up" if places > 0 else "down" if places < 0 else "same"
    low, estimate, high = (count(x) if chart == "popular" else half_up(x, digits=1) for x in value)
    numbers: dict[str, Value] = {"low": low, "estimate": estimate, "high": high}
    spoken = (
        said("About {estimate} listeners a night, between {low} and {high}", **numbers)
        if chart == "popular"
        else said("About {estimate} times as much, between {low} and {high}", **numbers)
    )
    start, dot, end = (round(min(100.0, max(0.0, scale(x))), 1) for x in value)
    return Row(item, move, abs(places), estimate, spoken, start, dot, end, None if base is None else round(base, 1))


def _sourced(row: Row, *, own: str, called: Callable[[str], str]) -> Row:
    """Say where a row is from; a move would be one on another list than that of the first row."""
    place = _place_of(row.item)
    moved = row if place == own else replace(row, move="", places=0)
    return replace(moved, source=_where(place, called)) if place else moved


def _where(place: str, called: Callable[[str], str]) -> Message:
    """Say where the numbers of a line are from."""
    return said("worldwide") if place == WORLD else said("in {place}", place=called(place))


def _reason(item: Item, *, chart: str, place: str, called: Callable[[str], str]) -> Message:
    """Say why a line is there, as :func:`~recsys.serving.lists.whose.whose` and the snapshot say it in English."""
    other = _place_of(item)
    told = reason(item, chart=item["source"]["chart"] if other else chart, place=other or place)
    if not other or (other == WORLD and chart == POPULAR):
        return told
    if other == WORLD:
        return said("Worldwide: {told}", told=told)
    return said("In {place}: {told}", place=called(other), told=told)


def _place_of(item: Item) -> str:
    """Return the place that the numbers of a line are from, where it is another than was asked for."""
    return item["source"]["place"] if "source" in item else ""


def count(number: float) -> Decimal:
    """Return a number of listeners with the digits that are written: whole, but for small ones."""
    return half_up(number, digits=0 if number >= 10 else 1)
