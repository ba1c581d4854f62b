"""Open data: the list of released nights, and their files."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from recsys.serving.lists.releases import ReleasesAnswer, releases_of
from recsys.serving.openapi.examples import RELEASES, problems
from recsys.serving.requests.query import without_parameters
from recsys.serving.snapshot.response_cache import BODILESS, Answer, is_known, url_of
from recsys.serving.state.endpoint import Parts

router = APIRouter(dependencies=[Depends(without_parameters)])


@router.get(
    "/v1/releases",
    response_model=ReleasesAnswer,
    summary="Open data",
    responses={200: {"content": {"application/json": {"example": RELEASES}}}, **problems(400, 503)},
)
def releases(request: Request, parts: Parts) -> Answer:
    """Return every released night with its files (Parquet, CSV, README, parameters), and the charts by month."""
    published, responses = parts.current.get(), parts.responses
    answer = responses.answer(releases_of(published), route="/v1/releases", vary="Accept-Encoding")
    return responses.keep(answer, url_of(request.scope), of=published)


@router.get("/v1/releases/{name}/{file}", include_in_schema=False)
@router.get("/v1/history/{name}/{file}", include_in_schema=False)
def open_file(request: Request, parts: Parts) -> Response:
    """Return a file of open data, or a part of it: who reads Parquet asks for columns; 304 to who has it already."""
    files, path = parts.current.get().files, request.scope["path"][1:]
    facts = files.linked.get(path)
    if facts is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {"etag": facts["etag"], "cache-control": f"public, max-age={parts.settings.serving.cache_seconds}"}
    if is_known(facts["etag"].encode(), request.scope["headers"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return _OpenFile(files.folder / path, headers=headers, media_type=facts["media_type"])


class _OpenFile(FileResponse):
    """A file that is not read where only its headers are asked for: the layer of HEAD lets routes see GET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_head = BODILESS in scope.get("state", {})
        await super().__call__({**scope, "method": "HEAD"} if is_head else scope, receive, send)
