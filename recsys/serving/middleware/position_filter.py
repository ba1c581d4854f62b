"""The position filter: refuses a request that carries a position anywhere, before anything else has looked at it."""

from collections.abc import Iterable
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.errors import InputError, PositionError, RecsysError
from recsys.serving.requests.headers import announces_body, body_lengths
from recsys.serving.requests.positions import FINEST, holds_position, mentions_position, names_position
from recsys.serving.requests.problems import problem_of
from recsys.serving.requests.query import parameters

_SHORT = 1024  # bytes of a body, or of what is remembered
_REMEMBERED = 2048
_WORD = 24  # letters
_MOST = 16_384  # bytes of all headers: every one of them is looked at


class PositionFilter:
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
    headers = scope["headers"]
    if too_long(headers):
        return InputError(f"the headers are longer than {_MOST} bytes", hint="Send shorter headers.")
    if _asks_with_position(scope["path"], scope["query_string"]) or any(tells_position(*header) for header in headers):
        return PositionError("the request carries a position, which is neither needed nor wanted here", hint=_HINT)
    return _refusal_of_body(scope) if announces_body(headers) else None


def _asks_with_position(path: str, query_string: bytes) -> bool:
    """Tell whether path or query hold a position; of public places, which are asked for again, remember it."""
    if path.startswith(_PUBLIC) and len(path) + len(query_string) <= _SHORT:
        return _remembered_question(path, query_string)
    return _holds_position(path, query_string)


def too_long(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether there is more in the headers of a request than is looked at."""
    return sum(len(name) + len(value) for name, value in headers) > _MOST


def tells_position(name: bytes, value: bytes) -> bool:
    """Tell whether a header is called after a position or holds one; remember it, but nothing that could be secret."""
    if name in _SECRET or len(name) + len(value) > _SHORT:
        return _remembered_name(name) or mentions_position(value.decode("latin-1"))
    return _remembered_header(name, value)


def _holds_position(path: str, query_string: bytes) -> bool:
    query = parameters(query_string)
    texts = [*(() if path in _OURS else (path,)), *(text for pair in query for text in pair)]
    return any(_names_position(name) for name, _ in query) or any(map(holds_position, texts))


def _names_position(name: str) -> bool:
    """Tell whether a parameter is called after a position; remember it of plain words, which hold none themselves."""
    plain = name.isascii() and name.isalpha() and len(name) <= _WORD
    return _remembered_name(name.encode()) if plain else names_position(name)


@lru_cache(_REMEMBERED)
def _remembered_question(path: str, query_string: bytes) -> bool:
    return _holds_position(path, query_string)


@lru_cache(_REMEMBERED)
def _remembered_header(name: bytes, value: bytes) -> bool:
    return _remembered_name(name) or mentions_position(value.decode("latin-1"))


@lru_cache(_REMEMBERED)
def _remembered_name(name: bytes) -> bool:
    return names_position(name.decode("latin-1"))


def _refusal_of_body(scope: Scope) -> RecsysError | None:
    if not (scope["method"] == "PUT" and scope["path"].startswith(_WITH_BODY)):
        return InputError("the request has a body", hint="Send the request without a body.")
    lengths = body_lengths(scope["headers"])
    if not all(each.isascii() and each.isdigit() and len(each) <= 10 and int(each) <= _SHORT for each in lengths):
        return InputError(f"the body is longer than {_SHORT} bytes, or of unknown length", hint="Send a shorter body.")
    return None


_ADDRESSES = (b"x-forwarded-for", b"x-real-ip", b"forwarded")
_SECRET = (b"authorization", b"cookie", b"x-request-id", b"x-api-key", *_ADDRESSES)
_PUBLIC = "/v1/regions"
_OURS = frozenset({"/v1/me/trending", "/v1/me/consents", "/v1/me/data"})  # paths that hold nothing of the caller's
_WITH_BODY = "/v1/me/consents/"
_HINT = f"Send no position at all, or an H3 cell of resolution {FINEST} or coarser as the parameter `cell`."
