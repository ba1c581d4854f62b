"""Response bodies: what the endpoint answers, as plain values; the command line prints the same."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Literal, NamedTuple, NotRequired

import h3
from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.chart_database import PublishedPlace
from recsys.artifacts.list_candidates import CHARTS, LOCAL, POPULAR, RISING
from recsys.errors import InputError, UnknownChartError
from recsys.geography.places import Level, Place
from recsys.geography.spelling import searchable
from recsys.messages import Country, Message, Value, counted, forms, said, sentences, template
from recsys.serving.lists.list_ids import public_list
from recsys.serving.lists.whose import whose
from recsys.serving.snapshot.place import chain, place_named
from recsys.serving.snapshot.place_lists import Item, Price, Source
from recsys.serving.snapshot.snapshot_reader import Published


class Centre(TypedDict):
    """The centre of a place's cell in degrees: public geography, nobody's position."""

    latitude: float
    longitude: float


class Region(TypedDict):
    """A place of the atlas: a region, a country or the world.

    Only what a search finds has ``found_by``: the town that is called so, where the place is named after another.
    """

    id: str
    name: str
    country: str | None
    level: Level
    parent: str | None
    centre: Centre
    population: int
    found_by: NotRequired[str]


class Regions(TypedDict):
    """Places, the best match first; ``next``, where there are more, is the cursor of those that follow."""

    as_of: str
    regions: list[Region]
    next: NotRequired[str]


@dataclass(frozen=True)
class Within:
    """Which places are asked for: of a level, or right within a larger place, whose id may be in any case."""

    level: Level | None = None
    parent: str | None = None

    def holds(self, place: Place) -> bool:
        """Tell whether a place is among them."""
        is_there = self.parent is None or (place.parent or "").casefold() == self.parent.casefold()
        return is_there and self.level in (None, place.level)


_ANYWHERE = Within()


class Chart(TypedDict):
    """A list: ``region`` is the place that was asked for, ``scope`` how wide the chart is that is shown for it.

    ``list`` is its opaque id, by which a listener tells what was played or hidden from it (`POST /v1/me/feedback`);
    that of a listener's own list is another one in each answer, and good for that listener until the next night. The
    chart of an earlier night has none. Only the listener's own list says ``history_used``, whether the listener's plays
    helped to put it in order, and of how many ``nights`` what is popular or special there is. Only a public chart has a
    ``price``: that of the place whose chart is shown. Only that of an earlier night says when it was ``drawn``, and
    only that of a ``week`` which one.
    """

    region: Region
    scope: Level
    chart: str
    list: NotRequired[str]
    as_of: str
    location_used: bool
    history_used: NotRequired[bool]
    nights: NotRequired[int]
    why: str
    price: NotRequired[Price | None]
    drawn: NotRequired[str]
    week: NotRequired[str]
    items: list[Item]


class Polygon(TypedDict):
    """A hexagon, as [longitude, latitude] in degrees; it may run on beyond 180 to stay whole."""

    type: Literal["Polygon"]
    coordinates: list[list[list[float]]]


class Feature(TypedDict):
    """A region and its hexagon."""

    type: Literal["Feature"]
    id: str
    geometry: Polygon
    properties: Region


class FeatureCollection(TypedDict):
    """Regions as GeoJSON (RFC 7946)."""

    type: Literal["FeatureCollection"]
    features: list[Feature]


def regions_answer(
    published: Published, *, query: str, limit: int, within: Within = _ANYWHERE, cursor: str | None = None
) -> Regions:
    """Return the places that a query means or names, whatever its language, accents and case, the likeliest first."""
    start = _start(cursor, published=published)
    found = [each for each in _search(published, query=query) if within.holds(each[0])]
    more, shown = start + limit, found[start : start + limit]
    answer: Regions = {"as_of": published.as_of, "regions": [_found(place, town) for place, town in shown]}
    return {**answer, "next": f"{more}{_mark(published)}"} if more < len(found) else answer


def region_answer(published: Published, *, place_id: str) -> Region:
    """Return a place by its id, in whatever case it is written.

    Raises
    ------
    UnknownPlaceError
        If the atlas has no such place.
    """
    return region_of(place_named(place_id, published=published))


def regions_geojson(published: Published, *, query: str, limit: int, within: Within = _ANYWHERE) -> FeatureCollection:
    """Return what :func:`regions_answer` finds and a map can draw: the regions, as hexagons."""
    regions = [place for place, _ in _search(published, query=query) if place.level == "region" and within.holds(place)]
    return {"type": "FeatureCollection", "features": [_feature(place) for place in regions[:limit]]}


def chart_answer(published: Published, *, place_id: str, chart: str, limit: int) -> Chart:
    """Return a public chart of a place, or of the nearest larger place where there is something to show.

    A short rising or local list goes on with those of larger places. Lines of another place than was asked for say so.

    Parameters
    ----------
    published : Published
    place_id : str
        A region, a country or ``world``.
    chart : str
        ``popular``, ``rising`` or ``local``.
    limit : int
        Items at most.

    Raises
    ------
    UnknownPlaceError
        If the atlas has no such place.
    UnknownChartError
        If there is no chart of that name.
    """
    check_chart(chart)
    place = place_named(place_id, published=published)
    shown, items, more = lines_of(place, chart=chart, read=partial(published.items, chart=chart), published=published)
    why = sentences(_why(place, shown, chart=chart, found=bool(items), published=published), more)
    answer = chart_of(published, place=place, shown=shown, chart=chart, why=why, used=False, items=items[:limit])
    id_ = public_list(published.id, place.id, chart)
    return {**answer, "list": id_, "price": published.price(shown.id, chart=chart)}


def check_chart(chart: str) -> None:
    """Refuse the name of a chart that there is not.

    Raises
    ------
    UnknownChartError
        If it is one.
    """
    if chart not in CHARTS:
        raise UnknownChartError(template("there is no such chart"), hint=f"Charts are: {', '.join(CHARTS)}.")


class Lines(NamedTuple):
    """What is listed for a place: the place whose list it is, its lines, and what is to be said of further ones."""

    shown: PublishedPlace
    items: list[Item]
    more: str


Read = Callable[[str], list[Item] | None]
"""Reads a place's own list, of one chart on one night, by the id of the place; None where there is none."""


