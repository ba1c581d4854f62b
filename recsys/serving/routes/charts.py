"""Public charts: places by name, and the chart of a place."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict

from recsys.errors import InputError
from recsys.geography.places import Level
from recsys.serving.lists.next_week import NextWeek, next_week_answer
from recsys.serving.lists.number_ones import NumberOnes, number_ones_answer
from recsys.serving.lists.past import WEEK, any_chart_answer
from recsys.serving.lists.responses import (
    Chart,
    Region,
    Regions,
    Within,
    region_answer,
    regions_answer,
    regions_geojson,
)
from recsys.serving.openapi.examples import CHART, GEOJSON_REGIONS, NEXT_WEEK, NUMBER_ONES, REGIONS, problems
from recsys.serving.requests.headers import accepts_geojson
from recsys.serving.requests.query import size_of_list, without_parameters
from recsys.serving.snapshot.response_cache import Answer, url_of
from recsys.serving.state.endpoint import Parts

GEOJSON = "application/geo+json"

router = APIRouter()

Limit = Annotated[
    int | None, Query(ge=1, description="How many at most; see the settings for the default and the most.")
]


class Parameters(BaseModel):
    """No other parameter than the known: a coordinate would come under any name."""

    model_config = ConfigDict(extra="forbid")


class RegionsParameters(Parameters):
    """The query of ``/v1/regions``."""

    q: Annotated[
        str, Query(max_length=100, description="Words of a name, as typed: accents and case do not count.")
    ] = ""
    limit: Limit = None
    level: Annotated[Level | None, Query(description="Only places of this level.")] = None
    parent: Annotated[
        str | None,
        Query(max_length=20, description="Only places right within this one: the id of a country, or `world`."),
    ] = None
    cursor: Annotated[
        str | None, Query(max_length=20, description="`next` of the answer before, with the same parameters.")
    ] = None


class ChartParameters(Parameters):
    """The query of a chart."""

    limit: Limit = None
    night: Annotated[
        date | None,
        Query(description="The night (UTC day) whose chart it is; by default the last."),
    ] = None
    week: Annotated[
        str | None, Query(pattern=WEEK, description="The ISO 8601 week whose chart it is, as `2025-W26`.")
    ] = None


@router.get(
    "/v1/regions",
    response_model=Regions,
    summary="Find places",
    responses={
        200: {
            "description": "Places, the best match first; with `Accept: application/geo+json` regions as hexagons.",
            "content": {
                "application/json": {"example": REGIONS},
                GEOJSON: {"schema": {"type": "object"}, "example": GEOJSON_REGIONS},
            },
        },
        **problems(400, 503),
    },
)
def regions(request: Request, query: Annotated[RegionsParameters, Query()], parts: Parts) -> Answer:
    """Find regions, countries and the world by name; without a name, those with charts and the most people first."""
    published, responses = parts.current.get(), parts.responses
    limit = size_of_list(query.limit, settings=parts.settings, most=parts.settings.serving.max_regions)
    geojson = accepts_geojson(request.scope["headers"])
    within = Within(query.level, query.parent)
    whole = (
        not query.q and within == Within() and query.cursor is None
    )  # what a map asks for: megabytes, and always the same
    asked = f"regions {limit} {geojson}".encode()
    ready = responses.find(asked, of=published) if whole else None
    if ready:
        return ready
    if geojson and query.cursor is not None:
        raise InputError("a map has no cursor", hint="Ask for as many as there are, or for JSON.")
    found = (
        regions_geojson(published, query=query.q, limit=limit, within=within)
        if geojson
        else regions_answer(published, query=query.q, limit=limit, within=within, cursor=query.cursor)
    )
    answer = responses.answer(
        found,
        route="/v1/regions",
        media_type=GEOJSON if geojson else "application/json",
        vary="Accept, Accept-Encoding",
    )
    return responses.keep(answer, asked, of=published) if whole else answer


@router.get(
    "/v1/regions/all",
    response_model=Regions,
    summary="All places",
    responses={200: {"content": {"application/json": {"example": REGIONS}}}, **problems(400, 503)},
    dependencies=[Depends(without_parameters)],
)
def all_regions(parts: Parts) -> Answer:
    """Return every place (`serving.max_regions` at most), those with charts and the most people first."""
    route, published = "/v1/regions/all", parts.current.get()
    found = regions_answer(published, query="", limit=parts.settings.serving.max_regions)
    answer = parts.responses.answer(found, route=route, vary="Accept-Encoding")
    return parts.responses.keep(answer, route.encode(), of=published)


@router.get(
    "/v1/regions/map",
    response_model=NumberOnes,
    summary="Number ones, for a map",
    responses={200: {"content": {"application/json": {"example": NUMBER_ONES}}}, **problems(400, 503)},
    dependencies=[Depends(without_parameters)],
)
def number_ones(parts: Parts) -> Answer:
    """Return what is first, and what is most special, in regions with charts of their own, and their hexagons."""
    route, published = "/v1/regions/map", parts.current.get()
    answer = parts.responses.answer(number_ones_answer(published), route=route, vary="Accept-Encoding")
    return parts.responses.keep(answer, route.encode(), of=published)


@router.get(
    "/v1/regions/{id}",
    response_model=Region,
    summary="A place",
    responses={200: {"content": {"application/json": {"example": REGIONS["regions"][0]}}}, **problems(400, 404, 503)},
    dependencies=[Depends(without_parameters)],
)
def region(
    request: Request,
    *,
    place_id: Annotated[str, Path(alias="id", description="The id of a region or a country, or `world`, in any case.")],
    parts: Parts,
) -> Answer:
    """Return a place by its id."""
    published, responses = parts.current.get(), parts.responses
    found = region_answer(published, place_id=place_id)
    answer = responses.answer(found, route="/v1/regions/{id}", vary="Accept-Encoding")
    return responses.keep(answer, url_of(request.scope), of=published)


@router.get(
    "/v1/regions/{id}/charts/{chart}",
    response_model=Chart,
    summary="The chart of a place",
    responses={200: {"content": {"application/json": {"example": CHART}}}, **problems(400, 404, 503)},
)
def chart(
    request: Request,
    *,
    place_id: Annotated[str, Path(alias="id", description="The id of a region or a country, or `world`.")],
    chart: Annotated[str, Path(description="`popular`, `rising` or `local`.")],
    query: Annotated[ChartParameters, Query()],
    parts: Parts,
) -> Answer:
    """Return a public chart: browsing a place is no statement about where one is.

    Popular are the tracks with the most listeners, rising those that clearly exceed the place's own past, local those
    that clearly exceed what the rest of the world would let expect. Where the place has no chart of its own, or nothing
    rises or is special there, the nearest larger place's is shown; `scope` and `why` say so. Those of an earlier night
    or week are as they were published, and say when they were drawn.
    """
    published, responses = parts.current.get(), parts.responses
    limit = size_of_list(query.limit, settings=parts.settings, most=parts.settings.charts.size)
    found = any_chart_answer(published, place_id=place_id, chart=chart, limit=limit, night=query.night, week=query.week)
    answer = responses.answer(
        found, route="/v1/regions/{id}/charts/{chart}", scope=found["scope"], vary="Accept-Encoding"
    )
    return responses.keep(answer, url_of(request.scope), of=published)


@router.get(
    "/v1/regions/{id}/next-week",
    response_model=NextWeek,
    summary="Next week in a place",
    responses={200: {"content": {"application/json": {"example": NEXT_WEEK}}}, **problems(400, 404, 503)},
    dependencies=[Depends(without_parameters)],
)
def next_week(
    request: Request,
    *,
    place_id: Annotated[str, Path(alias="id", description="The id of a region or a country, or `world`.")],
    parts: Parts,
) -> Answer:
    """Return which tracks probably enter the first fifty within seven nights or climb within them, and past forecasts.

    What is forecast is the popular chart as it will be published; a forecast is made once, kept, and judged when its
    seven nights are over.
    """
    published, responses = parts.current.get(), parts.responses
    answer = responses.answer(
        next_week_answer(published, place_id=place_id), route="/v1/regions/{id}/next-week", vary="Accept-Encoding"
    )
    return responses.keep(answer, url_of(request.scope), of=published)
