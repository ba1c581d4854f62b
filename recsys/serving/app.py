"""The application: FastAPI with its routes, behind the layers in the order in which a request walks through it."""

import sys
from collections.abc import Callable, Sequence
from copy import deepcopy
from datetime import datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from recsys.artifacts.privacy_account import ACCOUNT, Accounted, read_privacy_account
from recsys.artifacts.public_files import rendering
from recsys.consents.blinding import Blinding
from recsys.consents.log import consent_log
from recsys.sealed_files import SealedFiles
from recsys.serving.auth.jwks import keys_of
from recsys.serving.auth.tokens import Identity
from recsys.serving.lists.list_ids import ListIds
from recsys.serving.lists.trending import NewestSources
from recsys.serving.middleware.access_log import AccessLog, Journal, json_log
from recsys.serving.middleware.authentication import Authentication
from recsys.serving.middleware.cors import Cors
from recsys.serving.middleware.deprecation import Deprecation
from recsys.serving.middleware.error_pages import ErrorPages
from recsys.serving.middleware.head import Head
from recsys.serving.middleware.position_filter import PositionFilter
from recsys.serving.middleware.public_files import PublicFiles
from recsys.serving.middleware.timeouts import Timeouts
from recsys.serving.openapi.document import completed
from recsys.serving.pages import routes as pages
from recsys.serving.pages import song_pages, voice
from recsys.serving.pictures.addresses import PictureAddresses
from recsys.serving.pictures.making import Maker
from recsys.serving.requests.metrics import Metrics
from recsys.serving.requests.problems import Log, answer_problems
from recsys.serving.requests.rate_limit import Limits
from recsys.serving.routes import (
    charts,
    consents,
    contacts,
    data_rights,
    feedback,
    friends,
    health,
    images,
    releases,
    songs,
    transparency,
    trending,
    twin,
)
from recsys.serving.snapshot.reload import HotReload
from recsys.serving.snapshot.response_cache import ResponseCache
from recsys.serving.snapshot.snapshot_reader import Current
from recsys.serving.state.endpoint import Endpoint
from recsys.serving.state.export import ListenerRecords
from recsys.settings import Settings
from recsys.workspace import Workspace


