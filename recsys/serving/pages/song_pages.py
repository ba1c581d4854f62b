"""The pages of songs and artists, of a place's earlier nights and its next week, and of the open data."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from recsys.artifacts.addresses import id_in, song_in
from recsys.artifacts.chart_database import PublishedPlace
from recsys.artifacts.list_candidates import POPULAR
from recsys.serving.lists.next_week import next_week_answer
from recsys.serving.lists.past import weeks_of
from recsys.serving.lists.releases import releases_of
from recsys.serving.lists.songs import artist_answer, track_answer
from recsys.serving.pages.courses import NIGHTS, place_picture, song_pictures
from recsys.serving.pages.templates import found_page
from recsys.serving.snapshot.place import place_named
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.state.endpoint import Parts
from recsys.settings import CatalogueSettings

router = APIRouter()

PLACES = 25  # that a song's or an artist's page lists under each heading
_FIRST = 10  # lines of each night

Name = Annotated[str, Path(max_length=200)]


@router.get("/songs/{name}/", include_in_schema=False)
def song_page(request: Request, name: Name, parts: Parts) -> Response:
    """Show where a song is popular, rises and is special, and how it came there."""

    def find(published: Published) -> dict[str, Any]:
        return song_of_page(published, song_in(name), catalogue=parts.settings.catalogue)

    return found_page(request, find, current=parts.current)


@router.get("/artists/{name}/", include_in_schema=False)
def artist_page(request: Request, name: Name, parts: Parts) -> Response:
    """Show an artist's songs and places."""

    def find(published: Published) -> dict[str, Any]:
        return artist_of_page(published, song_in(name), catalogue=parts.settings.catalogue)

    return found_page(request, find, current=parts.current)


@router.get("/places/{name}/history/", include_in_schema=False)
def past_page(request: Request, name: Name, parts: Parts) -> Response:
    """Show what was on a place's popular chart, night by night and week by week."""

    def find(published: Published) -> dict[str, Any]:
        return past_of_page(published, place_named(id_in(name), published=published))

    return found_page(request, find, current=parts.current)


@router.get("/places/{name}/next-week/", include_in_schema=False)
def next_week_page(request: Request, name: Name, parts: Parts) -> Response:
    """Show what probably moves up a place's chart, and what became of earlier forecasts."""

    def find(published: Published) -> dict[str, Any]:
        return next_week_of_page(published, place_named(id_in(name), published=published))

    return found_page(request, find, current=parts.current)


@router.get("/data/", include_in_schema=False)
def data_page(request: Request, parts: Parts) -> Response:
    """Show the open data."""

    def find(published: Published) -> dict[str, Any]:
        return {"template": "data.html", "releases": releases_of(published)}

    return found_page(request, find, current=parts.current)


def song_of_page(published: Published, track_id: str, *, catalogue: CatalogueSettings) -> dict[str, Any]:
    """Return the template of a song's page, and what is in it."""
    answer = track_answer(published, track_id=track_id, limit=PLACES, catalogue=catalogue)
    shown = {"answer": answer, "pictures": song_pictures(answer), "places": published.places, "catalogue": catalogue}
    return {"template": "song.html", **shown}


def artist_of_page(published: Published, artist_id: str, *, catalogue: CatalogueSettings) -> dict[str, Any]:
    """Return the template of an artist's page, and what is in it."""
    answer = artist_answer(published, artist_id=artist_id, limit=100)
    shown = {"answer": answer, "shown_places": PLACES, "places": published.places, "catalogue": catalogue}
    return {"template": "artist.html", **shown}


def next_week_of_page(published: Published, place: PublishedPlace) -> dict[str, Any]:
    """Return the template of a place's next week, and what is in it."""
    return {
        "template": "next-week.html",
        "place": place,
        "answer": next_week_answer(published, place_id=place.id),
    }


def past_of_page(published: Published, place: PublishedPlace) -> dict[str, Any]:
    """Return the template of a place's earlier nights, and what is in it: the first lines of each."""
    history = published.history
    nights, weeks = list(history.nights)[-NIGHTS:], weeks_of(published)
    ends = {end: week for week, end in weeks.items()}
    ranks = history.ranks(place.id, POPULAR, nights=[*ends, *nights])
    songs = history.songs({track for tracks in ranks.values() for track in tracks[:_FIRST]})

    def listed(night: date) -> list[Any]:
        return [songs[track] for track in ranks.get(night, ())[:_FIRST]]

    items = published.items(place.id, chart=POPULAR) or []
    return {
        "template": "past.html",
        "place": place,
        "picture": place_picture(published, place, items),
        "nights": [(history.nights[night], listed(night)) for night in reversed(nights)],
        "weeks": [(week, end, listed(end)) for week, end in reversed(weeks.items())],
    }
