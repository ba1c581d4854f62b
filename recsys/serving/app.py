"""The endpoint: public charts by place, and the list of a signed-in listener within that listener's consent."""

import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from recsys.artifacts.privacy_account import ACCOUNT, Accounted, read_privacy_account
from recsys.consents.log import consent_log
from recsys.serving.application import Application, middleware
from recsys.serving.auth.jwks import keys_of
from recsys.serving.auth.tokens import Identity
from recsys.serving.lists.responses import (
    Chart,
    Regions,
    chart_answer,
    regions_answer,
    regions_geojson,
)
from recsys.serving.lists.trending import Nearby, trending_answer
from recsys.serving.middleware.access_log import json_log
from recsys.serving.middleware.position_filter import without_parameters
from recsys.serving.openapi.examples import CHART, GEOJSON_REGIONS, REGIONS, TRENDING, problems
from recsys.serving.pages import routes
from recsys.serving.public.layer import accepts_geojson
from recsys.serving.requests.metrics import Metrics
from recsys.serving.requests.problems import Log, answer_problems
from recsys.serving.routes import consents, data_rights, health, transparency
from recsys.serving.snapshot.place import coarse_cell
from recsys.serving.snapshot.reload import HotReload
from recsys.serving.snapshot.response_cache import SCOPE, Answer, Prepared, url_of
from recsys.serving.snapshot.snapshot_reader import Current
from recsys.serving.state.dependencies import Answers, AppSettings, Snapshot
from recsys.serving.state.endpoint import Endpoint, items_within, places_within
from recsys.serving.state.export import ListenerRecords
from recsys.serving.state.listener import Own
from recsys.settings import Settings
from recsys.workspace import Workspace

GEOJSON = "application/geo+json"

_router = APIRouter()

Limit = Annotated[
    int | None, Query(ge=1, description="How many at most; see the settings for the default and the most.")
]


