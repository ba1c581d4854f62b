"""The response cache: public answers as bytes, made once a snapshot, and not sent at all where the client has them."""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from recsys.artifacts.public_files import entity_tag, packed
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.settings import ServingSettings

ROUTE, SCOPE = "route", "scope"  # in the state of a request, for the log: the route's template, how wide the list is
BODILESS = "bodiless"  # in the state of a request: it is HEAD

_MOST = 32 << 20  # bytes of all answers that are kept
_ABOUT = 2560  # bytes that an answer takes beside its text, its headers included

Headers = list[tuple[bytes, bytes]]


class Answer(Response):
    """A public answer, which may be sent any number of times.

    Parameters
    ----------
    content : bytes
    headers : list of (bytes, bytes)
        All of them.
    etag : bytes
        A strong entity tag: of these bytes alone.
    route : str
        The template of its path.
    scope : str or None
        How wide a list it is.

    Attributes
    ----------
    size : int
        Bytes of memory, about.
    packed : Answer or None
        The same for clients that take gzip; it is another representation, with a tag of its own.
    """

    packed: "Answer | None" = None

    def __init__(self, content: bytes, *, headers: Headers, etag: bytes, route: str, scope: str | None) -> None:
        super().__init__(content)
        self.raw_headers = headers
        self.route, self.scope = route, scope
        self._etag = etag
        self.size = len(content) + _ABOUT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, packed or not, or 304 where the client has the same bytes already."""
        chosen = self.chosen(scope["headers"])
        if chosen is not self:
            await chosen(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state[ROUTE], state[SCOPE] = self.route, self.scope
        same = is_known(self._etag, scope["headers"])
        headers = [each for each in self.raw_headers if each[0] not in _OF_BODY] if same else self.raw_headers
        await send({"type": "http.response.start", "status": 304 if same else 200, "headers": [*headers]})
        await send({"type": "http.response.body", "body": b"" if same else self.body})

    def chosen(self, headers: Headers) -> "Answer":
        """Return the representation for a client that sent these headers."""
        return self.packed if self.packed and takes_gzip(headers) else self

    def pack(self) -> None:
        """Make the packed answer, where that saves anything."""
        body = packed(bytes(self.body))
        if body is not None:
            self.add_packed(body)

    def add_packed(self, body: bytes) -> None:
        """Take the packed answer, made before."""
        kept = [each for each in self.raw_headers if each[0] not in (b"content-length", b"etag")]
        etag = _tag(body)
        headers = [(b"content-length", b"%d" % len(body)), (b"content-encoding", b"gzip"), (b"etag", etag), *kept]
        self.packed = Answer(body, headers=headers, etag=etag, route=self.route, scope=self.scope)
        self.size += self.packed.size


def is_known(etag: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether ``If-None-Match`` names a tag (RFC 9110, 13.1.2: weakly compared)."""
    for name, value in headers:
        if name == b"if-none-match":
            return any(tag.strip().removeprefix(b"W/") in (b"*", etag) for tag in value.split(b","))
    return False


_OF_BODY = (b"content-length", b"content-type", b"content-encoding")


def takes_gzip(headers: Headers) -> bool:
    """Tell whether a client that sent these headers takes an answer in gzip."""
    return any(name == b"accept-encoding" and _names_gzip(value) for name, value in headers)


@lru_cache(256)
def _names_gzip(value: bytes) -> bool:
    """Tell whether ``Accept-Encoding`` names gzip, or means it by ``*``, and not with q=0 (RFC 9110, 12.5.3)."""
    codings = (each.partition(";") for each in value.decode("latin-1").lower().replace(" ", "").split(","))
    allowed = {coding: not _ZERO.fullmatch(weight) for coding, _, weight in codings}
    return allowed.get("gzip", allowed.get("*", False))


_ZERO = re.compile(r"q=0(\.0*)?")


def _tag(body: bytes) -> bytes:
    return entity_tag(hashlib.sha256(body).hexdigest(), size=len(body)).encode()


class ResponseCache:
    """Keeps the answers of one snapshot, within bounds, and makes them.

    Parameters
    ----------
    settings : ServingSettings
        How long others may keep an answer.
    """

    def __init__(self, settings: ServingSettings) -> None:
        fresh, stale = settings.cache_seconds, settings.stale_seconds
        caching = f"public, max-age={fresh}, stale-while-revalidate={stale}".encode()
        self._common: Headers = [(b"cache-control", caching)]
        self._kept, self._keeping = _Kept(of=-1), Lock()

    def answer(
        self,
        content: Mapping[str, Any],
        *,
        route: str,
        scope: str | None = None,
        media_type: str = "application/json",
        vary: str | None = None,
    ) -> Answer:
        """Return an answer with a JSON value."""
        return self.of_bytes(to_json(content), route=route, scope=scope, media_type=media_type, vary=vary)

    def of_bytes(
        self, body: bytes, *, route: str, scope: str | None = None, media_type: str, vary: str | None = None
    ) -> Answer:
        """Return an answer with what was made before."""
        etag = _tag(body)
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", media_type.encode()), (b"etag", etag)]
        varying = [(b"vary", vary.encode())] if vary else []
        return Answer(body, headers=[*headers, *self._common, *varying], etag=etag, route=route, scope=scope)

    def keep(self, answer: Answer, asked: bytes, *, of: Published) -> Answer:
        """Remember an answer by what was asked, packed too, as long as its snapshot is the one that is served."""
        if answer.packed is None:
            answer.pack()
        with self._keeping:
            if self._kept.of < of.number:
                self._kept = _Kept(of.number)
            if self._kept.of == of.number:  # else it was asked for before a newer one came
                self._kept.add(answer, asked)
        return answer

    def find(self, asked: bytes, *, of: Published | None) -> Answer | None:
        """Return what was answered to the same question before, of the same snapshot."""
        kept = self._kept  # which another thread may put another in the place of
        return kept.answers.get(asked) if of and of.number == kept.of else None


@dataclass
class _Kept:
    """The answers of one snapshot, the oldest first; its number alone, as the snapshot would be kept open."""

    of: int
    answers: OrderedDict[bytes, Answer] = field(default_factory=OrderedDict)
    size: int = 0

    def add(self, answer: Answer, asked: bytes) -> None:
        before = self.answers.pop(asked, None)
        self.answers[asked] = answer
        self.size += answer.size - (before.size if before else 0)
        while self.size > _MOST:
            self.size -= self.answers.popitem(last=False)[1].size


def url_of(scope: Scope) -> bytes:
    """Return path and query of a request as they came."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return path + b"?" + query if query else path
