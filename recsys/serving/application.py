"""The application: FastAPI, and the middleware in the order in which a request walks through it."""

import sys
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware

from recsys.serving.cached_answers import CachedAnswers
from recsys.serving.middleware.access_log import AccessLog, Journal
from recsys.serving.middleware.authentication import Authentication
from recsys.serving.middleware.cors import Cors
from recsys.serving.middleware.head import Head
from recsys.serving.middleware.position_filter import PositionFilter
from recsys.serving.openapi.document import completed
from recsys.serving.pages.templates import Readable
from recsys.serving.public.layer import PublicFiles
from recsys.serving.requests.problems import Log, on_failure
from recsys.serving.requests.rate_limit import Limits
from recsys.serving.state.endpoint import Endpoint
from recsys.serving.timeouts import Timeouts


class Application(FastAPI):
    """FastAPI whose OpenAPI document tells of the middleware, too."""

    def openapi(self) -> dict[str, Any]:
        """Return the document: what the routes say, and what the middleware adds."""
        if not self.openapi_schema:
            self.openapi_schema = completed(super().openapi())
        return self.openapi_schema


def middleware(endpoint: Endpoint, *, log: Log) -> list[Middleware]:
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
        Middleware(Timeouts, settings=serving, metrics=metrics),
        *cors,  # around all that refuses: a page may read why
        Middleware(Head),
        Middleware(ServerErrorMiddleware, handler=on_failure),  # raises the failure on, for the log
        Middleware(Readable, current=current),
        Middleware(PositionFilter),  # before anything that looks at a request
        Middleware(Authentication, endpoint=endpoint, limits=Limits(serving), log=log),
        Middleware(CachedAnswers, prepared=endpoint.prepared, current=current),
        Middleware(PublicFiles, prepared=endpoint.prepared, current=current),
    ]