def lines_of(place: PublishedPlace, *, chart: str, read: Read, published: Published) -> Lines:
    """Return the list of a place, or of the nearest larger one that has something to show.

    A short rising or local list goes on with those of larger places. Lines of another place than was asked for say so.
    """
    shown, own = _nearest(place, read=read, published=published)
    items = own if chart == POPULAR else _continued(own, shown, chart=chart, read=read, published=published)
    told = [_of(place, item, shown=shown, chart=chart, published=published) for item in items]
    return Lines(shown, told, _MORE if len(items) > len(own) else "")


def chart_of(
    published: Published, *, place: Place, shown: Place, chart: str, why: str, used: bool, items: list[Item]
) -> Chart:
    """Return items with what is said about the whole list."""
    return {
        "region": region_of(place),
        "scope": shown.level,
        "chart": chart,
        "as_of": published.as_of,
        "location_used": used,
        "why": why,
        "items": items,
    }


def label(place: Place) -> str:
    """Return a place's name with its country's."""
    if place.level == "region":
        return said("{place}, {country}", place=place.name, country=country_of(place))
    return short(place)


def short(place: Place) -> str:
    """Return a place's name alone."""
    return {"region": place.name, "country": country_of(place), "world": said("the world")}[place.level]


def country_of(place: Place) -> Country:
    """Return the name of the country that a place is or lies in; it is empty for the world."""
    if place.level == "country":
        return Country.of(place.name, place.id)
    return Country.of(place.country or "", place.parent or "")


def _search(published: Published, *, query: str) -> list[tuple[PublishedPlace, str]]:
    """Return places and what they are found by: what is called so, then what begins so or has all words of it.

    Of the latter those come first whose name begins with the query, then places with charts, then the most people;
    then what has another name that begins so.
    """
    wanted = searchable(query)
    called = published.meant(query) if wanted else []
    words = wanted.split()
    having = [place for place in published.places.values() if all(_begins(word, place.search) for word in words)]
    having.sort(key=lambda p: (not p.search.startswith(wanted), not p.served, -p.population, p.id))
    like = published.named_like(wanted) if len(wanted) >= _ENOUGH or not wanted.isascii() else []
    found = [*((name.place, name.town) for name in called), *((place.id, place.name) for place in having)]
    found += [(name.place, name.town) for name in like]
    first = dict(reversed([each for each in found if each[0] in published.places]))
    return [(published.places[id_], first[id_]) for id_ in dict.fromkeys(id_ for id_, _ in found) if id_ in first]


def _begins(word: str, text: str) -> bool:
    """Tell whether a word of a text begins so."""
    return word in text and f" {word}" in f" {text}"


def _nearest(place: PublishedPlace, *, read: Read, published: Published) -> tuple[PublishedPlace, list[Item]]:
    """Return the place, or the nearest larger one, whose list is not empty; if all are, the place and nothing."""
    for ancestor in chain(place, published=published):
        items = read(ancestor.id)
        if items:
            return ancestor, items
    return place, []


def _continued(own: list[Item], shown: Place, *, chart: str, read: Read, published: Published) -> list[Item]:
    """Return a list that, where it is short, goes on with what is first in larger places and not on it yet."""
    if not own:
        return own
    items = list(own)
    for larger in list(chain(shown, published=published))[1:]:
        there = {item["track_id"] for item in items}
        others = [each for each in read(larger.id) or [] if each["track_id"] not in there]
        more = others[: max(0, _SHORT - len(items))]
        source: Source = {"chart": chart, "place": larger.id}
        items += [{**each, "rank": rank, "source": source} for rank, each in enumerate(more, len(items) + 1)]
    return items


