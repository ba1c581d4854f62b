"""Refuses a request that carries a position, wherever it is hidden, before anything else has looked at it."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.errors import InputError, PositionError, RecsysError
from recsys.serving.positions import FINEST, holds_position, mentions_position, names_position
from recsys.serving.problems import problem_of


class Guard:
    """The ASGI layer that lets only requests without a position through.

    Parameters
    ----------
    app : ASGI application
        What the other requests go to.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with a problem, or pass it on."""
        refusal = refusal_of(scope) if scope["type"] == "http" else None
        await (problem_of(refusal) if refusal else self._app)(scope, receive, send)


def refusal_of(scope: Scope) -> RecsysError | None:
    """Return why a request is refused, or None: a position in its path, query or headers, or a body.

    One request of this endpoint has a body, a few words long, which is looked at where it is read: `PUT` of a switch.
    Any other body is refused unread.
    """
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if (
        any(names_position(name) for name, _ in [*query, *headers])
        or any(holds_position(text) for text in [scope["path"], *(text for pair in query for text in pair)])
        or any(mentions_position(value) for _, value in headers)
    ):
        return PositionError("the request carries a position, which is neither needed nor wanted here", hint=_HINT)
    if _has_body(headers) and not (scope["method"] == "PUT" and scope["path"].startswith(_WITH_BODY)):
        return InputError("the request has a body", hint="Send the request without a body.")
    if _has_body(headers) and not _is_short(headers):
        return InputError(f"the body is longer than {_SHORT} bytes, or of unknown length", hint="Send a shorter body.")
    return None


def without_parameters(request: Request) -> None:
    """Refuse any parameter, where a request has none: a coordinate would come under any name."""
    if request.query_params:
        raise InputError(
            "there is a parameter that this request does not have",
            hint="The parameters of every request are in /openapi.json.",
        )


def _has_body(headers: Iterable[tuple[str, str]]) -> bool:
    return any(
        name == "transfer-encoding" or (name == "content-length" and value.strip() != "0") for name, value in headers
    )


def _is_short(headers: Iterable[tuple[str, str]]) -> bool:
    lengths = [value for name, value in headers if name in ("content-length", "transfer-encoding")]
    return all(length.isascii() and length.isdigit() and int(length) <= _SHORT for length in lengths)


_WITH_BODY = "/v1/me/consents/"
_SHORT = 1024
_HINT = f"Send no position at all, or an H3 cell of resolution {FINEST} or coarser as the parameter `cell`."
