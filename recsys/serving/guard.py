"""Refuses a request that carries a position, wherever it is hidden, before anything else has looked at it."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

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
    """Return why a request is refused, or None: a position in its path, query or headers, or any body at all.

    No request of this endpoint has a body, so that one is refused unread.
    """
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if (
        any(names_position(name) for name, _ in [*query, *headers])
        or any(holds_position(text) for text in [scope["path"], *(text for pair in query for text in pair)])
        or any(mentions_position(value) for _, value in headers)
    ):
        return PositionError("the request carries a position, which is neither needed nor wanted here", hint=_HINT)
    if _has_body(headers):
        return InputError("the request has a body", hint="Send the request without a body.")
    return None


def _has_body(headers: Iterable[tuple[str, str]]) -> bool:
    return any(
        name == "transfer-encoding" or (name == "content-length" and value.strip() != "0") for name, value in headers
    )


_HINT = f"Send no position at all, or an H3 cell of resolution {FINEST} or coarser as the parameter `cell`."