def create_app(
    workspace: Workspace, *, settings: Settings, clock: Callable[[], datetime], held: ListenerRecords | None = None
) -> FastAPI:
    """Return the application that serves a workspace.

    Resources live under ``/v1``; ``/healthz``, ``/readyz``, ``/metrics`` and ``/openapi.json`` do not, as probes and
    tools look for them at the root.

    Parameters
    ----------
    workspace : Workspace
        May still be empty: until the first snapshot is published, ``/readyz`` and all charts answer 503.
    settings : Settings
    clock : callable
        Returns the present, with a time zone: tokens expire and consents count by it.
    held : ListenerRecords, optional
        Reads what the private store holds about a listener; without it ``GET /v1/me/data`` answers 503.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    log = json_log(sys.stderr)
    endpoint = _endpoint(workspace, settings=settings, clock=clock, held=held, log=log)
    app = Application(
        middleware=middleware(endpoint, log=log),
        title="Hearabouts",
        summary="What is trending hereabouts, for people who never told us exactly where they are.",
        description=_ABOUT,
        version=version("hearabouts"),
        docs_url=None,  # these pages would load their code from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # a redirect repeats the query
        telemetry={"tracing": False, "metrics": False, "logs": False},  # a trace holds the query, and so the cell
    )
    app.state.endpoint = endpoint
    for router in (_router, consents.router, data_rights.router, transparency.router, health.router, routes.router):
        app.include_router(router)
    answer_problems(app, log=log)
    return app


def _endpoint(
    workspace: Workspace, *, settings: Settings, clock: Callable[[], datetime], held: ListenerRecords | None, log: Log
) -> Endpoint:
    metrics, listener_key = Metrics(), workspace.listener_key()
    keys = keys_of(settings.serving, secret=workspace.token_key(), log=log, found=metrics.looked_for_keys)
    return Endpoint(
        settings=settings,
        clock=clock,
        current=Current(workspace, log=log, found=metrics.found),
        near=Nearby(workspace, log=log),
        consents=consent_log(workspace, settings=settings.consents),
        identity=Identity(keys, settings=settings.serving, listener_key=listener_key),
        listener_key=listener_key,
        metrics=metrics,
        prepared=Prepared(settings.serving),
        held=held,
        account=_account(workspace, log=log),
    )


def _account(workspace: Workspace, *, log: Log) -> HotReload[Accounted]:
    opened = partial(read_privacy_account, workspace)
    return HotReload(workspace.root / ACCOUNT, opened=opened, what="account", log=log, named=lambda found: found["at"])


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
def regions(
    request: Request,
    *,
    query: Annotated[RegionsParameters, Query()],
    settings: AppSettings,
    published: Snapshot,
    prepared: Answers,
) -> Answer:
    """Find regions, countries and the world by name; without a name, those with charts and the most people first."""
    limit, geojson = places_within(query.limit, settings=settings), accepts_geojson(request.scope["headers"])
    whole = not query.q  # what a map asks for: megabytes, and always the same
    asked = f"regions {limit} {geojson}".encode()
    ready = prepared.find(asked, of=published) if whole else None
    if ready:
        return ready
    find = regions_geojson if geojson else regions_answer
    answer = prepared.answer(
        find(published, query=query.q, limit=limit),
        route="/v1/regions",
        media_type=GEOJSON if geojson else "application/json",
        vary="Accept, Accept-Encoding",
    )
    return prepared.keep(answer, asked, of=published) if whole else answer


@_router.get(
    "/v1/regions/all",
    response_model=Regions,
    summary="All places",
    responses={200: {"content": {"application/json": {"example": REGIONS}}}, **problems(400, 503)},
    dependencies=[Depends(without_parameters)],
)
def all_regions(settings: AppSettings, published: Snapshot, prepared: Answers) -> Answer:
    """Return every place (`serving.max_regions` at most), those with charts and the most people first, for a map."""
    route = "/v1/regions/all"
    ready = prepared.find(route.encode(), of=published)
    if ready:
        return ready
    found = regions_answer(published, query="", limit=settings.serving.max_regions)
    answer = prepared.answer(found, route=route, vary="Accept-Encoding")
    return prepared.keep(answer, route.encode(), of=published)


@_router.get(
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
    settings: AppSettings,
    published: Snapshot,
    prepared: Answers,
) -> Answer:
    """Return a public chart: browsing a place is no statement about where one is.

    Popular are the tracks with the most listeners, rising those that clearly exceed the place's own past, local those
    that clearly exceed what the rest of the world would let expect. Where the place has no chart of its own, or nothing
    rises or is special there, the nearest larger place's is shown; `scope` and `why` say so.
    """
    limit = items_within(query.limit, settings=settings)
    found = chart_answer(published, place_id=place_id, chart=chart, limit=limit)
    answer = prepared.answer(
        found, route="/v1/regions/{id}/charts/{chart}", scope=found["scope"], vary="Accept-Encoding"
    )
    return prepared.keep(answer, url_of(request.scope), of=published)


@_router.get(
    "/v1/me/trending",
    response_model=Chart,
    summary="Trending near the signed-in listener",
    responses={200: {"content": {"application/json": {"example": TRENDING}}}, **problems(400, 401, 503)},
)
async def trending(request: Request, query: Annotated[TrendingParameters, Query()], own: Own) -> Response:
    """Return the listener's list, within the listener's consent at this moment.

    Without consent to `local_trends` the cell is ignored, and the list of the world comes back in the same shape.
    Without consent to `personalisation` the listener's plays are ignored, and the list comes in the order for all.
    """
    limit = items_within(query.limit, settings=own.settings)
    cell = None if query.cell is None else coarse_cell(query.cell)
    answer = trending_answer(
        own.published,
        near=own.near,
        listener=own.listener,
        personal=own.choices.plays,
        cell=cell if own.choices.place else None,
        limit=limit,
    )
    request.scope["state"][SCOPE] = answer.scope
    return Response(answer.body, media_type="application/json")


_ABOUT = """
Charts by place, and what is trending near a signed-in listener, from an immutable snapshot published each night.

**Positions are refused.** A client sends an H3 cell of resolution 5 (about 253 km²) or coarser, or nothing. A finer
cell, a latitude or a longitude anywhere in a request is answered with a problem and written nowhere.

Every error is `application/problem+json` (RFC 9457) with a stable `type` and a `hint`.
"""
