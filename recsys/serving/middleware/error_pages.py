"""Error pages: people are told in a page what went wrong, at any address, and programs by a problem document."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.messages import recognised, said, template
from recsys.serving.pages.negotiation import VARY
from recsys.serving.pages.templates import MISSING, sentence_of, shown
from recsys.serving.requests.problems import MEDIA_TYPE

_FOR_PROGRAMS = ("/v1/", "/assets/", "/.well-known/", "/healthz", "/readyz", "/metrics", "/openapi.json")
_UNKNOWN = "/problems/not-found"


class ErrorPages:
    """The ASGI layer that tells people in a page what went wrong, wherever a link has led them.

    Parameters
    ----------
    app : ASGI application
        Answers with problems (RFC 9457), which are for programs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer back, or a page instead."""
        if scope["type"] != "http" or scope["path"].startswith(_FOR_PROGRAMS):
            await self._app(scope, receive, send)
            return
        held: list[Message] = []  # a problem; all else goes on at once

        async def keep(message: Message) -> None:
            if held or _is_problem(message):
                held.append(message)
            else:
                await send(message)

        await self._app(scope, receive, keep)
        if held and _is_browser(scope):
            await _page_of(held, Request(scope))(scope, receive, send)
            return
        for message in _varied(held):
            await send(message)


def _is_browser(scope: Scope) -> bool:
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def _is_problem(message: Message) -> bool:
    return (b"content-type", MEDIA_TYPE.encode()) in message.get("headers", ())


def _page_of(held: list[Message], request: Request) -> Response:
    problem = json.loads(b"".join(message.get("body", b"") for message in held[1:]))
    answer = shown("problem.html", request, status=problem["status"], problem=_told(problem))
    for name, value in held[0]["headers"]:
        if name not in (b"content-type", b"content-length"):
            answer.headers[name.decode("latin-1")] = value.decode("latin-1")
    answer.headers["vary"] = f"Accept, {VARY}"
    return answer


def _varied(held: list[Message]) -> list[Message]:
    """Say of a problem that whoever asks for a page would have got one."""
    return [{**each, "headers": [*each["headers"], (b"vary", b"Accept")]} for each in held[:1]] + held[1:]


def _told(problem: Mapping[str, Any]) -> Mapping[str, str]:
    if problem["type"] == _UNKNOWN:
        return MISSING
    return {"title": said(problem["title"]), "text": sentence_of(recognised(problem["detail"], _DETAILS))}


_DETAILS = (
    template("the request carries a position, which is neither needed nor wanted here"),
    template("{name} does not fit"),
)
