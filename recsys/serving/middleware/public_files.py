"""The ASGI layer that answers public requests as they were answered before, or from the snapshot's files."""

import re
from collections.abc import Mapping
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
    """The layer of public answers that were given before or lie in a file; it stands behind all that refuses and logs.

    An address may end in ``.json`` (the regions' also in ``.geojson``), as on a host that has nothing but the files.
    What is asked with a query, and what no file answers (of a place without charts of its own, of a snapshot that was
    published without files, under other settings, or is removed, of a file that is damaged), goes to the application,
    without the ending.

    Parameters
    ----------
    app : ASGI application
    responses : ResponseCache
        Keeps the answers, those of the routes as well.
    current : Current
        Answers are those of the newest snapshot.
    made_by : mapping
        The rendering that files have to be of (see :func:`recsys.artifacts.public_files.rendering`).
    """

    def __init__(
        self, app: ASGIApp, *, responses: ResponseCache, current: Current, made_by: Mapping[str, int | str]
    ) -> None:
        self._app, self._responses, self._current, self._made_by = app, responses, current, made_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        is_public = scope["type"] == "http" and scope["path"].startswith(_PUBLIC)
        answer = await self._answer(scope) if is_public else None
        await (answer or self._app)(scope, receive, send)

    async def _answer(self, scope: Scope) -> Answer | None:
        is_get = scope["method"] == "GET"  # HEAD is GET here, by a layer outside
        ready = self._responses.find(url_of(scope), of=self._current.loaded()) if is_get else None
        asked = None if ready else _asked(scope)
        if asked is None:
            return ready
        answer = await self._from_file(asked, scope) if is_get and not scope["query_string"] else None
        if answer is None:
            asked.to_application(scope)
        return answer

    async def _from_file(self, asked: "_Asked", scope: Scope) -> Answer | None:
        try:
            published = await self._current.get_aside()
        except NotReadyError:
            return None  # the application says it
        if published.files_by != self._made_by or asked.file not in published.files.digests:
            return None
        # Where a header chooses, the address alone does not say which of the two it was.
        key = url_of(scope) if asked.ending or asked.path != _REGIONS else asked.file.encode()
        ready = self._responses.find(key, of=published)
        return ready or await run_in_threadpool(self._read, asked, published, key)

    def _read(self, asked: "_Asked", published: Published, key: bytes) -> Answer | None:
        body = published.files.read(asked.file)
        if body is None:
            return None
        width = from_json(body)["scope"] if asked.is_chart else None
        media_type = _TYPES[asked.form].decode()
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
        if self.is_chart:
            return "/v1/regions/{id}/charts/{chart}"
        if self.path.endswith("/next-week"):
            return "/v1/regions/{id}/next-week"
        return self.path if self.path in _ALONE else f"{self.path.rpartition('/')[0]}/{{id}}"

    @property
    def vary(self) -> str:
        return "Accept, Accept-Encoding" if self.path == _REGIONS and not self.ending else "Accept-Encoding"

    def to_application(self, scope: Scope) -> None:
        """Let the request be as it would be without the ending; the layers outside go on reading its state."""
        if self.ending:
            headers = [each for each in scope["headers"] if each[0] != b"accept"]
            accepting = (b"accept", _TYPES[self.form])
            scope.update(path=self.path, raw_path=self.path.encode(), headers=[*headers, accepting])


_REGIONS, _RELEASES = "/v1/regions", "/v1/releases"
_ALONE = (_REGIONS, f"{_REGIONS}/all", f"{_REGIONS}/map", _RELEASES)
_PUBLIC = (_REGIONS, _RELEASES, "/v1/tracks/", "/v1/artists/")
_ADDRESS = re.compile(
    r"(/v1/regions(?:/[0-9A-Za-z]+(?:/charts/[a-z]+|/next-week)?)?|/v1/(?:tracks|artists)/[0-9A-Za-z_-]+|/v1/releases)"
    r"(\.json|(?<=/regions)\.geojson)?"
)


def _asked(scope: Scope) -> _Asked | None:
    found = _ADDRESS.fullmatch(scope["path"])
    if found is None:
        return None
    path, ending = found[1], found[2] or ""
    is_geojson = path == _REGIONS and accepts_geojson(scope["headers"])
    return _Asked(path, ending, ending or (_GEOJSON if is_geojson else _JSON))
