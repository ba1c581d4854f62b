"""The short way to a route that is asked often: the same function, without FastAPI's search for its arguments."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials
from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.errors import RecsysError
from recsys.serving.middleware.authentication import LISTENER
from recsys.serving.requests.problems import Log, problem_of
from recsys.serving.requests.query import parameters
from recsys.serving.snapshot.response_cache import ROUTE

Route = Callable[..., Coroutine[Any, Any, Response]]


class Direct:
    """The ASGI layer that calls one route of a signed-in listener itself, and leaves everything odd to the application.

    Parameters
    ----------
    app : ASGI application
        Has the same route, for whatever does not fit: its refusals are the documented ones.
    route : coroutine function
        Takes a request, ``query`` and ``token``.
    path : str
    parameters : type of BaseModel
        Of the query.
    log : structlog logger
    """

    def __init__(self, app: ASGIApp, *, route: Route, path: str, parameters: type[BaseModel], log: Log) -> None:
        self._app, self._route, self._path, self._parameters, self._log = app, route, path, parameters, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        query = self._query(scope) if scope["type"] == "http" and scope["path"] == self._path else None
        await (self._app if query is None else await self._answer(scope, query))(scope, receive, send)

    def _query(self, scope: Scope) -> BaseModel | None:
        """Return the parameters of a request that has a listener and whose parameters fit, each there once."""
        if scope["method"] != "GET" or not isinstance(scope["state"].get(LISTENER), str):
            return None
        given = parameters(scope["query_string"])
        try:
            return self._parameters.model_validate(dict(given)) if len(dict(given)) == len(given) else None
        except ValidationError:
            return None

    async def _answer(self, scope: Scope, query: BaseModel) -> ASGIApp:
        scope["state"][ROUTE] = self._path
        try:
            return await self._route(Request(scope), query=query, token=_VERIFIED)
        except RecsysError as error:
            return problem_of(error, log=self._log)


_VERIFIED = HTTPAuthorizationCredentials(scheme="Bearer", credentials="")  # by the gate, which has kept it
