"""Number ones: what is first and what is most special in every region with charts of its own, for a map."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.chart_database import PublishedPlace
from recsys.artifacts.list_candidates import LOCAL, POPULAR
from recsys.serving.lists.responses import ring_of
from recsys.serving.snapshot.place_lists import Grade
from recsys.serving.snapshot.snapshot_reader import Published

MOST = 1_500  # regions, the largest: of more than these a map would weigh more than the page around it
_DIGITS = 3  # of a degree: what is less than a pixel at any zoom of a map is left out


_Firsts = dict[str, dict[str, Any]]


class NumberOne(TypedDict):
    """A track that is number one somewhere."""

    track_id: str
    title: str
    artist: str


class MappedRegion(TypedDict):
    """A region with charts of its own: the corners of its hexagon as [longitude, latitude], and what is first there.

    ``popular`` and ``local`` are places in the list of tracks, null where the region's own chart is empty; ``grade``
    says how sure it is that the local one is special here.
    """

    id: str
    name: str
    country: str | None
    parent: str | None
    corners: list[list[float]]
    popular: int | None
    local: int | None
    grade: Grade | None


class NumberOnes(TypedDict):
    """Regions with charts of their own, the most people first, and the tracks they name, the most common first.

    ``total`` counts all such regions: of more than 1,500 the largest are here.
    """

    as_of: str
    total: int
    tracks: list[NumberOne]
    regions: list[MappedRegion]


def number_ones_answer(published: Published) -> NumberOnes:
    """Return what is first on the popular and on the local chart of regions that have their own, the largest first."""
    served = [place for place in published.places.values() if place.served and place.level == "region"]
    regions = served[:MOST]
    firsts = [_first(published, place) for place in regions]
    items = {item["track_id"]: item for first in firsts for item in first.values()}
    counts = Counter(item["track_id"] for first in firsts for item in first.values())
    order = sorted(counts, key=lambda track: (-counts[track], track))
    numbers = {track: number for number, track in enumerate(order)}
    return {
        "as_of": published.as_of,
        "total": len(served),
        "tracks": [_named(items[track]) for track in order],
        "regions": [_mapped(place, first, numbers) for place, first in zip(regions, firsts, strict=True)],
    }


def _first(published: Published, place: PublishedPlace) -> _Firsts:
    """Return the first item of a region's own charts, by chart; of an empty one nothing."""
    lists = published.read(place.id)
    found = [line for chart in (POPULAR, LOCAL) if lists and (line := lists.line(chart, rank=1))]
    return {line.chart: item for line, item in zip(found, published.lines(found), strict=True)}


def _named(item: Mapping[str, Any]) -> NumberOne:
    return {"track_id": item["track_id"], "title": item["title"], "artist": item["artist"]}


def _mapped(place: PublishedPlace, first: _Firsts, numbers: Mapping[str, int]) -> MappedRegion:
    def number(chart: str) -> int | None:
        return numbers[first[chart]["track_id"]] if chart in first else None

    return {
        "id": place.id,
        "name": place.name,
        "country": place.country,
        "parent": place.parent,
        "corners": _rounded(ring_of(place)),
        "popular": number(POPULAR),
        "local": number(LOCAL),
        "grade": first[LOCAL].get("grade") if LOCAL in first else None,
    }


def _rounded(ring: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(x, _DIGITS) for x in corner] for corner in ring]
