"""The endpoint: public charts by place, and the list of a signed-in listener within that listener's consent."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from recsys.consent import ConsentLog, Purpose, consent_log
from recsys.errors import InputError
from recsys.serving import consents, rights
from recsys.serving.access import AccessLog, json_log
from recsys.serving.answers import (
    Chart,
    Regions,
    chart_answer,
    regions_answer,
    regions_geojson,
)
from recsys.serving.examples import CHART, GEOJSON_REGIONS, REGIONS, TRENDING, problems
from recsys.serving.guard import Guard
from recsys.serving.listener import Token, signed_in
from recsys.serving.place import coarse_cell
from recsys.serving.problems import answer_problems
from recsys.serving.published import Current
from recsys.serving.rights import Held
from recsys.serving.trending import Nearby, trending_answer
from recsys.settings import Settings
from recsys.workspace import Workspace

GEOJSON = "application/geo+json"

_router = APIRouter()

Limit = Annotated[
    int | None, Query(ge=1, description="How many at most; see the settings for the default and the most.")
]


def create_app(
    workspace: Workspace, *, settings: Settings, clock: Callable[[], datetime], held: Held | None = None
) -> FastAPI:
    """Return the application that serves a workspace.

    Resources live under ``/v1``; ``/healthz``, ``/readyz`` and ``/openapi.json`` do not, as probes and tools look for
    them at the root.

    Parameters
    ----------
    workspace : Workspace
        May still be empty: until the first snapshot is published, ``/readyz`` and all charts answer 503.
    settings : Settings
    clock : callable
        Returns the present, with a time zone: tokens expire and consents count by it.
    held : Held, optional
        Reads what the private store holds about a listener; without it ``GET /v1/me/data`` answers 503.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    log = json_log(sys.stderr)
    app = FastAPI(
        title="Hearabouts",
        summary="What is trending hereabouts, for people who never told us exactly where they are.",
        description=_ABOUT,
        version=version("hearabouts"),
        docs_url=None,  # these pages would load their code from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect repeats the query
    )
    app.state.endpoint = Endpoint(
        settings=settings,
        clock=clock,
        current=Current(workspace, log=log),
        near=Nearby(workspace, log=log),
        consents=consent_log(workspace, settings=settings.consents),
        listener_key=workspace.listener_key(),
        token_key=workspace.token_key(),
        held=held,
    )
    for router in (_router, consents.router, rights.router):
        app.include_router(router)
    answer_problems(app, log=log)
    app.add_middleware(Guard)
    app.add_middleware(AccessLog, log=log)  # the last one added is the outermost
    return app


@dataclass(frozen=True)
class Endpoint:
    """What the requests of one application share.

    Parameters
    ----------
    settings : Settings
    clock : callable
    current : Current
        The snapshot to read.
    near : Nearby
        What the listeners' own lists are made of.
    consents : ConsentLog
        Read at every request of a listener, never remembered.
    listener_key, token_key : bytes
        What turns a user id into a listener, and what tokens are signed with.
    held : Held or None
        Reads what is stored about a listener.
    """

    settings: Settings
    clock: Callable[[], datetime]
    current: Current
    near: Nearby
    consents: ConsentLog
    listener_key: bytes
    token_key: bytes
    held: Held | None

    def items(self, limit: int | None) -> int:
        """Return how many items a list gets."""
        return _within(limit, usual=self.settings.serving.list_size, most=self.settings.charts.size)

    def places(self, limit: int | None) -> int:
        """Return how many places an answer gets."""
        serving = self.settings.serving
        return _within(limit, usual=serving.list_size, most=serving.max_regions)


class _Parameters(BaseModel):
    """No other parameter than the known: a coordinate would come under any name."""

    model_config = ConfigDict(extra="forbid")


class RegionsParameters(_Parameters):
    """The query of ``/v1/regions``."""

    q: Annotated[
        str, Query(max_length=100, description="Words of a name, as typed: accents and case do not count.")
    ] = ""
    limit: Limit = None


class ChartParameters(_Parameters):
    """The query of a chart."""

    limit: Limit = None


class TrendingParameters(_Parameters):
    """The query of ``/v1/me/trending``."""

    cell: Annotated[
        str | None, Query(description="An H3 cell of resolution 5 or coarser; without consent it is ignored.")
    ] = None
    limit: Limit = None


