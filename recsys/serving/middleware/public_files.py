"""The ASGI layer that answers public requests without a query from the snapshot's files."""

import re
from dataclasses import dataclass

from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.errors import NotReadyError
from recsys.serving.requests.headers import accepts_geojson
from recsys.serving.snapshot.response_cache import Answer, ResponseCache, url_of
from recsys.serving.snapshot.snapshot_reader import Current, Published

_JSON, _GEOJSON = ".json", ".geojson"
_TYPES = {_JSON: b"application/json", _GEOJSON: b"application/geo+json"}


class PublicFiles:
    """The layer of public files; it stands behind all that refuses, limits and logs.

    An address may end in ``.json`` (the regions' also in ``.geojson``), as on a host that has nothing but the files.
    What is asked with a query, and what no file answers (of a place without charts of its own, of a snapshot that was
    published without files or is removed, of a file that is damaged), goes to the application, without the ending.

    Parameters
    ----------
    app : ASGI application
    responses : ResponseCache
        Keeps the answers.
    current : Current
        Answers are those of the newest snapshot.
    """

    def __init__(self, app: ASGIApp, *, responses: ResponseCache, current: Current) -> None:
        self._app, self._responses, self._current = app, responses, current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        asked = _asked(scope) if scope["type"] == "http" else None
        if asked is None:
            await self._app(scope, receive, send)
            return
        is_plain = scope["method"] == "GET" and not scope["query_string"]  # HEAD is GET here, by a layer outside
        answer = await self._answer(asked, scope) if is_plain else None
        await (answer or self._app)(scope if answer else asked.to_application(scope), receive, send)

    async def _answer(self, asked: "_Asked", scope: Scope) -> Answer | None:
        try:
            published = await self._newest()
        except NotReadyError:
            return None  # the application says it
        if asked.file not in published.files.digests:
            return None
        # Where a header chooses, the address alone does not say which of the two it was.
        key = url_of(scope) if asked.ending or asked.path != _REGIONS else asked.file.encode()
        ready = self._responses.find(key, of=published)
        return ready or await run_in_threadpool(self._read, asked, published, key)

    async def _newest(self) -> Published:
        loaded = self._current.loaded()
        return await run_in_threadpool(self._current.get) if loaded is None else loaded

    def _read(self, asked: "_Asked", published: Published, key: bytes) -> Answer | None:
        body = published.files.read(asked.file)
        if body is None:
            return None
        media_type = _TYPES[asked.form].decode()
        width = from_json(body)["scope"] if asked.is_chart else None
        answer = self._responses.of_bytes(body, route=asked.route, scope=width, media_type=media_type, vary=asked.vary)
        smaller = published.files.read(f"{asked.file}.gz")
        if smaller is not None:
            answer.add_packed(smaller)
        return self._responses.keep(answer, key, of=published)


@dataclass(frozen=True)
class _Asked:
    """A public address: without its ending, and which one it has or would have."""

    path: str
    ending: str
    form: str

    @property
    def file(self) -> str:
        return f"{self.path[1:]}{self.form}"

    @property
    def is_chart(self) -> bool:
        return "/charts/" in self.path

    @property
    def route(self) -> str:
        return "/v1/regions/{id}/charts/{chart}" if self.is_chart else self.path

    @property
    def vary(self) -> str:
        return "Accept, Accept-Encoding" if self.path == _REGIONS and not self.ending else "Accept-Encoding"

    def to_application(self, scope: Scope) -> Scope:
        """Return the request as it would be without the ending."""
        if not self.ending:
            return scope
        headers = [each for each in scope["headers"] if each[0] != b"accept"]
        accepting = (b"accept", _TYPES[self.form])
        # The same state and the same name of the route, which the layers outside read afterwards.
        scope.update(path=self.path, raw_path=self.path.encode(), headers=[*headers, accepting])
        return scope


_REGIONS = "/v1/regions"
_ADDRESS = re.compile(r"(/v1/regions(?:/all|/[0-9A-Za-z]+/charts/[a-z]+)?)(\.json|(?<=/regions)\.geojson)?")


def _asked(scope: Scope) -> _Asked | None:
    found = _ADDRESS.fullmatch(scope["path"])
    if found is None:
        return None
    path, ending = found[1], found[2] or ""
    is_geojson = path == _REGIONS and accepts_geojson(scope["headers"])
    return _Asked(path, ending, ending or (_GEOJSON if is_geojson else _JSON))
