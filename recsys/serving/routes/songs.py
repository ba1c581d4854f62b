"""Songs, artists and the search for both beside places."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from recsys.serving.lists.songs import (
    ArtistAnswer,
    SearchAnswer,
    TrackAnswer,
    artist_answer,
    search_answer,
    track_answer,
)
from recsys.serving.openapi.examples import ARTIST, SEARCH, TRACK, problems
from recsys.serving.requests.query import size_of_list
from recsys.serving.routes.charts import Limit, Parameters
from recsys.serving.snapshot.response_cache import Answer, url_of
from recsys.serving.state.endpoint import Parts

router = APIRouter()


class TrackParameters(Parameters):
    """The query of a track."""

    night: Annotated[date | None, Query(description="The night (UTC day) to tell of; by default the last.")] = None
    place: Annotated[
        str | None, Query(max_length=20, description="A place in whose popular chart to follow the track, `here`.")
    ] = None
    limit: Limit = None


class ArtistParameters(Parameters):
    """The query of an artist."""

    limit: Limit = None


class SearchParameters(Parameters):
    """The query of a search."""

    q: Annotated[
        str, Query(max_length=100, description="Words of a name, as typed: accents and case do not count.")
    ] = ""
    limit: Limit = None


@router.get(
    "/v1/tracks/{id}",
    response_model=TrackAnswer,
    summary="A track",
    responses={200: {"content": {"application/json": {"example": TRACK}}}, **problems(400, 404, 503)},
)
def track(
    request: Request,
    *,
    track_id: Annotated[
        str, Path(alias="id", max_length=200, description="The id of a track, or the letters of its page's address.")
    ],
    query: Annotated[TrackParameters, Query()],
    parts: Parts,
) -> Answer:
    """Return where a track is popular, rises and is special, and its nights so far, as they were published."""
    published, responses = parts.current.get(), parts.responses
    limit = size_of_list(query.limit, settings=parts.settings, most=parts.settings.charts.size)
    catalogue = parts.settings.catalogue
    found = track_answer(
        published, track_id=track_id, night=query.night, place_id=query.place, limit=limit, catalogue=catalogue
    )
    answer = responses.answer(found, route="/v1/tracks/{id}", vary="Accept-Encoding")
    return responses.keep(answer, url_of(request.scope), of=published)


@router.get(
    "/v1/artists/{id}",
    response_model=ArtistAnswer,
    summary="An artist",
    responses={200: {"content": {"application/json": {"example": ARTIST}}}, **problems(400, 404, 503)},
)
def artist(
    request: Request,
    *,
    artist_id: Annotated[
        str, Path(alias="id", max_length=200, description="The id of an artist, or the letters of its page's address.")
    ],
    query: Annotated[ArtistParameters, Query()],
    parts: Parts,
) -> Answer:
    """Return the tracks of an artist, and where they are popular."""
    published, responses = parts.current.get(), parts.responses
    limit = size_of_list(query.limit, settings=parts.settings, most=parts.settings.charts.size)
    found = artist_answer(published, artist_id=artist_id, limit=limit)
    answer = responses.answer(found, route="/v1/artists/{id}", vary="Accept-Encoding")
    return responses.keep(answer, url_of(request.scope), of=published)


@router.get(
    "/v1/search",
    response_model=SearchAnswer,
    summary="Find places, songs and artists",
    responses={200: {"content": {"application/json": {"example": SEARCH}}}, **problems(400, 503)},
)
def search(query: Annotated[SearchParameters, Query()], parts: Parts) -> Answer:
    """Find places, tracks and artists by name, the likeliest first."""
    published = parts.current.get()
    limit = size_of_list(query.limit, settings=parts.settings, most=parts.settings.charts.size)
    found = search_answer(published, query=query.q, limit=limit)
    return parts.responses.answer(found, route="/v1/search", vary="Accept-Encoding")
