"""The charts of past nights and weeks, as they were published then."""

from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import cast

from recsys.errors import InputError, UnknownNightError
from recsys.geography.places import Place
from recsys.messages import Message, said, sentences, template
from recsys.serving.lists.responses import Chart, chart_answer, chart_of, check_chart, label, lines_of
from recsys.serving.snapshot.place import place_named
from recsys.serving.snapshot.place_lists import Item
from recsys.serving.snapshot.snapshot_reader import Published

WEEK = r"^\d{4}-W\d{2}$"  # ISO 8601
_NIGHTS_LISTED = "The nights that have charts are listed at /v1/releases."


def any_chart_answer(
    published: Published,
    *,
    place_id: str,
    chart: str,
    limit: int,
    night: date | None = None,
    week: str | None = None,
) -> Chart:
    """Return the chart of the last night, or of another one or of a week, where one of both is named.

    Raises
    ------
    InputError
        If both are named; further errors as of a night and of a week.
    """
    if night is not None and week is not None:
        raise InputError(template("there are both a night and a week"), hint="Name one of them.")
    if week is not None:
        return week_chart_answer(published, place_id=place_id, chart=chart, week=week, limit=limit)
    if night is not None and night.isoformat() != published.as_of:
        return past_chart_answer(published, place_id=place_id, chart=chart, night=night, limit=limit)
    return chart_answer(published, place_id=place_id, chart=chart, limit=limit)


def past_chart_answer(published: Published, *, place_id: str, chart: str, night: date, limit: int) -> Chart:
    """Return a public chart of a place as it was published on a night: told as that of the last night is.

    Raises
    ------
    UnknownPlaceError
        If the atlas has no such place.
    UnknownChartError
        If there is no chart of that name.
    UnknownNightError
        If no charts of that night were published.
    """
    check_chart(chart)
    if night not in published.history.nights:
        raise UnknownNightError(template("no charts of this night were published"), hint=_NIGHTS_LISTED)
    place = place_named(place_id, published=published)
    history = published.history

    def read(place_id: str) -> list[Item] | None:
        return cast("list[Item] | None", history.items(place_id, chart, night=night))

    shown, items, more = lines_of(place, chart=chart, read=read, published=published)
    drawn = history.nights[night].drawn
    why = sentences(_why(place, shown, chart=chart, night=night, drawn=drawn, found=bool(items)), more)
    answer = chart_of(published, place=place, shown=shown, chart=chart, why=why, used=False, items=items[:limit])
    return {**answer, "as_of": night.isoformat(), "drawn": drawn.isoformat()}


def week_chart_answer(published: Published, *, place_id: str, chart: str, week: str, limit: int) -> Chart:
    """Return the chart of a week: that of its last night, compared with the week before.

    A chart looks at the nights of a week, so that the one of a Sunday is the week's.

    Parameters
    ----------
    week : str
        An ISO 8601 week, as ``2026-W40``, that is over.

    Raises
    ------
    UnknownNightError
        If no charts of the week were published, or it is not over; further errors as of a night.
    """
    ends = weeks_of(published)
    if week not in ends:
        raise UnknownNightError(template("no chart of this week was published, or it is not over"), hint=_NIGHTS_LISTED)
    answer = past_chart_answer(published, place_id=place_id, chart=chart, night=ends[week], limit=limit)
    before = list(reversed([end for other, end in ends.items() if other < week]))
    before = before[: _unbroken([ends[week], *before])]
    lists = {
        place: _lists(published, place, chart, nights=before)
        for place in {_own(answer, each) for each in answer["items"]}
    }
    items = [_in_weeks(item, lists[_own(answer, item)]) for item in answer["items"]]
    return {**answer, "week": week, "items": items}


def weeks_of(published: Published) -> dict[str, date]:
    """Return the weeks that are over, in order, each with the last of its nights that has charts."""
    as_of = date.fromisoformat(published.as_of)
    over = (night for night in published.history.nights if night + timedelta(days=6 - night.weekday()) <= as_of)
    return {week_of(night): night for night in over}


def week_of(night: date) -> str:
    """Return the ISO 8601 week of a night."""
    year, week, _ = night.isocalendar()
    return f"{year}-W{week:02}"


def _own(answer: Chart, item: Item) -> str:
    """Return the place that a line's ranks are of."""
    return item["source"]["place"] if "source" in item else answer["region"]["id"]


def _lists(published: Published, place_id: str, chart: str, *, nights: Sequence[date]) -> list[list[str]]:
    """Return the tracks of a list on each of some nights, best first."""
    ranks = published.history.ranks(place_id, chart, nights=nights)
    return [ranks.get(night, []) for night in nights]


def _why(place: Place, shown: Place, *, chart: str, night: date, drawn: date, found: bool) -> Message:
    is_late = drawn > night + timedelta(days=1)
    if not found:
        return said(_NONE[is_late], place=label(place), night=night, drawn=drawn).begun("upper")
    whose = said(_CHARTS[chart][is_late], place=label(shown), night=night, drawn=drawn).begun("upper")
    return whose if shown == place else sentences(said("{place} had none of its own.", place=label(place)), whose)


_NONE = (  # drawn in time, and later
    template("Nothing was listed around {place} on the night of {night}, as it was published then."),
    template("Nothing was listed around {place} on the night of {night}, drawn on {drawn}."),
)
_CHARTS = {
    "popular": (
        template("The popular chart of {place} of {night}, as it was published then."),
        template("The popular chart of {place} of {night}, drawn on {drawn}."),
    ),
    "rising": (
        template("The rising chart of {place} of {night}, as it was published then."),
        template("The rising chart of {place} of {night}, drawn on {drawn}."),
    ),
    "local": (
        template("The special chart of {place} of {night}, as it was published then."),
        template("The special chart of {place} of {night}, drawn on {drawn}."),
    ),
}


def _unbroken(ends: Sequence[date]) -> int:
    """Return how many weeks before the first follow one another without a gap."""
    mondays = [end - timedelta(days=end.weekday()) for end in ends]
    steps = pairwise(mondays)
    return next((i for i, (after, before) in enumerate(steps) if (after - before).days != 7), len(mondays) - 1)


def _in_weeks(item: Item, before: Sequence[Sequence[str]]) -> Item:
    track = item["track_id"]
    weeks = next((i for i, tracks in enumerate(before) if track not in tracks), len(before))
    previous = before[0].index(track) + 1 if weeks else "new"
    return cast("Item", {**item, "previous_rank": previous, "weeks_on_chart": weeks + 1})