@_router.get(
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
def regions(request: Request, query: Annotated[RegionsParameters, Query()]) -> JSONResponse:
    """Find regions, countries and the world by name; without a name, those with charts and the most people first."""
    endpoint, limit = _endpoint(request), _endpoint(request).places(query.limit)
    published = endpoint.current.get()
    headers = {"Vary": "Accept"}
    if _accepts_geojson(request):
        found = regions_geojson(published, query=query.q, limit=limit)
        return JSONResponse(found, headers=headers, media_type=GEOJSON)
    return JSONResponse(regions_answer(published, query=query.q, limit=limit), headers=headers)


@_router.get(
    "/v1/regions/{id}/charts/{chart}",
    response_model=Chart,
    summary="The chart of a place",
    responses={200: {"content": {"application/json": {"example": CHART}}}, **problems(400, 404, 503)},
)
def chart(
    request: Request,
    place_id: Annotated[str, Path(alias="id", description="The id of a region or a country, or `world`.")],
    chart: Annotated[str, Path(description="`popular`, `rising` or `local`.")],
    query: Annotated[ChartParameters, Query()],
) -> JSONResponse:
    """Return a public chart: browsing a place is no statement about where one is.

    Popular are the tracks with the most listeners, rising those that clearly exceed the place's own past, local those
    that clearly exceed what the rest of the world would let expect. Where the place has no chart of its own, or nothing
    rises or is special there, the nearest larger place's is shown; `scope` and `why` say so.
    """
    endpoint, limit = _endpoint(request), _endpoint(request).items(query.limit)
    answer = chart_answer(endpoint.current.get(), place_id=place_id, chart=chart, limit=limit)
    request.state.scope = answer["scope"]
    return JSONResponse(answer)


@_router.get(
    "/v1/me/trending",
    response_model=Chart,
    summary="Trending near the signed-in listener",
    responses={200: {"content": {"application/json": {"example": TRENDING}}}, **problems(400, 401, 503)},
)
def trending(request: Request, query: Annotated[TrendingParameters, Query()], token: Token) -> JSONResponse:
    """Return the listener's list, within the listener's consent at this moment.

    Without consent to `local_trends` the cell is ignored, and the list of the world comes back in the same shape.
    Without consent to `personalisation` the listener's plays are ignored, and the list comes in the order for all.
    """
    endpoint, limit = _endpoint(request), _endpoint(request).items(query.limit)
    who = signed_in(request, token)
    cell = None if query.cell is None else coarse_cell(query.cell)
    # Read for every listener and every request, used or not, so that all of them take the same steps.
    allowed = endpoint.consents.allows(who.listener, Purpose.LOCAL_TRENDS, at=who.now)
    personal = endpoint.consents.allows(who.listener, Purpose.PERSONALISATION, at=who.now)
    erased = endpoint.consents.erasures.concerns(who.listener)
    answer = trending_answer(
        endpoint.current.get(),
        near=endpoint.near,
        listener=who.listener,
        personal=personal and not erased,
        cell=cell if allowed else None,
        limit=limit,
    )
    request.state.scope = answer["scope"]
    return JSONResponse(answer)


@_router.get("/healthz", summary="Is the program alive?")
def healthz() -> dict[str, str]:
    """Tell that the program answers."""
    return {"status": "ok"}


@_router.get("/readyz", summary="Is there something to serve?", responses=problems(503))
def readyz(request: Request) -> dict[str, str]:
    """Tell which snapshot is served; 503 if there is none, or the newest one does not verify."""
    published = _endpoint(request).current.check()
    return {"status": "ready", "snapshot": published.id, "as_of": published.as_of}


def _endpoint(request: Request) -> Endpoint:
    endpoint: Endpoint = request.app.state.endpoint
    return endpoint


def _within(limit: int | None, *, usual: int, most: int) -> int:
    if limit is not None and limit > most:
        raise InputError(f"limit is larger than {most}", hint=f"Ask for 1 to {most}.")
    return min(usual, most) if limit is None else limit


def _accepts_geojson(request: Request) -> bool:
    ranges = (each.split(";")[0].strip().lower() for each in request.headers.get("accept", "").split(","))
    return GEOJSON in ranges


_ABOUT = """
Charts by place, and what is trending near a signed-in listener, from an immutable snapshot published each night.

**Positions are refused.** A client sends an H3 cell of resolution 5 (about 253 km²) or coarser, or nothing. A finer
cell, a latitude or a longitude anywhere in a request is answered with a problem and written nowhere.

Every error is `application/problem+json` (RFC 9457) with a stable `type` and a `hint`.
"""
