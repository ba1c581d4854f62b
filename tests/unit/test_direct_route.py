"""A direct route answers what FastAPI's own route of the same function answers, whatever is asked."""

import asyncio
import sys
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from support.edge import NOW

from recsys.serving.middleware.access_log import json_log
from recsys.serving.requests.credentials import LISTENER
from recsys.serving.requests.problems import answer_problems
from recsys.serving.routes.trending import TrendingParameters
from recsys.serving.state.direct_route import DirectRoute
from recsys.serving.state.listener import Listener

QUERIES = [
    *("", "limit=3", "limit=3&cell=abc", "cell=", "limit=3&limit=5", "cell=a&cell=b", "limit=%33", "limit=+3"),
    *(
        "limit=0",
        "limit=x",
        "limit=",
        "limit=3.0",
        "limit=3.5",
        "latitude=1",
        "limit=x&latitude=1&longitude=2",
        "limit",
    ),
]


def answered(route: type[APIRoute], query: str, *, listener: str | None) -> tuple[int, Any]:
    """Return the status and the body that a route of a function answers."""
    router = APIRouter(route_class=route)

    @router.get("/list")
    async def ask(request: Request, *, who: Listener, query: Annotated[TrendingParameters, Query()]) -> Response:
        told = {"path": request.url.path, "who": who.listener, "now": str(who.now), "opted_out": who.opted_out}
        return JSONResponse(told | query.model_dump())

    app = FastAPI()
    app.include_router(router)
    app.state.endpoint = SimpleNamespace(clock=lambda: NOW)
    answer_problems(app, log=json_log(sys.stderr))

    async def signed_in(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"state": {LISTENER: listener}}, receive, send)

    async def answer() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(signed_in), base_url="http://localhost") as client:
            return await client.get(f"/list?{query}", headers={"Sec-GPC": "1"})

    found = asyncio.run(answer())
    return found.status_code, found.json()


@pytest.mark.parametrize("listener", ["ana", None])
@pytest.mark.parametrize("query", QUERIES)
def test_it_answers_what_fastapi_answers(query: str, listener: str | None) -> None:
    direct = answered(DirectRoute, query, listener=listener)
    assert direct == answered(APIRoute, query, listener=listener)
    assert direct[0] in ((200, 400) if listener else (401,))


def test_what_it_answers_is_what_was_asked() -> None:
    status, told = answered(DirectRoute, "limit=3&cell=85393363fffffff", listener="ana")
    assert (status, told["cell"], told["limit"], told["who"], told["opted_out"]) == (
        *(200, "85393363fffffff", 3, "ana", True),
    )
