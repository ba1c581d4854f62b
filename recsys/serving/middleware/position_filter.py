"""The position filter: refuses a request that carries a position anywhere, before anything else has looked at it."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.errors import InputError, LargePictureError, PositionError, RecsysError
from recsys.geography.positions import FINEST, holds_position, mentions_position, names_position
from recsys.serving.requests.headers import announces_body, body_lengths, brings_picture
from recsys.serving.requests.problems import problem_of

_SHORT = 1024  # bytes of a body, or of what is remembered
_REMEMBERED = 2048
_WORD = 24  # letters
_MOST = 16_384  # bytes of all headers, every one of which is looked at, and of what is told of lists and of contacts


class PositionFilter:
    """The ASGI layer that lets only requests without a position through.

    Parameters
    ----------
    app : ASGI application
        What the other requests go to.
    most_of_picture : int
        Bytes of a picture that is sent.
    """

    def __init__(self, app: ASGIApp, *, most_of_picture: int = 0) -> None:
        self._app, self._most_of_picture = app, most_of_picture

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with a problem, or pass it on."""
        refusal = refusal_of(scope, most_of_picture=self._most_of_picture) if scope["type"] == "http" else None
        await (problem_of(refusal) if refusal else self._app)(scope, receive, send)


def refusal_of(scope: Scope, *, most_of_picture: int = 0) -> RecsysError | None:
    """Return why a request is refused, or None: a position in its path, query or headers, or a body.

    Few requests of this endpoint have a body, which is looked at where it is read: `PUT` of a switch and `POST` of what
    was said, a few words long, `POST` of feedback and of contacts, and `PUT` of a picture, of which no more is kept
    than is to be seen. Any other body is refused unread; where no request has such a method the routes say so, and read
    no body either.
    """
    headers = scope["headers"]
    if too_long(headers):
        return InputError(f"the headers are longer than {_MOST} bytes", hint="Send shorter headers.")
    try:
        _check_question(scope["path"], scope["query_string"])
        for header in headers:
            _check_header(*header)
    except PositionError as refusal:
        return refusal
    return _refusal_of_body(scope, most_of_picture) if announces_body(headers) else None


def too_long(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether there is more in the headers of a request than is looked at."""
    return sum(len(name) + len(value) for name, value in headers) > _MOST


def _check_question(path: str, query_string: bytes) -> None:
    """Refuse a position in path or query; public places are asked for again, and remembered."""
    is_public = path.startswith(_PUBLIC) and len(path) + len(query_string) <= _SHORT
    (_remembered_question if is_public else _check_texts)(path, query_string)


def _check_header(name: bytes, value: bytes) -> None:
    """Refuse a header that is called after a position or holds one; nothing is remembered that could be secret."""
    is_plain = name not in _SECRET and len(name) + len(value) <= _SHORT
    (_remembered_header if is_plain else _check_value)(name, value)


def _check_texts(path: str, query_string: bytes) -> None:
    query = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    texts = [*(() if path in _OURS else (path,)), *(text for pair in query for text in pair)]
    _refuse(any(_names_position(name) for name, _ in query) or any(map(holds_position, texts)))


def _check_value(name: bytes, value: bytes) -> None:
    _refuse(_remembered_name(name) or mentions_position(value.decode("latin-1")), where=_shown(name))


def _refuse(is_position: bool, *, where: str = "the request") -> None:
    if is_position:
        raise PositionError(f"{where} carries a position, which is neither needed nor wanted here", hint=_HINT)


def _shown(header: bytes) -> str:
    """Return how a header is named in a problem, as it may be a proxy's: only what can hold nothing but words."""
    return f"the header {header.decode()}" if _PLAIN_HEADER.fullmatch(header) else "a header"


def _names_position(name: str) -> bool:
    """Tell whether a parameter is called after a position; remember it of plain words, which hold none themselves."""
    plain = name.isascii() and name.isalpha() and len(name) <= _WORD
    return _remembered_name(name.encode()) if plain else names_position(name)


# What raises is not remembered: no position that was refused stays in memory.
_remembered_question = lru_cache(_REMEMBERED)(_check_texts)
_remembered_header = lru_cache(_REMEMBERED)(_check_value)


@lru_cache(_REMEMBERED)
def _remembered_name(name: bytes) -> bool:
    return names_position(name.decode("latin-1"))


def _refusal_of_body(scope: Scope, most_of_picture: int) -> RecsysError | None:
    is_picture = brings_picture(scope["method"], scope["path"])
    most = most_of_picture if is_picture else _most_of_body(scope["method"], scope["path"])
    if not most:
        if scope["method"] not in _BODILESS and (scope["method"], scope["path"]) != _ERASURE:
            return None  # there is no such request, as its answer will say
        return InputError("the request has a body", hint="Send the request without a body.")
    lengths = body_lengths(scope["headers"])
    if not all(each.isascii() and each.isdigit() and len(each) <= 10 and int(each) <= most for each in lengths):
        kind = LargePictureError if is_picture else InputError
        return kind(f"the body is longer than {most} bytes, or of unknown length", hint="Send a shorter body.")
    return None


def _most_of_body(method: str, path: str) -> int:
    """Return how many bytes the body of a request may have; 0 where it may have none."""
    if (method == "PUT" and path.startswith(_SWITCHES)) or (method, path) == _VOICE:
        return _SHORT
    return _MOST if (method, path) in _TOLD else 0


_ADDRESSES = (b"x-forwarded-for", b"x-real-ip", b"forwarded")
_SECRET = (b"authorization", b"cookie", b"x-request-id", b"x-api-key", *_ADDRESSES)
_PLAIN_HEADER = re.compile(rb"[a-z-]{1,40}")
_PUBLIC = "/v1/regions"
_OURS = frozenset(
    {
        *("/v1/me/trending", "/v1/me/twin", "/v1/me/consents", "/v1/me/data", "/v1/me/feedback", "/v1/me/images"),
        *("/v1/me/contacts", "/v1/me/contacts/blinded", "/v1/me/contacts/trending", "/v1/voice/intent"),
    }
)  # paths that hold nothing of the caller's
_SWITCHES = "/v1/me/consents/"
_VOICE = ("POST", "/v1/voice/intent")
_TOLD = frozenset(("POST", path) for path in ("/v1/me/feedback", "/v1/me/contacts", "/v1/me/contacts/blinded"))
_BODILESS = ("GET", "HEAD", "OPTIONS")
_ERASURE = ("DELETE", "/v1/me/data")
_HINT = f"Send no position at all, or an H3 cell of resolution {FINEST} or coarser as the parameter `cell`."