def create_app(
    workspace: Workspace, *, settings: Settings, clock: Callable[[], datetime], records: ListenerRecords | None = None
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
    records : ListenerRecords, optional
        Reads what the private store holds about a listener; without it ``GET /v1/me/data`` answers 503.
    """
    workspace.root.mkdir(parents=True, exist_ok=True)
    log = json_log(sys.stderr)
    endpoint = _endpoint(workspace, settings=settings, clock=clock, records=records, log=log)
    app = routed(_layers(endpoint, log=log), settings=settings)
    app.state.endpoint = endpoint
    answer_problems(app, log=log)
    return app


def routed(layers: Sequence[Middleware] = (), *, settings: Settings) -> FastAPI:
    """Return the routes behind some layers: all that the OpenAPI document needs."""
    app = _application()
    app.layers, app.settings = layers, settings
    return app


def _application() -> "Application":
    return Application(
        title="Hearabouts",
        summary="What is trending hereabouts, for people who never told us exactly where they are.",
        description=_ABOUT,
        version=version("hearabouts"),
        docs_url=None,  # these pages would load their code from elsewhere
        redoc_url=None,
        servers=[{"url": "/", "description": "Where this document comes from."}],
        openapi_tags=[{"name": name, "description": what} for name, what in _TAGS.items()],
        redirect_slashes=False,  # a redirect repeats the query
        routes=list(_routes()),
        telemetry={"tracing": False, "metrics": False, "logs": False},  # a trace holds the query, and so the cell
    )


@cache
def _routes() -> tuple[BaseRoute, ...]:
    """Return all routes: made once in a process, as FastAPI takes longer to understand them than all else to start."""
    router = APIRouter(generate_unique_id_function=lambda route: route.name)  # a method of a generated client
    for tag, parts in _ROUTES.items():
        for each in parts:
            router.include_router(each.router, tags=[tag])
    return tuple(router.routes)


def _endpoint(
    workspace: Workspace,
    *,
    settings: Settings,
    clock: Callable[[], datetime],
    records: ListenerRecords | None,
    log: Log,
) -> Endpoint:
    metrics, listener_key = Metrics(), workspace.listener_key()
    keys = keys_of(settings.serving, secret=workspace.token_key(), log=log, found=metrics.looked_for_keys)
    return Endpoint(
        settings=settings,
        clock=clock,
        current=Current(workspace, log=log, found=metrics.found),
        sources=NewestSources(SealedFiles(workspace.private, settings.store), log=log),
        list_ids=ListIds(listener_key, hours=settings.feedback.list_hours),
        consents=consent_log(workspace, settings=settings),
        pictures=Maker(settings.images),
        addresses=PictureAddresses(listener_key, minutes=settings.images.address_minutes),
        blinding=Blinding(workspace.contacts_key()),
        identity=Identity(keys, settings=settings.serving, listener_key=listener_key),
        listener_key=listener_key,
        metrics=metrics,
        responses=ResponseCache(settings.serving),
        records=records,
        account=_account(workspace, log=log),
    )


def _account(workspace: Workspace, *, log: Log) -> HotReload[Accounted]:
    opened = partial(read_privacy_account, workspace)
    return HotReload(workspace.root / ACCOUNT, opened=opened, what="account", log=log, named=lambda found: found["at"])


class Application(FastAPI):
    """FastAPI behind our own layers, of which its OpenAPI document tells, too.

    Attributes
    ----------
    layers : sequence of Middleware
        The outermost first. They stand around FastAPI's own: what one of them answers needs nothing of those.
    settings : Settings
        Whose bounds the document names.
    """

    layers: Sequence[Middleware] = ()
    settings: Settings

    def build_middleware_stack(self) -> ASGIApp:
        """Return the layers around what FastAPI makes of its routes."""
        app = super().build_middleware_stack()
        for layer, args, facts in reversed(self.layers):
            app = layer(app, *args, **facts)
        return app

    def openapi(self) -> dict[str, Any]:
        """Return the document: what the routes say, and what the layers add."""
        if not self.openapi_schema:
            self.openapi_schema = completed(deepcopy(_said_by_routes()), settings=self.settings)
        return self.openapi_schema


@cache
def _said_by_routes() -> dict[str, Any]:
    """Return the document as FastAPI makes it of the routes, without ours: once in a process, as it takes long."""
    return FastAPI.openapi(_application())


def _layers(endpoint: Endpoint, *, log: Log) -> list[Middleware]:
    """Return what stands in front of the routes, the outermost first.

    Parameters
    ----------
    endpoint : Endpoint
    log : structlog logger
        Where failures go.
    """
    serving, metrics, current = endpoint.settings.serving, endpoint.metrics, endpoint.current
    cors = [Middleware(Cors, origins=serving.cors_origins)] if serving.cors_origins else []
    return [
        Middleware(AccessLog, endpoint=endpoint, journal=Journal(metrics, sys.stderr), log=log),
        Middleware(Timeouts, settings=serving, metrics=metrics, picture_seconds=endpoint.settings.images.body_seconds),
        *cors,  # around all that refuses: a page may read why
        Middleware(Deprecation),  # around what is answered from memory
        Middleware(Head),
        Middleware(ErrorPages),
        Middleware(PositionFilter, most_of_picture=endpoint.settings.images.most_bytes),  # before anything looks at it
        Middleware(Authentication, endpoint=endpoint, limits=Limits(serving), log=log),
        Middleware(PublicFiles, responses=endpoint.responses, current=current, made_by=rendering(endpoint.settings)),
    ]


_ROUTES = {  # in the order in which a request is tried: what no cache in front of the endpoint answers comes first
    "near me": (trending, twin, feedback, voice),
    "friends": (contacts, friends),
    "charts": (charts,),
    "songs": (songs,),
    "open data": (releases,),
    "consents": (consents,),
    "pictures": (images,),
    "my data": (data_rights,),
    "transparency": (transparency, song_pages, pages),
    "operation": (health,),
}
_TAGS = {
    "charts": "Public charts, and the places that have them.",
    "songs": "Songs and artists, from the published charts of all nights.",
    "open data": "Released nights as files.",
    "near me": "The list of the signed-in listener.",
    "friends": "Friends by mutual choice, from address books that stay on the device.",
    "consents": "The listener's switches.",
    "pictures": "The pictures that the listener chose.",
    "my data": "Export and erasure.",
    "transparency": "What is collected, why, and how much privacy was spent.",
    "operation": "Probes and metrics, for whoever runs it.",
}
_ABOUT = """
Charts by place, and what is trending near a signed-in listener, from an immutable snapshot published each night.

**Positions are refused.** A client sends an H3 cell of resolution 5 (about 253 km²) or coarser, or nothing. A finer
cell, a latitude or a longitude anywhere in a request is answered with a problem and written nowhere.

Every error is `application/problem+json` (RFC 9457) with a stable `type` and a `hint`.
"""