def _of(place: Place, item: Item, *, shown: Place, chart: str, published: Published) -> Item:
    """Return an item that says whose numbers it has, where that is not the place that was asked for."""
    source = item["source"] if "source" in item else Source(chart=chart, place=shown.id)
    if source["place"] == place.id:
        return item
    return {**item, "source": source, "reason": whose(source["place"], chart, published=published) + item["reason"]}


def _why(place: Place, shown: PublishedPlace, *, chart: str, found: bool, published: Published) -> Message:
    """Say which list this is, over which nights, and why it is not the place's own or is empty."""
    basis = _basis(shown, chart=chart, published=published)
    if chart not in published.charts:
        return _MISSING.get(chart, said("There is no such chart yet."))
    if chart == LOCAL and place.level == "world":
        return said("The local chart compares a place with the rest of the world, so the world has none.")
    if found and shown == place:
        return basis
    searched = list(chain(place, published=published))
    passed = searched[: searched.index(shown)] if found else searched
    own = [each for each in passed if published.items(each.id, chart=chart) is not None]
    without = said("{place} has no chart of its own", place=short(place))
    nothing = said(_NOTHING[chart], places=tuple(map(short, own)))
    both = said("{without}, and {nothing}", without=without, nothing=nothing)
    because = (nothing if place in own else both if own else without).begun("upper")
    if not found:
        return said("{because}.", because=because)
    return sentences(said(_SHOWN[chart], because=because, place=short(shown)), basis)


def region_of(place: Place) -> Region:
    """Return a place as it is answered."""
    return {
        "id": place.id,
        "name": place.name,
        "country": place.country,
        "level": place.level,
        "parent": place.parent,
        "centre": {"latitude": place.latitude, "longitude": place.longitude},
        "population": place.population,
    }


def _start(cursor: str | None, *, published: Published) -> int:
    """Return where a list goes on; a cursor holds no separator, so that it never reads like a position."""
    if cursor is None:
        return 0
    number, mark = cursor[: -len(_mark(published))], cursor[-len(_mark(published)) :]
    if mark != _mark(published) or not re.fullmatch("[0-9]{1,6}", number):
        raise InputError("the cursor is none of this night's lists", hint="Begin again, without a cursor.")
    return int(number)


def _mark(published: Published) -> str:
    return f"x{hashlib.sha256(published.id.encode()).hexdigest()[:8]}"


def _found(place: Place, town: str) -> Region:
    return region_of(place) if town == place.name else {**region_of(place), "found_by": town}


def ring_of(place: Place) -> list[list[float]]:
    """Return the corners of a region's hexagon, as [longitude, latitude] in degrees.

    RFC 7946 would cut a hexagon at 180 degrees in two; maps draw it whole when its longitudes simply run on.
    """
    ring = [[longitude, latitude] for latitude, longitude in h3.cell_to_boundary(place.id)]
    if max(ring)[0] - min(ring)[0] > 180:
        ring = [[longitude % 360, latitude] for longitude, latitude in ring]
    return ring


def _feature(place: Place) -> Feature:
    ring = ring_of(place)
    geometry: Polygon = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return {"type": "Feature", "id": place.id, "geometry": geometry, "properties": region_of(place)}


def _basis(shown: Place, *, chart: str, published: Published) -> Message:
    facts: dict[str, Value] = {"place": label(shown), "as_of": date.fromisoformat(published.as_of)}
    told = said(_RISING, **facts) if chart == RISING else counted(*_OVER_NIGHTS[chart], published.nights, **facts)
    return told.begun("upper")  # other languages may begin with the place


_SHORT = 10  # lines of a rising or local list: a shorter one goes on with those of larger places
_MORE = said("Where little is to be said of a place, the list goes on with larger ones, and its lines say so.")
_ENOUGH = 3  # letters of an alphabet, before names in all languages are looked through
_RISING = template(
    "Rising in {place}, by listeners who contribute, in the last nights to {as_of} against the weeks before."
)
_OVER_NIGHTS = {
    POPULAR: forms(
        "Popular in {place}, by listeners who contribute, over the night to {as_of}.",
        "Popular in {place}, by listeners who contribute, over the {n} nights to {as_of}.",
    ),
    LOCAL: forms(
        "Special in {place} against the rest of the world, by listeners who contribute, over the night to {as_of}.",
        "Special in {place} against the rest of the world, by listeners who contribute, over the {n} nights to "
        "{as_of}.",
    ),
}
_NOTHING = {
    POPULAR: template("nothing is known of {places}"),
    RISING: template("nothing in {places} seems to rise above its own past"),
    LOCAL: template("nothing in {places} seems to stand out against the rest of the world"),
}
_SHOWN = {
    POPULAR: template("{because}, so this is the chart of {place}."),
    RISING: template("{because}, so this is what rises in {place}."),
    LOCAL: template("{because}, so this is what is special in {place}."),
}
_MISSING = {
    RISING: said("There is no rising chart yet: it compares with the past, and too few nights have been released.")
}
